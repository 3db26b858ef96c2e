"""A run's decisions as they were made: each with what the gate knew then, chained by hashes, enough to make every one of them again.

What was said, read and done stands in the run's state, and only grows; an entry says how much of it there was. The chain covers it: a text, a
page or a decision that was changed, left out, put in or moved breaks it. A cut-off end does not; the state keeps the last hash.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from agents.safety.gate import Gate, GateDecision
from agents.safety.grants import Grants
from agents.safety.outside import Read
from agents.safety.record import FIRST, hash_of
from agents.safety.seen import Seen
from agents.safety.standing import Alike
from app.errors import InvalidInput
from app.policies.base import PolicyFile
from app.policies.files import resolved
from app.schemas import Action, Policy, Site, Verdict

_SHOWN = 20  # differences of one run


class Entry(BaseModel):
    """One decision. `texts`, `reads`, `seen`: how many of each were known; `opened`: origins that a person had approved, `standing`: what for the
    rest of the run."""

    action: Action
    verdict: Verdict
    rule: str
    reason: str
    texts: int
    reads: int
    seen: int
    opened: list[tuple[str, int]] = Field(default_factory=list)
    standing: list[Alike] = Field(default_factory=list)
    before: str
    hash: str


class Known(BaseModel):
    """What a run's gate was told over its course."""

    policy: Policy | PolicyFile
    sites: list[Site] = Field(default_factory=list)
    files: list[str] = Field(default_factory=list)
    texts: list[str]
    reads: list[Read] = Field(default_factory=list)
    seen: list[Seen] = Field(default_factory=list)


class Record(BaseModel):
    """A run's decisions, with all that they were made on. `last`: the hash that the run's state keeps."""

    known: Known
    entries: list[Entry]
    last: str


class Log(BaseModel):
    """Where a run's chain ends, and how much of what was known it covers. Part of the run's state."""

    last: str = FIRST
    texts: int = 0
    reads: int = 0
    seen: int = 0

    def add(
        self, texts: Sequence[str], reads: Sequence[Read], seen: Sequence[Seen], gate: Gate, action: Action, decision: GateDecision
    ) -> Entry:
        """Write a decision down; what has become known since the last one goes into its hash."""
        known = {"texts": list(texts[self.texts :]), "reads": _plain(reads[self.reads :]), "seen": _plain(seen[self.seen :])}
        entry = Entry(
            action=action,
            verdict=decision.verdict,
            rule=decision.rule,
            reason=decision.reason,
            texts=len(texts),
            reads=len(reads),
            seen=len(seen),
            opened=sorted(gate.allows_request.approved),
            standing=sorted(gate.standing.allowed),
            before=self.last,
            hash="",
        )
        left_out = {"hash"} if entry.standing else {"hash", "standing"}  # records from before there was such a thing stay whole
        entry.hash = hash_of([entry.model_dump(mode="json", exclude=left_out), known])
        self.last, self.texts, self.reads, self.seen = entry.hash, entry.texts, entry.reads, entry.seen
        return entry


class Difference(BaseModel):
    """A decision that is another today, or would be under another policy."""

    number: int
    action: str = Field(description="What it was about, in a line.")
    then: str
    now: str
    reason: str = Field(description="Of what it is now.")


def replay(record: Record, own_ports: set[int]) -> list[Difference]:
    """Every decision again; those that differ. Raises InvalidInput where the chain is broken."""
    again = decided(record, own_ports, record.known.policy)
    return [_difference(n, old, new) for n, (old, new) in enumerate(zip(record.entries, again, strict=True)) if not _is_same(old, new)]


class Trial(BaseModel):
    """What a policy would have done to the actions of past runs: how many it would have asked about and refused, against what was."""

    runs: int = 0
    actions: int = 0
    asked: int = 0
    refused: int = 0
    would_ask: int = 0
    would_refuse: int = 0
    differing: dict[str, list[Difference]] = Field(default_factory=dict, description="By run, at most 20 of each.")

    def add(self, run_id: str, record: Record, own_ports: set[int], policy: PolicyFile) -> None:
        """Judge a run's actions by `policy`, each with what was known when it was wished. Raises InvalidInput where the chain is broken."""
        again = decided(record, own_ports, policy)
        self.runs += 1
        self.actions += len(again)
        self.asked += sum(entry.verdict == Verdict.ASK for entry in record.entries)
        self.refused += sum(entry.verdict == Verdict.REFUSE for entry in record.entries)
        self.would_ask += sum(made.verdict == Verdict.ASK for made in again)
        self.would_refuse += sum(made.verdict == Verdict.REFUSE for made in again)
        pairs = enumerate(zip(record.entries, again, strict=True))
        if found := [_difference(number, old, new) for number, (old, new) in pairs if old.verdict != new.verdict]:
            self.differing[run_id] = found[:_SHOWN]


def decided(record: Record, own_ports: set[int], policy: Policy | PolicyFile) -> list[GateDecision]:
    """All decisions of a run again, by `policy`. Raises InvalidInput where the chain is broken."""
    known, log = record.known, Log()
    gate = Gate(policy, Grants.of_task(known.sites, own_ports))
    found = []
    for number, entry in enumerate(record.entries):
        texts, reads, seen = known.texts[: entry.texts], known.reads[: entry.reads], known.seen[: entry.seen]
        gate.allows_request.approved = set(entry.opened)
        gate.standing.allowed = set(entry.standing)
        made = GateDecision(entry.verdict, entry.rule, entry.reason)
        if log.add(texts, reads, seen, gate, entry.action, made).hash != entry.hash:
            raise _broken(number)
        gate.follow(texts, reads, seen, known.files)
        found.append(gate.judge(entry.action))
    if log.last != record.last:
        raise _broken(len(record.entries))
    return found


def _is_same(entry: Entry, made: GateDecision) -> bool:
    return (made.verdict, made.rule, made.reason) == (entry.verdict, entry.rule, entry.reason)


def _difference(number: int, entry: Entry, made: GateDecision) -> Difference:
    about = entry.action.summary or entry.action.kind
    then, now = f"{entry.verdict} ({entry.rule})", f"{made.verdict} ({made.rule})"
    return Difference(number=number, action=about, then=then, now=now, reason=made.reason)


def explained(record: Record, number: int) -> list[str]:
    """One decision in lines for a person."""
    entry = record.entries[number]
    action, known = entry.action, record.known
    lines = [
        f"{entry.verdict}: {entry.reason}",
        f"rule     {entry.rule} (policy {resolved(known.policy).name})",
        f"action   {action.kind}, {action.effect}",
    ]
    lines += [f"target   {action.target}", f"digest   {action.digest}"]
    lines += [f"         {name}: {value}" for name, value in action.arguments.items() if name not in ("locator", "code")]
    lines += [f"said     {text}" for text in known.texts[: entry.texts]]
    lines += [f"known    {seen.what} {seen.where}" for seen in known.seen[: entry.seen]]
    lines += [f"known    {read.tool} {read.arguments}" for read in known.reads[: entry.reads]]
    return [*lines, f"chain    {entry.before[:12]} -> {entry.hash[:12]}"]


def _broken(number: int) -> InvalidInput:
    message = f"The chain breaks at decision {number}: it, or what it was made on, was changed."
    return InvalidInput(message, hint="Fetch the record again; if it breaks again, the run's state or events were tampered with.")


def _plain(items: Sequence[BaseModel]) -> list[Any]:
    return [item.model_dump(mode="json") for item in items]
