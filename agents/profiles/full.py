"""The full profile: Magentic-One's breadth for models of a few billion parameters and more. Answers are JSON objects with a schema."""

import json
import re
from functools import lru_cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from agents.ledger import describe
from agents.model import Constraint
from agents.profiles.base import Malformed, Prompt, templates
from agents.profiles.compact import parse_code
from agents.roles import (
    CoderView,
    FactsView,
    FilesChoice,
    FilesView,
    LedgerView,
    MementoView,
    PlanView,
    View,
    WebChoice,
    WebView,
)
from agents.state import PlanStep, ProgressLedger, TaskLedger
from agents.web.actions import VERBS
from agents.web.screen.excerpt import lines

_MAX_TOKENS = {"facts": 1200, "plan": 1200, "ledger": 800, "web": 700, "files": 2500, "coder": 2500, "memento": 500, "final": 1200}
_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)
_LITERAL: Any = Literal  # a Literal of words that are known at run time only
_PERSON = "Asks the person who gave the task a question; only when nothing else can bring it forward."


class _Strict(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Facts(_Strict):
    given: list[str]
    look_up: list[str]
    derive: list[str]
    guesses: list[str]


class _Step(_Strict):
    agent: str
    instruction: str


class _Plan(_Strict):
    steps: list[_Step]


class _Judged(_Strict):
    reason: str
    answer: bool


class _Said(_Strict):
    reason: str
    answer: str


class _Web(_Strict):
    reason: str
    verb: str
    element: int | None = None
    text: str = ""
    enter: bool = False


class _Files(_Strict):
    reason: str
    verb: str
    path: str = ""
    text: str = ""


class _Text(_Strict):
    text: str


class FullProfile:
    """See agents.profiles.base.Profile."""

    name = "full"

    def prompt(self, role: str, view: View) -> Prompt:
        environment = templates("full")
        extra: dict[str, Any] = {}
        if isinstance(view, PlanView | LedgerView):
            extra = {"ledger": describe(view.ledger), "members": view.members | {"person": _PERSON}}
        elif isinstance(view, WebView):
            extra = {"page": lines(view.page) if view.page else []}
        messages = [
            {"role": "system", "content": environment.get_template("system.txt").render(role=role).strip()},
            {"role": "user", "content": environment.get_template(f"{role}.txt").render(view=view, **extra).strip()},
        ]
        schema = None if isinstance(view, CoderView) else _schema(answer_model(view))
        return Prompt(messages, Constraint(json_schema=schema), _MAX_TOKENS[role])

    def parse(self, role: str, text: str, view: View) -> Any:  # noqa: ARG002 - the view's type says the role
        if not text.strip():
            raise Malformed("The answer is empty.")
        if isinstance(view, CoderView):
            return parse_code(text)
        data = read_json(text)
        try:
            value = answer_model(view).model_validate(data)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
            raise Malformed(f"The JSON does not fit: {problems}.") from error
        return _typed(value, view)


def answer_model(view: View) -> type[BaseModel]:
    """The schema of a role's answer; the next speaker can only be a member."""
    if isinstance(view, FactsView):
        return _Facts
    if isinstance(view, PlanView):
        return _Plan
    if isinstance(view, LedgerView):
        return _progress_model((*view.members, "person"))
    if isinstance(view, WebView):
        return _verb_model(_Web, VERBS)
    if isinstance(view, FilesView):
        return _verb_model(_Files, ("read", "write", "list", "answer"))
    return _Text


@lru_cache
def _progress_model(speakers: tuple[str, ...]) -> type[BaseModel]:
    speaker = create_model("_Speaker", __base__=_Said, answer=(_LITERAL[speakers], ...))
    return create_model(
        "_Progress",
        __base__=_Strict,
        is_request_satisfied=(_Judged, ...),
        is_in_loop=(_Judged, ...),
        is_progress_being_made=(_Judged, ...),
        next_speaker=(speaker, ...),
        instruction_or_question=(_Said, ...),
        plan_step=(int | None, None),
    )


@lru_cache
def _verb_model(base: type[BaseModel], verbs: tuple[str, ...]) -> type[BaseModel]:
    return create_model("_Choice", __base__=base, verb=(_LITERAL[verbs], ...))


@lru_cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def read_json(text: str) -> Any:
    """The JSON object in an answer: alone, in a fence, or between other words (after thinking, say)."""
    fenced = _FENCE.search(text)
    for candidate in (text, fenced[1] if fenced else "", text[text.find("{") : text.rfind("}") + 1]):
        try:
            data = json.loads(candidate)
        except ValueError:
            continue
        if isinstance(data, dict):
            return data
    raise Malformed("The answer is not a JSON object. Answer with the JSON object alone.")


def _typed(value: BaseModel, view: View) -> Any:
    data = value.model_dump()
    if isinstance(view, FactsView):
        return TaskLedger(**data)
    if isinstance(view, PlanView):
        return [PlanStep(number=i, **step) for i, step in enumerate(data["steps"], 1)]
    if isinstance(view, LedgerView):
        questions = ("is_request_satisfied", "is_in_loop", "is_progress_being_made", "next_speaker", "instruction_or_question")
        satisfied, loop, progress, speaker, instruction = (data[q]["answer"] for q in questions)
        return ProgressLedger(
            satisfied=satisfied,
            in_loop=loop,
            progress=progress,
            next_speaker=speaker,
            instruction=instruction,
            plan_step=data["plan_step"],
            reasons={q: data[q]["reason"] for q in questions},
        )
    if isinstance(view, WebView):
        return _web_choice(data, view)
    if isinstance(view, FilesView):
        return FilesChoice(data["verb"], data["path"], data["text"])
    text = data["text"].strip()
    if not text:
        raise Malformed("`text` is empty.")
    return " ".join(text.split()) if isinstance(view, MementoView) else text


def _web_choice(data: dict[str, Any], view: WebView) -> WebChoice:
    verb, element = data["verb"], data["element"]
    if verb in {"click", "type", "select"} and (view.page is None or element is None or view.page.element(element) is None):
        raise Malformed(f"`{verb}` needs the id of an element on the page; [{element}] is not there.")
    if verb in {"visit", "type", "select", "save_table", "download", "answer"} and not data["text"].strip():
        raise Malformed(f"`{verb}` needs `text`.")
    return WebChoice(verb, element if verb in {"click", "type", "select", "download"} else None, data["text"], data["enter"])
