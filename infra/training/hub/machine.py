"""What this process runs on, and what a recipe may ask of it."""

from dataclasses import dataclass

import torch
from transformers import AutoConfig

from app.errors import InvalidInput
from infra.bench.base import device as processor
from infra.training.hub.config import HubRecipe
from infra.training.hub.memory import GIB
from infra.training.hub.pretrained import Pretrained
from infra.training.precision import pick_device


@dataclass(frozen=True)
class Machine:
    """A GPU, or the processor."""

    device: torch.device

    @classmethod
    def here(cls) -> "Machine":
        return cls(pick_device())

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def name(self) -> str:
        return torch.cuda.get_device_name(self.device) if self.on_gpu else processor()

    @property
    def precision(self) -> str:
        """Of products; what is trained is float32 everywhere."""
        return "bfloat16" if self.on_gpu else "float32"

    @property
    def memory_gib(self) -> float | None:
        """Of the device; None on a processor, where the recipe's figure is held to."""
        return torch.cuda.get_device_properties(self.device).total_memory / GIB if self.on_gpu else None

    def loaded(self, recipe: HubRecipe) -> torch.dtype:
        """Of weights in memory: a base that is only read is bfloat16 where that is fast."""
        return torch.bfloat16 if recipe.lora.r and self.on_gpu else torch.float32

    def require(self, recipe: HubRecipe, model: Pretrained) -> None:
        """InvalidInput for what cannot be done here, or nowhere."""
        hardware, lora = recipe.hardware, recipe.lora
        if not self.on_gpu and (hardware.attention == "flex" or hardware.parallel == "fsdp2"):
            what = "attention=flex" if hardware.attention == "flex" else "parallel=fsdp2"
            raise InvalidInput(
                f"hardware.{what} needs a GPU, and there is none.", hint="attention=sdpa and parallel=none or ddp run anywhere."
            )
        if hardware.parallel == "fsdp2" and lora.r and lora.token_rows and model.shape.tie_word_embeddings:
            raise InvalidInput(
                "FSDP2 cannot shard tied embeddings whose token rows are trained.", hint="Set hardware.parallel=ddp: such models are small."
            )


def stored_dtype(model: Pretrained) -> torch.dtype:
    """In which a model's weights stand on disk."""
    return AutoConfig.from_pretrained(model.directory).dtype or torch.bfloat16
