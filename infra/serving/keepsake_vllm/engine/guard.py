"""The grammar guard: which tokens a request may sample next, so that blocks and mementos come out well-formed.

It works as vLLM's structured outputs do: a bit mask per row, computed from tokens that the scheduler has seen. With async scheduling vLLM holds
sampling back until the scheduler has seen them, so the state is never a token behind (a logits processor's would be).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from app.memento.grammar import Phase, Reader, TokenIds


@dataclass(frozen=True)
class Grammar:
    """What a guard must know of the model: which tokens end a text, which are blank. `think`: ids of <think> and </think>."""

    ids: TokenIds
    vocabulary: int
    stops: frozenset[int]
    blank: Callable[[int], bool]
    think: tuple[int, int] | None = None

    def forbid(self, *tokens: int) -> np.ndarray:
        """A mask row with all tokens allowed but these. int32 [ceil(vocabulary / 32)], bit t % 32 of word t // 32."""
        row = np.full((self.vocabulary + 31) // 32, -1, dtype=np.int32)
        for token in tokens:
            if token < self.vocabulary:
                row.view(np.uint32)[token // 32] &= ~np.uint32(1 << (token % 32))
        return row

    def only(self, token: int) -> np.ndarray:
        row = np.zeros((self.vocabulary + 31) // 32, dtype=np.int32)
        row.view(np.uint32)[token // 32] = np.uint32(1 << (token % 32))
        return row


class Masks:
    """The handful of rows that the guard ever needs, made once."""

    def __init__(self, grammar: Grammar) -> None:
        ids = grammar.ids
        all_ids = (ids.block_start, ids.block_end, ids.summary_start, ids.summary_end)
        stops = tuple(grammar.stops)
        self.grammar = grammar
        self.between = grammar.forbid(ids.block_end, ids.summary_start, ids.summary_end)
        self.answer = grammar.forbid(*all_ids)
        self.block = grammar.forbid(ids.block_start, ids.summary_start, ids.summary_end, *stops)
        self.memento = grammar.forbid(ids.block_start, ids.block_end, ids.summary_start, *stops)
        self.begin_block = grammar.only(ids.block_start)
        self.end_block = grammar.only(ids.block_end)
        self.start_memento = grammar.only(ids.summary_start)
        self.end_memento = grammar.only(ids.summary_end)

    def spare(self, row: np.ndarray) -> np.ndarray:
        """Take the four tokens out of a mask, in place, unless nothing else would be left."""
        rest = row & self.answer
        if rest.any():
            row[:] = rest
        return row


@dataclass(frozen=True)
class Caps:
    """Greatest lengths in tokens, and how many blocks there must and may be before the answer. 0: no limit."""

    block: int = 0
    memento: int = 0
    min_blocks: int = 0
    max_blocks: int = 0


class Guard:
    """Where one request stands in the grammar. Reads its sampled tokens; the answer begins with the first token between blocks that is not blank,
    or behind </think> if the model opened <think>."""

    __slots__ = ("_reader", "_thinking", "answering", "blocks", "caps", "masks", "since")

    def __init__(self, masks: Masks, caps: Caps) -> None:
        self.masks = masks
        self.caps = caps
        self.blocks = 0  # finished
        self.answering = False
        self.since = 0  # tokens in the open block or memento, its first delimiter left out
        self._reader = Reader(masks.grammar.ids)  # of the request's output
        self._thinking = False

    @property
    def phase(self) -> Phase:
        return self._reader.phase

    def push(self, token: int) -> None:
        """Read a sampled token."""
        grammar, before = self.masks.grammar, self.phase
        self.blocks += self._reader.push(token) is not None
        self.since = 0 if self.phase is not before else self.since + 1
        if before is Phase.TEXT and self.phase is Phase.TEXT and not self.answering:
            if grammar.think and token in grammar.think:
                self._thinking = token == grammar.think[0]
                self.answering = not self._thinking
            elif not self._thinking:
                self.answering = not grammar.blank(token)

    def read_on(self, output: Sequence[int]) -> list[int]:
        """Read the request's output from where the last call ended; those of the tokens read that belong to the answer."""
        answer = []
        for index in range(self._reader.index, len(output)):
            thinking = self._thinking
            self.push(output[index])
            if self.answering and not thinking:
                answer.append(output[index])
        return answer

    def merge(self, constraint: np.ndarray) -> np.ndarray:
        """Mask of the next token for a request whose answer is constrained by another mask too."""
        if self.answering:
            return self.masks.spare(constraint.copy())
        if self.between and not self._thinking and self.blocks >= self.caps.min_blocks:
            return self.masks.spare(constraint.copy()) if self._full else constraint | self.masks.begin_block
        return self.row()

    @property
    def between(self) -> bool:
        """Between blocks: another may begin, or the answer."""
        return self.phase is Phase.TEXT and not self.answering

    @property
    def _full(self) -> bool:
        return 0 < self.caps.max_blocks <= self.blocks

    def row(self) -> np.ndarray:
        """Mask of the next token."""
        masks, caps = self.masks, self.caps
        if self.answering:
            return masks.answer
        if self.phase is Phase.BLOCK:
            return masks.end_block if caps.block and self.since >= caps.block else masks.block
        if self.phase is Phase.GAP:
            return masks.start_memento
        if self.phase is Phase.MEMENTO:
            return masks.end_memento if caps.memento and self.since >= caps.memento else masks.memento
        if self.blocks < caps.min_blocks:
            return masks.begin_block
        return masks.answer if self._full else masks.between
