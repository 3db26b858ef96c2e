"""Rules of an engine that differ from the one the toy was trained on, and what each difference costs."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from app.memento.visibility import NEVER, Policy
from infra.science.decode import Rule, Written, right, write
from infra.science.model import ToyModel
from infra.science.toy import Tokens, Toy

TRAINED = Policy()


def rules(toy: Toy) -> Mapping[str, Rule]:
    """By name. `trained`: as trained. `early`: a block goes one token earlier, before summary_end is computed. `late`: one token later, so that
    the token after summary_end still sees it. `delimiters`: block_start and block_end stay. `full`: nothing is evicted. `restart`: mementos are
    computed again without their blocks."""
    trained = toy.after(TRAINED)
    return {
        "trained": Rule(tuple(trained)),
        "early": Rule(tuple(toy.after(Policy(summary_end_sees_block=False)))),
        "late": Rule(tuple(limit if limit == NEVER else limit + 1 for limit in trained)),
        "delimiters": Rule(tuple(toy.after(Policy(keep_delimiters=True)))),
        "full": Rule((NEVER,) * toy.length),
        "restart": Rule(tuple(trained), recompute=True),
    }


def measure(model: ToyModel, toy: Toy, sequences: Tokens, forced: int) -> Iterator[dict[str, Any]]:
    """For each rule the accuracy of answers and of whole sequences. On the first `forced` sequences, going on from the right sums, also how far
    logits move from those under `trained`: `shift`, the mean over written digits of the greatest change, and `nats` that the right one loses."""
    known = rules(toy)
    trained = write(model, toy, sequences[:forced], known["trained"], forced=True)
    for name, rule in known.items():
        answers, wholes = right(toy, write(model, toy, sequences, rule).sequences, sequences)
        own = write(model, toy, sequences[:forced], rule, forced=True)
        yield {
            "kind": "rule",
            "name": name,
            "answer": sum(answers) / len(answers),
            "whole": sum(wholes) / len(wholes),
            "shift": float((own.logits - trained.logits).abs().amax(-1).mean()),
            "nats": _log_probability(trained, toy) - _log_probability(own, toy),
        }


def _log_probability(written: Written, toy: Toy) -> float:
    """A digit's, on average."""
    wanted = torch.from_numpy(written.sequences[:, list(toy.written)])
    return float(written.logits.log_softmax(-1).gather(-1, wanted[..., None]).mean())
