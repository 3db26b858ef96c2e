"""Directories of weights as models: the base, an earlier run's, one rebuilt from a delta."""

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM
from transformers.utils import logging

from app.config import Settings
from app.errors import InvalidInput, SetupError
from infra.weights.manifest import WEIGHTS, read_manifest

logging.disable_progress_bar()


def base_weights(settings: Settings) -> Path:
    """The directory of the base weights. Raises SetupError when they are not there."""
    directory = settings.weights_dir / "base"
    if read_manifest(directory) is None:
        raise SetupError(f"The base weights are not at {directory}.", hint="Build them first: `make setup`.")
    return directory


def load_model(directory: Path, dtype: torch.dtype, device: torch.device) -> Any:
    """A LlamaForCausalLM with weights of that type. Raises InvalidInput when the directory holds something else."""
    if not (directory / WEIGHTS).is_file():
        raise InvalidInput(f"There are no weights at {directory}.", hint="Give a directory with model.safetensors and config.json.")
    try:
        return LlamaForCausalLM.from_pretrained(directory, dtype=dtype).to(device)
    except (OSError, ValueError, RuntimeError) as error:
        raise InvalidInput(f"{directory} holds no Llama weights: {error}", hint="Only LlamaForCausalLM is trained here.") from error
