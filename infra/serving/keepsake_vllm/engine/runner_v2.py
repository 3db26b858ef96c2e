"""The worker's side, model runner V2 (vLLM's default on CUDA). Written against its source; it needs Triton and has not run here."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from keepsake_vllm.engine.patch import require, wrap
from keepsake_vllm.engine.runner_v1 import mover_of
from keepsake_vllm.engine.step import MementoStep
from keepsake_vllm.engine.timing import move_slots

Method = Callable[..., Any]


def install() -> None:
    """Wrap model runner V2. Raises UnsupportedVLLM."""
    from vllm.v1.worker.gpu.block_table import BlockTables
    from vllm.v1.worker.gpu.model_runner import GPUModelRunner

    require(BlockTables, "append_block_ids", "compute_slot_mappings", "gather_block_tables")
    wrap(GPUModelRunner, "update_requests", ["scheduler_output"], _update_requests)
    wrap(GPUModelRunner, "prepare_attn", ["input_batch"], _prepare_attn)
    wrap(GPUModelRunner, "sample", ["hidden_states", "input_batch", "grammar_output"], _sample)


def _update_requests(original: Method) -> Method:
    def update_requests(self: Any, scheduler_output: Any) -> Any:
        step: MementoStep | None = getattr(scheduler_output, "memento", None)
        self._memento_offsets = step.offsets if step is not None else {}
        if step is not None and (step.rewrites or step.copies.source):
            move_slots(self, mover_of(self), step)
            for rewrite in step.rewrites:
                row = self.req_states.req_id_to_index.get(rewrite.request_id)
                if row is not None:
                    self.block_tables.append_block_ids(row, (list(rewrite.pages),), overwrite=True)
        return original(self, scheduler_output)

    return update_requests


def _prepare_attn(original: Method) -> Method:
    def prepare_attn(self: Any, input_batch: Any) -> Any:
        """Attention gets physical lengths and slots. The buffers keep their addresses, for CUDA graphs read them; positions stay logical."""
        told: dict[str, int] = self.__dict__.get("_memento_offsets") or {}
        input_batch.memento_offsets = None
        if not any(request_id in told for request_id in input_batch.req_ids):
            return original(self, input_batch)
        offsets = np.array([told.get(request_id, 0) for request_id in input_batch.req_ids], dtype=np.int32)
        rows, tokens = len(offsets), input_batch.num_tokens
        input_batch.memento_offsets = torch.from_numpy(offsets).to(self.device, non_blocking=True)
        input_batch.seq_lens[:rows] -= input_batch.memento_offsets
        input_batch.seq_lens_cpu_upper_bound[:rows] -= torch.from_numpy(offsets)
        per_token = torch.from_numpy(np.repeat(offsets, input_batch.num_scheduled_tokens[:rows])).to(self.device, non_blocking=True)
        logical = input_batch.positions
        input_batch.positions = logical.clone()
        input_batch.positions[:tokens] -= per_token
        try:
            return original(self, input_batch)
        finally:
            input_batch.positions = logical

    return prepare_attn


def _sample(original: Method) -> Method:
    def sample(self: Any, hidden_states: Any, input_batch: Any, grammar_output: Any) -> Any:
        """The sampler tells an unfinished prefill by its length, which must be logical again; the forward pass has been launched before."""
        offsets = getattr(input_batch, "memento_offsets", None)
        if offsets is not None:
            input_batch.seq_lens[: offsets.shape[0]] += offsets
            input_batch.memento_offsets = None
        return original(self, hidden_states, input_batch, grammar_output)

    return sample
