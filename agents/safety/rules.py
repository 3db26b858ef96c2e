"""Which rule of a policy decides on an action."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from agents.safety.grants import Origin
from agents.safety.values import number_of
from app.effects import Effect
from app.policies.base import PolicyFile, Rule, Then
from app.schemas import Action


def deciding(policy: PolicyFile, action: Action, hosts: Iterable[Origin], sites: Mapping[str, str]) -> Rule:
    """The first rule that fits; the policy's `otherwise` as a rule where none does. `hosts`: of the pages that the action is on and leads to."""
    hosts = list(hosts)
    found = next((rule for rule in policy.rules if fits(rule, action, hosts, sites)), None)
    return found or Rule(then=Then(policy.otherwise), why=policy.why)


def fits(rule: Rule, action: Action, hosts: list[Origin], sites: Mapping[str, str]) -> bool:
    """Leave is given only where every host that takes part is meant, a restriction applies as soon as one is."""
    if rule.effects and action.effect not in rule.effects:
        return False
    if rule.actions and not any(fnmatchcase(action.kind, pattern) for pattern in rule.actions):
        return False
    if rule.files and not any(fnmatchcase(path, pattern) for pattern in rule.files for path in _files(action)):
        return False
    if rule.over is not None and not _costs_more(action, rule.over):
        return False
    if not rule.sites:
        return True
    among = [any(_is_meant(host, wanted, sites) for wanted in rule.sites) for host in hosts]
    return bool(among) and (all(among) if rule.then == Then.ALLOW else any(among))


def _is_meant(host: Origin, wanted: str, sites: Mapping[str, str]) -> bool:
    if wanted in sites:
        own = Origin.of(sites[wanted])
        return own is not None and (own.host, own.port) == (host.host, host.port)
    return fnmatchcase(host.host, wanted.casefold())


def _files(action: Action) -> list[str]:
    if action.kind.startswith("files.") or action.kind == "web.save_table":
        return [str(PurePosixPath(action.target))]
    return [str(PurePosixPath(str(action.arguments.get("text", ""))))] if action.kind == "web.download" else []


def _costs_more(action: Action, bound: Decimal) -> bool:
    """Whether a payment is above a sum; one whose sum the page does not tell may be."""
    if action.effect != Effect.PAY:
        return False
    totals = [number for number in map(number_of, map(str, action.arguments.get("totals", ()))) if number is not None]
    return not totals or max(totals) > bound
