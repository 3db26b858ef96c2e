"""A step's moves, timed if the server was asked for statistics."""

import json
import time
from typing import Any, TextIO

from keepsake_vllm.engine.options import server_options
from keepsake_vllm.engine.slots import SlotMover
from keepsake_vllm.engine.step import MementoStep


def move_slots(runner: Any, mover: SlotMover, step: MementoStep) -> None:
    """Carry out compactions, then copies. With the option `stats`, one JSON line per step goes to `<stats>.worker`; on CUDA that waits for the
    device, which an unmeasured server never does."""
    stats = _stats(runner)
    if stats is None:
        mover.move(step.compactions.source, step.compactions.target)
        mover.move(step.copies.source, step.copies.target)
        return
    _wait(runner)
    started = time.perf_counter()
    mover.move(step.compactions.source, step.compactions.target)
    mover.move(step.copies.source, step.copies.target)
    _wait(runner)
    took = (time.perf_counter() - started) * 1e6
    moved = len(step.compactions.source) + len(step.copies.source)
    stats.write(json.dumps({"compactions": step.events, "moved": moved, "us": round(took, 1)}) + "\n")


def _stats(runner: Any) -> TextIO | None:
    if "_memento_stats" not in runner.__dict__:
        path = server_options(runner.vllm_config.additional_config).stats
        runner._memento_stats = open(f"{path}.worker", "a", buffering=1) if path else None  # noqa: SIM115 - as long as the worker
    return runner._memento_stats


def _wait(runner: Any) -> None:
    if runner.device.type == "cuda":
        import torch

        torch.cuda.synchronize(runner.device)
