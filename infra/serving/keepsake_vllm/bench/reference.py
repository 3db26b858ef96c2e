"""The reference: one forward of transformers over the whole stream, nothing evicted, under a mask derived a second time.

The mask here shares no code with `app.memento`. It is worked out from the paper's words (MEMENTO §3: tokens are of a block, a memento or neither;
what follows a finished block and its memento no longer attends to the block): each key has an owner, the pair whose block it is part of, each
query a count of the pairs that are finished before it, and a key is hidden once its owner is among those.

    python -m keepsake_vllm.bench.reference --model DIRECTORY --records FILE --out FILE
"""

import argparse
import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

LETTERS = dict(zip((7, 8, 9, 10), "SEMC", strict=True))  # block start and end, memento, close
# A block runs from the last start before the memento; whatever else stands in it is text. Between block and memento there may be text, too.
PAIR = re.compile("S([^SM]*)M[^SC]*C")


@dataclass(frozen=True)
class Mask:
    """`owners[k]` is the pair whose block key k belongs to, -1 for none. `finished[q]` counts the pairs whose blocks query q no longer sees.
    `rewritten[q]`: a restart computes q's row twice, and its logits come from the first time."""

    owners: list[int]
    finished: list[int]
    rewritten: list[bool]

    def hides(self, query: int, key: int) -> bool:
        return key > query or -1 < self.owners[key] < self.finished[query]

    def additive(self) -> "torch.Tensor":
        """0 where a query sees a key, the lowest float where not. [1, 1, queries, keys]"""
        import torch

        owners, finished = torch.tensor(self.owners)[None], torch.tensor(self.finished)[:, None]
        size = len(self.owners)
        hidden = torch.ones(size, size, dtype=torch.bool).triu(1) | ((owners >= 0) & (owners < finished))
        return torch.zeros(size, size).masked_fill(hidden, torch.finfo(torch.float32).min)[None, None]


def derive(tokens: Sequence[int], policy: dict[str, Any]) -> Mask:
    """The mask of a stream. Keys of `policy` as in app.memento.visibility.Policy, all optional."""
    size = len(tokens)
    owners, rewritten, ends, closes = [-1] * size, [False] * size, [], []
    for number, pair in enumerate(PAIR.finditer("".join(LETTERS.get(token, ".") for token in tokens))):
        start, inside, close = pair.start(), pair[1], pair.end() - 1
        closed = "E" in inside
        end = start + 1 + (inside.index("E") + 1 if closed else len(inside))
        first, last = (start + 1, end - closed) if policy.get("keep_delimiters") else (start, end)
        owners[first:last] = [number] * (last - first)
        ends.append(last)
        closes.append(close)
        if policy.get("restart"):
            rewritten[last:close] = [True] * (close - last)
    count = bisect_left if policy.get("summary_end_sees_block", True) else bisect_right
    if policy.get("restart"):
        closes, count = ends, bisect_right
    kept = policy.get("keep_last_n", 0)
    return Mask(owners, [max(0, count(closes, query) - kept) for query in range(size)], rewritten)


PLAIN: dict[str, Any] = {"keep_last_n": 1 << 30}


class Reference:
    """A model of transformers in fp32 with the plainest of its attentions."""

    def __init__(self, model: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        torch.backends.cuda.matmul.allow_tf32 = False
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, attn_implementation="eager").eval().to(self.device)

    def logprobs(self, tokens: Sequence[int], first: int, mask: Mask) -> "torch.Tensor":
        """Log probabilities of the tokens at indices `first` and later. [tokens - first, vocabulary]"""
        import torch

        with torch.inference_mode():
            logits = self.model(
                input_ids=torch.tensor([tokens], device=self.device),
                attention_mask=mask.additive().to(self.device),
                position_ids=torch.arange(len(tokens), device=self.device)[None],
                logits_to_keep=len(tokens) - first + 1,
                use_cache=False,
            ).logits[0, :-1]
            return torch.log_softmax(logits.float(), -1).cpu()

    def compare(self, record: dict[str, Any]) -> dict[str, Any]:
        """Differences of one answer of the engine, under the mask and, if that hides anything, under a plain causal one."""
        tokens, first = record["prompt"] + record["output"], len(record["prompt"])
        mask = derive(tokens, record["policy"])
        rows = self.logprobs(tokens, first, mask)
        judged = [place for place in range(len(record["output"])) if not mask.rewritten[first + place - 1]]
        differences = [_difference(rows[place], record["logprobs"][place]) for place in judged]
        agree = [int(rows[place].argmax()) == max(record["logprobs"][place], key=lambda pair: pair[1])[0] for place in judged]
        result = {
            "regime": record["regime"],
            "positions": len(judged),
            "max": max(differences, default=0.0),
            "mean": sum(differences) / max(1, len(differences)),
            "agree": sum(agree),
        }
        if mask.finished[-1]:
            plain = self.logprobs(tokens, first, derive(tokens, PLAIN))
            result["plain"] = max(_difference(plain[place], record["logprobs"][place]) for place in judged)
        return result


def _difference(row: "torch.Tensor", pairs: list[tuple[int, float]]) -> float:
    """Greatest difference over the sampled token and the likeliest ones, as the engine names them."""
    return max(abs(float(row[token]) - logprob) for token, logprob in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m keepsake_vllm.bench.reference", description="Compare an engine's answers.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    reference = Reference(options.model)
    with options.records.open() as records, options.out.open("w") as out:
        for line in records:
            record = json.loads(line)
            if "logprobs" in record:
                out.write(json.dumps(reference.compare(record)) + "\n")
                out.flush()


if __name__ == "__main__":
    main()
