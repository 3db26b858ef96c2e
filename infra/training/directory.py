"""Directories of weights as models: the base, an earlier run's, one rebuilt from a delta."""

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM
from transformers.utils import logging

from app.config import Settings
from app.errors import InvalidInput, SetupError
from infra.lock import exclusive
from infra.weights.delta import apply_delta
from infra.weights.manifest import WEIGHTS, read_manifest
from infra.weights.shipped import shipped_deltas

logging.disable_progress_bar()


def base_weights(settings: Settings) -> Path:
    """The directory of the base weights. Raises SetupError when they are not there."""
    directory = settings.weights_dir / "base"
    if read_manifest(directory) is None:
        raise SetupError(f"The base weights are not at {directory}.", hint="Build them first: `make setup`.")
    return directory


def first_weights(settings: Settings, init: str) -> Path:
    """The directory that `train.init` means: the base, a shipped delta (rebuilt if need be), a run on this machine, or a directory.

    Raises InvalidInput, SetupError.
    """
    if init == "base":
        return base_weights(settings)
    deltas = {delta.name: delta for delta in shipped_deltas()}
    if init not in deltas:
        for directory in (settings.home / "training" / "runs" / Path(init).name / "tuned", Path(init)):
            if (directory / WEIGHTS).is_file():
                return directory
        raise InvalidInput(
            f"train.init is `{init}`.", hint=f"base, one of {', '.join(deltas)}, a finished run's name, or a directory of weights."
        )
    delta = deltas[init]
    directory = settings.home / "training" / "first" / f"{init}-{delta.rebuilt[:12]}"
    directory.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(directory.with_suffix(".lock"), f"{init}: another process rebuilds it, waiting"):
        known = read_manifest(directory)
        if known is None or known.weights != delta.rebuilt:
            apply_delta(base_weights(settings), delta.path(), directory)
    return directory


def load_model(directory: Path, dtype: torch.dtype, device: torch.device) -> Any:
    """A LlamaForCausalLM with weights of that type. Raises InvalidInput when the directory holds something else."""
    if not (directory / WEIGHTS).is_file():
        raise InvalidInput(f"There are no weights at {directory}.", hint="Give a directory with model.safetensors and config.json.")
    try:
        return LlamaForCausalLM.from_pretrained(directory, dtype=dtype).to(device)
    except (OSError, ValueError, RuntimeError) as error:
        raise InvalidInput(f"{directory} holds no Llama weights: {error}", hint="Only LlamaForCausalLM is trained here.") from error
