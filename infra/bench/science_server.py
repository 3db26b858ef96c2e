"""The same problems answered by the same weights on the real server, under the rule they were trained with and under others."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from infra.bench.base import BenchContext, ItemLog
from infra.bench.model_process import NAME, ModelProcess, model_process
from infra.bench.reasoning import MOST_TOKENS, SLOTS, Record, _ask
from infra.reasoning.base import Problem
from infra.reasoning.check import correct


@dataclass(frozen=True)
class Serving:
    """What the server is told, and what each request."""

    mode: str = "keep"
    options: dict[str, Any] = field(default_factory=dict)


SERVINGS = {
    "keep": Serving(),
    "restart": Serving("restart"),
    "off": Serving("off"),
    "early": Serving(options={"summary_end_sees_block": False}),
    "delimiters": Serving(options={"keep_delimiters": True}),
}


class Answers:
    """Finished answers by serving and problem; servings that tell the server the same share one."""

    def __init__(self, context: BenchContext, python: Path, weights: Path, asked: Sequence[Problem]) -> None:
        self.context, self.python, self.weights, self.asked = context, python, weights, asked
        self.logs: dict[str, ItemLog] = {}

    async def of(self, *names: str) -> dict[str, list[Record]]:
        """Of each serving the records of all problems, in their order. Raises ModelUnavailable, ModelTimeout."""
        for name in names:
            if name not in self.logs:
                self.logs[name] = self.context.items(f"served-{name}")
        for options in dict.fromkeys(json.dumps(SERVINGS[name].options) for name in names):
            same = [name for name in names if json.dumps(SERVINGS[name].options) == options]
            missing = [(name, made) for name in same for made in self.asked if self._key(made) not in self.logs[name].done]
            if missing:
                await self._serve(json.loads(options), missing)
        return {name: [self.logs[name].done[self._key(made)] for made in self.asked] for name in names}

    async def _serve(self, options: dict[str, Any], missing: Sequence[tuple[str, Problem]]) -> None:
        folder, label = self.context.folder, "-".join(dict.fromkeys(name for name, _ in missing))
        advance = self.context.track(f"{self.context.split} problems, {label}", len(missing))
        slots = asyncio.Semaphore(SLOTS)
        # A restart computes rows again that async scheduling would already have used.
        config = json.dumps({"memento": {"enabled": True, "session_dir": str(folder / f"{label}-sessions"), **options}})
        more = ("--max-num-seqs", str(SLOTS), "--no-async-scheduling", "--additional-config", config)
        with model_process(self.python, self.weights, folder, label, *more) as server:
            async with httpx.AsyncClient(timeout=3600.0, limits=httpx.Limits(max_connections=SLOTS)) as client:

                async def one(name: str, made: Problem) -> None:
                    async with slots:
                        self.logs[name].add(self._key(made), await _answer(client, server, made, SERVINGS[name].mode))
                    advance()

                await asyncio.gather(*(one(*each) for each in missing))

    def _key(self, made: Problem) -> str:
        return f"{self.weights.name}-{made.family}-{made.seed}"


async def _answer(client: httpx.AsyncClient, server: ModelProcess, made: Problem, mode: str) -> Record:
    body = {
        "model": NAME,
        "messages": [{"role": "user", "content": made.question}],
        "max_tokens": MOST_TOKENS,
        "temperature": 0.0,
        "return_token_ids": True,
        "vllm_xargs": {"memento": mode},
    }
    said = await _ask(client, server, body)
    kept = {key: said[key] for key in ("finish", "tokens", "blocks", "evicted")}
    return {"family": made.family, "seed": made.seed, "correct": correct(made, said["text"]), **kept}
