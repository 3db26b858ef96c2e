"""The run page: what it shows of each kind of run, and what a person can do there."""

import pytest
from streamlit.testing.v1 import AppTest

from app.events import EventType, RunView, reduce_events
from app.schemas import Action, RunStatus
from tests.ui import stories
from tests.ui.conftest import Page, rendered, texts
from tests.ui.fake_api import World
from ui.parts.feed import Feed


def button(page: AppTest, name: str):
    return next(b for b in page.button if b.label == name)


def keyed(page: AppTest, start: str) -> list[str]:
    """Keys of the containers that begin with `start`."""
    return [k for k in (getattr(b.proto, "id", "") for b in page.get("flex_container")) if k.startswith(start)]


def posted(world: World, end: str) -> list:
    return [body for _, path, body in world.requests if path.endswith(end)]


# What is shown


def test_a_done_run_shows_its_answer_plan_mementos_and_artifact(open_page: Page):
    page = open_page("run", run="run_done")
    shown = texts(page)
    assert "7 Copper Kettles cost 53.90." in shown
    assert [t for t in shown if t.endswith(("step 2.", "step 3.", "done."))] == [
        "Copper Kettle costs 7.70. Next: step 2.",
        "7 * 7.70 = 53.90. Next: step 3.",
        "total.txt holds 53.90. Next: done.",
    ]
    assert [s[1] in shown for s in stories.LOOKUP_PLAN] == [True] * 3
    assert page.get("download_button")[0].proto.label == "total.txt · 6 B"
    assert "85% less" in rendered(page)


def test_a_failed_run_says_what_is_wrong_and_what_to_do_and_can_go_on(open_page: Page, world: World):
    page = open_page("run", run="run_failed")
    assert any("connection refused" in t for t in texts(page))
    assert any("keepsake up" in t for t in texts(page))
    assert {b.label for b in page.button} >= {"Go on", "Run again"}


def test_a_refused_run_gives_the_reason_and_the_alternative_and_cannot_go_on(open_page: Page):
    page = open_page("run", run="run_refused")
    shown = "\n".join(texts(page))
    assert "not a public address" in shown and "do this step yourself" in shown
    assert "Go on" not in {b.label for b in page.button}


def test_notices_tell_of_repairs_stalls_and_new_plans(open_page: Page):
    page = open_page("run", run="run_failed")
    shown = "\n".join(texts(page))
    assert "`webb` is not a member; took web" in shown
    assert "3 of 3 turns without progress" in shown
    assert "number 1 of at most 2" in shown


def test_an_open_block_shows_as_working_and_the_ledger_says_who_works_on_what(open_page: Page):
    page = open_page("run", run="run_busy")
    assert any("shimmer[coder is thinking]" in m.value for m in page.markdown)
    assert any(m.value.startswith("Now ") and "coder" in m.value for m in page.markdown)
    assert "write prices.csv" in texts(page)


def test_facts_of_the_task_ledger_are_listed(open_page: Page):
    shown = texts(open_page("run", run="run_approval"))
    assert {"7 Copper Kettles", "the price of a Copper Kettle", "7 * the price"} <= set(shown)


def test_a_long_trail_starts_with_its_last_blocks_and_gives_more_on_request(open_page: Page):
    page = open_page("run", run="run_long")
    first = [t for t in texts(page) if t.startswith("Product")]
    assert first[0].startswith("Product 53 ") and len(first) == 12
    button(page, "Show 25 of 52 earlier blocks").click().run()
    more = [t for t in texts(page) if t.startswith("Product")]
    assert more[0].startswith("Product 28 ") and len(more) == 37


def test_a_fold_holds_every_entry_of_its_block(open_page: Page):
    page = open_page("run", run="run_done")
    before = texts(page)
    assert not any("Riverside Shop" in t for t in before)
    page.session_state["fold-1"] = True
    page.session_state["fold-2"] = True
    page.run()
    shown = texts(page)
    assert any("Riverside Shop" in t for t in shown)
    assert "The search box finds products by name." in shown
    assert "`clik` is not a verb of this role" in shown
    assert shown.count(stories.PROGRAM) == 1, "the program that is run stands once, where it was written"
    assert any("rule ask-exec" in t for t in shown)
    assert "“go ahead”" in shown


@pytest.mark.parametrize("run", ["run_done", "run_approval", "run_question", "run_long"])
def test_text_from_outside_is_never_rendered(open_page: Page, run: str):
    page = open_page("run", run=run)
    for number in (1, 61):
        page.session_state[f"fold-{number}"] = True
    page.run()
    assert not page.exception
    drawn = rendered(page)
    for sign in ("<script", "<img", "evil.test", "<|", "Ignore previous", ":red[danger", "**Choose", "**Not", "<b>"):
        assert sign not in drawn
    assert not page.html or all("<style" in h.value or h.value == "" for h in page.html)


def test_a_queued_run_says_what_it_waits_for(open_page: Page, world: World):
    world.checks["worker"] = "none"
    assert any("No worker is at work" in t for t in texts(open_page("run", run="run_queued")))


def test_an_unknown_run_is_said_to_be_unknown(open_page: Page):
    page = open_page("run", run="run_nowhere")
    assert any("There is no run" in t for t in texts(page))


def test_without_a_run_the_page_leads_to_the_list(open_page: Page):
    assert "No run chosen" in rendered(open_page("run"))


# Live


def test_new_events_appear_and_redelivered_ones_change_nothing(open_page: Page, world: World):
    page = open_page("run", run="run_busy")
    run = world.runs["run_busy"]
    for step in stories.remember(8, "coder", "prices.csv has 7 rows. Next: done.", 300, 400, 9000):
        run.say(step)
    page.run()
    assert texts(page).count("prices.csv has 7 rows. Next: done.") == 1
    feed: Feed = page.session_state["feeds"]["run_busy"]
    before = feed.view.model_copy(deep=True)
    feed.take(run.events[-5:])
    assert feed.view == before


def test_the_page_keeps_what_it_has_when_the_api_goes_away_and_catches_up(open_page: Page, world: World):
    page = open_page("run", run="run_busy")
    world.down = True
    page.run()
    assert "not up to date" in rendered(page)
    assert "Product 7 costs 7.50. Next: step 1 again." in texts(page)
    world.down = False
    page.run()
    assert "not up to date" not in rendered(page)


# Decisions


def decided(decision: str, **more) -> dict:
    return {"decision": decision, "explanation": "", "plan": None, "for_run": False, "edits": None} | more


def test_a_program_can_be_changed_before_it_is_approved(open_page: Page, world: World):
    page = open_page("run", run="run_approval")
    button(page, "Change…").click().run()
    assert "Approve" not in {b.label for b in page.button}
    page.text_area(key="edit-appr_a1-code").set_value("print(1)")
    button(page, "Approve as changed").click().run()
    assert posted(world, "appr_a1/decide") == [decided("approved", edits={"code": "print(1)"})]


def test_what_is_alike_can_be_allowed_for_the_run(open_page: Page, world: World):
    page = open_page("run", run="run_approval")
    assert not [b for b in page.button if b.key == "alike-appr_a1"]
    request = next(e for e in world.runs["run_approval"].events if e.type == "approval.requested")
    request.payload["alike"] = "programs in the workspace"
    page = open_page("run", run="run_approval")
    page.button(key="alike-appr_a1").click().run()
    assert posted(world, "appr_a1/decide") == [decided("approved", for_run=True)]


def test_an_approval_shows_what_where_and_with_what_and_approving_sends_it(open_page: Page, world: World):
    page = open_page("run", run="run_approval")
    shown = texts(page)
    assert "Run the program" in shown
    assert stories.PROGRAM in shown
    assert "This runs a program in the sandbox." in shown
    button(page, "Approve").click().run()
    assert posted(world, "appr_a1/decide") == [decided("approved")]
    assert world.runs["run_approval"].run.status == RunStatus.RUNNING


def test_refusing_takes_a_reason_and_offers_no_approval_meanwhile(open_page: Page, world: World):
    page = open_page("run", run="run_approval")
    button(page, "Refuse…").click().run()
    assert "Approve" not in {b.label for b in page.button}
    page.text_input(key="reason-appr_a1").set_value("use the price with tax")
    button(page, "Refuse").click().run()
    assert posted(world, "appr_a1/decide") == [decided("rejected", explanation="use the price with tax")]


def test_a_change_of_mind_brings_approve_back(open_page: Page):
    page = open_page("run", run="run_approval")
    button(page, "Refuse…").click().run()
    button(page, "Back").click().run()
    assert "Approve" in {b.label for b in page.button}


def test_a_decision_that_someone_else_took_first_is_told(open_page: Page, world: World):
    page = open_page("run", run="run_approval")
    world.runs["run_approval"].approvals["appr_a1"]["status"] = "rejected"
    button(page, "Approve").click().run()
    assert any("decided already" in t for t in texts(page))


def test_an_unknown_outcome_warns_of_doing_it_twice_and_has_no_shortcut(open_page: Page, world: World):
    page = open_page("run", run="run_unknown")
    assert "**twice**" in rendered(page)
    again = button(page, "Try it again")
    assert not again.proto.shortcut
    button(page, "Count it as done…").click().run()
    button(page, "Count it as done").click().run()
    assert posted(world, "appr_u/decide")[0]["decision"] == "rejected"


def test_an_action_is_told_in_words_and_its_whole_record_is_behind_a_fold(open_page: Page, world: World):
    page = open_page("run", run="run_unknown")
    shown = texts(page)
    assert {
        "Click Place order",
        "POST http://127.0.0.1:8713/orders",
        "http://127.0.0.1:8713/cart",
        "button Place order [12]",
    } <= set(shown)
    assert not any("form_method" in t for t in shown)
    page.session_state["record-appr_u"] = True
    page.run()
    assert any('"form_method": "post"' in t for t in texts(page))
    digest = Action(**world.runs["run_unknown"].approvals["appr_u"]["action"]).digest
    assert digest in rendered(page)


def test_approve_has_the_shortcut_and_nothing_else_on_the_page_takes_text(open_page: Page):
    page = open_page("run", run="run_approval")
    assert button(page, "Approve").proto.shortcut.lower() == "ctrl+enter"
    assert not page.chat_input and not page.text_input and not page.text_area


def test_a_plan_is_edited_reordered_and_accepted(open_page: Page, world: World):
    page = open_page("run", run="run_plan")
    assert button(page, "Start with this plan")
    page.text_input(key="plan-text-appr_p-1").set_value("find the price in the other shop").run()
    page.button(key="icon-plan-arrow_downward-appr_p-2").click().run()
    page.button(key="icon-plan-delete-appr_p-3").click().run()
    page.button(key="plan-add-appr_p").click().run()
    assert button(page, "Start with my plan").disabled
    page.selectbox(key="plan-agent-appr_p-3").select("files").run()
    page.text_input(key="plan-text-appr_p-3").set_value("write it down").run()
    button(page, "Start with my plan").click().run()
    assert posted(world, "appr_p/decide")[0]["plan"] == [
        {"agent": "web", "instruction": "find the price in the other shop"},
        {"agent": "coder", "instruction": "compute 7 * the price"},
        {"agent": "files", "instruction": "write it down"},
    ]


def test_an_unchanged_plan_is_accepted_as_it_is(open_page: Page, world: World):
    page = open_page("run", run="run_plan")
    button(page, "Start with this plan").click().run()
    assert posted(world, "appr_p/decide") == [decided("approved")]


def test_a_plan_is_rejected_with_a_reason(open_page: Page, world: World):
    page = open_page("run", run="run_plan")
    page.text_input(key="plan-why-appr_p").set_value("too long")
    button(page, "Reject the plan").click().run()
    assert posted(world, "appr_p/decide") == [decided("rejected", explanation="too long")]


def test_a_question_is_answered(open_page: Page, world: World):
    page = open_page("run", run="run_question")
    assert any("Which colour" in t for t in texts(page))
    page.text_input(key="answer-text").set_value("red")
    button(page, "Answer").click().run()
    assert posted(world, "run_question/messages") == [{"text": "red"}]


def test_an_answer_that_could_not_be_sent_is_kept(open_page: Page, world: World):
    page = open_page("run", run="run_question")
    page.text_input(key="answer-text").set_value("a dark red")
    world.down = True
    button(page, "Answer").click().run()
    assert "not sent" in rendered(page)
    assert page.text_input(key="answer-text").value == "a dark red"
    assert [c.value for c in page.code if c.value == "a dark red"]


def test_an_empty_answer_is_not_sent(open_page: Page, world: World):
    page = open_page("run", run="run_question")
    button(page, "Answer").click().run()
    assert posted(world, "run_question/messages") == []
    assert "nothing to send" in rendered(page)


# Controls


def test_a_running_team_is_steered(open_page: Page, world: World):
    page = open_page("run", run="run_busy")
    page.chat_input[0].set_value("leave the cheapest out").run()
    assert posted(world, "run_busy/messages") == [{"text": "leave the cheapest out"}]
    assert "leave the cheapest out" in texts(page)


def test_pause_resume_and_cancel(open_page: Page, world: World):
    page = open_page("run", run="run_busy")
    button(page, "Pause").click().run()
    assert world.runs["run_busy"].run.status == RunStatus.PAUSED
    button(page, "Resume").click().run()
    assert world.runs["run_busy"].run.status == RunStatus.RUNNING
    button(page, "Stop the run").click().run()
    assert world.runs["run_busy"].run.status == RunStatus.CANCELLED
    assert "Cancelled" in rendered(page)


def test_a_conflict_of_controls_is_told(open_page: Page, world: World):
    page = open_page("run", run="run_busy")
    world.runs["run_busy"].run = world.runs["run_busy"].run.model_copy(update={"status": RunStatus.SUCCEEDED})
    page.session_state["feeds"]["run_busy"].fresh = float("inf")  # the page has not looked since
    button(page, "Pause").click().run()
    assert any("has ended" in t for t in texts(page))


def test_run_again_starts_another_run_of_the_task(open_page: Page, world: World):
    page = open_page("run", run="run_failed")
    count = len(world.runs)
    button(page, "Run again").click().run()
    assert len(world.runs) == count + 1


def test_a_retry_of_the_model_outside_a_block_is_a_notice():
    feed = [*stories.queued("x"), *stories.started(), stories.event(EventType.MODEL_RETRY, role="plan", attempt=1, problem="no plan")]
    world = World()
    run = world.add(feed, "x")
    view = reduce_events(run.events, RunView())
    assert [n["type"] for n in view.notices] == ["model.retry"]
