"""Two processes of torchrun without a GPU: a job under DDP whose first gradients are kept, and a model in FSDP2's shards against a whole one."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback
from trl.trainer.utils import add_fused_lm_head

from app.config import Settings
from app.memento.visibility import Policy
from infra.training.hub.config import LoraConfig, load_hub_recipe
from infra.training.hub.hook import attach_mask
from infra.training.hub.job import HubJob
from infra.training.hub.lora import with_adapter
from infra.training.hub.processes import is_main


class GradientJob(HubJob):
    """Keeps the gradients of the first step of the memento stage."""

    gradients: dict[str, torch.Tensor]

    def _trainer(self, number: int, *rest: Any) -> Any:
        trainer = super()._trainer(number, *rest)
        trainer.add_callback(_Keep(self, number))
        return trainer


class _Keep(TrainerCallback):
    def __init__(self, job: GradientJob, number: int) -> None:
        self.job, self.number = job, number

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if self.number == len(self.job.recipe.stages) and state.global_step == 0:
            named = ((name.removeprefix("module."), p) for name, p in model.named_parameters())
            self.job.gradients = {name: p.grad.clone() for name, p in named if p.grad is not None}


def sharded() -> dict[str, float]:
    """Greatest differences of loss and gradient, relative, between a model in shards and the same one whole."""
    from tests.infra.training.hub.hub_claims import IDS, build, padded, stream

    rows = padded([stream(3, 7), stream(2, 8)])
    found: list[tuple[float, dict[str, torch.Tensor]]] = []
    for cut in (False, True):
        model = with_adapter(build("llama", tie_word_embeddings=False), LoraConfig(r=4), IDS, None).train()
        attach_mask(model, IDS, Policy())
        add_fused_lm_head(model.get_base_model(), outputs=("log_probs", "entropy", "is_top1"))
        if cut:
            for layer in model.get_base_model().model.layers:
                fully_shard(layer)
            fully_shard(model)
            assert all(isinstance(parameter, DTensor) for parameter in model.parameters())
        loss = model(**rows, fused_lm_head=True).loss
        loss.backward()
        grads = {
            n: p.grad.full_tensor() if isinstance(p.grad, DTensor) else p.grad for n, p in model.named_parameters() if p.grad is not None
        }
        found.append((float(loss.detach()), grads))
    (whole, expected), (parts, got) = found
    assert expected.keys() == got.keys()
    return {
        "loss": abs(whole - parts),
        "gradient": max(float((got[n] - g).abs().max() / max(1e-3, float(g.abs().max()))) for n, g in expected.items()),
    }


def main(folder: Path) -> None:
    from tests.infra.training.hub.tiny import prepared, write_hub_recipe

    torch.set_num_threads(1)
    path = folder / "tiny.yaml"
    if is_main():
        prepared(folder)
        write_hub_recipe(folder, records=8, train={"epochs": 1})
        (folder / "ready").touch()
    while not (folder / "ready").exists():
        time.sleep(0.1)
    job = GradientJob(Settings(home=folder), load_hub_recipe(path, ["name=double", "parallel=ddp", "processes=2"]))
    job.start()
    shards = sharded()
    if is_main():
        torch.save(job.gradients, folder / "gradients.pt")
        (folder / "sharded.json").write_text(json.dumps(shards))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
