"""What real weights lose when an engine's rule is not that of their training: the log probability of gold traces under each.

More sensitive than accuracy, which is the bench's to measure on the server: every token of a trace counts, and nothing is sampled.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from app.memento.grammar import Reader
from app.memento.visibility import Policy
from infra.reasoning.base import Problem, Split
from infra.reasoning.problems import problems
from infra.training.directory import load_model
from infra.training.llama import Batch, answer_logits
from infra.training.packing import Encoded, lay_out
from infra.training.tokens import IDS, Encoder
from infra.training.traces import trace

CPU = torch.device("cpu")

# None: nothing is evicted.
POLICIES: Mapping[str, Policy | None] = {
    "trained": Policy(),
    "early": Policy(summary_end_sees_block=False),
    "delimiters": Policy(keep_delimiters=True),
    "off": None,
    "restart": Policy(restart=True),
}


def chosen(families: Sequence[str], each: int, split: Split, first: int) -> list[Problem]:
    """The same problems as a bench asks on the server."""
    return [made for name in families for made in islice(problems(name, split, first), each)]


def costs(weights: Path, asked: Sequence[Problem], precision: torch.dtype) -> Iterator[dict[str, Any]]:
    """For each problem's trace its mean log probability a token, in nats, under each policy.

    Mementos do not count: where a memento is computed again without its block, it was still written with the block in view, which one pass over
    the trace does not show. What counts are the blocks and the answer, all that is written from mementos.
    """
    model = load_model(weights, precision, CPU).eval()
    encoders = {name: Encoder(weights, policy) for name, policy in POLICIES.items()}
    for made in asked:
        record: dict[str, Any] = {"kind": "trace", "family": made.family, "seed": made.seed}
        for name, encoder in encoders.items():
            (encoded,) = encoder.encode([trace(made)])
            record[name] = round(_log_probability(model, encoded), 6)
        yield record


@torch.no_grad()
def _log_probability(model: Any, encoded: Encoded) -> float:
    batch = Batch.of(lay_out([encoded]), CPU)
    said = answer_logits(model, batch).log_softmax(-1).gather(-1, batch.targets[:, None])[:, 0]
    return float(said[torch.tensor(_counted(encoded))].mean())


def _counted(encoded: Encoded) -> list[bool]:
    """For each token of the answer whether it counts: all but a memento's, from the token after summary_start to summary_end."""
    reader, counted = Reader(IDS), [True] * len(encoded)
    for token in encoded.ids:
        pair = reader.push(token)
        if pair:
            counted[pair.memento + 1 : pair.close + 1] = [False] * (pair.close - pair.memento)
    return counted[len(encoded.prompt) :]
