"""A model's thought as its server tells it: blocks of reasoning, the memento of each, and what they cost in the key-value cache.

Read from a chat completion (`choices[0].message.memento.parts` and `usage`), carried by an event, shown by UI and terminal.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field, ValidationError


class PartKind(StrEnum):
    """What a stretch of a completion is. TEXT stands outside of blocks and before the answer."""

    BLOCK = "block"
    MEMENTO = "memento"
    ANSWER = "answer"
    TEXT = "text"


class Part(BaseModel):
    """One stretch. A memento has its block's `index`. `evicted`: tokens of a block that the engine has freed, None for the other kinds."""

    type: PartKind
    index: int = Field(ge=0)
    text: str
    tokens: int = Field(ge=0)
    evicted: int | None = Field(None, ge=0)


class KvUsage(BaseModel):
    """What a request held in the key-value cache. `kv_auc`: keys resident, summed over its steps (MEMENTO, arXiv 2604.09852).
    `computed_tokens`: those of prompt and answer that the server did not find in its cache."""

    peak_kv_tokens: int = Field(0, ge=0)
    kv_auc: int = Field(0, ge=0)
    evicted_tokens: int = Field(0, ge=0)
    compactions: int = Field(0, ge=0)
    computed_tokens: int = Field(0, ge=0)


@dataclass(frozen=True)
class ThoughtBlock:
    """A block with its memento; None if the model was cut off before one."""

    block: Part
    memento: Part | None

    @property
    def freed(self) -> int:
        return self.block.evicted or 0


class Thought(KvUsage):
    """The payload of a `thought` event, less the team's block that it belongs to. `full_kv_tokens`: the peak if nothing were ever evicted."""

    role: str = ""
    parts: list[Part] = Field(default_factory=list)
    full_kv_tokens: int = Field(0, ge=0)

    @property
    def blocks(self) -> list[ThoughtBlock]:
        mementos = {part.index: part for part in self.parts if part.type is PartKind.MEMENTO}
        return [ThoughtBlock(part, mementos.get(part.index)) for part in self.parts if part.type is PartKind.BLOCK]


def read_parts(raw: Any) -> list[Part] | None:
    """The parts in a message's `memento` field; None if it is not one of ours, whatever else a server may call by that name."""
    if not isinstance(raw, dict) or not isinstance(raw.get("parts"), list):
        return None
    try:
        return [Part.model_validate(part) for part in raw["parts"]]
    except ValidationError:
        return None


def read_kv(usage: Any) -> KvUsage | None:
    """The cache's figures in a response's `usage`; None if they are not there."""
    if not isinstance(usage, dict) or "peak_kv_tokens" not in usage:
        return None
    try:
        return KvUsage.model_validate(usage)
    except ValidationError:
        return None
