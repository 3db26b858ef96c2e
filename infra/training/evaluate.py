"""Exact match of greedy answers without generating them.

When the most likely token is the right one at every place of the answer, greedy decoding gives exactly that answer; where it is not, greedy
decoding goes wrong at the first such place. One forward pass tells.
"""

import gc
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import BaseModel

from infra.training.directory import load_model
from infra.training.examples import Example
from infra.training.llama import Batch, answer_logits
from infra.training.manifest import write_json
from infra.training.monitor import Monitor
from infra.training.packing import Encoded, lay_out
from infra.training.run_folder import StopSignal
from infra.training.tokens import Encoder

BATCH_TOKENS = 4096


class Share(BaseModel):
    """`exact` of `n` answers are right from first token to last."""

    n: int
    exact: int

    @property
    def value(self) -> float:
        return self.exact / self.n


class Failure(BaseModel):
    """An answer that goes wrong: right `upto`, then `got` in place of `want`."""

    role: str
    family: str
    kind: str
    seed: int
    prompt: str
    gold: str
    upto: str
    got: str
    want: str


class Report(BaseModel):
    """Exact match over all, per role, per family, per decision type; `loss` is nats a token."""

    all: Share
    roles: dict[str, Share]
    families: dict[str, Share]
    kinds: dict[str, Share]
    loss: float
    failures: list[Failure]

    @property
    def summary(self) -> dict[str, Any]:
        """Figures for a manifest: shares and counts, without failures and kinds."""
        return {
            "exact": round(self.all.value, 4),
            "n": self.all.n,
            "loss": round(self.loss, 4),
            "roles": {name: round(share.value, 4) for name, share in self.roles.items()},
            "families": {name: round(share.value, 4) for name, share in self.families.items()},
        }


@torch.no_grad()
def evaluate(
    model: Any,
    encoder: Encoder,
    examples: Sequence[Example],
    device: torch.device,
    advance: Callable[[int], None] = lambda _: None,
    batch_tokens: int = BATCH_TOKENS,
) -> Report:
    """Measure `model` on held-out examples; `advance` is told the number of examples done. At least one example."""
    encoded = encoder.encode(examples)
    model.eval()
    wrong: dict[int, tuple[int, int]] = {}  # example -> place in its answer, token that came instead
    loss, targets = 0.0, 0
    for part in _batches(encoded, batch_tokens):
        layout = lay_out([encoded[i] for i in part])
        batch = Batch.of(layout, device)
        logits = answer_logits(model, batch)
        loss += float(F.cross_entropy(logits, batch.targets, reduction="sum"))
        targets += len(layout.targets)
        for place, token in enumerate(logits.argmax(-1).tolist()):
            example = part[layout.owners[place]]
            if token != layout.targets[place] and (example not in wrong or layout.offsets[place] < wrong[example][0]):
                wrong[example] = (layout.offsets[place], token)
        advance(len(part))
    return _report(encoder, examples, encoded, wrong, loss / targets if targets else math.nan)


def _batches(encoded: Sequence[Encoded], tokens: int) -> list[list[int]]:
    """Alike examples together, so that as much as possible is computed once."""
    batches: list[list[int]] = []
    used = tokens
    for i in sorted(range(len(encoded)), key=lambda i: encoded[i].ids):
        if used + len(encoded[i]) > tokens:
            batches.append([])
            used = 0
        batches[-1].append(i)
        used += len(encoded[i])
    return batches


def _report(
    encoder: Encoder, examples: Sequence[Example], encoded: Sequence[Encoded], wrong: dict[int, tuple[int, int]], loss: float
) -> Report:
    tables: dict[str, dict[str, Share]] = {name: defaultdict(lambda: Share(n=0, exact=0)) for name in ("role", "family", "kind")}
    failures = []
    for i, example in enumerate(examples):
        for name, table in tables.items():
            share = table[getattr(example, name)]
            share.n += 1
            share.exact += i not in wrong
        if i in wrong:
            place, got = wrong[i]
            answer = [token for _, token in encoded[i].predictions]
            failures.append(
                Failure(
                    role=example.role,
                    family=example.family,
                    kind=example.kind,
                    seed=example.seed,
                    prompt=example.prompt,
                    gold=example.completion,
                    upto=encoder.text(answer[:place]),
                    got=encoder.text([got]),
                    want=encoder.text([answer[place]]),
                )
            )
    roles, families, kinds = (dict(sorted(table.items())) for table in tables.values())
    exact = len(examples) - len(wrong)
    return Report(all=Share(n=len(examples), exact=exact), roles=roles, families=families, kinds=kinds, loss=loss, failures=failures)


def measure(
    name: str,
    weights: Path,
    encoder: Encoder,
    examples: list[Example],
    dtype: torch.dtype,
    device: torch.device,
    stop: StopSignal | None = None,
) -> Report:
    """Exact match of the weights in a directory. Raises Stopped when a signal came meanwhile."""
    model = load_model(weights, dtype, device)
    with Monitor(name, len(examples)) as monitor:

        def advance(n: int) -> None:
            monitor.advance(n)
            if stop:
                stop.check()

        report = evaluate(model, encoder, examples, device, advance)
    del model
    gc.collect()
    return report


def write_report(folder: Path, name: str, report: Report) -> None:
    """`<name>.json` with all shares, `<name>.failures.json` with every answer that goes wrong and its first wrong token."""
    write_json(folder / f"{name}.json", report.model_dump(exclude={"failures"}))
    write_json(folder / f"{name}.failures.json", [failure.model_dump() for failure in report.failures])
