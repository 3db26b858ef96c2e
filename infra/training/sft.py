"""Supervised fine-tuning: one pass over planned steps, AdamW on float32 weights, exact resume. Knows nothing of recipes' files or manifests."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from infra.training.config import OptimizerConfig
from infra.training.llama import Batch, answer_loss
from infra.training.packing import Encoded, lay_out
from infra.training.precision import Weights


@dataclass(frozen=True)
class Step:
    """What one step did. `tokens` were learned from, `computed` of them computed; `norm` is the gradient's before clipping."""

    number: int
    loss: float
    lr: float
    norm: float
    tokens: int
    computed: int
    examples: int


class Trainer:
    """Takes `model` through `steps`, lists of indices into `encoded`. `done` counts the steps that are behind it."""

    def __init__(
        self,
        model: Any,
        encoded: Sequence[Encoded],
        steps: Sequence[Sequence[int]],
        config: OptimizerConfig,
        device: torch.device,
        frozen_layers: int = 0,
    ) -> None:
        self.model = model
        self.encoded = encoded
        self.steps = steps
        self.config = config
        self.device = device
        self.frozen_layers = frozen_layers
        self.done = 0
        self.weights = Weights(model, frozen_layers)
        self.optimizer = torch.optim.AdamW(
            self.weights.masters, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay, fused=True
        )

    @property
    def finished(self) -> bool:
        return self.done >= len(self.steps)

    def rate(self, step: int) -> float:
        """Learning rate of a step: linear warm-up, then linear decay that would reach zero one step after the last."""
        warmup, total = self.config.warmup_steps, len(self.steps)
        rising = (step + 1) / warmup if step < warmup else 1.0
        falling = (total - step) / max(1, total - warmup)
        return self.config.lr * min(rising, falling, 1.0)

    def step(self) -> Step:
        """The next step. Its number is `done` afterwards."""
        chosen = [self.encoded[i] for i in self.steps[self.done]]
        layout = lay_out(chosen)
        lr = self.rate(self.done)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.model.train()
        loss = answer_loss(self.model, Batch.of(layout, self.device), self.frozen_layers)
        loss.backward()
        self.weights.collect()
        norm = torch.nn.utils.clip_grad_norm_(self.weights.masters, self.config.clip)
        self.optimizer.step()
        self.weights.publish()
        self.done += 1
        return Step(self.done, float(loss.detach()), lr, float(norm), layout.tokens, len(layout.ids), len(chosen))

    def state(self) -> dict[str, Any]:
        """All that decides what comes next; holds references, save it before the next step."""
        return {
            "done": self.done,
            "weights": self.weights.state(),
            "optimizer": self.optimizer.state_dict(),
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.done = state["done"]
        self.weights.load(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"])
        if state["cuda_rng"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_rng"], self.device)
