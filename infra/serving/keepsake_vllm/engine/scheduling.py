"""The scheduler's side: when a memento closes, which chunk of tokens may be computed next, and what the pages are.

Two rules give eviction while decoding, mementos in the prompt (prefilled in segments) and exact replay after a preemption alike: a scheduled
chunk never crosses a boundary whose eviction is still to come, and an eviction is applied as soon as all before its boundary is computed.
"""

import json
import logging
import time
from typing import Any, TextIO

from app.memento.visibility import Policy

from keepsake_vllm.engine.compaction import Tally, compact
from keepsake_vllm.engine.guard import Caps, Grammar, Guard, Masks
from keepsake_vllm.engine.memory import Memory
from keepsake_vllm.engine.options import Options, RequestOptions, request_options
from keepsake_vllm.engine.pages import Pages
from keepsake_vllm.engine.step import MementoStep

log = logging.getLogger("vllm.keepsake")


class Mementos:
    """Everything the plugin keeps beside one scheduler. Requests carry their Memory as the attribute `memento`."""

    def __init__(self, scheduler: Any, options: Options) -> None:
        from vllm.tokenizers import cached_tokenizer_from_config

        config = scheduler.vllm_config
        self.scheduler = scheduler
        self.options = options
        numbers = all(isinstance(token, int) for token in options.tokens)
        tokenizer = None if config.model_config.skip_tokenizer_init else cached_tokenizer_from_config(config.model_config)
        if tokenizer is None and not numbers:
            raise ValueError("memento: without a tokenizer the option `tokens` must hold four ids")
        vocabulary = tokenizer.get_vocab() if tokenizer else {str(number): number for number in options.tokens}
        self.ids = options.token_ids(vocabulary)
        self.masks = Masks(_grammar(config, self.ids, tokenizer, vocabulary))
        self.pages = Pages(scheduler.kv_cache_manager, self.ids)
        self.tally = Tally()
        self.step = MementoStep()
        self.ended: dict[str, Memory] = {}  # freed since the last outputs, which are still to tell of them
        self.steps = 0
        self.stats: TextIO | None = open(options.stats, "a", buffering=1) if options.stats else None  # noqa: SIM115 - as long as the server

    def begin(self, request: Any) -> Memory | None:
        """The memory of a new request; None for one that is left alone."""
        params = request.sampling_params
        if (
            params is None
            or request.prompt_token_ids is None
            or getattr(request, "mm_features", None)
            or getattr(request, "resumable", False)
        ):
            return None
        try:
            own = request_options(params.extra_args)
        except ValueError as error:  # the API has refused it already; an engine must not die of a request
            log.error("%s: %s; the server's options are used", request.request_id, error)
            own = RequestOptions()
        guarded = self.options.grammar if own.memento_grammar is None else bool(own.memento_grammar)
        policy = own.policy(self.options.policy)
        if own.memento == "off":
            policy = Policy(keep_last_n=1 << 30)
        return Memory.begin(self.ids, policy, Guard(self.masks, self.caps(own)) if guarded and own.memento != "off" else None)

    def caps(self, own: RequestOptions) -> Caps:
        """A request's limits: its own, else the server's."""
        block, memento = own.memento_max_block_tokens, own.memento_max_memento_tokens
        return Caps(
            self.options.max_block_tokens if block is None else block,
            self.options.max_memento_tokens if memento is None else memento,
            own.memento_min_blocks,
            own.memento_max_blocks,
        )

    # Before and after vLLM's own scheduling

    def evict(self) -> None:
        """Apply every eviction that is due. A request whose shared pages cannot be copied for want of a free one is preempted."""
        self.step = MementoStep()
        self.pages.fresh.clear()
        for request in list(self.scheduler.running):
            memory = request.memento
            if memory is None:
                continue
            memory.read(request._all_token_ids)
            while (eviction := memory.due(request.num_computed_tokens)) is not None:
                if not compact(request, memory, eviction, self.pages, self.step, self.tally):
                    self.scheduler.running.remove(request)
                    self.scheduler._preempt_request(request, time.monotonic())
                    break

    def attach(self, output: Any) -> None:
        """Tell the worker of this step's offsets and moves, and keep the accounts. `output` is the scheduled step, its tokens already counted."""
        step, requests = self.step, self.scheduler.requests
        for request_id, count in output.num_scheduled_tokens.items():
            request = requests[request_id]
            memory = request.memento
            if memory is None:
                continue
            if memory.offset:
                step.offsets[request_id] = memory.offset
            memory.account.computed(request.num_computed_tokens - count, count, memory.offset)
            if memory.guard is not None and getattr(request, "num_output_placeholders", 0) > 1:
                output.pending_structured_output_tokens = True
        if step:
            output.memento = step
        if self.stats is not None:
            self._write(output)

    def _write(self, output: Any) -> None:
        assert self.stats is not None
        self.steps += 1
        requests, scheduler = self.scheduler.requests, self.scheduler
        counts = output.num_scheduled_tokens
        line = {
            "step": self.steps,
            "t": time.monotonic(),
            "running": len(scheduler.running),
            "waiting": len(scheduler.waiting),
            "scheduled": {i: [requests[i].num_computed_tokens - n, n] for i, n in counts.items()},
            "pages_used": self.pages.used(),
            **vars(self.tally),
        }
        self.stats.write(json.dumps(line) + "\n")

    # Pages

    def admit(self, request: Any, memory: Memory, blocks: Any, watermark: int) -> bool:
        """Whether the whole request fits: its peak counts, which is physical, not its length."""
        hit = memory.hit
        done, computed = (hit.done, hit.length) if hit else (0, len(blocks) * self.pages.size)
        need = -(-memory.peak(computed, done, request.num_tokens) // self.pages.size) - len(blocks) + watermark
        need += sum(page.ref_cnt == 0 for page in blocks)
        return need <= self.pages.pool.get_num_free_blocks()

    def adopt(self, request: Any, memory: Memory) -> None:
        """The pages of a hit now belong to the request: copy the tail that came from a page of others."""
        hit, size = memory.hit, self.pages.size
        assert hit is not None
        memory.done, memory.offset, memory.keyed, memory.hit = hit.done, hit.offset, hit.pages, None
        memory.account.cached = memory.account.furthest = hit.length
        memory.account.told = hit.done
        self.tally.hit_tokens += hit.length
        if hit.tail:
            target = self.pages.table(request.request_id)[hit.pages].block_id * size
            self.step.copies.add(range(hit.tail_page * size, hit.tail_page * size + hit.tail), target)

    # What clients hear

    def report(self, outputs: dict[int, Any]) -> None:
        """Put evictions and accounts on the outputs that leave the engine."""
        for group in outputs.values():
            for output in group.outputs:
                request = self.scheduler.requests.get(output.request_id)
                memory = request.memento if request is not None else self.ended.pop(output.request_id, None)
                if memory is None:
                    continue
                told = memory.report(finished=output.finish_reason is not None)
                if told:
                    output.kv_transfer_params = {**(output.kv_transfer_params or {}), "memento": told}
        self.ended.clear()


def _grammar(config: Any, ids: Any, tokenizer: Any, vocabulary: dict[str, int]) -> Grammar:
    stops = {getattr(tokenizer, "eos_token_id", None), *_eos_ids(config)} - {None}
    think = ("<think>", "</think>")

    def blank(token: int) -> bool:
        return tokenizer is not None and not tokenizer.decode([token]).strip()

    return Grammar(
        ids=ids,
        vocabulary=config.model_config.get_vocab_size(),
        stops=frozenset(stops),
        blank=blank,
        think=(vocabulary[think[0]], vocabulary[think[1]]) if all(token in vocabulary for token in think) else None,
    )


def _eos_ids(config: Any) -> list[int]:
    eos = getattr(config.model_config.hf_config, "eos_token_id", None)
    generation = config.model_config.try_get_generation_config() or {}
    ids = [eos, generation.get("eos_token_id")]
    return [number for item in ids if item is not None for number in (item if isinstance(item, list) else [item])]
