"""Who may see whom: the one rule. Engine, training mask and simulator all call this.

    visible(q, k) = k <= q < evict_after[k]

A query at index q sees the key at index k if k is not in its future and has not been evicted when q is computed. Indices are logical: they count
every token of the stream, evicted or not, and are the positions of RoPE (MEMENTO §3: positions are never renumbered).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from sys import maxsize

from app.memento.grammar import Pair, Reader, TokenIds

NEVER = maxsize


@dataclass(frozen=True)
class Policy:
    """What a closing memento evicts, and from which token on. Training and serving must agree: a wrong choice moves logits by nats."""

    keep_delimiters: bool = False  # block_start and block_end stay when their block goes
    keep_last_n: int = 0  # so many of the newest finished blocks stay visible
    summary_end_sees_block: bool = True  # the summary_end token still sees its block; False evicts one token earlier
    restart: bool = False  # the memento, too, is computed without its block (the paper's ablation: 15 points worse)

    def __post_init__(self) -> None:
        if self.keep_last_n < 0:
            raise ValueError(f"keep_last_n must be 0 or more, not {self.keep_last_n}")


@dataclass(frozen=True, slots=True)
class Eviction:
    """Keys [start, end) are invisible to every query at index >= boundary. Known once the token at index `known` has been read."""

    start: int
    end: int
    boundary: int
    known: int

    @property
    def size(self) -> int:
        return self.end - self.start


class Evictions:
    """The evictions of one growing stream, in order; each begins after the one before it and has a greater boundary."""

    __slots__ = ("_pairs", "found", "policy", "reader")

    def __init__(self, ids: TokenIds, policy: Policy) -> None:
        self.policy = policy
        self.reader = Reader(ids)
        self.found: list[Eviction] = []
        self._pairs: list[Pair] = []  # finished and still visible, oldest first

    def read(self, tokens: Sequence[int]) -> None:
        """Read on in `tokens`, the whole stream so far, from where the last call ended."""
        reader = self.reader
        for index in range(reader.index, len(tokens)):
            pair = reader.push(tokens[index])
            if pair is not None:
                self._pairs.append(pair)
                if len(self._pairs) > self.policy.keep_last_n:
                    self._evict(self._pairs.pop(0), pair.close)

    def _evict(self, pair: Pair, known: int) -> None:
        policy = self.policy
        start, end = (pair.start + 1, pair.end - pair.ended) if policy.keep_delimiters else (pair.start, pair.end)
        if end <= start:
            return
        boundary = end if policy.restart else known + policy.summary_end_sees_block
        self.found.append(Eviction(start, end, boundary, known))


def evict_after(tokens: Sequence[int], ids: TokenIds, policy: Policy) -> list[int]:
    """For each key the first query that no longer sees it; NEVER where that is none. Shape [tokens]."""
    reading = Evictions(ids, policy)
    reading.read(tokens)
    after = [NEVER] * len(tokens)
    for eviction in reading.found:
        after[eviction.start : eviction.end] = [eviction.boundary] * eviction.size
    return after


def visible(query: int, key: int, after: Sequence[int]) -> bool:
    """Whether the query at index `query` sees the key at index `key`; `after` is `evict_after` of the stream."""
    return key <= query < after[key]


def resident(evictions: Iterable[Eviction], length: int) -> int:
    """Keys in memory when the next query is at index `length` (all before it computed, due evictions done)."""
    return length - sum(eviction.size for eviction in evictions if eviction.boundary <= length)
