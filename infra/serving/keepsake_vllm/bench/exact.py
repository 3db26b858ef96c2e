"""What the engine answers, with its raw log probabilities, in every regime that could go wrong: one engine a run, each with its own regimes.

    python -m keepsake_vllm.bench.exact --engine roomy|tight|delimiters --model DIRECTORY --stats FILE --out FILE

Of each answer: prompt, output, policy, and at every output position the log probability of the sampled token and of the eight likeliest. Outputs
are scripted, with a few tokens of free choice behind.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from keepsake_vllm.bench.engine import Setup, language, say, scripted, steps
from keepsake_vllm.bench.traces import BLOCK_END, BLOCK_START, Speak, Writer

if TYPE_CHECKING:
    from vllm import LLM, RequestOutput

FREE = 12
TOP = 8
ANY = -1  # a place of a script where the model may choose


@dataclass(frozen=True)
class Case:
    """A request: `options` are its own choices for the plugin, `sampling` further parameters."""

    prompt: list[int]
    script: list[int]
    options: dict[str, Any] = field(default_factory=dict)
    sampling: dict[str, Any] = field(default_factory=dict)


class Recorder:
    """Runs cases and writes down what came of them."""

    def __init__(self, llm: "LLM", speak: Speak, out: TextIO, stats: Path, policy: dict[str, Any]) -> None:
        self.llm, self.speak, self.out, self.stats, self.policy = llm, speak, out, stats, policy

    def writers(self, name: str, count: int) -> list[Writer]:
        return [Writer(self.speak, f"{name}-{number}") for number in range(count)]

    def run(self, regime: str, cases: Sequence[Case]) -> list["RequestOutput"]:
        before = self._totals()
        prompts: Any = [{"prompt_token_ids": case.prompt} for case in cases]
        parameters = [scripted(case.script, FREE, logprobs=TOP, **case.options, **case.sampling) for case in cases]
        outputs = self.llm.generate(prompts, parameters, use_tqdm=False)
        for case, output in zip(cases, outputs, strict=True):
            for completion in output.outputs:
                said = list(completion.token_ids)
                if any(wanted not in (ANY, token) for token, wanted in zip(said, case.script, strict=False)):
                    raise RuntimeError(f"{regime}: the engine did not follow the script")
                rows = [[(token, entry.logprob) for token, entry in row.items()] for row in completion.logprobs or []]
                record = {"prompt": case.prompt, "output": said, "policy": self._policy(case.options), "logprobs": rows}
                self.write(regime=regime, **record)
        totals = self._totals()
        self.write(totals=regime, **{key: totals[key] - before.get(key, 0) for key in totals})
        say(f"{regime}: {sum(len(c.token_ids) for o in outputs for c in o.outputs)} tokens")
        return outputs

    def write(self, **record: Any) -> None:
        self.out.write(json.dumps(record) + "\n")
        self.out.flush()

    def _policy(self, options: dict[str, Any]) -> dict[str, Any]:
        mode = options.get("memento", "keep")
        kept = 1 << 30 if mode == "off" else options.get("memento_keep_last_n", self.policy.get("keep_last_n", 0))
        return self.policy | {"keep_last_n": kept, "restart": mode == "restart"}

    def _totals(self) -> dict[str, int]:
        last = (steps(self.stats) or [{}])[-1]
        return {key: last[key] for key in ("compactions", "replays", "copied_pages", "late_tokens") if key in last}


def roomy(recorder: Recorder) -> None:
    """A pool with room for all: generated blocks, blocks in prompts, several turns, shared pages, and the choices a request has."""
    shapes = (
        [(90, 14), (37, 9), (60, 13), (45, 11)],
        [(33, 7), (160, 22), (20, 6)],
        [(100, 42), (12, 5), (33, 34)],
        [(7, 4), (8, 5), (140, 17), (64, 32)],
        [(250, 20)],
        [(32, 32), (32, 32), (32, 32)],
        [(64, 8), (31, 6), (95, 7), (3, 3)],
        [(120, 12), (60, 30)],
    )
    writers = recorder.writers("decode", len(shapes))
    cases = [
        Case(writer.text(20 + 7 * number), writer.thought(*shape, then=20 + 5 * number))
        for number, (writer, shape) in enumerate(zip(writers, shapes, strict=True))
    ]
    first = recorder.run("decode", cases)
    second = [
        Case(case.prompt + list(output.outputs[0].token_ids) + writer.text(17), writer.thought((40, 9), then=25))
        for case, output, writer in zip(cases, first, writers, strict=True)
    ]
    outputs = recorder.run("turn", second)
    for case, output, earlier in zip(second, outputs, first, strict=True):
        _second_turn(recorder, case, output, len(earlier.prompt_token_ids or []) + len(earlier.outputs[0].token_ids))

    def asked(name: str, requests: int, *prompt: tuple[int, int], **options: Any) -> list[Case]:
        """Prompts that hold finished blocks; the answers add two more."""
        return [
            Case(
                author.text(16 + 9 * number) + author.thought(*prompt, then=9),
                author.thought((50 + 7 * number, 9), (31, 5), then=15),
                options,
            )
            for number, author in enumerate(recorder.writers(name, requests))
        ]

    recorder.run("prompt", asked("prompt", 5, (120, 15), (400, 33)))
    recorder.run("cached", asked("prompt", 5, (120, 15), (400, 33)))
    recorder.run("keep_last", asked("keep_last", 4, (80, 12), (33, 8), memento_keep_last_n=1))
    recorder.run("restart", asked("restart", 3, (70, 12), (33, 8), memento="restart"))
    recorder.run("off", asked("off", 2, (70, 12), memento="off"))
    _fork(recorder)


def _fork(recorder: Recorder) -> None:
    """Several answers to a prompt that ends inside a block: they share its pages, and each lets the block go at another time."""
    (writer,) = recorder.writers("fork", 1)
    prompt = [*writer.text(35), BLOCK_START, *writer.text(130)]
    recorder.run("fork_open", [Case(prompt, writer.text(4))])  # its pages are in the prefix cache now
    sampling = {"n": 3, "temperature": 1.0}
    scripts = [
        [ANY] * (9 + 11 * number) + [BLOCK_END] + writer.memento(14 + number) + writer.thought((30, 5), then=9) for number in range(2)
    ]
    recorder.run("fork", [Case(prompt, script, sampling=sampling) for script in scripts])


def _second_turn(recorder: Recorder, case: Case, output: "RequestOutput", earlier: int) -> None:
    """Prompt tokens that the second turn computed, beside those that it added."""
    prompt = len(case.prompt)
    scheduled = [
        s for step in steps(recorder.stats) for name, s in step["scheduled"].items() if name.rpartition("-")[0] == output.request_id
    ]
    computed = sum(min(first + count, prompt) - first for first, count in scheduled if first < prompt)
    recorder.write(second_turn={"new": prompt - earlier, "computed": computed, "earlier": earlier})


def tight(recorder: Recorder) -> None:
    """A pool that holds one request and a bit, and steps of at most 64 tokens: prompts in chunks, then requests that push each other out."""
    writers = recorder.writers("chunked", 4)
    prompts = [w.text(30 + 11 * n) + w.thought((100, 14), (150 + 9 * n, 20), then=5) for n, w in enumerate(writers)]
    recorder.run("chunked", [Case(p, w.thought((60, 9), then=12)) for p, w in zip(prompts, writers, strict=True)])
    *writers, writer = recorder.writers("preempted", 7)
    scripts = [w.thought((70 + 9 * n, 12 + n), (40, 8), (90, 16), then=10) for n, w in enumerate(writers)]
    cases = [Case(w.text(25), script) for w, script in zip(writers, scripts, strict=True)]
    cases.append(Case(writer.text(20) + writer.thought((100, 14), (150, 20), then=4), writer.thought((60, 10), then=5)))
    recorder.run("preempted", cases)


def delimiters(recorder: Recorder) -> None:
    """The other policy: delimiters stay, and summary_end is blind already; other pages, other chunks."""
    *writers, writer = recorder.writers("delimiters", 5)
    cases = [Case(w.text(30 + 13 * n), w.thought((90, 12), (64, 20), (33, 5), then=8)) for n, w in enumerate(writers)]
    cases.append(Case(writer.text(20) + writer.thought((100, 14), (250, 20), then=4), writer.thought((60, 10), then=5)))
    recorder.run("delimiters", cases)


ENGINES: dict[str, tuple[Callable[[Recorder], None], dict[str, Any]]] = {
    "roomy": (roomy, {"pages": 400, "batch": 512, "requests": 8}),
    "tight": (tight, {"pages": 20, "batch": 64, "requests": 8, "max_len": 576}),
    "delimiters": (
        delimiters,
        {"page": 64, "batch": 96, "pages": 100, "memento": {"keep_delimiters": True, "summary_end_sees_block": False}},
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m keepsake_vllm.bench.exact", description="Record an engine's answers.")
    parser.add_argument("--engine", choices=ENGINES, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--stats", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    regimes, chosen = ENGINES[options.engine]
    with Setup(options.model, options.stats, dtype="float32", precise=True, **chosen).open() as llm, options.out.open("w") as out:
        regimes(Recorder(llm, language(options.model), out, options.stats, chosen.get("memento", {})))


if __name__ == "__main__":
    main()
