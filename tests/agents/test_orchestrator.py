"""The loop, turn by turn, with scripted roles. Numbers in names are the stock orchestrator's defects (knowledge of AutoGen 0.7.5, §2b)."""

import json
from dataclasses import replace

import pytest

from agents.journal import MemoryJournal
from agents.member import Answer, Observation
from agents.orchestrator import Limits
from agents.roles import View
from agents.safety.gate import Gate
from agents.safety.grants import Grants
from agents.safety.permit import Permit
from agents.state import Block, Decision, Inbox, PlanStep, TeamState
from agents.team import MementoTeam
from app.errors import BrowserUnavailable, ElementMissing, KeepsakeError, ModelOutputInvalid, ModelTimeout, StorageError
from app.events import EventType, NewEvent
from app.schemas import Action, ApprovalKind, Effect, Policy, Site, TaskCreate
from app.vault import Secret, Vault
from tests.agents.scripted import Hand, ScriptedRoles

SITE = Site(name="site", url="http://site.test/")
FACTS = "given: a\nlook up: none\nderive: none\nguess: none"
PLAN = "1 web: look\n2 files: note it"


def team(roles: ScriptedRoles, *members: Hand, policy: Policy = Policy.ALLOW_LISTED, journal=None, **limits: int) -> MementoTeam:
    hands = members or (Hand("web", ("web.visit",)), Hand("files"))
    return MementoTeam(hands, roles, sites=[SITE], policy=policy, journal=journal, limits=Limits(**limits))


def script(**lines) -> ScriptedRoles:
    base = {
        "facts": [FACTS],
        "plan": [PLAN],
        "ledger": ["step 1 web: look", "step 2 files: note it", "done"],
        "memento": ["looked. Next: step 2.", "noted. Next: done."],
        "final": ["All done."],
    }
    return ScriptedRoles(**(base | lines))


async def play(crew: MementoTeam, state: TeamState | None = None, inbox: Inbox | None = None, turns: int = 80):
    """Turns until the run waits or ends; the state goes through JSON between turns, as it does in the database."""
    state = state or crew.initial_state(TaskCreate(text="Order it.", sites=[SITE]))
    events = []
    for _ in range(turns):
        result = await crew.turn(TeamState.model_validate_json(state.model_dump_json()), inbox)
        state, inbox = result.state, None
        events += result.events
        if state.outcome or state.waiting:
            break
    return state, events


def kinds(events) -> list[EventType]:
    return [e.type for e in events]


async def test_a_run_plans_acts_remembers_and_answers():
    roles = script()
    state, events = await play(team(roles))
    assert state.outcome and state.outcome.answer == "All done."
    assert [m.text for m in state.mementos] == ["looked. Next: step 2.", "noted. Next: done."]
    order = [k for k in kinds(events) if k in {EventType.TASK_LEDGER, EventType.BLOCK_OPENED, EventType.ACTION_DONE, EventType.MEMENTO}]
    assert order == ["ledger.task", "block.opened", "action.done", "memento", "block.opened", "memento"]


async def test_the_orchestrator_reasons_from_mementos_not_from_observations():
    roles = script()
    await play(team(roles))
    assert roles.seen["ledger"][1].mementos == ["looked. Next: step 2."]
    assert "seen xxx" not in json.dumps([str(v) for v in roles.seen["ledger"] + roles.seen["final"]])


async def test_what_an_answer_was_read_from_labels_its_memento():
    class Reader(Hand):
        async def propose(self, state, block, roles):
            return Answer("it says 7", labels=["untrusted:web"])

    _, events = await play(team(script(), Reader()))
    assert "untrusted:web" in next(e for e in events if e.type == EventType.MEMENTO).labels


class ThinkingRoles(ScriptedRoles):
    """Thinks before each answer."""

    async def ask(self, role: str, view: View):
        for kind in (EventType.THOUGHT, EventType.BLOCK_TEXT):
            self.thoughts.append(NewEvent(type=kind, payload={"block": None, "role": role, "kind": "reasoning", "text": "hm", "parts": []}))
        return await super().ask(role, view)


class ThinkingHand(Hand):
    """Asks the model before it acts."""

    async def propose(self, state, block, roles):
        await roles.ask("facts", None)
        proposal = await super().propose(state, block, roles)
        return Answer(proposal.text, labels=["untrusted:file"]) if isinstance(proposal, Answer) else proposal


@pytest.mark.parametrize("kind", [EventType.THOUGHT, EventType.BLOCK_TEXT])
async def test_thoughts_belong_to_the_open_block_and_carry_the_labels_of_what_they_read(kind):
    roles = ThinkingRoles(**script().lines)
    _, events = await play(team(roles, ThinkingHand("web", ("web.visit",)), Hand("files")))
    told = [e for e in events if e.type == kind and e.payload.get("kind") == "reasoning"]
    assert [(e.payload["role"], e.payload["block"], e.labels) for e in told] == [
        ("facts", None, []),
        ("plan", None, []),
        ("ledger", None, []),
        ("facts", 1, []),  # before the first look at anything
        ("facts", 1, ["untrusted:file", "untrusted:web"]),  # after it, with what the answer was read from
        ("memento", 1, ["untrusted:file", "untrusted:web"]),
        ("ledger", None, ["untrusted:file", "untrusted:web"]),  # it reads the memento
        ("memento", 2, []),
        ("ledger", None, ["untrusted:file", "untrusted:web"]),
        ("final", None, ["untrusted:file", "untrusted:web"]),
    ]


async def test_1_an_unknown_next_speaker_is_repaired_not_fatal():
    state, events = await play(team(script(ledger=["step 1 wizard: look", "done"])))
    assert state.outcome and state.outcome.status == "succeeded"
    repair = next(e for e in events if e.type == EventType.LEDGER_REPAIRED)
    assert "wizard" in repair.payload["problem"] and "web" in repair.payload["repair"]


async def test_2_a_ledger_without_its_answers_is_repaired_from_the_plan():
    state, events = await play(team(script(ledger=[ModelOutputInvalid("no is_request_satisfied")])))
    assert state.outcome and state.outcome.status == "succeeded"
    assert [m.plan_step for m in state.mementos] == [1, 2]
    assert EventType.LEDGER_REPAIRED in kinds(events)


async def test_4_stalls_are_counted_anew_after_a_replan():
    roles = script(ledger=["retry 1 web: look", "retry 1 web: look again", "step 1 web: look", "done"])
    state, events = await play(team(roles, max_stalls=2, max_replans=1))
    assert kinds(events).count(EventType.REPLAN) == 1
    assert state.outcome and state.outcome.status == "succeeded"
    after = kinds(events)[kinds(events).index(EventType.REPLAN) :]
    assert EventType.BLOCK_OPENED in after, "a member acts before the next re-plan"


async def test_5_replans_are_capped():
    state, events = await play(team(script(ledger=["retry 1 web: look"]), max_stalls=2, max_replans=2))
    assert kinds(events).count(EventType.REPLAN) == 2
    assert state.outcome and state.outcome.status == "failed" and state.outcome.error["code"] == "stalled"


async def test_6_a_run_goes_on_in_another_team_object():
    first, second = team(script()), team(script(ledger=["step 2 files: note it", "done"], memento=["noted. Next: done."]))
    state, _ = await play(first, turns=5)
    assert state.mementos and not state.outcome
    state, events = await play(second, state)
    assert state.outcome and len(state.mementos) == 2
    assert EventType.TASK_LEDGER not in kinds(events), "it does not plan from zero"


async def test_a_loop_counts_as_no_progress_whatever_the_model_says():
    roles = script(ledger=["step 1 web: look"], memento=["nothing new. Next: step 1."])
    state, events = await play(team(roles, max_stalls=2, max_replans=0))
    assert state.outcome and state.outcome.error["code"] == "stalled"
    assert any(e.payload.get("in_loop") for e in events if e.type == EventType.PROGRESS_LEDGER)


async def test_a_write_asks_and_the_next_turn_carries_the_decision_out():
    web = Hand("web", ("web.click",), Effect.WRITE, "POST http://site.test/order")
    crew = team(script(), web, Hand("files"), policy=Policy.ASK_WRITES)
    state, events = await play(crew)
    assert state.waiting and state.waiting.kind == ApprovalKind.ACTION and not web.done
    assert events[-1].type == EventType.APPROVAL_REQUESTED
    state, _ = await play(crew, state, Inbox(decisions=[Decision(waiting_id=state.waiting.id, approved=True)]))
    assert len(web.done) == 1 and state.outcome and state.outcome.status == "succeeded"


async def test_what_a_person_allows_for_the_run_is_not_asked_about_again():
    web = Hand("web", ("web.click", "web.click", "web.click"), Effect.WRITE, "POST http://site.test/order")
    crew = team(script(), web, Hand("files"), policy=Policy.ASK_WRITES)
    state, events = await play(crew)
    assert state.waiting and events[-1].payload["alike"] == "changes at site.test:80"
    yes = Decision(waiting_id=state.waiting.id, approved=True, alike=True)
    state, events = await play(crew, state, Inbox(decisions=[yes]))
    assert len(web.done) == 3 and state.outcome and state.outcome.status == "succeeded"
    rules = [e.payload["rule"] for e in events if e.type == EventType.GATE_DECIDED]
    assert rules.count("approved-alike") == 2


@pytest.mark.parametrize(
    ("effect", "target"), [(Effect.PAY, "POST http://site.test/order"), (Effect.DELETE, "POST http://site.test/order")]
)
async def test_payments_and_deletions_are_asked_about_one_by_one(effect, target):
    web = Hand("web", ("web.click", "web.click"), effect, target)
    crew = team(script(), web, Hand("files"), policy=Policy.ASK_WRITES)
    state, _ = await play(crew)
    assert state.waiting and state.waiting.alike is None
    state, _ = await play(crew, state, Inbox(decisions=[Decision(waiting_id=state.waiting.id, approved=True, alike=True)]))
    assert state.waiting and len(web.done) == 1


async def test_what_a_person_changed_is_what_is_done():
    web = Hand("web", ("web.type",), Effect.WRITE, "POST http://site.test/order")
    crew = team(script(), web, Hand("files"), policy=Policy.ASK_WRITES)
    state, _ = await play(crew)
    assert state.waiting and state.waiting.action
    given = {"text": "9", "form": {"Count": "9", "Name": "Ann"}}
    state.waiting.action = state.waiting.action.model_copy(update={"arguments": given})
    edits = {"text": "3", "label": "no argument of this action"}
    state, _ = await play(crew, state, Inbox(decisions=[Decision(waiting_id=state.waiting.id, approved=True, edits=edits)]))
    assert [done.arguments for done in web.done] == [{"text": "3", "form": {"Count": "3", "Name": "Ann"}}]


async def test_a_secret_that_a_member_saw_is_a_handle_in_state_and_events():
    class Tells(Hand):
        async def perform(self, state, block, action, permit):
            return replace(await super().perform(state, block, action, permit), text="The file says tulip-River-88.")

    vault = Vault({"key": Secret(value="tulip-River-88", sites=("site",))}, {"site": SITE.url})
    gate = Gate(Policy.ALLOW_LISTED, Grants.of_task([SITE], set()), vault=vault)
    crew = MementoTeam([Tells("web", ("web.visit",)), Hand("files")], script(), sites=[SITE], gate=gate)
    state, events = await play(crew)
    told = state.model_dump_json() + "".join(e.model_dump_json() for e in events)
    assert "{{secret:key}}" in told and "tulip" not in told


async def test_a_decision_on_something_else_changes_nothing():
    web = Hand("web", ("web.click",), Effect.WRITE, "POST http://site.test/order")
    crew = team(script(), web, Hand("files"), policy=Policy.ASK_WRITES)
    state, _ = await play(crew)
    later, _ = await play(crew, state, Inbox(decisions=[Decision(waiting_id="appr_other", approved=True)]), turns=1)
    assert later.waiting == state.waiting and not web.done


async def test_a_rejected_action_proposed_again_ends_the_run_as_refused():
    web = Hand("web", ("web.click", "web.click"), Effect.WRITE, "POST http://site.test/order")
    crew = team(script(), web, Hand("files"), policy=Policy.ASK_WRITES)
    state, _ = await play(crew)
    state, _ = await play(crew, state, Inbox(decisions=[Decision(waiting_id=state.waiting.id, approved=False, explanation="too dear")]))
    assert not web.done and state.outcome and state.outcome.status == "refused"
    assert "too dear" in state.steers


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "http://169.254.169.254/", "http://127.0.0.1:8710/v1/tasks", "javascript:alert(1)"]
)
async def test_addresses_outside_the_grants_are_refused_and_told(target):
    web = Hand("web", ("web.visit",), target=target)
    state, events = await play(team(script(), web, Hand("files")))
    assert not web.done
    assert any(e.type == EventType.GATE_DECIDED and e.payload["verdict"] == "refuse" for e in events)
    assert state.outcome and state.outcome.status == "succeeded", "one refusal is told to the member, it does not end the run"


async def test_unknown_actions_are_refused():
    web = Hand("web", ("web.teleport",))
    _, events = await play(team(script(), web, Hand("files")))
    assert any(e.payload.get("rule") == "unknown-action" for e in events) and not web.done


async def test_plan_review_waits_and_takes_the_edited_plan():
    crew = team(script())
    start = crew.initial_state(TaskCreate(text="do it", sites=[SITE], review_plan=True))
    state, _ = await play(crew, start)
    assert state.waiting and state.waiting.kind == ApprovalKind.PLAN and state.blocks == 0
    edited = [PlanStep(number=9, agent="files", instruction="only this")]
    decision = Decision(waiting_id=state.waiting.id, approved=True, plan=edited)
    state, events = await play(crew, state, Inbox(decisions=[decision]), turns=1)
    assert [(s.number, s.instruction) for s in state.ledger.plan] == [(1, "only this")]
    assert events[0].payload["by"] == "person"


async def test_a_question_waits_for_the_person_and_the_answer_stays_in_the_ledger():
    roles = script(ledger=["step 1 person: which shop?", "step 1 web: look", "done"])
    crew = team(roles)
    state, events = await play(crew)
    assert state.waiting and state.waiting.kind == "input" and events[-1].payload["question"] == "which shop?"
    state, _ = await play(crew, state, Inbox(messages=["the blue one"]))
    assert state.outcome and roles.seen["ledger"][-1].steers == ["the blue one"]


async def test_a_cut_off_write_is_looked_at_and_asked_about_never_repeated():
    class CutOff(MemoryJournal):
        async def unresolved(self, turn: int) -> Action | None:
            return next((a for t, a in self.intents if t == turn), None)

    web = Hand("web", ("web.click",), Effect.WRITE, "POST http://site.test/order")
    journal = CutOff()
    crew = team(script(), web, Hand("files"), journal=journal)
    state = crew.initial_state(TaskCreate(text="Order it.", sites=[SITE]))
    while state.pending is None:
        state = (await crew.turn(state)).state
    await crew.turn(state)  # its result is lost: the process died after the effect
    assert len(web.done) == 1
    state, events = await play(crew, state, turns=1)
    assert state.waiting and state.waiting.kind == ApprovalKind.UNKNOWN_OUTCOME and "The cart is empty." in state.waiting.reason
    state, _ = await play(crew, state, Inbox(decisions=[Decision(waiting_id=state.waiting.id, approved=False)]))
    assert len(web.done) == 1 and state.outcome and state.outcome.status == "succeeded"
    assert EventType.ACTION_UNKNOWN in kinds(events)


@pytest.mark.parametrize("error", [BrowserUnavailable("the browser broke"), StorageError("the disk is full"), None])
async def test_a_write_that_fails_half_way_is_asked_about_never_repeated(error: KeepsakeError | None):
    """`None`: the member itself says that no answer came."""

    class Unlucky(Hand):
        async def perform(self, state: TeamState, block: Block, action: Action, permit: Permit) -> Observation:
            await super().perform(state, block, action, permit)
            if error:
                raise error
            return Observation("no answer", ok=False, unknown=True)

    web = Unlucky("web", ("web.click",), Effect.WRITE, "POST http://site.test/order")
    crew = team(script(), web, Hand("files"))
    state, events = await play(crew)
    assert state.waiting and state.waiting.kind == ApprovalKind.UNKNOWN_OUTCOME and EventType.ACTION_UNKNOWN in kinds(events)
    state, _ = await play(crew, state, Inbox(decisions=[Decision(waiting_id=state.waiting.id, approved=False)]))
    assert len(web.done) == 1 and state.outcome and state.outcome.status == "succeeded"


async def test_a_write_that_found_no_element_did_nothing_and_may_be_tried_again():
    class Blind(Hand):
        async def perform(self, state: TeamState, block: Block, action: Action, permit: Permit) -> Observation:
            raise ElementMissing("no such button")

    state, _ = await play(team(script(), Blind("web", ("web.click",), Effect.WRITE, "POST http://site.test/order"), Hand("files")))
    assert state.waiting is None and state.outcome and state.outcome.status == "succeeded"


async def test_a_dead_model_raises_a_retryable_error_and_leaves_the_state_alone():
    crew = team(script(ledger=[ModelTimeout("no answer")]))
    state, _ = await play(crew, turns=1)
    before = state.model_dump_json()
    with pytest.raises(ModelTimeout):
        await crew.turn(state)
    assert state.model_dump_json() == before


async def test_what_a_broken_turn_has_cost_is_told_by_the_next():
    class Metered(ScriptedRoles):
        """Every answer costs one call."""

        calls = 0

        async def ask(self, role: str, view: View):
            answer = await super().ask(role, view)
            self.calls += 1
            return answer

        def drain(self) -> list[NewEvent]:
            calls, self.calls = self.calls, 0
            return [NewEvent(type=EventType.MODEL_CALL)] * calls

    crew = team(Metered(facts=[FACTS], plan=[ModelTimeout("no answer"), PLAN]))
    state = crew.initial_state(TaskCreate(text="Order it.", sites=[SITE]))
    with pytest.raises(ModelTimeout):
        await crew.turn(state)  # the facts were paid for
    for paid in (3, 0):
        result = await crew.turn(state)
        assert kinds(result.events).count(EventType.MODEL_CALL) == paid
        state = result.state


async def test_memento_token_account_grows_far_slower_than_the_full_context():
    _, events = await play(team(script()))
    last = [e for e in events if e.type == EventType.MEMENTO][-1].payload
    assert last["context_tokens"] < last["full_context_tokens"] and last["estimated"]
