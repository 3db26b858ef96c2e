"""The toy's whole experiment for one seed: train, probe, serve under wrong rules. A generator of records, so that whoever runs it sees it go on.

A seed decides the model's and the probes' first weights, what is trained on, what is probed and what is answered: two seeds share nothing.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from app.memento.visibility import Policy
from infra.science.decode import right, write
from infra.science.model import Shape, ToyModel
from infra.science.probe import Probing, Site, accuracy, features
from infra.science.rules import TRAINED, measure, rules
from infra.science.toy import Tokens, Toy
from infra.science.train import Trainer, Training
from infra.training.mask import visible_mask

TARGET = 1  # the block whose digits are looked for: the first that has a memento before it, which cannot know them
CPU = torch.device("cpu")  # a model of this size has no work for more
CURVE = 250  # sequences answered for each point of the curve

Record = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    """How much of everything. `points` of the accuracy curve; `sequences` for the accuracy of each rule."""

    shape: Shape = field(default_factory=Shape)
    training: Training = field(default_factory=Training)
    probing: Probing = field(default_factory=Probing)
    sequences: int = 500
    points: int = 10
    distances: tuple[int, ...] = (1, 2, 3, 5, 8)


def run(seed: int, sizes: Sizes, precision: torch.dtype, toy: Toy | None = None) -> Iterator[Record]:
    """Records of kinds `point`, `probe` and `rule`, each with its own fields, and at last `done` with the seconds that all took."""
    started = time.monotonic()
    experiment = _Experiment(seed, sizes, precision, toy or Toy())
    yield from experiment.probe("untrained_", (1,))
    yield from experiment.train()
    yield from experiment.probe("", sizes.distances, others=True)
    yield from measure(experiment.model, experiment.toy, experiment.sample(2, sizes.sequences), min(CURVE, sizes.sequences))
    yield {"kind": "done", "seconds": round(time.monotonic() - started, 1)}


class _Experiment:
    """One seed's model."""

    def __init__(self, seed: int, sizes: Sizes, precision: torch.dtype, toy: Toy) -> None:
        self.seed, self.sizes, self.precision, self.toy = seed, sizes, precision, toy
        self.model = ToyModel(toy.length, seed, sizes.shape)

    def draw(self, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, purpose])

    def sample(self, purpose: int, count: int) -> Tokens:
        return self.toy.sample(self.draw(purpose), count)

    def train(self) -> Iterator[Record]:
        """`point` records: mean loss since the last one, and how many of the same sequences come out right."""
        toy, training = self.toy, self.sizes.training
        trainer = Trainer(self.model, toy, visible_mask(toy.after(TRAINED)), training, self.draw(0), self.precision)
        sequences, rule = self.sample(1, CURVE), rules(toy)["trained"]
        due = {round(training.steps * point / self.sizes.points) for point in range(1, self.sizes.points + 1)}
        losses: list[float] = []
        while not trainer.finished:
            losses.append(trainer.step())
            if trainer.done in due:
                answers, wholes = right(toy, write(self.model, toy, sequences, rule).sequences, sequences)
                shares = {"answer": sum(answers) / len(answers), "whole": sum(wholes) / len(wholes)}
                yield {"kind": "point", "step": trainer.done, "loss": round(sum(losses) / len(losses), 5), **shares}
                losses.clear()

    def probe(self, prefix: str, distances: Sequence[int], others: bool = False) -> Iterator[Record]:
        """`probe` records of the last layer: `kept` at each distance, `restart` at the first. With `others` also `kept` of the layers below,
        `direct` (the block's own memento) and `control` (the memento before it)."""
        top, near = self.model.shape.layers - 1, TARGET + distances[0]
        kept: dict[str, list[Site]] = {"kept": [(TARGET + distance, top) for distance in distances]}
        if others:
            kept["kept"] += [(near, layer) for layer in range(top)]
            kept |= {"direct": [(TARGET, top)], "control": [(TARGET - 1, top)]}
        sequences = self.sample(3, self.sizes.probing.samples)
        labels = sequences[:, list(self.toy.block(TARGET))]
        for policy, named in ((TRAINED, kept), (Policy(restart=True), {"restart": [(near, top)]})):
            mask = visible_mask(self.toy.after(policy))
            found = features(self.model, self.toy, sequences, mask, [site for sites in named.values() for site in sites])
            for name, sites in named.items():
                for memento, layer in sites:
                    reached = accuracy(found.pop((memento, layer)), labels, self.sizes.probing, self.seed, self.precision)
                    where = {"distance": memento - TARGET, "layer": layer + 1}
                    yield {"kind": "probe", "name": prefix + name, **where, "accuracy": round(reached, 5)}
