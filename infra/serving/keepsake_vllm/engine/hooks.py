"""The methods of vLLM's scheduler and cache manager that are wrapped, and how. Each does as vLLM does for requests without a memory."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from keepsake_vllm.api.reasoning import configure
from keepsake_vllm.engine.guard import Guard, Masks
from keepsake_vllm.engine.options import server_options
from keepsake_vllm.engine.patch import require, wrap
from keepsake_vllm.engine.scheduling import Mementos
from keepsake_vllm.engine.support import refuse_unsupported

Method = Callable[..., Any]


def install() -> None:
    """Wrap vLLM's scheduler and cache manager. Raises UnsupportedVLLM."""
    from vllm.v1.core.kv_cache_coordinator import KVCacheCoordinator
    from vllm.v1.core.kv_cache_manager import KVCacheManager
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.core.sched.scheduler import Scheduler
    from vllm.v1.structured_output import StructuredOutputManager

    require(SchedulerOutput, "has_structured_output_requests", "pending_structured_output_tokens")
    wrap(Scheduler, "__init__", ["vllm_config", "kv_cache_config"], _init)
    wrap(Scheduler, "add_request", ["request"], _add_request)
    wrap(Scheduler, "schedule", [], _schedule)
    wrap(Scheduler, "_preempt_request", ["request", "timestamp"], _preempt)
    wrap(Scheduler, "_free_request", ["request"], _free)
    wrap(Scheduler, "update_from_output", ["scheduler_output", "model_runner_output"], _update)
    wrap(Scheduler, "get_grammar_bitmask", ["scheduler_output"], _bitmask)
    if hasattr(Scheduler, "_reserve_prefill_lookahead"):
        wrap(Scheduler, "_reserve_prefill_lookahead", ["request", "num_computed_tokens", "num_new_tokens"], _clip_chunk)
    else:  # before vLLM 0.30 this is the one method called for running and waiting requests alike, before their pages are allocated
        wrap(Scheduler, "_mamba_block_aligned_split", ["request", "num_new_tokens", "num_new_local_computed_tokens"], _clip_chunk_early)
    wrap(KVCacheManager, "get_computed_blocks", ["request"], _computed_blocks)
    wanted = ("num_new_computed_tokens", "new_computed_blocks", "delay_cache_blocks", "full_sequence_must_fit")
    wrap(KVCacheManager, "allocate_slots", ["request", "num_new_tokens", *wanted], _allocate)
    for coordinator in (KVCacheCoordinator, *KVCacheCoordinator.__subclasses__()):
        if "cache_blocks" in coordinator.__dict__:
            wrap(coordinator, "cache_blocks", ["request", "num_computed_tokens"], _cache_blocks)
    if hasattr(StructuredOutputManager, "accept_tokens"):
        wrap(StructuredOutputManager, "accept_tokens", ["request", "new_token_ids"], _accept)
        wrap(StructuredOutputManager, "_get_constraint_bounds", ["request", "spec_tokens"], _bounds)
    else:
        wrap(StructuredOutputManager, "should_advance", ["request"], _should_advance)
        wrap(StructuredOutputManager, "should_fill_bitmask", ["request"], _should_fill)


# Scheduler


def _init(original: Method) -> Method:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        options = server_options(self.vllm_config.additional_config)
        self.memento = None
        if options.enabled:
            refuse_unsupported(self, options)
            self.memento = Mementos(self, options)
            configure(options)  # of this process too, whose structured outputs ask the reasoning parser
            if not hasattr(type(self), "_reserve_prefill_lookahead"):
                self.need_mamba_block_aligned_split = True
        self.kv_cache_manager.memento = self.kv_cache_manager.coordinator.memento = self.memento

    return __init__


def _add_request(original: Method) -> Method:
    def add_request(self: Any, request: Any) -> Any:
        if self.memento is not None and not hasattr(request, "memento"):
            request.memento = self.memento.begin(request)
        return original(self, request)

    return add_request


def _schedule(original: Method) -> Method:
    def schedule(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.memento is None:
            return original(self, *args, **kwargs)
        self.memento.evict()
        output = original(self, *args, **kwargs)
        self.memento.attach(output)
        return output

    return schedule


def _clip_chunk(original: Method) -> Method:
    def _reserve_prefill_lookahead(self: Any, request: Any, num_computed_tokens: int, num_new_tokens: int) -> int:
        count = original(self, request, num_computed_tokens, num_new_tokens)
        memory = memory_of(request)
        return count if memory is None else memory.clip(request._all_token_ids, num_computed_tokens, count)

    return _reserve_prefill_lookahead


def _clip_chunk_early(original: Method) -> Method:
    def _mamba_block_aligned_split(
        self: Any, request: Any, num_new_tokens: int, num_new_local_computed_tokens: int = 0, num_external_computed_tokens: int = 0
    ) -> int:
        if self.memento is None:
            return original(self, request, num_new_tokens, num_new_local_computed_tokens, num_external_computed_tokens)
        memory = memory_of(request)
        if memory is None:
            return num_new_tokens
        return memory.clip(request._all_token_ids, request.num_computed_tokens + num_new_local_computed_tokens, num_new_tokens)

    return _mamba_block_aligned_split


def _preempt(original: Method) -> Method:
    def _preempt_request(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        memory = memory_of(request)
        if memory is not None:
            if memory.done:
                memory.account.replays += 1
                self.memento.tally.replays += 1
            memory.reset()
        return original(self, request, *args, **kwargs)

    return _preempt_request


def _free(original: Method) -> Method:
    def _free_request(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        memory = memory_of(request)
        if memory is not None:
            self.memento.pages.offer_end(request, memory)
            self.memento.ended[request.request_id] = memory
        return original(self, request, *args, **kwargs)

    return _free_request


def _update(original: Method) -> Method:
    def update_from_output(self: Any, *args: Any, **kwargs: Any) -> Any:
        outputs = original(self, *args, **kwargs)
        if self.memento is not None:
            self.memento.report(outputs)
        return outputs

    return update_from_output


# Pages


def _computed_blocks(original: Method) -> Method:
    def get_computed_blocks(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        plain = original(self, request, *args, **kwargs)
        memory = memory_of(request)
        if memory is None:
            return plain
        memory.read(request._all_token_ids)
        memory.reset()
        pages = self.memento.pages
        reads = self.enable_caching and not request.skip_reading_prefix_cache
        found = pages.lookup(request, memory) if reads and memory.boundaries else None
        if found is None:
            # Pages that others computed with plain attention are right up to the first boundary, and a hit must end before it.
            blocks = list(plain[0].blocks[0])
            blocks = blocks[: (memory.boundaries[0] - 1) // pages.size] if memory.boundaries else blocks
            memory.hit = pages.lookup_plain(request, memory, blocks) if reads else None
            if memory.hit is None and not memory.boundaries:
                return plain
        else:
            blocks, memory.hit = found
        length = memory.hit.length if memory.hit else len(blocks) * pages.size
        return self.create_kv_cache_blocks((blocks,)), length, *(0 for _ in plain[2:])

    return get_computed_blocks


def _allocate(original: Method) -> Method:
    def allocate_slots(self: Any, request: Any, num_new_tokens: int, **kwargs: Any) -> Any:
        memory = memory_of(request)
        if memory is None or not (memory.boundaries or memory.hit):
            return original(self, request, num_new_tokens, **kwargs)
        mementos, hit, logical = self.memento, memory.hit, request.num_computed_tokens
        if kwargs.get("full_sequence_must_fit"):
            blocks = kwargs.get("new_computed_blocks")
            watermark = getattr(self, "watermark_blocks", 0) if kwargs.get("has_scheduled_reqs", True) else 0
            if not mementos.admit(request, memory, list(blocks.blocks[0]) if blocks else [], watermark):
                return None
            kwargs["full_sequence_must_fit"] = False
        if hit is None and not memory.offset:
            return original(self, request, num_new_tokens, **kwargs)
        holed = bool(hit.offset if hit is not None else memory.offset)
        if holed:
            kwargs["delay_cache_blocks"] = True  # vLLM's names would be wrong from here on
        if hit is not None:
            kwargs["num_new_computed_tokens"] = hit.pages * mementos.pages.size
            new = original(self, request, num_new_tokens + hit.tail, **kwargs)
            if new is not None:
                mementos.adopt(request, memory)
            logical = hit.length
        else:
            request.num_computed_tokens = logical - memory.offset
            try:
                new = original(self, request, num_new_tokens, **kwargs)
            finally:
                request.num_computed_tokens = logical
        if new is not None and holed:
            mementos.pages.offer(request, memory, logical + num_new_tokens)
        return new

    return allocate_slots


def _cache_blocks(original: Method) -> Method:
    def cache_blocks(self: Any, request: Any, num_computed_tokens: int, *args: Any, **kwargs: Any) -> Any:
        memory = memory_of(request)
        if memory is None or not memory.offset:
            return original(self, request, num_computed_tokens, *args, **kwargs)
        return self.memento.pages.offer(request, memory, num_computed_tokens)

    return cache_blocks


# Grammar


def _bitmask(original: Method) -> Method:
    def get_grammar_bitmask(self: Any, scheduler_output: Any) -> Any:
        output = original(self, scheduler_output)
        if self.memento is None:
            return output
        guards: dict[str, Guard] = {}
        for request_id in scheduler_output.num_scheduled_tokens:
            request = self.requests.get(request_id)
            guard = guard_of(request)
            if guard is not None and not request.is_prefill_chunk:
                guard.read_on(request.output_token_ids)
                guards[request_id] = guard
        if guards:
            output = _with_guards(output, guards, self.memento.masks)
        elif output is not None:  # in a constrained answer the four tokens are text to a grammar, and never meant
            for row in output.grammar_bitmask:
                self.memento.masks.spare(row)
        return output

    return get_grammar_bitmask


def _with_guards(output: Any, guards: dict[str, Guard], masks: Masks) -> Any:
    """vLLM's masks with the guards' rows worked in: they narrow an answer's row, and stand alone in a block or memento."""
    from vllm.v1.core.sched.output import GrammarOutput

    ids = list(output.structured_output_request_ids) if output else []
    rows = []
    for request_id, row in zip(ids, output.grammar_bitmask if output else (), strict=True):
        rows.append(guards[request_id].merge(row) if request_id in guards else masks.spare(row))
    added = [request_id for request_id in guards if request_id not in ids]
    rows += [guards[request_id].row() for request_id in added]
    fields = {"structured_output_request_ids": [*ids, *added], "grammar_bitmask": np.stack(rows)}
    if any(field.name == "num_acceptable_drafts" for field in dataclasses.fields(GrammarOutput)):
        fields["num_acceptable_drafts"] = [0] * len(rows)
    return GrammarOutput(**fields)


def _accept(original: Method) -> Method:
    def accept_tokens(self: Any, request: Any, new_token_ids: list[int]) -> bool:
        guard = guard_of(request)
        if guard is None or not request.use_structured_output:
            return original(self, request, new_token_ids)
        answer = guard.read_on(request.output_token_ids)
        if not answer:
            return True
        request.structured_output_request.reasoning_ended = True
        return original(self, request, answer)

    return accept_tokens


def _bounds(original: Method) -> Method:
    def _get_constraint_bounds(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        if guard_of(request) is not None and request.structured_output_request is not None:
            request.structured_output_request.reasoning_ended = True  # the guard knows better where the answer begins
        return original(self, request, *args, **kwargs)

    return _get_constraint_bounds


def _should_advance(original: Method) -> Method:
    def should_advance(self: Any, request: Any) -> bool:
        guard = guard_of(request)
        if guard is None or not request.use_structured_output:
            return original(self, request)
        return bool(guard.read_on(request.output_token_ids))

    return should_advance


def _should_fill(original: Method) -> Method:
    def should_fill_bitmask(self: Any, request: Any) -> bool:
        return True if guard_of(request) is not None else original(self, request)

    return should_fill_bitmask


def memory_of(request: Any) -> Any:
    """The request's Memory; None where the plugin leaves it alone."""
    return getattr(request, "memento", None)


def guard_of(request: Any) -> Guard | None:
    memory = memory_of(request)
    return None if memory is None else memory.guard
