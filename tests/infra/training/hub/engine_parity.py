"""What the training mask makes of the tokens that the engine said: runs in the training environment.

.venv-train/bin/python -m tests.infra.training.hub.engine_parity DIRECTORY
prints {"off": ..., "plain": ..., "rows": ...}: greatest difference in log probability under the mask, and under a plain causal one
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from app.memento.grammar import TokenIds
from app.memento.visibility import Policy
from infra.training.hub.hook import attach_mask

IDS = TokenIds(7, 8, 9, 10)


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    answers = json.loads((folder / "answers.json").read_text())
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32, attn_implementation="sdpa").eval()
    found = {}
    for name, policy in (("off", Policy()), ("plain", None)):
        hook = attach_mask(model, IDS, policy)
        worst, rows = 0.0, 0
        for answer in answers:
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([answer["tokens"]]), use_cache=False).logits[0, answer["prompt"] - 1 : -1]
            for row, said in zip(logits.log_softmax(-1), answer["rows"], strict=True):
                worst, rows = max(worst, *(abs(float(row[token]) - logprob) for token, logprob in said)), rows + 1
        hook.remove()
        found[name], found["rows"] = worst, rows
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
