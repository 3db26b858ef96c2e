"""The form for a new task: examples, errors beside it, what it sends."""

from pathlib import Path

from streamlit.testing.v1 import AppTest

from app.policies.files import presets
from tests.ui.conftest import Page, rendered, texts
from tests.ui.fake_api import EXAMPLES, World


def start(page: AppTest) -> AppTest:
    return page.button(key="task-go").click().run()


def created(world: World) -> list[dict]:
    return [body for _, path, body in world.requests if path == "/tasks"]


def fill(page: AppTest, text: str) -> AppTest:
    page.text_area(key="task-text").set_value(text)
    return page


def test_a_task_is_sent_with_its_defaults_and_the_page_goes_to_its_run(open_page: Page, world: World):
    count = len(world.runs)
    page = start(fill(open_page("new_task"), "What does a kettle cost?"))
    (body,) = created(world)
    assert body["text"] == "What does a kettle cost?"
    assert (body["policy"], body["review_plan"], body["sites"], body["files"]) == ("ask_writes", False, [], [])
    assert body["budgets"] == {"steps": 80, "tokens": 200_000, "seconds": 1800}
    assert len(world.runs) == count + 1
    assert page.query_params["run"] == f"run_{count + 1:04d}"


def test_each_policy_is_explained(open_page: Page):
    policy = open_page("new_task").radio(key="task-policy")
    assert list(policy.proto.captions) == [own.about for own in presets().values()]


def test_a_policy_of_ones_own_is_offered_told_and_sent_by_its_name(open_page: Page, world: World, tmp_path: Path):
    world.policies = tmp_path
    rules = "rules:\n  - {effects: pay, over: 50, then: refuse}\n  - {effects: [read, write], sites: shop, then: allow}\n"
    (tmp_path / "mine.yaml").write_text(f"title: Small sums\nabout: Nothing dear.\n{rules}otherwise: words\n")
    page = open_page("new_task")
    page.radio(key="task-policy").set_value("mine").run()
    assert "Pays, more than 50: is refused." in texts(page)
    assert "Reads or changes something, at shop: runs unasked." in texts(page)
    start(fill(page, "What does a kettle cost?"))
    assert created(world)[0]["policy"] == "mine"


def test_a_policy_file_that_is_not_right_says_why(open_page: Page, world: World, tmp_path: Path):
    world.policies = tmp_path
    (tmp_path / "mine.yaml").write_text("otherwise: allow\n")
    page = open_page("new_task")
    page.radio(key="task-policy").set_value("mine").run()
    assert any("otherwise" in warning.value for warning in page.warning)


def test_a_policy_is_tried_on_past_runs(open_page: Page, world: World):
    page = open_page("new_task")
    page.button(key="policy-try").click().run()
    assert world.requests[-1] == ("POST", "/policies/try", {"policy": "ask_writes", "runs": [], "last": 20})
    told = "Of 31 actions in 4 runs it would have asked about 2; you were asked about 6. It would have refused 1, and 0 were."
    assert told in texts(page)


def test_an_empty_task_is_told_and_not_sent(open_page: Page, world: World):
    page = start(fill(open_page("new_task"), "   \n "))
    assert "The task has no text." in texts(page)
    assert created(world) == []


def test_a_task_that_is_too_long_is_told_in_the_api_s_words_and_stays_in_the_form(open_page: Page):
    page = start(fill(open_page("new_task"), "x" * 20_001))
    assert any(t.startswith("The task's text has 20001 characters") for t in texts(page))
    assert len(page.text_area(key="task-text").value) == 20_001


def test_an_unknown_file_is_told(open_page: Page, world: World):
    page = open_page("new_task")
    page.button(key="use-1").click().run()
    world.files.clear()
    page = start(page)
    assert "There is no file `file_note`." in texts(page)


def test_a_site_that_is_not_right_is_told_by_its_number(open_page: Page, world: World):
    page = open_page("new_task")
    page.button(key="site-add").click().run()
    page.text_input(key="site-name-1").set_value("My Shop")
    page.text_input(key="site-url-1").set_value("https://shop.example")
    page = start(fill(page, "buy a kettle"))
    assert any(t.startswith("Site 1: its name is not right") for t in texts(page))
    assert created(world) == []


def test_sites_are_sent_and_can_be_taken_back(open_page: Page, world: World):
    page = open_page("new_task")
    for number, name in ((1, "shop"), (2, "wiki")):
        page.button(key="site-add").click().run()
        page.text_input(key=f"site-name-{number}").set_value(name)
        page.text_input(key=f"site-url-{number}").set_value(f"https://{name}.example")
    page.text_input(key="site-profile-2").set_value("me").run()
    page.button(key="icon-site-remove-1").click().run()
    start(fill(page, "look it up"))
    assert created(world)[0]["sites"] == [{"name": "wiki", "url": "https://wiki.example", "profile": "me"}]


def test_one_click_on_an_example_fills_the_form_and_a_second_starts_it(open_page: Page, world: World):
    page = open_page("new_task")
    page.button(key="use-1").click().run()
    assert page.text_area(key="task-text").value == EXAMPLES[1]["text"]
    assert page.toggle(key="task-review").value is True
    assert page.checkbox(key="example-file-file_note").label == "note.txt"
    start(page)
    (body,) = created(world)
    assert body["sites"] == [{"name": "tracker", "url": "http://127.0.0.1:8714", "profile": "tracker"}]
    assert body["files"] == ["file_note"] and body["review_plan"] is True


def test_uploads_are_sent_once_however_often_one_tries(open_page: Page, world: World):
    page = open_page("new_task")
    page.file_uploader[0].upload("numbers.csv", b"a,b\n1,2\n").run()
    page = start(page)  # refused: no text yet
    page = start(fill(page, "add the numbers"))
    assert list(world.files.values()) == ["note.txt", "numbers.csv"]
    assert created(world)[0]["files"] == ["file_2"]


def test_an_upload_that_the_api_refuses_is_told(open_page: Page, world: World):
    page = open_page("new_task")
    page.file_uploader[0].upload("picture.bin", b"\x00\x01").run()
    page = start(fill(page, "read it"))
    assert "`picture.bin` is not a text file." in texts(page)


def test_limits_are_sent(open_page: Page, world: World):
    page = open_page("new_task")
    page.number_input(key="task-steps").set_value(12)
    page.number_input(key="task-minutes").set_value(5)
    start(fill(page, "quickly"))
    assert created(world)[0]["budgets"] == {"steps": 12, "tokens": 200_000, "seconds": 300}


def test_the_page_says_when_the_model_is_not_there_yet_and_stays_usable(open_page: Page, world: World):
    world.checks["model"] = "loading"
    page = open_page("new_task")
    assert "Not ready yet" in rendered(page)
    assert any("The model is not there yet" in t for t in texts(page))
    assert not page.button(key="task-go").disabled
    world.checks["model"] = "ok"
    page.run()
    assert "Not ready yet" not in rendered(page)


def test_the_page_says_when_no_api_answers(open_page: Page, world: World):
    world.down = True
    page = open_page("new_task")
    assert "cannot be reached" in rendered(page)
    page = start(fill(page, "anything"))
    assert "The task was not started" in rendered(page)
    assert page.text_area(key="task-text").value == "anything"


def test_without_a_key_the_page_says_how_to_get_one(open_page: Page, tmp_path):
    (tmp_path / "api_key").unlink()
    page = open_page("new_task")
    assert any("keepsake up" in t for t in texts(page))


def test_no_examples_is_no_section(open_page: Page, world: World):
    world.examples = []
    assert "example" not in rendered(open_page("new_task"))
