"""Which examples are learned from, and in what order: without repeats, without what is measured later, balanced by decision type."""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from infra.training.examples import Example


@dataclass(frozen=True)
class Distinct:
    """Examples of which no two are the same decision. `repeated` were dropped as such, `left_out` because another part has them."""

    examples: list[Example]
    repeated: int
    left_out: int


def distinct(examples: Iterable[Example], elsewhere: Collection[str] = (), *, weigh: bool = False) -> Distinct:
    """The first of each group of equal examples, without those whose digest is in `elsewhere`.

    `weigh`: a group of n comes as the root of n copies, so that a decision of every run is not learned as one of a thousand.
    """
    kept: dict[str, Example] = {}
    seen: Counter[str] = Counter()
    leaked = 0
    for example in examples:
        digest = example.digest
        if digest in elsewhere:
            leaked += 1
        else:
            kept.setdefault(digest, example)
            seen[digest] += 1
    chosen = [example for digest, example in kept.items() for _ in range(math.isqrt(seen[digest]) if weigh else 1)]
    return Distinct(chosen, seen.total() - len(chosen), leaked)


def balance(examples: Iterable[Example], floor: int, ceiling: int, copies: int, seed: int) -> list[Example]:
    """At most `ceiling` and, with repeats, at least `floor` examples of each kind, in an order any prefix of which has the same mixture.

    A kind too rare for `floor` is shown `copies` times and no more: repeats teach words by heart, not decisions. Deterministic by seed.
    """
    kinds: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        kinds[example.kind].append(example)
    places: list[tuple[float, str, int, Example]] = []
    for kind, own in sorted(kinds.items()):
        draw = random.Random(f"{seed} {kind}")
        draw.shuffle(own)
        wanted = min(max(len(own), min(floor, copies * len(own))), ceiling)
        rounds = math.ceil(wanted / len(own))
        chosen = [example for _ in range(rounds) for example in own][:wanted]
        places += [((i + draw.random()) / wanted, kind, i, example) for i, example in enumerate(chosen)]
    return [example for *_, example in sorted(places, key=lambda place: place[:3])]


def blend(one: Iterable[Example], other: Iterable[Example], share: float, size: Callable[[Example], int]) -> Iterator[Example]:
    """Both in their orders, so that at any point the part `share` of all that `size` counts is of `one`; ends where either does."""
    parts = iter(one), iter(other)
    counted = [0, 0]
    while True:
        which = int(counted[0] * (1 - share) > counted[1] * share)
        example = next(parts[which], None)
        if example is None:
            return
        counted[which] += size(example)
        yield example


def sample(examples: list[Example], n: int | None, seed: int) -> list[Example]:
    """`n` of the examples in their own mixture, all if None or fewer; those of a smaller `n` are among those of a larger one."""
    order = random.Random(f"sample {seed}").sample(range(len(examples)), len(examples))
    return [examples[i] for i in order[: len(order) if n is None else n]]


def counts(examples: Iterable[Example]) -> dict[str, int]:
    """Examples of each kind, most first."""
    return dict(Counter(example.kind for example in examples).most_common())
