"""summary: save the tracker's ticket report as a table, keep the tickets of one kind, write the asked columns to a CSV file."""

import csv
import io
import random
from collections import Counter
from dataclasses import dataclass

from infra.worlds import desk
from infra.worlds.base import Check, Facts, Split, Ticket, WorldState, WorldTask, untouched
from infra.worlds.tracker import COLUMNS, SEVERITIES, STATUSES, TYPES
from infra.worlds.wording import compose, lines
from infra.worlds.words import words

TABLE = "tickets.csv"
_FILTERS = {"status": STATUSES, "type": TYPES, "severity": SEVERITIES}


@dataclass(frozen=True)
class SummaryGoal:
    """`output` must hold `columns` of the tickets whose `field` is `value`, with a header line; rows in any order."""

    output: str
    columns: tuple[str, ...]
    field: str
    value: str

    def facts(self) -> Facts:
        given = (f"rows with {self.value}", f"columns {', '.join(self.columns)}", f"file {self.output}")
        return Facts(given, ("ticket report of tracker",))

    def plan(self) -> tuple[str, ...]:
        return (
            f"web: save the ticket report of tracker as {TABLE}",
            f"coder: write rows with {self.value} of {TABLE}, columns {', '.join(self.columns)}, to {self.output}",
        )

    def note(self) -> str:
        return ""

    def rows(self, tickets: tuple[Ticket, ...]) -> list[list[str]]:
        return [[getattr(t, column) for column in self.columns] for t in tickets if getattr(t, self.field) == self.value]

    def check(self, task: WorldTask, state: WorldState) -> Check:
        if self.output not in state.files:
            return Check(False, f"there is no file {self.output}")
        header, *rows = list(csv.reader(io.StringIO(state.files[self.output], newline=""))) or [[]]
        if header != list(self.columns):
            return Check(False, f"{self.output} has the columns {', '.join(header)}, not {', '.join(self.columns)}")
        wanted, found = Counter(map(tuple, self.rows(task.tickets))), Counter(tuple(row) for row in rows if row)
        if wanted != found:
            missing, extra = sum((wanted - found).values()), sum((found - wanted).values())
            return Check(False, f"{self.output} lacks {missing} rows and has {extra} too many")
        tables = [name for name in state.files if name.endswith(".csv")]  # the saved report stays in the workspace
        return untouched(task, state, outputs=[self.output, *tables])


def make(seed: int, split: Split) -> WorldTask:
    rng = random.Random(f"summary {seed}")
    pool = words(split)
    field = rng.choice(list(_FILTERS))
    value = rng.choice(_FILTERS[field])
    tickets = _tickets(rng, split, field, value)
    columns = tuple(rng.sample(COLUMNS, rng.choice((1, 2, 2, 2, 3, 3))))
    output = desk.output_name(rng, pool, f"{value} ticket", ".csv")
    while output == TABLE:
        output = desk.output_name(rng, pool, f"{value} ticket", ".csv")
    which = rng.choice(lines(f"which_{field}", split)).format(v=value)
    text = compose("summary_table", split, rng, w=which, c=_spoken(columns), f=output)
    return WorldTask("summary", field, seed, split, text, ("tracker",), SummaryGoal(output, columns, field, value), tickets=tickets)


def _tickets(rng: random.Random, split: Split, field: str, value: str) -> tuple[Ticket, ...]:
    """Five to eleven tickets, at least one with the value and one without."""
    pool = words(split)
    count = rng.randint(5, 11)
    hits = rng.sample(range(count), rng.randint(1, count - 2))
    tickets = []
    for number in range(count):
        fields = {name: rng.choice(values) for name, values in _FILTERS.items()}
        if number in hits:
            fields[field] = value
        elif fields[field] == value:
            fields[field] = rng.choice([other for other in _FILTERS[field] if other != value])
        tickets.append(Ticket(desk.ticket_title(rng, pool, split), **fields))
    return tuple(tickets)


def _spoken(columns: tuple[str, ...]) -> str:
    """`title`, `title and status`, `title, type and status`."""
    return " and ".join([", ".join(columns[:-1]), columns[-1]]) if len(columns) > 1 else columns[0]
