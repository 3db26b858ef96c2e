"""What a memento's keys and values know of a block that they can no longer see (MEMENTO's probing of the implicit channel).

A sample is a sequence; its features are keys and values, side by side, of all tokens of one memento at one layer; its label are the five digits
of one block. No two of training, validation and test samples have a label in common. Every probe has the same sizes, samples and seeds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from infra.science.model import Cache, ToyModel
from infra.science.toy import Tokens, Toy

ROWS = 250  # sequences at a time
TRAIN, VALIDATION, TEST = range(3)
Site = tuple[int, int]  # number of a memento, number of a layer


@dataclass(frozen=True)
class Probing:
    """A perceptron of 512, 256 and 128 hidden units with a head for each digit, as in the paper."""

    samples: int = 25_000
    epochs: int = 6
    batch: int = 256
    rate: float = 1e-3
    hidden: tuple[int, ...] = (512, 256, 128)
    floor: float = 0.01  # of a principal component's variance


@torch.no_grad()
def features(model: ToyModel, toy: Toy, sequences: Tokens, mask: Tensor, sites: Sequence[Site]) -> dict[Site, Tensor]:
    """Keys and values (n, tokens of a memento * 2 * width) at each site, as float16. `mask` is (length, length)."""
    stop = max(toy.memento(memento).stop for memento, _ in sites)
    seen, first = mask[:stop, :stop], torch.tensor([0])
    found: dict[Site, list[Tensor]] = {site: [] for site in sites}
    for rows in torch.from_numpy(sequences[:, :stop]).split(ROWS):
        cache = Cache()
        model(rows, seen, cache, first)
        for memento, layer in sites:
            at = list(toy.memento(memento))
            both = torch.cat((cache.keys[layer][:, :, at], cache.values[layer][:, :, at]), -1)
            found[memento, layer].append(both.flatten(1).half())
    return {site: torch.cat(parts) for site, parts in found.items()}


def label_parts(labels: Tokens) -> NDArray[np.int64]:
    """Of each sample (n, digits) the part that its label belongs to, by the label alone: TRAIN seven tenths, VALIDATION one, TEST two."""
    code = (labels * 10 ** np.arange(labels.shape[1])).sum(1)
    tenth = (code * 2_654_435_761 % 2**32) % 10  # Knuth's multiplicative hash
    return np.select([tenth < 2, tenth == 2], [TEST, VALIDATION], TRAIN)


def accuracy(found: Tensor, labels: Tokens, config: Probing, seed: int, precision: torch.dtype) -> float:
    """Mean accuracy over digits on test samples, after the epoch that did best on validation samples; chance is 0.1."""
    part, wanted = torch.from_numpy(label_parts(labels)), torch.from_numpy(labels)
    inputs = _whitened(found.float(), part == TRAIN, config.floor)
    best = (0.0, 0.0)
    for probe in _fit(inputs[part == TRAIN], wanted[part == TRAIN], config, seed, precision):
        best = max(best, (_right(probe, inputs, wanted, part == VALIDATION), _right(probe, inputs, wanted, part == TEST)))
    return best[1]


@torch.no_grad()
def _right(probe: nn.Module, inputs: Tensor, wanted: Tensor, chosen: Tensor) -> float:
    said = probe(inputs[chosen]).unflatten(1, (-1, 10)).argmax(-1)
    return float((said == wanted[chosen]).float().mean())


def _whitened(found: Tensor, train: Tensor, floor: float) -> Tensor:
    """Each feature to variance 1 over training samples, then all of them without correlation, principal components of little variance held down.

    Most of a cache's variance is which digits stand there; without this a probe sees little else.
    """
    known = found[train]
    standard = (found - known.mean(0)) / (known.std(0) + 1e-6)
    known = standard[train]
    variances, directions = torch.linalg.eigh(known.T @ known / len(known))
    return standard @ (directions / (variances.clamp_min(0) + floor).sqrt())


def _fit(found: Tensor, labels: Tensor, config: Probing, seed: int, precision: torch.dtype) -> Iterator[nn.Module]:
    """The probe after each epoch."""
    draw = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        probe = _perceptron([found.shape[1], *config.hidden], 10 * labels.shape[1])
    optimizer = torch.optim.AdamW(probe.parameters(), lr=config.rate, weight_decay=0.01, fused=True)
    batches = len(found) // config.batch
    for epoch in range(config.epochs):
        order = torch.randperm(len(found), generator=draw)
        for batch in range(batches):
            chosen = order[batch * config.batch :][: config.batch]
            for group in optimizer.param_groups:
                group["lr"] = config.rate * (1 - (epoch * batches + batch) / (config.epochs * batches))
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
                logits = probe(found[chosen])
            loss = F.cross_entropy(logits.float().unflatten(1, (-1, 10)).flatten(0, 1), labels[chosen].flatten())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        yield probe


def _perceptron(sizes: Sequence[int], outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inside, outside in pairwise(sizes):
        layers += [nn.Linear(inside, outside), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))
