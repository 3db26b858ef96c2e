"""The prefix cache, made aware of mementos: compacted pages are found again by what they hold.

The key and value of a token depend on all tokens before it and on the policy, on nothing else. So a page is named by the hash of the whole
logical prefix up to its last token, the ranges of tokens that its slots hold, and the policy. vLLM's own chain of block hashes is the prefix's
hash (it carries the salt and the adapter too). Pages before the first hole keep vLLM's names and are shared with requests that evict nothing.

A page that is not full has no name, with two exceptions. The one in which the newest memento ends goes by the prefix up to that memento's
boundary: it cannot be computed again without the block. And the one in which a finished request ends goes by all that it computed: a
conversation's next turn begins with just that, and would compute half a page anew. Who finds such a page copies the slots it needs.
"""

import hashlib
from array import array
from typing import Any

from app.memento.grammar import TokenIds

from keepsake_vllm.engine.memory import Hit, Memory


class Pages:
    """Pages of one scheduler's pool. A *layout* is the number of evictions done: it says which token each slot holds."""

    def __init__(self, manager: Any, ids: TokenIds) -> None:
        self.manager = manager
        self.single = manager.coordinator.single_type_managers[0]
        self.pool = self.single.block_pool
        self.size: int = self.single.block_size
        self.ids = ids
        self.fresh: set[int] = set()  # pages named in this step, which it has yet to fill

    def table(self, request_id: str) -> list[Any]:
        """The request's pages, in order."""
        return self.single.req_to_blocks[request_id]

    def used(self) -> int:
        """Pages that someone refers to."""
        return self.pool.num_gpu_blocks - 1 - self.pool.get_num_free_blocks()

    # Names

    def name(self, request: Any, memory: Memory, done: int, page: int, end: int) -> bytes:
        """Name of the slots [page * size, end) under a layout; `end` is the page's end, or inside it for the page of a newest memento."""
        first = page * self.size
        if end == first + self.size and (not memory.found or end <= memory.found[0].start):
            return request.block_hashes[page]
        held, slot, logical_end = [], 0, 0
        for start, stop in memory.spans(done, end + memory.offsets[done]):
            low, high = max(first, slot), min(end, slot + stop - start)
            if low < high:
                logical_end = start + high - slot
                held += [start + low - slot, logical_end]
            slot += stop - start
        whole = logical_end // self.size
        policy, ids = memory.policy, self.ids
        digest = hashlib.sha256(b"memento")
        if whole:
            digest.update(request.block_hashes[whole - 1])
        else:  # vLLM mixes these into its first hash, which does not exist yet
            lora = request.lora_request.lora_name if request.lora_request else ""
            digest.update(repr((request.cache_salt, lora)).encode())
        facts = (policy.keep_delimiters, policy.keep_last_n, policy.summary_end_sees_block, policy.restart)
        tokens = request._all_token_ids[whole * self.size : logical_end]
        numbers = (*facts, ids.block_start, ids.block_end, ids.summary_start, ids.summary_end, len(held), *held, *tokens)
        digest.update(array("q", numbers).tobytes())
        return digest.digest()

    def find(self, name: bytes) -> Any | None:
        """A page of this name, or None."""
        found = self.pool.get_cached_block(name, [0])
        return found[0] if found else None

    def give_name(self, name: bytes, page: Any) -> None:
        from vllm.v1.core.kv_cache_utils import make_block_hash_with_group_id

        if page.is_null:
            return
        key = make_block_hash_with_group_id(name, 0)
        if hasattr(self.pool, "_insert_block_hash"):
            self.pool._insert_block_hash(key, page, num_tokens=None)
        else:  # before vLLM 0.30 a page has one name at most: the one of the full page is worth more
            if page.block_hash is not None:
                self.pool._maybe_evict_cached_block(page)
            page.block_hash = key
            self.pool.cached_block_hash_to_block.insert(key, page)

    def take_names(self, page: Any) -> None:
        """The page's content is about to change."""
        if not page.is_null:
            self.pool._maybe_evict_cached_block(page)

    # Offering

    def offer(self, request: Any, memory: Memory, computed: int) -> None:
        """Name the pages that are full once `computed` tokens (logical) have their keys; for requests that have evicted something."""
        if not self.manager.enable_caching:
            return
        table = self.table(request.request_id)
        full = min((min(computed, request.num_tokens) - memory.offset) // self.size, len(table))
        for page in range(memory.keyed, full):
            self.give_name(self.name(request, memory, memory.done, page, (page + 1) * self.size), table[page])
            self.fresh.add(table[page].block_id)
        memory.keyed = max(memory.keyed, full)

    def offer_tail(self, request: Any, memory: Memory, below: int | None = None) -> None:
        """Name the page in which the newest memento ends by the prefix up to its boundary. `below`: only if it lies below this slot."""
        if not self.manager.enable_caching or not memory.done:
            return
        end = memory.boundaries[memory.done - 1] - memory.offset
        page = (end - 1) // self.size
        if end <= 0 or (below is not None and end > below) or end % self.size == 0:
            return
        table = self.table(request.request_id)
        if page < len(table):
            self.give_name(self.name(request, memory, memory.done, page, end), table[page])

    def offer_end(self, request: Any, memory: Memory) -> None:
        """Name the page in which a finished request ends by all that it computed, before it gives its pages up."""
        if not self.manager.enable_caching:
            return
        end = min(request.num_computed_tokens, request.num_tokens - 1) - memory.offset
        page, table = end // self.size, self.table(request.request_id)
        if end <= 0 or end % self.size == 0 or page >= len(table):
            return
        if table[page].block_hash is None or hasattr(self.pool, "_insert_block_hash"):  # see give_name
            self.give_name(self.name(request, memory, memory.done, page, end), table[page])

    # Finding

    def lookup(self, request: Any, memory: Memory) -> tuple[list[Any], Hit] | None:
        """The longest prefix that is cached under a layout with evictions, as whole pages and a Hit; None if there is none.

        The last token is never taken from the cache, for its logits are wanted, and a hit ends before the next boundary.
        """
        last = request.num_tokens - 1
        reachable = sum(boundary <= last for boundary in memory.boundaries)
        for done in range(reachable, 0, -1):
            found = self._lookup(request, memory, done, last)
            if found:
                return found
        return None

    def _lookup(self, request: Any, memory: Memory, done: int, last: int) -> tuple[list[Any], Hit] | None:
        size, offset = self.size, memory.offsets[done]
        floor = memory.boundaries[done - 1] - offset  # a layout exists from its last boundary on
        if floor <= 0:
            return None
        if done < len(memory.boundaries):
            last = min(last, memory.boundaries[done] - 1)
        cap, known = last - offset, request.num_tokens - offset

        def full(page: int) -> Any | None:
            return self.find(self.name(request, memory, done, page, (page + 1) * size)) if (page + 1) * size <= known else None

        ending = (floor - 1) // size  # the page in which the newest memento ends: the likeliest to be gone, so looked for first
        page = full(ending)
        whole = page is not None and (ending + 1) * size <= cap
        tail = floor - ending * size
        if page is None and floor % size:
            page, tail = self.longest(request, memory, done, ending, floor, cap)
        if page is None:
            return None
        pages: list[Any] = []
        for index in range(ending):
            before = full(index)
            if before is None:
                return None
            pages.append(before)
        if not whole:
            return pages, self._hit(memory, done, pages, page, tail)
        pages.append(page)
        while (len(pages) + 1) * size <= cap and (page := full(len(pages))) is not None:
            pages.append(page)
        rest = cap - len(pages) * size
        page = full(len(pages)) if 0 < rest < size else None
        if page is None or page.block_id in self.fresh:
            page, rest = self.longest(request, memory, done, len(pages), len(pages) * size + 1, cap)
        return pages, self._hit(memory, done, pages, page, rest)

    def lookup_plain(self, request: Any, memory: Memory, pages: list[Any]) -> Hit | None:
        """What follows `pages`, whole ones before the first hole, in a page that is not full; None if nothing does."""
        last = min([request.num_tokens - 1, *(boundary - 1 for boundary in memory.boundaries[:1])])
        page, tail = self.longest(request, memory, 0, len(pages), len(pages) * self.size + 1, last)
        return self._hit(memory, 0, pages, page, tail) if page is not None else None

    def longest(self, request: Any, memory: Memory, done: int, page: int, low: int, high: int) -> tuple[Any | None, int]:
        """A page that is not full and holds the slots from `page` * size up to an end of `low` to `high`: the one with most, and how many."""
        first = page * self.size
        for end in range(min(high, first + self.size - 1), low - 1, -1):
            found = self.find(self.name(request, memory, done, page, end))
            if found is not None and found.block_id not in self.fresh:
                return found, end - first
        return None, 0

    def _hit(self, memory: Memory, done: int, pages: list[Any], page: Any = None, tail: int = 0) -> Hit:
        """A hit on whole `pages` and the first `tail` slots of one more, which is marked as used just now."""
        if tail:
            self.pool.touch([page])
            self.pool.free_blocks([page])
        offset = memory.offsets[done]
        return Hit(done, offset, len(pages) * self.size + tail + offset, len(pages), tail, page.block_id if tail else -1)
