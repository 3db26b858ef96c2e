"""The desk: a workspace of invoices (CSV), notes and orders (text), made by seed."""

import csv
import io
import random
import re
from dataclasses import dataclass

from infra.worlds.base import Split, Ticket, money
from infra.worlds.wording import lines
from infra.worlds.words import Words

_SLOT = re.compile(r"\{(noun|adj)\}", re.IGNORECASE)
_STATUS_COLUMNS = ["status", "state", "stage", "progress", "situation"]
_CLIENT_COLUMNS = ["client", "customer", "company", "buyer", "account", "debtor"]
_NUMBER_COLUMNS = ["number", "invoice", "id", "no", "reference"]
_STEMS = ("total", "sum", "cost", "result", "figure", "amount", "bill", "price", "answer", "value", "quote", "spend", "outcome")
_SMALL = ("a", "and", "as", "at", "by", "for", "from", "in", "is", "it", "no", "not", "of", "on", "or", "than", "the", "to", "with")
_TABLES = ["invoices", "bills", "ledger", "accounts", "receivables", "billing", "payments"]


@dataclass(frozen=True)
class Invoices:
    """A CSV of invoices. `rows` are dicts by column; amounts are texts with two decimals."""

    text: str
    rows: tuple[dict[str, str], ...]
    amount: str
    status: str
    client: str

    def total(self, value: str) -> int:
        """Sum in cents over the rows that hold `value`."""
        return sum(round(float(row[self.amount]) * 100) for row in self.rows if value in row.values())


def invoices(rng: random.Random, words: Words, split: Split) -> Invoices:
    """Five to twelve invoices of three or four clients, columns named and ordered at random."""
    amount, status, client = rng.choice(lines("amounts", split)), rng.choice(_STATUS_COLUMNS), rng.choice(_CLIENT_COLUMNS)
    columns = [rng.choice(_NUMBER_COLUMNS), client, amount, status] + (["date"] if rng.random() < 0.5 else [])
    rng.shuffle(columns)
    statuses = rng.sample(lines("statuses", split), rng.randint(2, 3) if split == "train" else 2)
    clients = _clients(rng, words)
    first = rng.randint(1001, 8000)
    rows = []
    for offset in range(rng.randint(5, 12)):
        values = {
            client: rng.choice(clients),
            amount: money(rng.choice((rng.randint(500, 20_000), rng.randint(20_000, 480_000)))),
            status: rng.choice(statuses),
            "date": f"2026-{rng.randint(1, 9):02d}-{rng.randint(1, 28):02d}",
        }
        rows.append({column: values.get(column, str(first + offset)) for column in columns})
    buffer = io.StringIO()
    table = csv.DictWriter(buffer, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return Invoices(buffer.getvalue(), tuple(rows), amount, status, client)


def _clients(rng: random.Random, words: Words) -> list[str]:
    """Three or four clients that share no first word, so that a task cannot mean two of them."""
    found: dict[str, str] = {}
    count = rng.randint(3, 4)
    while len(found) < count:
        name = words.client(rng)
        found.setdefault(name.split()[0], name)
    return list(found.values())


def output_name(rng: random.Random, words: Words, about: str, ending: str = ".txt") -> str:
    """Such as `total.txt`, `kettle-cost.txt`, `q3_sum.txt`, `sum-2026.txt`; often after a word of what the task is `about`, as people do."""
    stem, joint = rng.choice(_STEMS), rng.choice("-_")
    own = rng.random() < 0.35
    noun = rng.choice(about.lower().split()) if own else words.noun(rng)
    if own and not noun.endswith("s") and rng.random() < 0.4:
        noun += "s"
    choices = (
        noun if own else stem,
        noun,
        noun,
        f"{noun}{joint}{stem}",
        f"{noun}{joint}{stem}",
        f"{stem}{joint}{noun}",
        f"q{rng.randint(1, 4)}{joint}{noun}",
        f"{noun}{joint}{rng.randint(2, 99)}",
    )
    return rng.choice(choices) + ending


def input_name(rng: random.Random, words: Words, kind: str, ending: str = ".txt") -> str:
    """Such as `note.txt`, `lantern_note.txt`, `note-14.txt`."""
    joint, noun = rng.choice("-_"), words.noun(rng)
    choices = (f"{noun}{joint}{kind}", f"{noun}{joint}{kind}", f"{kind}{joint}{noun}", f"{kind}{joint}{rng.randint(2, 99)}", noun, kind)
    return rng.choice(choices) + ending


def table_name(rng: random.Random, words: Words) -> str:
    return input_name(rng, words, rng.choice(_TABLES), ".csv")


def _fill(template: str, rng: random.Random, words: Words) -> str:
    """Every `{noun}` and `{adj}` with a word of its own, capitalised where the slot is."""

    def word(slot: re.Match[str]) -> str:
        drawn = rng.choice(words.nouns if slot[1].lower() == "noun" else words.adjectives)
        return drawn.capitalize() if slot[1][0].isupper() else drawn

    return _SLOT.sub(word, template)


def ticket_title(rng: random.Random, words: Words, split: Split) -> str:
    """Half of the titles to learn from are words without sense: those of a closed list are learnt by heart, these can only be copied."""
    if split == "train" and rng.random() < 0.5:
        parts = [rng.choice((words.noun(rng), rng.choice(words.adjectives), rng.choice(_SMALL))) for _ in range(rng.randint(3, 8))]
        return " ".join([parts[0].capitalize(), *parts[1:]])
    return _fill(rng.choice(lines("ticket_titles", split)), rng, words)


def ticket_note(rng: random.Random, words: Words, split: Split, ticket: Ticket) -> str:
    """A note in one of many layouts: title, then severity, type if the ticket has one, and other matter, in any order.

    A title with a label may also stand among the rest.
    """
    form = rng.choice(lines("note_titles", split))
    title = form.format(title=ticket.title)
    rest = [rng.choice(lines("note_severities", split)).format(s=ticket.severity, low=ticket.severity.lower())]
    if ticket.type:
        rest.append(rng.choice(lines("note_types", split)).format(t=ticket.type, low=ticket.type.lower()))
    fillers = lines("note_fillers", split)
    rest += [_fill(line, rng, words) for line in rng.sample(fillers, min(len(fillers), rng.randint(0, 2)))]
    anywhere = (":" in form or "=" in form) and rng.random() < 0.25
    if anywhere:
        rest.append(title)
    rng.shuffle(rest)
    return _note(rng, words, split, "" if anywhere else title, rest, prose=not anywhere)


def order_note(rng: random.Random, words: Words, split: Split, item: str, count: int, limit: str) -> str:
    """A note that names product, count and the limit for the whole order."""
    parts = [rng.choice(lines("order_wishes", split)).format(x=item, n=count), rng.choice(lines("order_limits", split)).format(l=limit)]
    if rng.random() < 0.25:
        parts.reverse()
    head = _fill(rng.choice(lines("order_heads", split)), rng, words) if rng.random() < 0.5 else ""
    return _note(rng, words, split, head, parts)


def _note(rng: random.Random, words: Words, split: Split, head: str, parts: list[str], prose: bool = True) -> str:
    """A head line, then lines or, where `prose` allows, one paragraph, at times with a signature."""
    joint = " " if prose and rng.random() < 0.3 and not any("\n" in part for part in parts) else "\n"
    body = joint.join(part if part.endswith((".", "?")) or joint == "\n" else f"{part}." for part in parts)
    gap = rng.choice(("\n", "\n\n"))
    signature = gap + _fill(rng.choice(lines("note_signatures", split)), rng, words) if rng.random() < 0.35 else ""
    return (head + gap if head else "") + body + signature + "\n"
