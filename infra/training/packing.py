"""Examples put together into training steps without padding, and common beginnings computed once. Plain Python, no torch.

Role calls of one task begin alike: a ledger prompt repeats the task, the plan and most of the trail of the one before. Causal attention
gives equal beginnings equal states, so a step computes each only once and all examples that share it attend to the same keys and values.
The loss and its gradient are those of separate examples; on the team's examples about 30 % of the work falls away.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

OPEN_STEPS = 24  # bins that first-fit looks at: full ones leave no room worth having, and order stays near to what was asked for


@dataclass(frozen=True)
class Encoded:
    """Token ids of one example: the prompt up to the assistant's turn, and the answer with the token that ends it.

    `after`: `app.memento.visibility.evict_after` of the whole, where blocks are evicted; None where every token sees all before it.
    `aims`: (place, token) of each prediction that is learned, the place being that of the token before it; None: all of the answer.
    """

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    after: tuple[int, ...] | None = None
    aims: tuple[tuple[int, int], ...] | None = None

    @property
    def ids(self) -> tuple[int, ...]:
        return self.prompt + self.answer

    @property
    def predictions(self) -> tuple[tuple[int, int], ...]:
        """(place, token): what is to be predicted, and from where."""
        return self.aims if self.aims is not None else tuple(enumerate(self.answer, len(self.prompt) - 1))

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


@dataclass
class Layout:
    """One step (or one batch of an evaluation) as flat arrays over its T computed tokens.

    `paths[d]` lists the places of all tokens of document d in order, of which the last `fresh[d]` are computed for it and stand in one piece;
    those before belong to earlier documents. `after[d]` is the document's `Encoded.after`. `target_at[i]` is the place whose state predicts
    token `targets[i]`, `owners[i]` the example (its index in what was laid out) and `offsets[i]` the place among that example's predictions.
    """

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    paths: list[list[int]] = field(default_factory=list)
    fresh: list[int] = field(default_factory=list)
    after: list[tuple[int, ...] | None] = field(default_factory=list)
    target_at: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    tokens: int = 0


def lay_out(examples: Sequence[Encoded], share: bool = True) -> Layout:
    """Examples as one flat batch. `share=False` computes every token of every example, for comparison."""
    layout = Layout()
    before: tuple[int, ...] = ()
    path: list[int] = []
    inputs = [example.ids[:-1] for example in examples]  # nothing is predicted from the last token
    for owner in sorted(range(len(examples)), key=inputs.__getitem__):
        example, ids = examples[owner], inputs[owner]
        common = _common(before, ids) if share else 0
        common = min(common, len(ids) - 1)  # a document has at least one token of its own, also when an equal example stands before it
        place = len(layout.ids)
        path = path[:common] + list(range(place, place + len(ids) - common))
        layout.ids += ids[common:]
        layout.positions += range(common, len(ids))
        layout.paths.append(path)
        layout.fresh.append(len(ids) - common)
        layout.after.append(example.after and example.after[: len(ids)])
        predictions = example.predictions
        layout.target_at += [path[place] for place, _ in predictions]
        layout.targets += [token for _, token in predictions]
        layout.owners += [owner] * len(predictions)
        layout.offsets += range(len(predictions))
        layout.tokens += len(example)
        before = ids
    return layout


def plan_steps(order: Sequence[int], encoded: Sequence[Encoded], capacity: int, siblings: int, seed: int) -> list[list[int]]:
    """All of `order` (indices into `encoded`, repeats allowed) as steps of at most `capacity` tokens, near their order.

    Up to `siblings` examples that begin alike go into the same step. First-fit over a bounded number of open steps; deterministic by seed.
    """
    draw = random.Random(f"steps {seed}")
    groups: list[tuple[float, list[int]]] = []
    for members in _rounds(order):
        place = {index: position for position, index in members}
        for group in families(list(place), encoded, capacity, siblings):
            groups.append((place[draw.choice(group)], group))
    return list(_first_fit([group for _, group in sorted(groups)], encoded, capacity))


def families(indices: Sequence[int], encoded: Sequence[Encoded], capacity: int, siblings: int) -> list[list[int]]:
    """Groups of examples of which each shares at least half of its prompt with the one before; at most `siblings` and `capacity` tokens."""
    groups: list[list[int]] = []
    size = 0
    for index in sorted(indices, key=lambda i: encoded[i].ids):
        example = encoded[index]
        near = groups and 2 * _common(encoded[groups[-1][-1]].prompt, example.prompt) >= len(example.prompt)
        if near and len(groups[-1]) < siblings and size + len(example) <= capacity:
            groups[-1].append(index)
            size += len(example)
        else:
            groups.append([index])
            size = len(example)
    return groups


def _rounds(order: Sequence[int]) -> list[list[tuple[int, int]]]:
    """(position, index) of first occurrences, of second ones, and so on: copies of an example never meet in one family."""
    seen: dict[int, int] = {}
    rounds: list[list[tuple[int, int]]] = []
    for position, index in enumerate(order):
        number = seen[index] = seen.get(index, -1) + 1
        if number == len(rounds):
            rounds.append([])
        rounds[number].append((position, index))
    return rounds


def _first_fit(groups: Sequence[list[int]], encoded: Sequence[Encoded], capacity: int) -> Iterator[list[int]]:
    open_steps: list[tuple[int, list[int]]] = []
    for group in groups:
        size = sum(len(encoded[i]) for i in group)
        for number, (used, members) in enumerate(open_steps):
            if used + size <= capacity:
                open_steps[number] = (used + size, members + group)
                break
        else:
            open_steps.append((size, list(group)))
            if len(open_steps) > OPEN_STEPS:
                fullest = max(range(len(open_steps)), key=lambda n: open_steps[n][0])
                yield open_steps.pop(fullest)[1]
    for _, members in open_steps:
        yield members


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the common beginning."""
    for length, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return length
    return min(len(one), len(other))
