"""What the engine remembers of one request beyond what vLLM does: its evictions, how many are done, and what it cost."""

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

from app.memento.grammar import TokenIds
from app.memento.visibility import Eviction, Evictions, Policy

from keepsake_vllm.engine.guard import Guard


@dataclass
class Account:
    """A request's key-value cache, in tokens. `kv_auc` sums the keys resident over all tokens computed for the first time."""

    peak: int = 0
    area: int = 0
    furthest: int = 0
    evicted: int = 0
    compactions: int = 0
    replays: int = 0
    cached: int = 0
    rows: int = 0  # all that were computed, again after a preemption too
    told: int = 0  # evictions that the client has heard of

    def computed(self, start: int, count: int, offset: int) -> None:
        """Rows [start, start + count) were computed with `offset` tokens evicted."""
        end = start + count
        self.rows += count
        self.peak = max(self.peak, end - offset)
        new = end - max(start, self.furthest)
        if new > 0:
            last = end - offset
            self.area += new * last - new * (new - 1) // 2
            self.furthest = end

    def usage(self) -> dict[str, int]:
        return {
            "peak_kv_tokens": self.peak,
            "kv_auc": self.area,
            "evicted_tokens": self.evicted,
            "compactions": self.compactions,
            "replays": self.replays,
            "cached_tokens": self.cached,
            "computed_tokens": self.rows,
        }


@dataclass
class Hit:
    """A prefix found in the cache under a layout with `done` evictions: whole pages, and `tail` slots to copy from the page `tail_page`."""

    done: int
    offset: int
    length: int  # logical
    pages: int
    tail: int
    tail_page: int


@dataclass
class Memory:
    """State of one request. `done` evictions are applied to its pages, `offset` tokens in all; both begin anew after a preemption."""

    evictions: Evictions
    policy: Policy
    guard: Guard | None
    done: int = 0
    offset: int = 0
    keyed: int = 0  # leading pages already offered to the prefix cache in this layout
    hit: Hit | None = None
    account: Account = field(default_factory=Account)
    boundaries: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=lambda: [0])  # offsets[k]: tokens evicted by the first k evictions

    @classmethod
    def begin(cls, ids: TokenIds, policy: Policy, guard: Guard | None) -> "Memory":
        return cls(Evictions(ids, policy), policy, guard)

    @property
    def found(self) -> list[Eviction]:
        return self.evictions.found

    def read(self, tokens: list[int]) -> None:
        """Read on in the request's tokens."""
        if self.evictions.reader.index == len(tokens):
            return
        self.evictions.read(tokens)
        for eviction in self.found[len(self.boundaries) :]:
            self.boundaries.append(eviction.boundary)
            self.offsets.append(self.offsets[-1] + eviction.size)

    def due(self, computed: int) -> Eviction | None:
        """The eviction to apply now that `computed` tokens have their keys."""
        if self.done < len(self.boundaries) and self.boundaries[self.done] <= computed:
            return self.found[self.done]
        return None

    def clip(self, tokens: list[int], computed: int, count: int) -> int:
        """How many of `count` tokens may be computed from `computed` on: none behind the next boundary, for those see less."""
        self.read(tokens)
        index = max(self.done, bisect_right(self.boundaries, computed))
        return min(count, self.boundaries[index] - computed) if index < len(self.boundaries) else count

    def reset(self) -> None:
        """The pages are gone (preemption); the evictions are replayed as the tokens are computed again."""
        self.done = self.offset = self.keyed = 0
        self.hit = None

    def peak(self, computed: int, done: int, upto: int) -> int:
        """Most keys resident on the way from `computed` tokens to `upto`, with `done` evictions applied at its start."""
        most = computed - self.offsets[done]
        for index in range(done, len(self.boundaries)):
            if self.boundaries[index] > upto:
                break
            most = max(most, self.boundaries[index] - self.offsets[index])
            done = index + 1
        return max(most, upto - self.offsets[done])

    def spans(self, done: int, upto: int) -> list[tuple[int, int]]:
        """Logical ranges resident with the first `done` evictions applied and `upto` tokens computed, in slot order."""
        spans, start = [], 0
        for eviction in self.found[:done]:
            if eviction.start > start:
                spans.append((start, eviction.start))
            start = eviction.end
        if upto > start:
            spans.append((start, upto))
        return spans

    def report(self, finished: bool) -> dict[str, Any] | None:
        """What the client has not heard yet: evictions, and the account when the request ends."""
        account = self.account
        new = self.found[account.told : self.done]
        if not new and not finished:
            return None
        report: dict[str, Any] = {"evictions": [[e.start, e.end, e.boundary] for e in new]}
        account.told = max(account.told, self.done)
        if finished:
            report["usage"] = account.usage()
        return report
