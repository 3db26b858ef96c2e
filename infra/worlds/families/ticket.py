"""ticket: read a note, file what it says as a ticket in the tracker."""

import random
from dataclasses import dataclass

from infra.worlds import desk
from infra.worlds.base import Check, Facts, Split, Ticket, WorldState, WorldTask, untouched
from infra.worlds.tracker import SEVERITIES, STATUSES, TYPES
from infra.worlds.wording import compose
from infra.worlds.words import Words, words


@dataclass(frozen=True)
class TicketGoal:
    """`ticket` must be filed once, with no type where the note names none."""

    file: str
    ticket: Ticket

    def facts(self) -> Facts:
        return Facts((f"note {self.file}",), (f"title, type and severity in {self.file}",))

    def plan(self) -> tuple[str, ...]:
        return (f"files: read {self.file} for title, type, severity", f"web: file a ticket in tracker as in {self.file}")

    def note(self) -> str:
        kind = f"type {self.ticket.type}; " if self.ticket.type else ""
        return f"title {self.ticket.title}; {kind}severity {self.ticket.severity}"

    def check(self, task: WorldTask, state: WorldState) -> Check:
        return untouched(task, state, tickets=(self.ticket,))


def make(seed: int, split: Split) -> WorldTask:
    rng = random.Random(f"ticket {seed}")
    pool = words(split)
    old = tuple(_old_ticket(rng, pool, split) for _ in range(rng.randint(1, 4)))
    ticket = Ticket(desk.ticket_title(rng, pool, split), rng.choice(TYPES) if rng.random() < 0.7 else "", rng.choice(SEVERITIES))
    file = desk.input_name(rng, pool, rng.choice(("note", "issue", "report", "ticket", "memo", "request")))
    text = compose("ticket_note", split, rng, f=file)
    note = desk.ticket_note(rng, pool, split, ticket)
    goal = TicketGoal(file, ticket)
    return WorldTask(
        "ticket", "typed" if ticket.type else "untyped", seed, split, text, ("tracker",), goal, files={file: note}, tickets=old
    )


def _old_ticket(rng: random.Random, pool: Words, split: Split) -> Ticket:
    return Ticket(desk.ticket_title(rng, pool, split), rng.choice(TYPES), rng.choice(SEVERITIES), rng.choice(STATUSES))
