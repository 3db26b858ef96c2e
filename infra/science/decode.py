"""The toy's answers as an engine gives them: greedy, token by token, blocks freed from the cache when a rule says so.

The rule may be another than the one trained on; that is how a mismatch is measured. The layout is given, the model writes digits alone.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from infra.science.model import Cache, ToyModel
from infra.science.toy import Tokens, Toy

ROWS = 250  # sequences at a time


@dataclass(frozen=True)
class Rule:
    """What an engine does. `after` is that of `app.memento.visibility.evict_after`. `recompute`: a memento, once written with its block in view,
    is computed again without it at its own positions (the paper's restart)."""

    after: tuple[int, ...]
    recompute: bool = False


@dataclass(frozen=True)
class Written:
    """Sequences (n, length) as they ended, and the logits (n, toy.written, vocabulary) of what was written."""

    sequences: Tokens
    logits: Tensor


def write(model: ToyModel, toy: Toy, sequences: Tokens, rule: Rule, forced: bool = False) -> Written:
    """All sums and the answer as the model writes them, each from what it wrote before; the blocks are those of `sequences`.

    `forced`: it goes on from the sums of `sequences` instead, and only the logits are its own.
    """
    parts = [_Engine(model, toy, rows.clone(), rule, forced).run() for rows in torch.from_numpy(sequences).split(ROWS)]
    return Written(torch.cat([part.sequences for part in parts]).numpy(), torch.cat([torch.stack(part.said, 1) for part in parts]))


def right(toy: Toy, written: Tokens, sequences: Tokens) -> tuple[list[bool], list[bool]]:
    """For each sequence whether its answer is right, and whether its answer and all its running sums are."""
    same = written == sequences
    return same[:, list(toy.answer)].all(1).tolist(), same[:, list(toy.written)].all(1).tolist()


class _Engine:
    """Sequences in step, what is cached of them, and the logits of what they wrote."""

    def __init__(self, model: ToyModel, toy: Toy, sequences: Tensor, rule: Rule, forced: bool) -> None:
        self.model, self.toy, self.sequences, self.rule, self.forced = model, toy, sequences, rule, forced
        self.after = torch.tensor(rule.after)
        self.cache = Cache()
        self.said: list[Tensor] = []

    @torch.no_grad()
    def run(self) -> "_Engine":
        toy, start = self.toy, 0
        for number in range(toy.blocks):
            memento, sums = toy.memento(number), toy.sums(number)
            self._write(start, sums)
            self._feed(sums.stop, memento.stop)
            if self.rule.recompute:
                self.cache.drop(range(toy.block(number).start - 1, memento.stop))
                self._feed(memento.start, memento.stop)
            start = memento.stop
        self._write(start, toy.answer)
        return self

    def _write(self, start: int, places: range) -> None:
        """Read from `start` on, then write at these places."""
        for place in places:
            logits = self._feed(start, place)
            self.said.append(logits)
            if not self.forced:
                self.sequences[:, place] = logits[:, :10].argmax(-1)
            start = place
        if places != self.toy.answer:
            self._feed(start, places.stop)

    def _feed(self, start: int, stop: int) -> Tensor:
        """Compute [start, stop), after freeing what none of these or of later tokens sees; logits after the last of them."""
        self.cache.drop([place for place in self.cache.places if self.rule.after[place] <= start])
        queries = torch.arange(start, stop)[:, None]
        keys = torch.tensor([*self.cache.places, *range(start, stop)])
        mask = (keys <= queries) & (queries < self.after[keys])
        return self.model(self.sequences[:, start:stop], mask, self.cache, torch.tensor([stop - start - 1]), start)[:, 0]
