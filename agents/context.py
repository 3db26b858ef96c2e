"""What the model is shown of the past: mementos, never the raw blocks they stand for.

`text`: every prompt stands alone, ledger and mementos are text in it; any endpoint will do. `stream`: the run is one conversation in which
finished blocks are evicted (agents.stream); our own server only.
"""

from collections.abc import Awaitable, Callable
from typing import Literal

from agents.state import Block, Memento, TeamState

Context = Literal["text", "stream"]

# Counts tokens of a text; the flag says that the number is an estimate.
TokenCounter = Callable[[str], Awaitable[tuple[int, bool]]]


def memento_lines(state: TeamState) -> list[str]:
    """All mementos, oldest first. A profile may show only the newest."""
    return [m.text for m in state.mementos]


def block_text(block: Block) -> str:
    """The whole of a block as a stock team would keep it in its thread: instruction, actions and everything observed."""
    steps = [f"{s.summary}\n{s.observation}" for s in block.steps]
    return "\n".join([f"{block.agent}: {block.instruction}", *steps, block.result or ""])


async def measure(state: TeamState, memento: Memento, block: Block, count: TokenCounter) -> dict[str, object]:
    """Token account of a closed block: its own size, its memento's, what the context now holds and what it would hold without mementos."""
    memento.block_tokens, estimated = await count(block_text(block))
    memento.tokens, _ = await count(memento.text)
    state.full_tokens += memento.block_tokens
    return {
        "block_tokens": memento.block_tokens,
        "memento_tokens": memento.tokens,
        "estimated": estimated,
        "context_tokens": sum(m.tokens for m in state.mementos) + memento.tokens,
        "full_context_tokens": state.full_tokens,
    }
