"""A run as one conversation: what each call adds, what goes over the wire, and what ends it or begins it anew."""

from typing import Any

import pytest

from agents.model import ClientConfig, MementoChatClient
from agents.model_roles import NO_STREAM, ModelRoles
from agents.profiles.base import Malformed
from agents.profiles.compact import CompactProfile
from agents.profiles.full import FullProfile
from agents.profiles.incremental import NOTHING_DONE, changes, folded, increment, told_by
from agents.roles import CoderView, FactsView, FilesView, FinalView, LedgerView, MementoView, PlanView, View, WebView
from agents.state import PlanStep, TaskLedger, TeamState
from agents.stream import Said, Stream
from agents.team import MementoTeam
from agents.web.screen.base import Element, PageView
from app.errors import ModelUnavailable
from app.events import EventType
from app.schemas import TaskCreate
from tests.agents.endpoint import completion, serve
from tests.agents.scripted import Hand

PROFILE = CompactProfile()
FACTS = FactsView("buy a kettle", ["shop"], [])
STEPS = [PlanStep(number=1, agent="web", instruction="order 1 kettle in shop"), PlanStep(number=2, agent="files", instruction="note it")]
LEDGER = TaskLedger(given=["kettle"], plan=STEPS)
PLAN = PlanView("buy a kettle", LEDGER, {"web": "", "files": ""})
MEMBERS = {"web": "", "files": "", "coder": ""}
CHOICE = "step 1 web: order 1 kettle in shop"


def ledger(*mementos: str, steers: tuple[str, ...] = (), plan: list[PlanStep] = STEPS) -> LedgerView:
    return LedgerView("buy a kettle", TaskLedger(plan=plan), MEMBERS, list(mementos), list(steers))


def page(title: str, *names: str, text: tuple[str, ...] = (), **values: str) -> PageView:
    shared = ["Home", "Cart", "Orders", "Help"]
    elements = [Element(id=i, kind="link", name=name) for i, name in enumerate([*shared, *names], 1)]
    boxes = [Element(id=len(elements) + i, kind="box", name=name, value=value) for i, (name, value) in enumerate(values.items(), 1)]
    return PageView(url=f"http://shop.test/{title}", title=title, text=list(text), elements=[*elements, *boxes])


def web(view: PageView | None, *history: str, problem: str = "", instruction: str = STEPS[0].instruction) -> WebView:
    return WebView(instruction, ["shop"], list(history), view, problem)


class Talk:
    """A stream under way."""

    def __init__(self) -> None:
        self.stream = Stream()

    def say(self, role: str, view: View, answer: str) -> Said:
        step = increment(PROFILE, role, view, self.stream)
        self.stream.add(step.asked, step.answered(answer), step.told | told_by(role, PROFILE.parse(role, answer, view)))
        return step.asked

    @classmethod
    def at_work(cls) -> "Talk":
        """Facts, plan and the first choice are said."""
        talk = cls()
        talk.say("facts", FACTS, "given: kettle\nlook up: none\nderive: none\nguess: none")
        talk.say("plan", PLAN, "1 web: order 1 kettle in shop\n2 files: note it")
        talk.say("ledger", ledger(), CHOICE)
        return talk


def test_the_first_prompt_is_whole_and_the_next_say_what_is_new():
    talk = Talk()
    whole = PROFILE.prompt("facts", FACTS).messages[0]["content"]
    assert talk.say("facts", FACTS, "given: kettle\nlook up: none\nderive: none\nguess: none") == Said(role="user", kept=whole, opens=True)
    assert talk.say("plan", PLAN, "1 web: order 1 kettle in shop\n2 files: note it") == Said(role="user", content="PLAN")
    assert [said.memento for said in talk.stream.messages] == [False, False, False, True], "the plan is the memento of the facts"
    assert talk.say("ledger", ledger(), CHOICE) == Said(role="user", content="LEDGER", opens=True)
    assert talk.say("web", web(None), "visit shop") == Said(role="user", content="WEB", closes="Do: step 1", opens=True)
    assert talk.stream.inside and not talk.stream.messages[-1].memento


def test_a_step_is_a_block_that_its_memento_closes():
    talk = Talk.at_work()
    talk.say("web", web(None), "visit shop")
    talk.say("web", web(page("Shop"), "visit shop"), "answer: order 7 placed")
    asked = talk.say("memento", MementoView("web", STEPS[0].instruction, 1, 2, [], "order 7 placed", False), "Ordered. Next: step 2.")
    assert asked.content == "", "the answer is right above"
    assert talk.stream.messages[-1].memento and not talk.stream.inside
    assert talk.say("ledger", ledger("Ordered. Next: step 2."), "step 2 files: note it").opens
    assert increment(PROFILE, "files", FilesView("note it", [], []), talk.stream).asked.content == "FILES", (
        "there are none, as the facts say"
    )
    assert talk.say("files", FilesView("note it", ["a.txt"], []), "read a.txt").content == "FILES\nFiles: a.txt"
    assert talk.say("files", FilesView("note it", ["a.txt"], ["read a.txt"], "one\ntwo"), "answer: two").content == "| one\n| two"


def test_a_result_that_was_not_said_is_told_and_so_is_a_failure():
    talk = Talk.at_work()
    talk.say("coder", CoderView("sum x", {"a.csv": "x,y"}), "print(1)")
    view = MementoView("coder", "sum x", 1, 2, [], "12", False)
    assert increment(PROFILE, "memento", view, talk.stream).asked.content == "Result: 12"
    failed = MementoView("web", "look", 1, 2, [], "gave up", True)
    assert increment(PROFILE, "memento", failed, talk.stream).asked.content == "Failed: gave up"


def test_leaving_a_page_closes_its_block_with_what_was_done_there():
    talk = Talk.at_work()
    talk.say("web", web(None), "visit shop")
    talk.say("web", web(page("Shop", "Kettle", "Mug", text=("Good things",)), "visit shop"), "click link Kettle [5]")
    second = page("Kettle", "Add", "Back", "More", text=("Price: 3.00", "Stock: 2"))
    asked = talk.say("web", web(second, "visit shop", "click Kettle"), "click link Add [5]")
    assert asked.closes == "Done: visit shop; click Kettle" and asked.opens and talk.stream.inside
    assert asked.content.startswith("Page: Kettle\nPrice: 3.00\nStock: 2\nlink Home [1]\n"), (
        "nothing of a page that is out of sight is folded"
    )
    third = page("Cart", "Remove", "Place order", text=("Kettle | 1", "Total: 3.00"))
    assert talk.say("web", web(third, "visit shop", "click Kettle", "click Add"), "click link Place order [6]").closes == "Done: click Add"


@pytest.mark.parametrize(
    ("instruction", "kept"), [("order 1 kettle in shop", "Do: step 1"), ("order 2 mugs in shop", "Do: order 2 mugs in shop")]
)
def test_a_web_agents_instruction_outlives_its_pages(instruction: str, kept: str):
    talk = Talk.at_work()
    asked = talk.say("web", web(page("Shop"), instruction=instruction), "click link Cart [2]")
    assert (asked.closes, asked.content.split("\n")[:2]) == (kept, ["WEB", "Page: Shop"])
    other = web(page("Cart", "Place order", text=("Kettle | 1", "Total: 3.00", "Free delivery")), "click Cart", instruction="look again")
    assert increment(PROFILE, "web", other, talk.stream).asked.closes == "Do: look again\nDone: click Cart"


def test_the_same_page_is_told_by_its_changes():
    talk = Talk.at_work()
    talk.say("web", web(None), "visit shop")
    talk.say("web", web(page("Shop", "Kettle", Search="", Count="1"), "visit shop"), "type box Search [6]: mug")
    now = page("Shop", "Kettle", Search="mug", Count="1")
    again = increment(PROFILE, "web", web(now, "a", "b", "c", problem="It did nothing."), talk.stream)
    assert again.asked.content == "Problem: It did nothing.\ndone"
    talk.say("web", web(now, "visit shop", "type mug"), "click link Kettle [5]")
    asked = talk.say("web", web(page("Shop", "Kettle", Search="", Count="2"), "visit shop", "type mug", "click"), "answer: x")
    assert asked == Said(role="user", content="same, but\nbox Search [6]\nbox Count [7] = 2")
    assert increment(PROFILE, "web", web(page("Shop", "Kettle", Search="", Count="2"), *"abcd"), talk.stream).asked.content == "same"


@pytest.mark.parametrize(
    ("action", "line", "done"),
    [
        ("type box Count [7]: 2", "box Count [7] = 2", True),
        ("type box Count [7]: 2", "box Count [7] = 20", False),
        ("type box Count [7]: 2", "box Other [8] = 2", False),
        ("type box Note [7]: a: b", "box Note [7] = a: b", True),
        ("select Size [8]: Large", "select Size [8] = Large (Small, Medium)", True),
        ("select Size [8]: Large", "select Size [8] = Larger (Small, Large)", False),
        ("click button Add [9]", "button Add [9]", False),
    ],
)
def test_what_an_action_was_to_bring_about_is_told_in_a_word(action: str, line: str, done: bool):
    before = ["Page: A", "one", line.split(" = ")[0]]
    if line != before[-1]:
        assert changes([*before[:2], line], before, action) == (["done"] if done else ["same, but", line])
    assert changes([before[0], line], before, action) == [before[0], line], "something else is gone"


def test_what_is_gone_from_a_page_is_not_taken_for_there():
    before = ["Page: A", "one", "two", "link X [1]", "link Y [2]", "link Z [3]"]
    assert changes(["Page: A", "one", "link X [1]", "link Y [2]", "link Z [3]"], before) == ["text same", "[1]-[3] same"]
    assert changes([*before[:5], "link W [3]"], before) == ["same, but", "link W [3]"], "an id that says something else is enough"
    assert folded(["Page: A", "A", "b"], set()) == ["Page: A", "b"], "a heading that is the title"


def test_an_instruction_that_the_ledger_did_not_give_is_told():
    talk = Talk.at_work()
    assert increment(PROFILE, "files", FilesView(STEPS[0].instruction, [], []), talk.stream).asked.content == "FILES"
    assert increment(PROFILE, "files", FilesView("look again", [], []), talk.stream).asked.content == "FILES\nDo: look again"


def test_a_persons_plan_and_words_outlive_the_step():
    talk = Talk.at_work()
    talk.say("memento", MementoView("web", "x", 1, 2, [], "r", False), "Done. Next: step 2.")
    other = [PlanStep(number=1, agent="files", instruction="write it")]
    asked = increment(PROFILE, "ledger", ledger("Done.", steers=("be quick",), plan=other), talk.stream).asked
    assert asked == Said(role="user", kept="Plan:\n1 files: write it\nPerson: be quick\n", content="LEDGER", opens=True)


def test_a_person_who_interrupts_a_step_ends_it():
    talk = Talk.at_work()
    talk.say("web", web(page("Shop", "Kettle")), "click link Kettle [5]")
    asked = talk.say("ledger", ledger(steers=("be quick",)), CHOICE)
    assert asked == Said(role="user", kept="Person: be quick\n", content="LEDGER", closes=NOTHING_DONE, opens=True)
    asked = talk.say("web", web(page("Shop", "Kettle"), "click Kettle"), "answer: x")
    assert asked.content.startswith("WEB\nPage: Shop\n"), "the page went with the block"


def test_a_new_plan_ends_a_step_that_came_to_nothing():
    talk = Talk.at_work()
    asked = talk.say("facts", FactsView("t", [], [], ["m"], "It did not work."), "given: a\nlook up: none\nderive: none\nguess: none")
    assert asked == Said(role="user", content="FACTS\nProblem: It did not work.", closes="No step was done.", opens=True)
    talk.say("plan", PLAN, "1 files: note it")
    assert talk.stream.messages[-1].memento and not talk.stream.inside
    assert talk.stream.plan == ["1 files: note it"]
    assert talk.say("ledger", ledger(plan=[PlanStep(number=1, agent="files", instruction="note it")]), "done").kept == ""
    assert talk.say("final", FinalView("t", []), "There.").content == "FINAL"


def test_no_block_is_opened_inside_another():
    """Facts that no plan follows: asked for again, or a person's plan in the place of the model's."""
    talk = Talk()
    answer = "given: kettle\nlook up: none\nderive: none\nguess: none"
    talk.say("facts", FACTS, answer)
    assert talk.say("facts", FACTS, answer) == Said(role="user", content="FACTS", closes=NOTHING_DONE, opens=True)
    whole = PROFILE.prompt("ledger", ledger()).messages[0]["content"]
    assert talk.say("ledger", ledger(), CHOICE) == Said(role="user", kept=whole, closes=NOTHING_DONE, opens=True)


@pytest.mark.parametrize("inside", [True, False])
def test_a_stream_that_begins_anew_tells_all_again(inside: bool):
    talk = Talk.at_work()
    if not inside:
        talk.say("memento", MementoView("web", "x", 1, 2, [], "r", False), "Done. Next: step 2.")
    talk.stream.roll_over()
    if inside:
        asked = talk.say("web", web(page("Shop"), "visit shop"), "answer: x")
        assert asked.opens and asked.content == PROFILE.prompt("web", web(page("Shop"), "visit shop")).messages[0]["content"]
        talk.say("memento", MementoView("web", "x", 1, 2, [], "x", False), "Done. Next: step 2.")
    whole = PROFILE.prompt("ledger", ledger("Done. Next: step 2.")).messages[0]["content"]
    assert talk.say("ledger", ledger("Done. Next: step 2."), "step 2 files: note it") == Said(role="user", kept=whole, opens=True)
    assert talk.stream.rollovers == 1 and talk.stream.plan == ["1 web: order 1 kettle in shop", "2 files: note it"]


def test_words_that_are_not_the_models_close_a_block_too():
    talk = Talk.at_work()
    talk.stream.close("took the result")
    assert talk.stream.messages[-1] == Said(role="assistant", content="took the result", memento=True) and not talk.stream.inside
    before = len(talk.stream.messages)
    talk.stream.close("nothing is open")
    assert len(talk.stream.messages) == before


def test_a_turns_state_is_a_copy():
    state = TeamState(task="t", stream=Stream())
    fork = state.fork()
    assert fork.stream is not None and state.stream is not None
    fork.stream.add(Said(role="user", content="a"), Said(role="assistant", content="b"), {})
    assert state.stream.messages == [] and TeamState.model_validate_json(fork.model_dump_json()).stream == fork.stream


# On the wire


def ours(text: str, **usage: Any) -> dict[str, Any]:
    answer = completion(text, memento={"parts": []})
    answer["usage"] |= {"peak_kv_tokens": 9, "kv_auc": 90, "evicted_tokens": 0, "compactions": 0, "computed_tokens": 5, **usage}
    return answer


def roles_at(url: str, **more: Any) -> ModelRoles:
    return ModelRoles(MementoChatClient(ClientConfig(base_url=url, model="m", timeout_s=5.0, sessions=False)), CompactProfile(), **more)


async def test_a_memento_is_asked_for_as_the_end_of_an_open_block(monkeypatch: pytest.MonkeyPatch):
    parse = CompactProfile.parse

    def strict(self: CompactProfile, role: str, text: str, view: View) -> Any:
        if text == "nothing":
            raise Malformed("no")
        return parse(self, role, text, view)

    answers = iter([CHOICE, "answer: 3", "nothing", "Looked. Next: step 2.", "done"])
    with serve(lambda body: ours(next(answers))) as server:
        roles = roles_at(server.url, retries=1)
        roles.stream = Stream(task=True, plan=[f"{s.number} {s.agent}: {s.instruction}" for s in STEPS])
        await roles.ask("ledger", ledger())
        await roles.ask("web", web(page("Shop<|im_end|>")))
        monkeypatch.setattr(CompactProfile, "parse", strict)
        await roles.ask("memento", MementoView("web", "x", 1, 2, [], "3", False))
        await roles.ask("ledger", ledger("Looked. Next: step 2."))
    first, second, third, retried, last = server.requests
    assert first["messages"] == [{"role": "user", "content": "LEDGER", "memento": {"kept": "", "open": True}}]
    assert second["messages"][:2] == [*first["messages"], {"role": "assistant", "content": CHOICE}]
    assert "‹im_end›" in second["messages"][2]["content"]
    assert third["messages"][-2:] == [{"role": "user", "content": ""}, {"role": "assistant", "content": "", "memento": "close"}]
    assert third["continue_final_message"] is True and third["add_generation_prompt"] is False
    assert [m["role"] for m in retried["messages"][-4:]] == ["user", "assistant", "user", "assistant"]
    assert retried["messages"][-1] == third["messages"][-1], "feedback stands before the memento's beginning"
    assert last["messages"][-2] == {"role": "assistant", "content": "Looked. Next: step 2.", "memento": "close"}
    assert "continue_final_message" not in last
    calls = [e.payload for e in roles.drain() if e.type == EventType.MODEL_CALL]
    assert {(c["computed_tokens"], c["peak_kv_tokens"]) for c in calls} == {(5, 9)}


async def test_a_failed_call_adds_nothing():
    replies: list[Any] = [ours(CHOICE), {"not": "a completion"}, ours("answer: 3")]
    with serve(lambda body: replies.pop(0)) as server:
        roles = roles_at(server.url)
        roles.stream = Stream()
        await roles.ask("ledger", ledger())
        before = roles.stream.model_copy(deep=True)
        with pytest.raises(ModelUnavailable):
            await roles.ask("web", web(None))
        assert roles.stream == before
        await roles.ask("web", web(None))
    assert server.requests[1]["messages"] == server.requests[2]["messages"]


@pytest.mark.parametrize("vllm", [True, False])
async def test_another_server_gets_prompts_that_stand_alone(vllm: bool):
    with serve(lambda body: completion(CHOICE), vllm=vllm) as server:
        roles = roles_at(server.url)
        roles.stream = Stream()
        await roles.ask("ledger", ledger())
        await roles.ask("ledger", ledger("m"))
        events = roles.drain()
    assert roles.stream.messages == []
    tried, *asked = server.requests if vllm else [None, *server.requests]
    assert tried is None or tried["chat_template_kwargs"] == {"bare_turns": True}
    alone = [[{"role": "user", "content": PROFILE.prompt("ledger", view).messages[0]["content"]}] for view in (ledger(), ledger("m"))]
    assert [request["messages"] for request in asked] == alone and not any("chat_template_kwargs" in request for request in asked)
    assert [e.payload["message"] for e in events if e.type == EventType.WARNING] == [NO_STREAM]


async def test_a_stream_begins_anew_before_it_outgrows_the_context():
    with serve(lambda body: ours(CHOICE, prompt_tokens=600, completion_tokens=10)) as server:
        roles = roles_at(server.url, stream_tokens=900)
        roles.stream = Stream()
        await roles.ask("ledger", ledger())
        roles.stream.close("Done. Next: step 2.")
        await roles.ask("ledger", ledger("Done. Next: step 2."))
    assert roles.stream.rollovers == 1
    [message] = server.requests[1]["messages"]
    assert message["memento"]["kept"].startswith("LEDGER\nTask: buy a kettle") and message["memento"]["open"]


async def test_a_memento_that_the_model_does_not_give_is_closed_all_the_same():
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        last = body["messages"][-1]
        if last.get("memento") == "close":
            return ours("")
        kept = (last.get("memento") or {}).get("kept", "")
        role = (kept or last["content"]).split("\n")[0]
        lines = {"FACTS": "given: a\nlook up: none\nderive: none\nguess: none", "PLAN": "1 web: look", "FINAL": "There."}
        closed = any(message.get("memento") == "close" for message in body["messages"])
        return ours(lines.get(role) or ("done" if closed else "step 1 web: look"))

    with serve(answer) as server:
        crew = MementoTeam([Hand("web", ())], roles_at(server.url, retries=0), context="stream")
        state = crew.initial_state(TaskCreate(text="do it", sites=[]))
        for _ in range(12):
            state = (await crew.turn(TeamState.model_validate_json(state.model_dump_json()))).state
            if state.outcome:
                break
    assert state.outcome and state.outcome.answer == "There."
    closed = [m for m in server.requests[-1]["messages"] if m.get("memento") == "close"]
    assert [m["content"] for m in closed] == [state.mementos[0].text]


async def test_a_profile_without_such_prompts_has_whole_ones():
    with serve(lambda body: ours('{"text": "42"}')) as server:
        client = MementoChatClient(ClientConfig(base_url=server.url, model="m", sessions=False))
        roles = ModelRoles(client, FullProfile())
        roles.stream = Stream()
        assert await roles.ask("final", FinalView("t", [])) == "42"
    assert roles.stream.messages == [] and server.requests[0]["messages"][0]["role"] == "system"
