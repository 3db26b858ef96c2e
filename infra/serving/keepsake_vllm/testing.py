"""Outputs written in advance, for tests and measurements: `--logits-processors keepsake_vllm.testing:ScriptedLogits`."""

from typing import Any

import torch
from vllm.v1.sample.logits_processor import LogitsProcessor
from vllm.v1.sample.logits_processor.interface import MoveDirectionality


class ScriptedLogits(LogitsProcessor):
    """Forces the tokens of a request's `script` (extra argument, a list of ids), one per position; -1, and all behind the script, is the model's
    choice. With raw_logprobs the reported log-probabilities are those of the model. Model runner V1, without async scheduling."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:  # noqa: ARG002 - vLLM's interface
        self.rows: dict[int, tuple[list[int], list[int]]] = {}

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: Any) -> None:
        if batch_update is None:
            return
        for row in batch_update.removed:
            self.rows.pop(row, None)
        for row, params, _, output in batch_update.added:
            self.rows.pop(row, None)
            script = (params.extra_args or {}).get("script")
            if script:
                self.rows[row] = (script, output)
        for source, target, direction in batch_update.moved:
            moved, other = self.rows.pop(source, None), self.rows.pop(target, None)
            if moved is not None:
                self.rows[target] = moved
            if direction == MoveDirectionality.SWAP and other is not None:
                self.rows[source] = other

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        for row, (script, output) in self.rows.items():
            at = len(output)
            if at < len(script) and script[at] >= 0:
                logits[row].fill_(float("-inf"))
                logits[row, script[at]] = 0.0
        return logits
