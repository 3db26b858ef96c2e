"""One compaction, planned by the scheduler: the hole of an evicted block is closed by the tokens behind it, and the pages left over are free.

Only what is kept behind the hole moves (a memento), never the block. Pages are freed in the same step that moves them: the worker reads all
slots before it writes any, and does both before anything else of that step.
"""

from typing import Any

from app.memento.visibility import Eviction

from keepsake_vllm.engine.memory import Memory
from keepsake_vllm.engine.pages import Pages
from keepsake_vllm.engine.step import MementoStep, Moves, Rewrite


class Tally:
    """What the engine has done since its start, in totals."""

    def __init__(self) -> None:
        self.compactions = self.evicted_tokens = self.freed_pages = self.moved_tokens = 0
        self.late_tokens = self.replays = self.copied_pages = self.hit_tokens = 0


def compact(request: Any, memory: Memory, eviction: Eviction, pages: Pages, step: MementoStep, tally: Tally) -> bool:
    """Evict [eviction.start, eviction.end) from the request's pages, which hold exactly its computed tokens. False, with nothing changed, if a
    shared page would have to be copied and none is free.

    In restart mode, and should more than the boundary have been computed, the request goes back to the boundary.
    """
    size, offset = pages.size, memory.offset
    table = pages.table(request.request_id)
    hole, end, stop = eviction.start - offset, eviction.end - offset, eviction.boundary - offset
    length = stop - eviction.size
    first, kept = hole // size, -(-length // size)
    shared = [index for index in range(first, kept) if table[index].ref_cnt > 1]
    if len(shared) > pages.pool.get_num_free_blocks():
        return False

    before = [page.block_id for page in table]
    for page in table[first:]:
        if page.ref_cnt == 1:
            pages.take_names(page)
    released = []
    for index, fresh in zip(shared, pages.pool.get_new_blocks(len(shared)) if shared else (), strict=True):
        released.append(table[index])
        table[index] = fresh
    if first < kept and first not in shared:
        pages.offer_tail(request, memory, below=hole)  # what the page holds below the hole is still what it was
    released += table[kept:]
    del table[kept:]
    pages.pool.free_blocks(reversed(released))

    after = [page.block_id for page in table]
    if first in shared:
        _plan(step.compactions, before, after, size, range(first * size, hole), 0)
    _plan(step.compactions, before, after, size, range(end, stop), eviction.size)
    step.rewrites = [rewrite for rewrite in step.rewrites if rewrite.request_id != request.request_id]
    step.rewrites.append(Rewrite(request.request_id, after))
    step.events += 1

    tally.compactions += 1
    tally.evicted_tokens += eviction.size
    tally.freed_pages += len(released) - len(shared)
    tally.moved_tokens += stop - end
    tally.copied_pages += len(shared)
    if not memory.policy.restart:
        tally.late_tokens += request.num_computed_tokens - eviction.boundary
    memory.done += 1
    memory.offset += eviction.size
    memory.keyed = min(memory.keyed, first)
    memory.account.compactions += 1
    memory.account.evicted += eviction.size
    request.num_computed_tokens = eviction.boundary
    pages.offer_tail(request, memory)
    return True


def _plan(moves: Moves, before: list[int], after: list[int], size: int, slots: range, down: int) -> None:
    """Copy the request's `slots` to `down` slots further down, run by run within pages."""
    slot = slots.start
    while slot < slots.stop:
        target = slot - down
        run = min(slots.stop - slot, size - slot % size, size - target % size)
        source = before[slot // size] * size + slot % size
        moves.add(range(source, source + run), after[target // size] * size + target % size)
        slot += run
