"""Training the toy under a memento mask. The loss is that of what the model writes, sums and answer: the blocks' digits are random."""

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from infra.science.model import ToyModel
from infra.science.muon import Muon
from infra.science.toy import Toy


@dataclass(frozen=True)
class Training:
    """Muon for the layers' matrices, AdamW for all else; both rates rise over `warmup` steps and fall as a cosine. Fresh sequences every step."""

    steps: int = 1200
    batch: int = 32
    matrix_rate: float = 0.02
    rate: float = 3e-3
    warmup: int = 30
    clip: float = 1.0


class Trainer:
    """Takes `model`, whose float32 weights are the masters, through its steps; the passes themselves run in `precision`."""

    def __init__(
        self, model: ToyModel, toy: Toy, mask: Tensor, config: Training, draw: np.random.Generator, precision: torch.dtype
    ) -> None:
        self.model, self.toy, self.mask, self.config, self.draw = model, toy, mask[:-1, :-1], config, draw
        self.worker = copy.deepcopy(model).to(precision)
        self.written = torch.tensor(toy.written)
        matrices = [p for p in model.layers.parameters() if p.dim() == 2]
        self.muon = Muon(matrices)
        known = set(map(id, matrices))
        others = [p for p in model.parameters() if id(p) not in known]
        self.adam = torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
        self.done = 0

    @property
    def finished(self) -> bool:
        return self.done >= self.config.steps

    def step(self) -> float:
        """The next step; its loss in nats a digit."""
        config, sequences = self.config, torch.from_numpy(self.toy.sample(self.draw, self.config.batch))
        logits = self.worker(sequences[:, :-1], self.mask, only=self.written - 1)
        loss = F.cross_entropy(logits.float().flatten(0, 1), sequences[:, self.written].flatten())
        loss.backward()
        self._take_gradients()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip)
        scale = min((self.done + 1) / config.warmup, (1 + math.cos(math.pi * self.done / config.steps)) / 2)
        self.muon.step(config.matrix_rate * scale)
        for group in self.adam.param_groups:
            group["lr"] = config.rate * scale
        self.adam.step()
        self._give_weights()
        self.done += 1
        return float(loss.detach())

    def _take_gradients(self) -> None:
        for master, worker in zip(self.model.parameters(), self.worker.parameters(), strict=True):
            master.grad, worker.grad = worker.grad.float(), None

    @torch.no_grad()
    def _give_weights(self) -> None:
        for master, worker in zip(self.model.parameters(), self.worker.parameters(), strict=True):
            worker.copy_(master)
