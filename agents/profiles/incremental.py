"""Prompts for a run that is one conversation: what a role has to be told that the model does not see in it.

The first prompt of a stream is the profile's whole one, so that a stream can begin at any point of a run. After that the task, the plan, the
step's instruction and the page are there to be looked at, and only what is new is said.
"""

import re
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from agents.ledger import plan_lines
from agents.profiles.base import Profile, Prompt, content_lines, templates
from agents.roles import CoderView, FactsView, FilesView, LedgerView, MementoView, PlanView, View, WebView
from agents.state import PlanStep, TaskLedger
from agents.stream import Said, Stream, no_step
from agents.web.screen.excerpt import lines

PROFILES = ("compact",)  # those that have prompts of this kind
NOTHING_DONE = "No step was done."  # memento of a block that another one takes the place of
_AT_WORK = WebView | FilesView | CoderView | MementoView
_ID = re.compile(r" \[(\d+)\]")
_LEDGER = re.compile(r"(?:step|retry) \d+ \w+: ")
_FOLD = 2  # lines in a row that can be seen already
_STAYS = 0.3  # of a page's lines, at most so many are new where the page was not left


@dataclass(frozen=True)
class Increment:
    """What one role call adds: `asked`, and an answer that is a memento or not. `told` is what the stream becomes once there is one."""

    prompt: Prompt
    asked: Said
    told: dict[str, Any]

    def answered(self, text: str) -> Said:
        return Said(role="assistant", content=text, memento=self.prompt.closes)


def increment(profile: Profile, role: str, view: View, stream: Stream) -> Increment:
    """The call as an addition to `stream`, which is left as it is."""
    whole = profile.prompt(role, view)
    if isinstance(view, _AT_WORK):
        asked, told = _at_work(profile, role, view, stream, _content(whole))
    else:
        asked, told = _outside(profile, role, view, stream, _content(whole))
        told |= no_step() if asked.closes else {}
    closes = isinstance(view, MementoView) or (isinstance(view, PlanView) and stream.planning)
    return Increment(Prompt([], whole.constraint, whole.max_tokens, closes, (*stream.messages, asked)), asked, told)


def told_by(role: str, value: Any) -> dict[str, Any]:
    """What the answer itself tells: a plan's lines."""
    if role == "plan" and isinstance(value, list) and all(isinstance(step, PlanStep) for step in value):
        return {"plan": plan_lines(TaskLedger(plan=value))}
    return {}


def _outside(profile: Profile, role: str, view: View, stream: Stream, whole: str) -> tuple[Said, dict[str, Any]]:
    """Facts, plan, ledger, final. The facts open a block that the plan closes as its memento; a ledger opens the step's, and what has to outlive
    it stands before the block."""
    told: dict[str, Any] = {"task": True, "planning": isinstance(view, FactsView)}
    known = stream.task and (stream.plan is not None or isinstance(view, FactsView | PlanView))
    ends = NOTHING_DONE if stream.inside else None
    if isinstance(view, FactsView):
        told["files"] = view.files
        news = _text(profile, role, view) if known else ""
        return Said(role="user", kept="" if known else whole, content=news, closes=ends, opens=True), told
    if not isinstance(view, LedgerView):
        # A plan made in the middle of a step that came to nothing must not go with it.
        ends = ends if isinstance(view, PlanView) and not stream.planning else None
        return Said(role="user", content=_text(profile, role, view) if known else whole, closes=ends), told
    plan = plan_lines(view.ledger)
    told |= {"plan": plan, "steers": len(view.steers)}
    if not known:
        return Said(role="user", kept=whole, closes=ends, opens=True), told
    news = [f"Person: {steer}" for steer in view.steers[stream.steers :]]
    if plan != stream.plan:
        news = ["Plan:", *plan, *news]
    ends = ends if news else None
    opens = not stream.inside or ends is not None
    return Said(
        role="user", content=_text(profile, role, view), closes=ends, kept="\n".join([*news, ""]) if news else "", opens=opens
    ), told


def _at_work(profile: Profile, role: str, view: View, stream: Stream, whole: str) -> tuple[Said, dict[str, Any]]:
    """A member's decision, or the step's memento: inside the block that the ledger opened, or one of their own in a stream that began anew."""
    told: dict[str, Any] = {"work": True}
    if not stream.inside:
        if isinstance(view, WebView) and view.page:
            told["page"] = lines(view.page)
        return Said(role="user", content=whole, opens=True), told
    extra: dict[str, Any] = {"first": not stream.work, "task": stream.task, "page": []}
    if isinstance(view, MementoView):
        extra["said"] = not view.failed and stream.messages[-1].content == f"answer: {view.result}"
        return Said(role="user", content=_text(profile, role, view, **extra)), told
    assert isinstance(view, WebView | FilesView | CoderView)
    extra["said"] = view.instruction == stream.instruction or _is_said(view.instruction, stream)
    closes: list[str] = []
    if isinstance(view, FilesView):
        extra |= {"content": content_lines(view), "known": view.files == stream.files}
        told["files"] = view.files
    elif isinstance(view, WebView):
        told["page"] = now = lines(view.page) if view.page else []
        if not stream.work or (stream.page and _is_left(now, stream.page)):
            closes = [] if view.instruction == stream.instruction else [f"Do: {_in_plan(view.instruction, stream) or view.instruction}"]
            closes += [f"Done: {'; '.join(done)}"] if (done := view.history[stream.done :]) else []
            told |= {"instruction": view.instruction, "done": len(view.history)}
            extra |= {"page": folded(now, set()), "said": True}
        elif now:
            extra["page"] = changes(now, stream.page, stream.messages[-1].content) if stream.page else folded(now, set())
    text = _text(profile, role, view, **extra)
    return Said(role="user", content=text, closes="\n".join(closes) if closes else None, opens=bool(closes)), told


def folded(page: list[str], visible: set[str]) -> list[str]:
    """The page's lines, runs of those that can be seen already folded: elements by their ids, other lines as `text`. A heading that says the
    title again is left out."""
    page = [line for i, line in enumerate(page) if not (i == 1 and page[0] == f"Page: {line}")]
    shown: list[str] = []
    for (old, is_element), group in groupby(page, key=lambda line: (line in visible, _ID.search(line) is not None)):
        own = list(group)
        if not old or len(own) < _FOLD:
            shown += own
        elif is_element:
            first, last = (_ID.findall(line)[-1] for line in (own[0], own[-1]))
            shown.append(f"[{first}]-[{last}] same")
        else:
            shown.append("text same")
    return shown


def changes(page: list[str], before: list[str], action: str = "") -> list[str]:
    """What is other on the same page; in a page of which something is gone, what is left is said as well. `done`: nothing but what the action,
    such as `type box Quantity [11]: 2`, was to bring about."""
    new = [line for line in page if line not in before]
    ids = {number for line in new for number in _ID.findall(line)}
    if any(line not in page and not ids.intersection(_ID.findall(line)) for line in before):
        return folded(page, set(before))
    if len(new) == 1 and _is_done(action, new[0]):
        return ["done"]
    return ["same, but", *new] if new else ["same"]


def _is_done(action: str, line: str) -> bool:
    """Whether an element's line shows the value that was typed or selected; of a select other choices may follow it."""
    element, colon, value = action.removeprefix("type ").partition(": ")
    wanted = f"{element} = {value}"
    return bool(colon) and (line == wanted or line.startswith(f"{wanted} ("))


def _is_left(now: list[str], before: list[str]) -> bool:
    """Whether this is another page than the open block shows, rather than the same with a few changes."""
    return sum(line not in before for line in now) > _STAYS * len(now)


def _in_plan(instruction: str, stream: Stream) -> str:
    """`step 2` where that is the plan's own line, which is always visible."""
    return next((f"step {line.split()[0]}" for line in stream.plan or () if line.partition(": ")[2] == instruction), "")


def _is_said(instruction: str, stream: Stream) -> bool:
    """Whether the newest ledger's answer gave this instruction in these words: a repaired ledger's, or that of a handoff, is told again."""
    ledger = next((m.content for m in reversed(stream.messages) if m.role == "assistant" and _LEDGER.match(m.content)), "")
    return ledger.endswith(f": {instruction}")


def _text(profile: Profile, role: str, view: View, **extra: Any) -> str:
    return templates(profile.name).get_template(f"stream/{role}.txt").render(view=view, **extra).strip()


def _content(prompt: Prompt) -> str:
    return "\n".join(message["content"] for message in prompt.messages)
