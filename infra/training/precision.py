"""In which precision a device trains, and float32 weights behind bfloat16 ones.

On a processor without bfloat16 arithmetic float32 is several times faster (measured on AVX2: 7 times), so the weights are their own master copy.
"""

import ctypes
import os
import sys
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import Parameter

from app.errors import InvalidInput


def pick_device() -> torch.device:
    """The GPU if torch can use one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pick_precision(wanted: Literal["auto", "float32", "bfloat16"], device: torch.device) -> torch.dtype:
    """bfloat16 on GPUs since Ampere and on processors with AMX or AVX-512 BF16; float32 elsewhere."""
    if wanted != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[wanted]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float32
    features = torch.cpu.get_capabilities()
    return torch.bfloat16 if features.get("amx_bf16") or features.get("avx512_bf16") else torch.float32


def prepare_process(threads: int | None) -> None:
    """Threads of this process, and memory that it keeps: activations given back to the kernel at every step cost 5 to 10 % in page faults.

    What is larger than 32 MB is given back: logits of steps of different lengths fitted into no hole, and a heap of 7 GB grew to 19 in 120 steps.
    """
    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    torch.set_flush_denormal(True)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "gnu_get_libc_version"):
            for parameter, value in ((-3, 2**25), (-1, 2**31 - 1), (-2, 2**28)):  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD
                libc.mallopt(parameter, value)


class Weights:
    """Trainable parameters of a model and their float32 masters (the parameters themselves when the model is float32).

    Below `frozen_layers` nothing is trained; tied embeddings then learn as output weights only.
    """

    def __init__(self, model: Any, frozen_layers: int = 0) -> None:
        layers = model.model.layers
        if frozen_layers > len(layers):
            raise InvalidInput(f"train.frozen_layers is {frozen_layers}, the model has {len(layers)} layers.", hint="Freeze fewer.")
        for layer in layers[:frozen_layers]:
            layer.requires_grad_(False)
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.names = [name for name, _ in named]
        self.parameters: list[Parameter] = [p for _, p in named]
        self.copied = any(p.dtype != torch.float32 for p in self.parameters)
        self.masters: list[Tensor] = [p.detach().float().clone() for p in self.parameters] if self.copied else list(self.parameters)

    def collect(self) -> None:
        """Move the gradients of the last backward pass to the masters."""
        if not self.copied:
            return
        for master, parameter in zip(self.masters, self.parameters, strict=True):
            if parameter.grad is not None:
                master.grad = parameter.grad.float()
                parameter.grad = None

    @torch.no_grad()
    def publish(self) -> None:
        """Drop the masters' gradients and make the model's weights follow them."""
        for master in self.masters:
            master.grad = None
        if self.copied:
            for master, parameter in zip(self.masters, self.parameters, strict=True):
                parameter.copy_(master)

    def state(self) -> dict[str, Tensor]:
        return {name: master.detach() for name, master in zip(self.names, self.masters, strict=True)}

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        for name, master in zip(self.names, self.masters, strict=True):
            master.copy_(state[name])
        self.publish()

    def full(self, model: Any) -> Iterable[tuple[str, Tensor]]:
        """All weights of the model in float32, tied ones once."""
        own = self.state()
        for name, parameter in model.named_parameters():
            yield name, own.get(name, parameter.detach().float())
