"""The training page: jobs and curves, versions and gates, and that nothing is promoted before the second click."""

from app.registry import RegistryView
from tests.ui import trained
from tests.ui.conftest import Page, rendered, texts
from tests.ui.fake_api import World


def keys(page) -> dict[str, bool]:
    """Buttons of the page, and whether they can be pressed."""
    return {b.key: not b.disabled for b in page.button if b.key}


def test_every_job_is_shown_with_its_status_and_what_to_do_about_it(open_page: Page):
    page = open_page("training")
    shown = rendered(page)
    for word in ("Prepares", "Running", "Cut off", "Stopped", "Finished", "Unreadable", "keepsake train resume"):
        assert word in shown, word
    assert "reasoning_stage2-0f1e2d3c" in texts(page)


def test_a_job_at_work_tells_steps_rate_mfu_and_time_left(open_page: Page):
    page = open_page("training")
    assert "Step **612** :gray[of 1,470] · 36 min 50 s left" in [p.proto.text for p in page.get("progress")]
    assert "1.3M tokens · 843 tokens/s · MFU 31% · AMD EPYC, 2 cores" in rendered(page)


def test_a_finished_job_tells_what_it_reached(open_page: Page):
    assert "98.0% of 600 answers exact on eval seeds · 99.2% of 600 answers exact on dev seeds" in rendered(open_page("training"))


def test_curves_of_a_job_at_work_are_open_and_others_open_on_demand(open_page: Page):
    page = open_page("training")
    before = len(page.get("vega_lite_chart"))
    assert before == 2
    page.toggle(key="curves-first_team-5046767b").set_value(True).run()
    assert len(page.get("vega_lite_chart")) == 4


def test_gates_are_shown_with_value_and_bound(open_page: Page):
    page = open_page("training")
    assert "rebuilt_dev.exact  0.884 (n = 300)" in texts(page)
    shown = rendered(page)
    for word in (
        "at least 0.95, by the recipe",
        "at least 0.835, as promised before",
        "passed",
        "failed",
        "not measured",
        "production",
        "previous",
        "candidate",
    ):
        assert word in shown, word


def test_what_was_not_measured_says_how_to_measure_it(open_page: Page):
    shown = [text for text in texts(open_page("training")) if "--measure" in text]
    assert len(shown) == 1 and "keepsake train promote reasoning_stage2-77777777.1 --measure" in shown[0]


def test_what_does_not_pass_its_gates_cannot_be_promoted(open_page: Page):
    buttons = keys(open_page("training"))
    assert buttons["promote-first_team-9a8b7c6d.1"] and not buttons["promote-reasoning_stage2-77777777.1"]
    assert buttons["rollback-reasoning_stage2-0f1e2d3c.1"] and "promote-reasoning_stage2-0f1e2d3c.1" not in buttons


def test_a_promotion_asks_first(open_page: Page, world: World):
    page = open_page("training")
    page.button(key="promote-first_team-9a8b7c6d.1").click().run()
    assert "Its gates are checked again" in rendered(page)
    assert world.requests == [], "nothing is promoted before the second click"


def test_a_rollback_asks_first_and_names_where_it_goes(open_page: Page, world: World):
    page = open_page("training")
    page.button(key="rollback-reasoning_stage2-0f1e2d3c.1").click().run()
    assert "first_team-5046767b" in texts(page)
    assert {"rollback-yes", "rollback-no"} <= keys(page).keys() and world.requests == []


def test_while_a_promotion_is_under_way_no_other_can_be_begun(open_page: Page, world: World):
    world.registry = trained.registry(trained.BUSY)
    page = open_page("training")
    assert "Promotion under way" in rendered(page) and trained.BUSY.message in texts(page)
    assert not any(able for key, able in keys(page).items() if key.startswith(("promote-", "rollback-")))


def test_how_the_last_promotion_ended_is_told(open_page: Page, world: World):
    world.registry = trained.registry(trained.FAILED)
    page = open_page("training")
    assert "Promotion failed" in rendered(page)
    assert any("these weights do not load" in text for text in texts(page))
    # Its time is of now: when the whole suite runs, this file was imported half an hour ago, and a success is news for ten minutes.
    world.registry = trained.registry(trained.DONE.model_copy(update={"ended": trained.ago(seconds=50)}))
    page.run()
    assert "Promotion done" in rendered(page)
    world.registry = trained.registry(trained.DONE.model_copy(update={"ended": trained.ago(days=1)}))
    page.run()
    assert "Promotion done" not in rendered(page)


def test_an_entry_that_cannot_be_read_is_told_of(open_page: Page, world: World):
    world.registry = RegistryView(problems=["The registry's entry x cannot be read. Remove it."], versions=trained.registry().versions)
    assert "An entry cannot be read" in rendered(open_page("training"))


def test_an_empty_page_says_how_to_begin(open_page: Page, world: World):
    world.jobs, world.registry = [], RegistryView()
    shown = rendered(page := open_page("training"))
    assert "No version is registered yet" in shown and "Nothing has been trained here yet" in shown
    assert any("keepsake train run first_team" in text for text in texts(page))


def test_names_and_purposes_are_shown_as_text(open_page: Page):
    page = open_page("training")
    assert "<b>markdown</b>" not in rendered(page) and any("<b>markdown</b>" in text for text in texts(page))


def test_the_page_says_when_the_api_is_away(open_page: Page, world: World):
    world.down = True
    shown = rendered(open_page("training"))
    assert "The versions cannot be listed" in shown and "The jobs cannot be listed" in shown
