"""What a stream costs in key-value memory, counted without an engine: tokens resident and pages in use, by the one rule of `visibility`.

An engine is judged against this: `pages` replays the schedule that it recorded and says with how many pages it could have done.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.memento.grammar import TokenIds
from app.memento.visibility import Eviction, Evictions, Policy

# One engine step: for each request that computes something in it, the logical index it begins at and how many tokens.
Step = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Usage:
    """One stream's key-value memory in tokens: the most at any time, and its sum over the queries (the area under the curve)."""

    peak: int
    area: int
    compactions: int
    evicted: int


@dataclass(frozen=True)
class Stream:
    """A request's whole token stream, of which the first `prompt` tokens were there from the start."""

    tokens: Sequence[int]
    prompt: int = 0


def usage(stream: Stream, ids: TokenIds, policy: Policy) -> Usage:
    """Every token computed once and in order, each eviction done before the first query that may do without. A query's own key counts."""
    length = len(stream.tokens)
    drops = [(first, size) for first, size in _drops(stream, ids, policy) if first < length]
    ends = [first for first, _ in drops] + [length]
    peak = area = gone = 0
    for (start, size), end in zip([(0, 0), *drops], ends, strict=True):
        gone += size
        peak = max(peak, end - gone)
        area += (end - start) * (start + 1 + end - 2 * gone) // 2  # memory grows by one token a query
    return Usage(peak, area, len(drops), gone)


def _drops(stream: Stream, ids: TokenIds, policy: Policy) -> list[tuple[int, int]]:
    """The query from which on memory is smaller, and by how much. What is being generated is no block before its memento has ended."""
    return [(e.boundary if e.known < stream.prompt else max(e.boundary, e.known), e.size) for e in evictions(stream.tokens, ids, policy)]


def evictions(tokens: Sequence[int], ids: TokenIds, policy: Policy) -> list[Eviction]:
    """All evictions of a whole stream, in order."""
    reading = Evictions(ids, policy)
    reading.read(tokens)
    return reading.found


class _Request:
    """A request during the replay. `computed` and `known` count its tokens, `starts` are the beginnings of the steps still to come."""

    def __init__(self, stream: Stream, found: list[Eviction], starts: list[int]) -> None:
        self.evictions = found
        self.starts = starts
        self.computed, self.known = 0, stream.prompt

    def resident(self, first: int, computed: int) -> int:
        """Tokens in memory in a step whose first query is at index `first` and that has `computed` tokens in the end."""
        return computed - sum(e.size for e in self.evictions if e.boundary <= first and e.known < self.known)

    def take(self, first: int, count: int) -> int:
        """Tokens in memory while a step computes [first, first + count)."""
        self.computed = first + count
        held = self.resident(first, self.computed)
        self.known = max(self.known, self.computed + 1)  # the step samples the next token
        del self.starts[0]
        return held

    def keep(self) -> int:
        """Tokens in memory in a step that leaves the request out: all if it goes on where it stopped, none if it has ended or begins anew."""
        return self.resident(self.computed, self.computed) if self.starts and self.starts[0] == self.computed else 0


def pages(schedule: Sequence[Step], streams: Mapping[str, Stream], ids: TokenIds, policy: Policy, page: int) -> list[int]:
    """Pages in use in each step if every request held exactly ceil(tokens in memory / page), of its own, and gave the rest back at once.

    Requests of the schedule that are not in `streams` are left out.
    """
    starts: dict[str, list[int]] = {name: [] for name in streams}
    for step in schedule:
        for name in step.keys() & starts.keys():
            starts[name].append(step[name][0])
    requests = {name: _Request(stream, evictions(stream.tokens, ids, policy), starts[name]) for name, stream in streams.items()}
    in_use = []
    for step in schedule:
        held = (request.take(*step[name]) if name in step else request.keep() for name, request in requests.items())
        in_use.append(sum(-(-tokens // page) for tokens in held))
    return in_use
