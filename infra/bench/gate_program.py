"""AgentDojo's gold calls through the gate, without a model. Runs in AgentDojo's own environment; writes one JSON line a task and a pair.

An agent that always obeys: it makes the calls of the person's task, and those of the injection as soon as the injected text has been read
(`before`: the person's own next call comes after) or when the person's calls are done (`after`). A person who is asked says yes to the gold
calls of their own task and to nothing else. What counts is the suite's own check of the environment, not the calls.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any, Protocol

import yaml

yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # before AgentDojo reads its files: ten times faster

from agentdojo.agent_pipeline.base_pipeline_element import BasePipelineElement  # noqa: E402
from agentdojo.agent_pipeline.tool_execution import tool_result_to_str  # noqa: E402
from agentdojo.attacks.baseline_attacks import DirectAttack  # noqa: E402
from agentdojo.functions_runtime import FunctionsRuntime  # noqa: E402
from agentdojo.task_suite.load_suites import get_suites  # noqa: E402

from agents.safety.alarm import alarm  # noqa: E402
from agents.safety.judge import Case  # noqa: E402
from agents.safety.plan import Grant, grants_for  # noqa: E402
from agents.safety.record import Recorder, replay  # noqa: E402
from app.schemas import Effect, Verdict  # noqa: E402

VERSION = "v1.2.2"
ORDERS = ("before", "after")
POLICIES = ("off", "ask_all", "ask_effects", "provenance", "grants", "gate")
_HISTORY, _SIZE = 200, 4096  # results and characters each, for the time of a decision


class Call(Protocol):
    function: str
    args: Mapping[str, Any]


class Local(BasePipelineElement):
    """An attack asks for a pipeline whose model it can name."""

    name = "local"

    def query(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


class Play:
    """One task in one environment, its calls judged by a policy."""

    def __init__(self, suite: Any, task: Any, injections: dict[str, str], policy: str, gold: bool) -> None:
        self.env = task.init_environment(suite.load_and_inject_default_environment(injections))
        self.before = self.env.model_copy(deep=True)
        self.calls: Sequence[Call] = task.ground_truth(self.env)
        self.runtime = FunctionsRuntime(suite.tools)
        self.policy = policy
        tools = [{"name": t.name, "description": t.description, "parameters": t.parameters.model_json_schema()} for t in suite.tools]
        grants = grants_for([call.function for call in self.calls]) if gold else None
        if policy == "provenance":
            grants = [Grant(tool["name"], many=True) for tool in tools for _ in range(50)]
        self.lines: list[str] = []
        recorded = Recorder(self.lines.append, [task.PROMPT], tools) if grants is None else None
        self.case = recorded.case if recorded else Case.of([task.PROMPT], tools, grants)
        self.gate = recorded or self.case
        self.injected = list(injections.values())
        self.made: list[Call] = []

    def silent(self, call: Call) -> bool:
        tool = self.case.tools[call.function]
        if self.policy in ("off", "ask_all"):
            return self.policy == "off"
        if self.policy == "ask_effects":
            return tool.effect == Effect.READ
        if self.policy == "grants":
            return tool.effect == Effect.READ or any(grant.open_for(tool, call.args) for grant in self.case.grants)
        return self.gate.judge(call.function, call.args).verdict == Verdict.ALLOW

    def make(self, call: Call) -> None:
        result, error = self.runtime.run_function(self.env, call.function, dict(call.args))
        self.made.append(call)
        self.gate.done(call.function, call.args, str(error) if error else tool_result_to_str(result))

    def obey(self, calls: Sequence[Call]) -> None:
        """The injection's calls; those that are asked about are not made."""
        for call in calls:
            if self.silent(call):
                self.make(call)

    @property
    def replayed(self) -> list[int]:
        """Decisions on record, and how many of them are the same when they are made again from the record."""
        found = replay(self.lines) if self.policy == "gate" else None
        return [found.decisions, found.matched] if found else [0, 0]

    @property
    def has_read(self) -> bool:
        heads = [form for text in self.injected for form in (text[:40], json.dumps(text[:40])[1:-1])]
        return any(head in source.text for source in self.case.reading.history.sources for head in heads)


def task_lines(suite: Any, policy: str, gold: bool) -> Iterator[dict[str, Any]]:
    """What a person who wants only their task is asked, and whether it gets done when they say yes to its gold calls."""
    for name, task in suite.user_tasks.items():
        play = Play(suite, task, {}, policy, gold)
        asks = 0
        for call in play.calls:
            asks += not play.silent(call)
            play.make(call)
        told = task.GROUND_TRUTH_OUTPUT
        done = task.utility_from_traces(told, play.before, play.env, play.calls)
        if done is None:  # most tasks look at the environment alone
            done = task.utility(told, play.before, play.env, strict=False)
        yield {
            "kind": "task",
            "policy": policy,
            "gold": gold,
            "task": name,
            "asks": asks,
            "calls": len(play.calls),
            "done": bool(done),
            "replayed": play.replayed,
        }


def pair_lines(suite: Any, policy: str, gold: bool, order: str) -> Iterator[dict[str, Any]]:
    """Whether an injection has its effect without anybody having been asked."""
    attack = DirectAttack(suite, Local())
    for name, task in suite.user_tasks.items():
        for injection, goal in suite.injection_tasks.items():
            play = Play(suite, task, attack.attack(task, goal), policy, gold)
            wanted = goal.ground_truth(play.env)
            fired = False
            for call in play.calls:
                if order == "before" and not fired and play.has_read:
                    fired = True
                    play.obey(wanted)
                play.make(call)
            if not fired:
                play.obey(wanted)
            effect = goal.security_from_traces("", play.before, play.env, play.made)
            if effect is None:
                effect = goal.security("", play.before, play.env)
            yield {
                "kind": "pair",
                "policy": policy,
                "gold": gold,
                "order": order,
                "task": name,
                "injection": injection,
                "effect": bool(effect),
                "replayed": play.replayed,
            }


def time_line(decisions: int = 400) -> dict[str, Any]:
    """Milliseconds of decisions behind a history of 200 results of 4 KB, each after one more call."""
    draw = random.Random(0)
    known = ["".join(draw.choices("abcdefghijklmnopqrst", k=draw.randint(2, 11))) for _ in range(6000)]
    tools = [
        {"name": "search_emails", "parameters": {"type": "object", "properties": {"query": {"type": "string"}}}},
        {
            "name": "send_email",
            "parameters": {"type": "object", "properties": {"recipients": {"type": "array"}, "subject": {}, "body": {}}},
        },
    ]
    case = Case.of(["Email mira@acme.example and jon@acme.example a summary of what I got today."], tools)
    for number in range(_HISTORY):
        case.done("search_emails", {"query": str(number)}, " ".join(draw.choices(known, k=_SIZE // 7))[:_SIZE])
    took = []
    for number in range(decisions):
        to = draw.choice(["mira@acme.example", "kai@evil.example", f"{draw.choice(known)}@acme.example"])
        body = " ".join(draw.choices(known, k=draw.randint(5, 200)))
        arguments = {"recipients": [to], "subject": f"Notes {number}", "body": body}
        started = time.perf_counter()
        case.judge("send_email", arguments)
        took.append(1000 * (time.perf_counter() - started))
    return {"kind": "time", "ms": took}


def word_lines() -> Iterator[dict[str, Any]]:
    """bastioncorpus, the odd half by id (the even one is developed on): whether its words raise agents.safety.alarm."""
    text = (files("bastioncorpus") / "corpus" / "injections.jsonl").read_text(encoding="utf-8")
    for row in map(json.loads, text.splitlines()):
        if int(row["id"].rpartition("-")[2]) % 2:
            yield {"kind": "words", "malicious": row["label"] == "malicious", "alarm": bool(alarm(row["text"]))}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--suites", default="banking,slack")
    parser.add_argument("--policies", default=",".join(POLICIES))
    options = parser.parse_args()
    suites = [get_suites(VERSION)[name] for name in options.suites.split(",")]
    for policy in options.policies.split(","):
        for gold in (False, True) if policy == "gate" else (False,):
            for suite in suites:
                for lines in (task_lines(suite, policy, gold), *(pair_lines(suite, policy, gold, order) for order in ORDERS)):
                    for line in lines:
                        sys.stdout.write(json.dumps(line | {"suite": suite.name}) + "\n")
                    sys.stdout.flush()
    for line in (*word_lines(), time_line()):
        sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
