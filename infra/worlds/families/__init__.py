"""Task families. `make_task` is the one way to a task; the same family and seed give the same task."""

from collections.abc import Iterator

from app.errors import InvalidInput
from infra.worlds.base import FAMILIES, SPLITS, FamilyName, Split, WorldTask, split_of
from infra.worlds.families import lookup, order, summary, ticket

_MAKERS = {"lookup": lookup.make, "ticket": ticket.make, "order": order.make, "summary": summary.make}


def make_task(family: FamilyName, seed: int, split: Split | None = None) -> WorldTask:
    """The task of `family` with `seed`. Raises InvalidInput for an unknown family, a seed of no split, or one of another split than `split`."""
    if family not in _MAKERS:
        raise InvalidInput(f"There is no family {family}.", hint=f"One of {', '.join(FAMILIES)}.")
    owner = split_of(seed)
    if split is not None and split != owner:
        raise InvalidInput(f"Seed {seed} belongs to {owner}, not to {split}.", hint="Leave the split out, or take a seed of its range.")
    return _MAKERS[family](seed, owner)


def tasks(family: FamilyName, split: Split, start: int = 0) -> Iterator[WorldTask]:
    """The split's tasks from its `start`-th seed on, equal instances once. Splits share no instance: their words and wordings are disjoint."""
    seen: set[str] = set()
    for seed in SPLITS[split][start:]:
        task = make_task(family, seed)
        if task.fingerprint not in seen:
            seen.add(task.fingerprint)
            yield task


__all__ = ["make_task", "tasks"]
