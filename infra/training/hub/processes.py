"""The processes that train one model together: who this one is, and torchrun in this one's place where a recipe wants more than one."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from app.errors import InvalidInput
from infra.training.hub.config import HubRecipe


def world() -> int:
    """Processes that torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


def under_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def require_world(recipe: HubRecipe) -> None:
    """InvalidInput unless as many processes run as the recipe says."""
    if world() != recipe.hardware.processes:
        raise InvalidInput(
            f"{world()} processes were started, the recipe is for {recipe.hardware.processes}.",
            hint=f"torchrun --nproc-per-node {recipe.hardware.processes} ..., or hardware.processes={world()} with its hardware.parallel.",
        )


def launch(recipe: HubRecipe, arguments: Sequence[str], execute: Callable[..., Any] = os.execv) -> None:
    """Become torchrun with all processes on this machine, where the recipe wants them and torchrun has not started us; else return."""
    if recipe.hardware.parallel == "none" or under_torchrun():
        return
    options = ["--standalone", "--nproc-per-node", str(recipe.hardware.processes)]
    sys.stdout.flush()
    sys.stderr.flush()
    execute(sys.executable, [sys.executable, "-m", "torch.distributed.run", *options, "-m", "infra.training.hub", *arguments])
