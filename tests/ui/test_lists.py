"""The list of runs, and everything that waits for a person."""

from tests.ui import stories
from tests.ui.conftest import Page, rendered, texts
from tests.ui.fake_api import World


def listed(page) -> list[str]:
    """Ids of the runs on the page, in order."""
    return [b.key.removeprefix("icon-delete-") for b in page.button if b.key.startswith("icon-delete-run")]


def test_runs_are_listed_newest_first_with_status_and_link(open_page: Page):
    page = open_page("runs")
    assert listed(page)[0] == "run_queued" and listed(page)[-1] == "run_long"
    assert [word for word in ("Done", "Failed", "Refused", "Running", "Queued") if word not in rendered(page)] == []
    assert page.page_link[0].proto.query_string == "run=run_queued"


def test_runs_are_filtered_by_status(open_page: Page):
    page = open_page("runs")
    page.get_by_key("runs-filter").set_value("Waiting for you").run()
    assert set(listed(page)) == {"run_approval", "run_plan", "run_question", "run_unknown"}
    page.get_by_key("runs-filter").set_value("Not done").run()
    assert set(listed(page)) == {"run_failed", "run_refused"}


def test_runs_are_searched_by_all_words(open_page: Page):
    page = open_page("runs")
    page.text_input(key="runs-search").set_value("TICKETS open").run()
    assert listed(page) == ["run_failed"]
    page.text_input(key="runs-search").set_value("no such thing").run()
    assert listed(page) == [] and "No run matches." in rendered(page)


def test_deleting_asks_first(open_page: Page, world: World):
    page = open_page("runs")
    page.button(key="icon-delete-run_failed").click().run()
    assert "run_failed" in world.runs, "nothing is deleted before the second click"
    assert "cannot be undone" in rendered(page)


def test_a_long_list_comes_in_pages(open_page: Page, world: World):
    for number in range(30):
        world.add(stories.refused(), f"task {number}")
    page = open_page("runs")
    assert len(listed(page)) == 25
    page.button(key="runs-more").click().run()
    assert len(listed(page)) == 40
    assert "Show more" not in {b.label for b in page.button}


def test_an_empty_list_leads_to_the_form(open_page: Page, world: World):
    world.runs.clear()
    page = open_page("runs")
    assert "Nothing has been run yet." in rendered(page)


def test_the_list_says_when_the_api_is_away(open_page: Page, world: World):
    world.down = True
    assert "cannot be listed" in rendered(open_page("runs"))


def test_approvals_of_all_runs_are_together_oldest_first(open_page: Page):
    page = open_page("approvals")
    assert [b.key for b in page.button if b.key.startswith("approve-")] == ["approve-appr_a1", "approve-appr_u"]
    shown = texts(page)
    assert stories.LOOKUP_TEXT in shown and "Order two Copper Kettles." in shown
    assert "A plan waits for you" in rendered(page)
    assert "The team asks you something" in rendered(page)
    assert "run=run_question" in {link.proto.query_string for link in page.page_link}


def test_several_approvals_are_decided_at_once(open_page: Page, world: World):
    second = world.add(stories.lookup("z"), "Another one.", "run_z")
    page = open_page("approvals")
    for key in ("pick-appr_a1", "pick-appr_z1"):
        page.checkbox(key=key).check().run()
    page.button(key="several-approve").click().run()
    assert world.runs["run_approval"].approvals["appr_a1"]["status"] == "approved"
    assert second.approvals["appr_z1"]["status"] == "approved"
    assert not [b for b in page.button if b.key == "several-approve"]


def test_an_approval_is_decided_there(open_page: Page, world: World):
    page = open_page("approvals")
    page.button(key="approve-appr_a1").click().run()
    assert world.runs["run_approval"].approvals["appr_a1"]["status"] == "approved"
    assert "approve-appr_a1" not in [b.key for b in page.button]


def test_the_shortcut_belongs_to_the_first_and_goes_while_a_reason_is_typed(open_page: Page, world: World):
    world.add(stories.lookup("z"), "another", "run_z")
    page = open_page("approvals")
    assert [bool(b.proto.shortcut) for b in page.button if b.key in {"approve-appr_a1", "approve-appr_z1"}] == [True, False]
    page.button(key="refuse-appr_z1").click().run()
    assert not any(b.proto.shortcut for b in page.button)


def test_a_decision_taken_elsewhere_leaves_the_page(open_page: Page, world: World):
    page = open_page("approvals")
    assert page.button(key="approve-appr_a1")
    for run in world.runs.values():
        run.approvals.clear()
    world.runs.pop("run_question")
    page.run()
    assert "Nothing waits for you" in rendered(page)
