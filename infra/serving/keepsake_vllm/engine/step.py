"""What the scheduler tells the worker each step, as an attribute of vLLM's SchedulerOutput (a plain dataclass, pickled with its __dict__)."""

from dataclasses import dataclass, field


@dataclass
class Rewrite:
    """A request whose block table was cut: its whole new table."""

    request_id: str
    pages: list[int]


@dataclass
class Moves:
    """Slots to copy, `source[i]` to `target[i]`: all are read before any is written. A slot is page * page size + place."""

    source: list[int] = field(default_factory=list)
    target: list[int] = field(default_factory=list)

    def add(self, source: range, target: int) -> None:
        self.source.extend(source)
        self.target.extend(range(target, target + len(source)))


@dataclass
class MementoStep:
    """`offsets` stand for every request of the step that has one: the worker keeps no state of its own. Order of work: compaction moves, block
    tables, hit copies (a page that a hit copies from may have been compacted in this very step), then all that vLLM does."""

    offsets: dict[str, int] = field(default_factory=dict)
    rewrites: list[Rewrite] = field(default_factory=list)
    compactions: Moves = field(default_factory=Moves)
    copies: Moves = field(default_factory=Moves)
    events: int = 0

    def __bool__(self) -> bool:
        return bool(self.offsets or self.rewrites or self.copies.source)
