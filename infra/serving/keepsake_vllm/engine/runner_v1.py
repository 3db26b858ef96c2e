"""The worker's side, model runner V1 (CPU, and CUDA with VLLM_USE_V2_MODEL_RUNNER=0): slots, lengths and block tables become physical."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from keepsake_vllm.engine.patch import require, wrap
from keepsake_vllm.engine.slots import SlotMover
from keepsake_vllm.engine.step import MementoStep
from keepsake_vllm.engine.timing import move_slots

Method = Callable[..., Any]


def install() -> None:
    """Wrap model runner V1. Raises UnsupportedVLLM."""
    from vllm.v1.worker.block_table import MultiGroupBlockTable
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    require(MultiGroupBlockTable, "add_row", "clear_row")
    wrap(GPUModelRunner, "_update_states", ["scheduler_output"], _update_states)
    wrap(MultiGroupBlockTable, "compute_slot_mapping", ["num_reqs", "query_start_loc", "positions"], _slot_mapping)
    wrap(GPUModelRunner, "_build_attention_metadata", ["num_tokens", "num_reqs", "max_query_len"], _attention_metadata)


def mover_of(runner: Any) -> SlotMover:
    """The runner's mover; a new one when the cache was allocated anew."""
    mover = runner.__dict__.get("_memento_mover")
    if mover is None or mover[0] is not runner.kv_cache_config:
        mover = runner._memento_mover = (runner.kv_cache_config, SlotMover(runner))
    return mover[1]


def _update_states(original: Method) -> Method:
    def update_states(self: Any, scheduler_output: Any) -> Any:
        step: MementoStep | None = getattr(scheduler_output, "memento", None)
        table = self.input_batch.block_table
        if step is not None and (step.rewrites or step.copies.source):
            move_slots(self, mover_of(self), step)
            for rewrite in step.rewrites:
                state = self.requests.get(rewrite.request_id)
                if state is None:
                    continue
                state.block_ids = (list(rewrite.pages),)
                row = self.input_batch.req_id_to_index.get(rewrite.request_id)
                if row is not None:
                    table.clear_row(row)
                    table.add_row(state.block_ids, row)
        result = original(self, scheduler_output)
        self._memento_offsets = table.memento_offsets = table.memento_rows = None
        if step is not None and step.offsets:
            offsets = np.zeros(self.input_batch.num_reqs, dtype=np.int32)
            rows = self.input_batch.req_id_to_index
            for request_id, offset in step.offsets.items():
                offsets[rows[request_id]] = offset
            self._memento_offsets = torch.from_numpy(offsets)
            table.memento_offsets = self._memento_offsets.to(self.device, non_blocking=True)
            table.memento_rows = self.req_indices
        return result

    return update_states


def _slot_mapping(original: Method) -> Method:
    def compute_slot_mapping(
        self: Any, num_reqs: int, query_start_loc: torch.Tensor, positions: torch.Tensor, *args: Any, **kwargs: Any
    ) -> Any:
        offsets = self.__dict__.get("memento_offsets")
        if offsets is not None:
            positions = positions - offsets[self.memento_rows.gpu[: positions.shape[0]]]
        return original(self, num_reqs, query_start_loc, positions, *args, **kwargs)

    return compute_slot_mapping


def _attention_metadata(original: Method) -> Method:
    def build_attention_metadata(self: Any, *args: Any, **kwargs: Any) -> Any:
        # Behind _prepare_inputs, whose mask of rows that are not sampled needs the logical lengths. The buffers are filled anew in each step and
        # metadata are views of them, so they are changed in place and not put back.
        offsets = self.__dict__.get("_memento_offsets")
        if offsets is not None and not kwargs.get("for_cudagraph_capture"):
            rows = offsets.shape[0]
            self.seq_lens[:rows] -= self.input_batch.block_table.memento_offsets
            self.optimistic_seq_lens_cpu[:rows] -= offsets
            self._memento_offsets = None
        return original(self, *args, **kwargs)

    return build_attention_metadata
