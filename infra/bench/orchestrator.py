"""Our orchestrator beside stock MagenticOneGroupChat: same members, same scripted model, same observations, one run.

Overhead is wall time per round with a model and members that answer at once, so what is left is the frame's own work. Prompt size is that of
the progress-ledger call, in estimated tokens (four characters each, for both sides alike).
"""

import asyncio
import gc
import json
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from autogen_agentchat.agents import BaseChatAgent
from autogen_agentchat.base import Response
from autogen_agentchat.messages import BaseChatMessage, TextMessage
from autogen_agentchat.teams import MagenticOneGroupChat
from autogen_core import CancellationToken
from autogen_core.models import ChatCompletionClient, CreateResult, LLMMessage, ModelInfo, RequestUsage
from pydantic import BaseModel

from agents.foreign import text_only
from agents.model import estimate_tokens
from agents.model_roles import ModelRoles
from agents.orchestrator import Limits
from agents.profiles.full import FullProfile
from agents.team import MementoTeam
from infra.bench.base import BenchContext
from infra.bench.browser_step import browser_step
from infra.bench.figure import Figure, median, ratio

ROUNDS = 30
TASK = "Read thirty pages and note what each of them says."
OBSERVATION = ("The page lists offers with their prices, dates and notes. " * 40)[:2000]


class Reader(BaseChatAgent):
    """A member that answers at once with 2,000 characters."""

    def __init__(self) -> None:
        super().__init__("reader", "Reads pages and reports what they say.")

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (TextMessage,)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:  # noqa: ARG002
        return Response(chat_message=TextMessage(content=OBSERVATION, source=self.name))

    async def on_reset(self, cancellation_token: CancellationToken) -> None:  # noqa: ARG002
        return None


class ScriptedModel(ChatCompletionClient):
    """Answers every role of both orchestrators at once, and keeps the size of each progress-ledger prompt."""

    def __init__(self) -> None:
        self.ledger_tokens: list[int] = []

    async def create(self, messages: Sequence[LLMMessage], **_: Any) -> CreateResult:  # type: ignore[override]
        text = str(messages[-1].content)
        answer = self._answer(text, messages)
        usage = RequestUsage(prompt_tokens=1, completion_tokens=1)
        return CreateResult(finish_reason="stop", content=answer, usage=usage, cached=False)

    def _answer(self, text: str, messages: Sequence[LLMMessage]) -> str:
        if "is_request_satisfied" in text:
            self.ledger_tokens.append(sum(estimate_tokens(str(m.content)) for m in messages))
            step = len(self.ledger_tokens)
            told = {"reason": "It follows from what was done so far.", "answer": step > ROUNDS}
            return json.dumps(
                {
                    "is_request_satisfied": told,
                    "is_in_loop": {"reason": "Every page is another one.", "answer": False},
                    "is_progress_being_made": {"reason": "One more page is known.", "answer": True},
                    "next_speaker": {"reason": "It reads pages.", "answer": "reader"},
                    "instruction_or_question": {"reason": "The next page.", "answer": f"Read page {step} and report the offers."},
                    "plan_step": None,
                }
            )
        if text.startswith("Before planning"):
            return json.dumps({"given": ["thirty pages"], "look_up": ["what they say"], "derive": [], "guesses": []})
        if text.startswith("Make a short plan"):
            return json.dumps({"steps": [{"agent": "reader", "instruction": "Read each page and note the offers."}]})
        if text.startswith("Compress"):
            memento = "Page read: lists offers with prices, dates and notes; nothing contradicts the earlier pages; the next page is open."
            return json.dumps({"text": memento})
        if text.startswith("The work on this task"):
            return json.dumps({"text": "Thirty pages were read."})
        return "1. Thirty pages. 2. What they say. 3. Nothing. 4. Nothing."

    async def create_stream(self, messages: Sequence[LLMMessage], **kwargs: Any) -> AsyncGenerator[str | CreateResult, None]:  # type: ignore[override]
        yield await self.create(messages, **kwargs)

    async def close(self) -> None:
        return None

    def actual_usage(self) -> RequestUsage:
        return RequestUsage(prompt_tokens=0, completion_tokens=0)

    def total_usage(self) -> RequestUsage:
        return self.actual_usage()

    def count_tokens(self, messages: Sequence[LLMMessage], **_: Any) -> int:  # type: ignore[override]
        return sum(estimate_tokens(str(m.content)) for m in messages)

    def remaining_tokens(self, messages: Sequence[LLMMessage], **_: Any) -> int:  # type: ignore[override]
        return 100_000 - self.count_tokens(messages)

    @property
    def capabilities(self) -> ModelInfo:  # type: ignore[override]
        return self.model_info

    @property
    def model_info(self) -> ModelInfo:
        return ModelInfo(vision=False, function_calling=False, json_output=True, structured_output=False, family="unknown")

    def _to_config(self) -> BaseModel:
        raise NotImplementedError("A scripted model is not a component.")


async def run_ours() -> tuple[float, list[int]]:
    """Seconds per round and ledger prompt sizes of one run of our team."""
    model = ScriptedModel()
    team = MementoTeam([text_only(Reader(), sure=True)], ModelRoles(model, FullProfile()), limits=Limits(), max_turns=500)
    started = time.perf_counter()
    result = await team.run(task=TASK)
    seconds = time.perf_counter() - started
    assert result.stop_reason == "succeeded" and team.state is not None and len(team.state.mementos) == ROUNDS, result.stop_reason
    return seconds / ROUNDS, model.ledger_tokens


async def run_stock() -> tuple[float, list[int]]:
    """The same of the stock group chat."""
    model = ScriptedModel()
    team = MagenticOneGroupChat([Reader()], model_client=model, max_turns=ROUNDS + 5)
    started = time.perf_counter()
    await team.run(task=TASK)
    seconds = time.perf_counter() - started
    assert len(model.ledger_tokens) == ROUNDS + 1, f"{len(model.ledger_tokens)} ledger calls"
    return seconds / ROUNDS, model.ledger_tokens


async def bench(context: BenchContext) -> dict[str, Figure]:
    """overhead_ratio, seconds per turn of both, prompt tokens at steps 10, 20, 30 of both, prompt_ratio_30, browser_step_s."""
    n = context.n or 20
    advance = context.track("rounds of both, alternating", n)
    ours: list[float] = []
    theirs: list[float] = []
    our_prompts: list[int] = []
    stock_prompts: list[int] = []
    for _ in range(n):
        seconds, our_prompts = await run_ours()
        ours.append(seconds)
        seconds, stock_prompts = await run_stock()
        theirs.append(seconds)
        gc.collect()
        await asyncio.sleep(0)
        advance()
    figures = {
        "overhead_ratio": ratio(ours, theirs),
        "overhead_s": median(ours),
        "overhead_s_stock": median(theirs),
        "prompt_ratio_30": Figure(value=round(our_prompts[29] / stock_prompts[29], 4), n=1),
        "browser_step_s": await browser_step(context),
    }
    for step in (10, 20, 30):
        figures[f"prompt_tokens_{step}"] = Figure(value=our_prompts[step - 1], n=1)
        figures[f"prompt_tokens_{step}_stock"] = Figure(value=stock_prompts[step - 1], n=1)
    return figures
