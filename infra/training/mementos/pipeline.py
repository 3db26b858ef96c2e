"""From a trace to blocks and mementos: split, score, cut, compress, judge, refine once, judge (MEMENTO, section 3).

A record with a missing or failed memento is dropped with its reason.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.errors import ModelOutputInvalid
from infra.training.mementos import compress, judge, scores
from infra.training.mementos.judge import Sizes, Verdict, faults, mechanical
from infra.training.mementos.options import Options
from infra.training.mementos.records import Dropped, Reason, Trace
from infra.training.mementos.segmentation import segment
from infra.training.mementos.sentences import candidates
from infra.training.mementos.solved import is_ours, solver_faults
from infra.training.mementos.teacher import Meter, Teacher, together

Count = Callable[[Sequence[str]], list[int]]


def prompt_versions() -> dict[str, str]:
    """Each prompt by the beginning of its SHA-256."""
    prompts = {"scores": scores.PROMPT, "compress": compress.PROMPT, "judge": judge.PROMPT}
    return {name: hashlib.sha256(text.encode()).hexdigest()[:12] for name, text in prompts.items()}


@dataclass
class _Draft:
    """A record in the making. What is keyed is so by the index of a block; `problems` has those whose memento does not pass."""

    trace: Trace
    blocks: list[str]
    sizes: list[int]
    mementos: dict[int, str]
    memento_sizes: dict[int, int] = field(default_factory=dict)
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    problems: dict[int, str] = field(default_factory=dict)
    refined: list[int] = field(default_factory=list)
    cut: dict[str, Any] = field(default_factory=dict)


@dataclass
class Work:
    """What one record took, filled as it goes, so that a dropped record's is known too."""

    meter: Meter = field(default_factory=Meter)
    windows: int = 0
    failed_windows: int = 0
    mementos: int = 0
    passed_first: int = 0
    passed: int = 0


class Pipeline:
    """Makes records. `tokenizer` names the one that `count` counts with."""

    def __init__(self, teacher: Teacher, count: Count, options: Options, tokenizer: str) -> None:
        self._teacher = teacher
        self._count = count
        self._options = options
        self._tokenizer = tokenizer

    async def make(self, trace: Trace, work: Work) -> dict[str, Any]:
        """The finished record. Raises Dropped, and ModelError where the endpoint itself is at fault."""
        draft = await (self._given(trace) if trace.blocks else self._written(trace, work))
        work.mementos = len(draft.blocks)
        await self._judge(draft, range(len(draft.blocks)), work.meter)
        work.passed_first = work.passed = len(draft.blocks) - len(draft.problems)
        if draft.problems and not trace.blocks:
            better = await self._refine(draft, work.meter)
            draft.mementos.update(better)
            draft.refined = sorted(better)
            await self._judge(draft, draft.refined, work.meter)
            work.passed = len(draft.blocks) - len(draft.problems)
        if draft.problems:
            i, problem = min(draft.problems.items())
            missing = i not in draft.mementos
            others = f" ({len(draft.problems)} of {len(draft.blocks)} fail.)" if len(draft.problems) > 1 else ""
            raise Dropped(Reason.MISSING_MEMENTO if missing else Reason.FAILED_MEMENTO, f"Memento {i + 1}: {problem}{others}")
        return self._record(draft)

    async def _given(self, trace: Trace) -> _Draft:
        if is_ours(trace) and (wrong := solver_faults(trace)):
            raise Dropped(Reason.FAILED_MEMENTO, f"The solver's own check: {'; '.join(wrong)}.")
        blocks = [block.text for block in trace.blocks]
        sizes = await self._sizes(trace, blocks)
        return _Draft(trace, blocks, sizes, {i: block.memento for i, block in enumerate(trace.blocks)})

    async def _written(self, trace: Trace, work: Work) -> _Draft:
        spans = candidates(trace.thought)
        sentences = [trace.thought[start:end] for start, end in spans]
        sizes = await self._sizes(trace, sentences)
        options = self._options
        values = [0.0] * (len(spans) - 1)
        if sum(sizes) >= 2 * options.min_block_tokens:
            scored = await scores.score_boundaries(self._teacher, sentences, work.meter, two_passes=options.two_passes)
            values, work.windows, work.failed_windows = scored.values, scored.windows, scored.failed
        cut = await asyncio.to_thread(segment, sizes, values, options.min_block_tokens, options.max_block_tokens)
        bounds = cut.blocks(len(spans))
        blocks = ["".join(sentences[start:end]) for start, end in bounds]
        block_sizes = [sum(sizes[start:end]) for start, end in bounds]
        try:
            mementos = await compress.compress(self._teacher, trace.problem, blocks, block_sizes, work.meter)
        except ModelOutputInvalid as error:
            raise Dropped(Reason.MISSING_MEMENTO, error.message) from error
        about = {"objective": round(cut.value, 6), "exact": cut.exact, "cut_scores": [values[start - 1] for start, _ in bounds[1:]]}
        return _Draft(trace, blocks, block_sizes, mementos, cut=about)

    async def _sizes(self, trace: Trace, texts: Sequence[str]) -> list[int]:
        sizes = await asyncio.to_thread(self._count, texts)
        if sum(sizes) > self._options.max_tokens:
            raise Dropped(
                Reason.TOO_LONG,
                f"The thought has {sum(sizes):,} tokens, the limit is {self._options.max_tokens:,}: leave it out, or end it earlier.",
            )
        assert "".join(texts) == trace.thought
        return sizes

    async def _judge(self, draft: _Draft, which: Sequence[int], meter: Meter) -> None:
        """Judge these mementos; `draft.problems` then tells of each that does not pass."""
        written = [i for i in which if i in draft.mementos]
        sizes = self._count([draft.mementos[i] for i in written])
        draft.memento_sizes.update(zip(written, sizes, strict=True))
        found = await together(*(self._problem(draft, i, meter) for i in which))
        draft.problems |= dict(zip(which, found, strict=True))
        draft.problems = {i: problem for i, problem in draft.problems.items() if problem}

    async def _problem(self, draft: _Draft, i: int, meter: Meter) -> str:
        """What keeps a memento from passing; empty if it passes."""
        block, memento = draft.blocks[i], draft.mementos.get(i)
        if memento is None:
            return "It is missing."
        sizes, solved = Sizes(draft.sizes[i], draft.memento_sizes[i]), bool(draft.trace.blocks)
        known = None if is_ours(draft.trace) else [draft.trace.problem, *(draft.mementos[j] for j in range(i) if j in draft.mementos)]
        if bad := mechanical(block, memento, sizes, known) if solved else faults(memento, sizes):
            return " ".join(bad)
        if solved and self._options.judge == "mechanical":
            return ""
        try:
            verdict = await judge.judge(self._teacher, draft.trace.problem, block, memento, meter)
        except ModelOutputInvalid as error:
            raise Dropped(Reason.UNJUDGED, f"Memento {i + 1}: {error.message}") from error
        draft.verdicts[i] = verdict
        if verdict.total >= self._options.threshold:
            return ""
        marks = f" Deductions: {', '.join(verdict.deductions)}." if verdict.deductions else ""
        return f"{verdict.total} of 10 points, {self._options.threshold} are needed.{marks} {verdict.feedback}".strip()

    async def _refine(self, draft: _Draft, meter: Meter) -> dict[int, str]:
        try:
            return await compress.refine(
                self._teacher, draft.trace.problem, draft.blocks, draft.sizes, draft.mementos, draft.problems, meter
            )
        except ModelOutputInvalid:
            return {}

    def _record(self, draft: _Draft) -> dict[str, Any]:
        trace, given = draft.trace, bool(draft.trace.blocks)
        alone = given and self._options.judge == "mechanical"
        lineage = {
            "teacher": None if alone else self._teacher.name,
            "mementos": "given" if given else "teacher",
            "judge": "mechanical" if alone else "teacher",
            "prompts": {} if alone else prompt_versions(),
            "tokenizer": self._tokenizer,
        }
        return {
            "key": trace.key,
            "id": trace.id,
            "problem": trace.problem,
            "blocks": [{"text": block, "memento": draft.mementos[i]} for i, block in enumerate(draft.blocks)],
            "answer": trace.answer,
            "source": trace.source,
            "tokens": [{"block": size, "memento": draft.memento_sizes[i]} for i, size in enumerate(draft.sizes)],
            "judged": [_points(draft.verdicts.get(i)) for i in range(len(draft.blocks))],
            "refined": draft.refined,
            "cut": draft.cut,
            "lineage": lineage,
        }


def _points(verdict: Verdict | None) -> dict[str, Any] | None:
    """None: mechanically judged."""
    return None if verdict is None else {**verdict.model_dump(mode="json"), "total": verdict.total}
