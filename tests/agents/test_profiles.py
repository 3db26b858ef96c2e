"""Both profiles: what a model is shown, what it may answer, and how the answer becomes a typed value."""

import re

import pytest

from agents.model import estimate_tokens
from agents.profiles.base import Malformed
from agents.profiles.compact import CompactProfile
from agents.profiles.full import FullProfile
from agents.roles import CoderView, FactsView, FilesView, FinalView, LedgerView, MementoView, PlanView, WebView
from agents.state import PlanStep, TaskLedger
from agents.web.screen.base import Element, PageView

MEMBERS = {"web": "drives a browser", "files": "reads files", "coder": "writes Python"}
LEDGER = TaskLedger(
    given=["item Copper Kettle"], plan=[PlanStep(number=1, agent="web", instruction="find the price of Copper Kettle in shop")]
)
PAGE = PageView(
    url="http://127.0.0.1:1/",
    title="Shop",
    text=["Price: 7.70"],
    elements=[
        Element(id=3, kind="box", name="Search"),
        Element(id=7, kind="link", name="Copper Kettle (2.5 l)", href="http://127.0.0.1:1/p/1"),
        Element(id=9, kind="select", name="Severity", options=["Minor", "Very high"]),
        Element(id=12, kind="button", name="Gone", disabled=True),
    ],
)
VIEWS = {
    "facts": FactsView("Find the price.", ["shop"], ["note.txt"]),
    "plan": PlanView("Find the price.", LEDGER, MEMBERS),
    "ledger": LedgerView("Find the price.", LEDGER, MEMBERS, ["Copper Kettle costs 7.70. Next: done."], ["be quick"]),
    "web": WebView("find the price of Copper Kettle in shop", ["shop"], ["visit shop"], PAGE),
    "files": FilesView("read note.txt", ["note.txt"], [], "Title: x\nSeverity: Minor"),
    "coder": CoderView("compute 7 * 7.70", {"a.csv": "id,total", "note.txt": ""}, "", "NameError: x"),
    "memento": MementoView("web", "find the price", 1, 3, ["visit shop"], "7.70", False),
    "final": FinalView("Find the price.", ["Copper Kettle costs 7.70. Next: done."]),
}
LINES = [
    ("facts", "given: item Copper Kettle; count 7\nlook up: price of Copper Kettle\nderive: total\nguess: none"),
    ("plan", "1 web: find the price of Copper Kettle in shop\n2 coder: compute 7 * price"),
    ("ledger", "step 1 web: find the price of Copper Kettle in shop"),
    ("ledger", "retry 1 web: find it again"),
    ("ledger", "done"),
    ("web", "visit shop"),
    ("web", "click link Copper Kettle (2.5 l) [7]"),
    ("web", "type box Search [3]: copper kettle"),
    ("web", "select Severity [9]: Very high"),
    ("web", "save table: tickets.csv"),
    ("web", "scroll"),
    ("web", "answer: 7.70"),
    ("files", "read note.txt"),
    ("files", "write total-1.txt: 53.90"),
    ("files", "answer: it says: Minor"),
    ("memento", "Copper Kettle costs 7.70. Next: step 2."),
    ("memento", "The shop failed with error 503. Next: step 1 again."),
    ("memento", "Written. Next: done."),
    ("final", "The total is 53.90."),
]


@pytest.mark.parametrize(("role", "line"), LINES)
def test_a_compact_line_fits_its_constraint_and_is_understood(role, line):
    profile, view = CompactProfile(), VIEWS[role]
    regex = profile.prompt(role, view).constraint.regex
    assert regex and re.fullmatch(regex, line)
    assert profile.parse(role, line, view) is not None


@pytest.mark.parametrize(
    ("role", "line"),
    [
        ("web", "click link Copper Kettle (2.5 l) [3]"),
        ("web", "click link Teapot [7]"),
        ("web", "click link Home [99]"),
        ("web", "click button Gone [12]"),
        ("web", "visit bank"),
        ("files", "read other.txt"),
        ("ledger", "step 1 files: find the price"),
        ("ledger", "step 4 web: find the price"),
        ("memento", "It costs 7.70."),
        ("plan", "1 wizard: cast a spell"),
    ],
)
def test_what_cannot_be_right_does_not_fit_the_constraint(role, line):
    regex = CompactProfile().prompt(role, VIEWS[role]).constraint.regex
    assert regex and not re.fullmatch(regex, line)


@pytest.mark.parametrize(
    ("role", "line"),
    [
        ("web", "click link Copper Kettle [3]"),
        ("web", "click link Home [99]"),
        ("web", "type box Search [3]"),
        ("web", "dance"),
        ("ledger", "I think web should go next"),
        ("files", "delete note.txt"),
        ("plan", "first we look"),
        ("facts", "nothing"),
        ("final", "   "),
    ],
)
def test_an_unconstrained_model_gets_feedback_it_can_use(role, line):
    with pytest.raises(Malformed) as error:
        CompactProfile().parse(role, line, VIEWS[role])
    assert len(str(error.value)) > 10


@pytest.mark.parametrize("role", VIEWS)
def test_compact_prompts_are_short_and_full_prompts_carry_a_schema(role):
    compact, full = CompactProfile().prompt(role, VIEWS[role]), FullProfile().prompt(role, VIEWS[role])
    assert estimate_tokens(compact.messages[-1]["content"]) < 300 and len(compact.messages) == 1
    assert [m["role"] for m in full.messages] == ["system", "user"]
    assert (full.constraint.json_schema is None) is (role == "coder")


def test_a_compact_web_prompt_stays_below_600_tokens_on_a_large_page():
    elements = [Element(id=i, kind="link", name=f"Article number {i} with quite a long name indeed") for i in range(1, 24)]
    page = PageView(url="u", title="t", text=["A line of text that says something about an article. " * 2] * 14, elements=elements)
    text = CompactProfile().prompt("web", WebView("find it", ["shop"], ["visit shop"] * 20, page)).messages[0]["content"]
    assert estimate_tokens(text) <= 800  # an upper estimate: SmolLM2 takes about 5 characters a token on such text


def test_the_next_speaker_of_the_full_profile_can_only_be_a_member():
    schema = FullProfile().prompt("ledger", VIEWS["ledger"]).constraint.json_schema
    assert schema and schema["$defs"]["_Speaker"]["properties"]["answer"]["enum"] == ["web", "files", "coder", "person"]


def test_code_is_taken_from_a_fence_or_as_it_stands():
    for text in ("print(1)", "```python\nprint(1)\n```", "Here:\n```\nprint(1)\n```\nDone."):
        assert CompactProfile().parse("coder", text, VIEWS["coder"]) == "print(1)\n"
