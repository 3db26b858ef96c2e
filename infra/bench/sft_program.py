"""Steps of the embedded model's trainer, timed: a program of the training environment.

    python -m infra.bench.sft_program --base DIRECTORY --mask memento --steps 20 ...

Writes a JSON line a step, and one of the device's peak: the fastest of a few products of two 4096 x 4096 matrices, on the same threads.
"""

import argparse
import json
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

import torch

from app.memento.visibility import Policy
from infra.bench.sft import Shape, step_flops
from infra.training.config import OptimizerConfig, Seeds
from infra.training.directory import load_model
from infra.training.packing import Encoded, lay_out, plan_steps
from infra.training.precision import pick_device, pick_precision, prepare_process
from infra.training.sft import Trainer
from infra.training.tokens import Encoder
from infra.training.traces import traces

SIDE, TRIES = 4096, 3
SEEDS = 50  # of each family at a time


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m infra.bench.sft_program", description="Time training steps.")
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--mask", choices=("causal", "memento"), required=True)
    parser.add_argument("--families", required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--warmup", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--tokens-per-step", type=int, default=None)
    options = parser.parse_args()

    prepare_process(options.threads)
    device = pick_device()
    dtype = pick_precision("auto", device)
    on_gpu = device.type == "cuda"
    capacity = options.tokens_per_step or (8192 if on_gpu else 2048)
    encoder = Encoder(options.base, Policy() if options.mask == "memento" else None)
    encoded, steps = _plan(encoder, options.families.split(","), options.seed, capacity, options.warmup + options.steps)
    model = load_model(options.base, dtype, device)
    trainer = Trainer(model, encoded, steps, OptimizerConfig(), device)
    shape = _shape(model)
    _say(
        kernel="padded SDPA" if on_gpu else "chunks of visible keys",
        device=torch.cuda.get_device_name(device) if on_gpu else "processor",
        threads=torch.get_num_threads(),
        dtype=str(dtype).removeprefix("torch."),
    )
    while not trainer.finished:
        layout = lay_out([encoded[i] for i in steps[trainer.done]])
        started = time.perf_counter()
        done = trainer.step()
        seconds = time.perf_counter() - started
        if done.number > options.warmup:
            _say(step=done.number, seconds=seconds, tokens=done.tokens, loss=done.loss, flops=step_flops(shape, layout))
    _say(peak=max(_peak(dtype, device), _peak(torch.bfloat16, device)))


def _plan(encoder: Encoder, families: list[str], seed: int, capacity: int, wanted: int) -> tuple[list[Encoded], list[list[int]]]:
    """As many steps as wanted, of traces that fit into one."""
    encoded: list[Encoded] = []
    for start in count(seed * 10_000, SEEDS):
        made = list(traces(tuple(families), Seeds(start=start, stop=start + SEEDS), "train"))
        encoded += [example for example in encoder.encode(made) if len(example) <= capacity]
        steps = plan_steps(range(len(encoded)), encoded, capacity, 1, seed)
        if len(steps) >= wanted:
            return encoded, steps[:wanted]
    raise AssertionError  # count does not end


def _shape(model: Any) -> Shape:
    config = model.config
    body = sum(p.numel() for p in model.model.layers.parameters()) + model.model.norm.weight.numel()
    return Shape(body, config.num_hidden_layers, config.num_attention_heads * config.head_dim, config.hidden_size * config.vocab_size)


@torch.no_grad()
def _peak(dtype: torch.dtype, device: torch.device) -> float:
    """FLOP/s of the best try."""
    a, b = (torch.randn(SIDE, SIDE, device=device).to(dtype) for _ in range(2))
    best = 0.0
    for _ in range(TRIES + 1):
        started = time.perf_counter()
        product = a @ b
        float(product[0, 0])  # waits for it
        best = max(best, 2 * SIDE**3 / (time.perf_counter() - started))
    return best


def _say(**line: Any) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
