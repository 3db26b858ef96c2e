"""The gate: the one choke point between a decision and the world.

Every effect comes here as a canonical Action and leaves as allow, ask or refuse with the rule that fired. Only an allowed action gets a
permit, and no effector acts without one. Strictest rule wins: what is refused cannot be approved.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from agents.safety.grants import Grants, Origin, Reach, is_private
from agents.safety.house import House
from agents.safety.judge import Ruling
from agents.safety.outside import Outside, Read
from agents.safety.permit import Permit, issue
from agents.safety.rules import deciding
from agents.safety.seen import Seen
from agents.safety.standing import Alike, Standing
from agents.safety.tools import SEVERITY
from app.policies.base import PolicyFile, Rule, Then
from app.policies.files import resolved
from app.schemas import Action, Effect, Verdict
from app.vault import Vault, handles

# The typed actions that exist, and the least effect each can have. Anything else is unknown and refused.
KINDS: dict[str, Effect] = {
    "web.visit": Effect.READ,
    "web.click": Effect.READ,
    "web.type": Effect.READ,
    "web.select": Effect.READ,
    "web.scroll": Effect.READ,
    "web.back": Effect.READ,
    "web.read": Effect.READ,
    "web.save_table": Effect.WRITE,
    "web.download": Effect.WRITE,
    "files.list": Effect.READ,
    "files.read": Effect.READ,
    "files.write": Effect.WRITE,
    "code.run": Effect.EXEC,
}
_DOES = {
    Effect.WRITE: "This changes something.",
    Effect.SEND: "This sends words to others.",
    Effect.DELETE: "This deletes something.",
    Effect.PAY: "This pays.",
    Effect.EXEC: "This runs a program in the sandbox.",
    Effect.CREDENTIAL: "This changes who may log in.",
}


@dataclass(frozen=True)
class GateDecision:
    """Verdict, the rule that fired, a reason for the person, and the permit when allowed."""

    verdict: Verdict
    rule: str
    reason: str
    permit: Permit | None = None


class Gate:
    """Judges actions of one run by its policy (a preset's name, or one in full) and grants. `tools` are gated tools of foreign agents: name ->
    effect; `schemas` describes them.

    `allows_request` is the first filter under the browser; it holds what a person approved, see agents.safety.grants.Reach.
    """

    def __init__(
        self,
        policy: str | PolicyFile,
        grants: Grants,
        tools: dict[str, Effect] | None = None,
        schemas: Sequence[Mapping[str, Any]] = (),
        vault: Vault | None = None,
    ) -> None:
        self.policy = resolved(policy)
        self.grants = grants
        self.kinds = dict(KINDS)
        self.allows_request = Reach(grants)
        self.standing = Standing()
        self.vault = vault or Vault()
        self.house = House(grants.sites)
        self.take_tools(tools or {}, schemas)

    def take_tools(self, tools: Mapping[str, Effect], schemas: Sequence[Mapping[str, Any]]) -> None:
        """The tools of foreign agents, before the run begins."""
        self.kinds |= {f"tool.{name}": effect for name, effect in tools.items()}
        self.outside = Outside(tools, schemas)

    def follow(self, texts: Sequence[str], reads: Sequence[Read], seen: Sequence[Seen] = (), files: Sequence[str] = ()) -> None:
        """What the person has said, and what was read and done since; before a judgement, whenever any of it has grown."""
        self.outside.follow(texts, reads)
        self.house.follow(texts, seen, files)

    def judge(self, action: Action, approved_digest: str | None = None) -> GateDecision:
        """Decide on `action`. `approved_digest` is the digest a person approved: it turns ask into allow for exactly that action."""
        if refusal := self._refusal(action):
            return GateDecision(Verdict.REFUSE, *refusal)
        rule = deciding(self.policy, action, self._hosts(action), self.grants.sites)
        ruling = self._by_rule(action, rule)
        if ruling.verdict == Verdict.ASK and approved_digest == action.digest:
            self._remember_origin(action)
            return GateDecision(Verdict.ALLOW, "approved", "A person approved exactly this action.", issue(action))
        alike = self.alike(action, ruling.rule) if ruling.verdict == Verdict.ASK else None
        if alike is not None and alike in self.standing.allowed:
            return GateDecision(Verdict.ALLOW, "approved-alike", f"A person allowed {alike.words} for this run.", issue(action))
        if ruling.verdict == Verdict.ASK and self.policy.unanswered == "refuse":
            return GateDecision(Verdict.REFUSE, ruling.rule, f"{ruling.reason} Nobody is there to be asked.")
        if ruling.verdict != Verdict.ALLOW:
            return GateDecision(ruling.verdict, ruling.rule, ruling.reason)
        if rule.then == Then.ALLOW:
            self._remember_origin(action)
        return GateDecision(Verdict.ALLOW, ruling.rule, ruling.reason, issue(action))

    def alike(self, action: Action, rule: str) -> Alike | None:
        """What a person may allow for the rest of the run, instead of this one action that asks by a rule; None where each is asked about."""
        return Alike.of(action, rule, self._hosts(action))

    def _refusal(self, action: Action) -> tuple[str, str] | None:
        least = self.kinds.get(action.kind)
        if least is None:
            return "unknown-action", f"`{action.kind}` is not an action of this team."
        if SEVERITY[action.effect] < SEVERITY[least]:
            return "effect-understated", f"`{action.kind}` is at least {least}, the action says {action.effect}."
        if names := handles([action.target, action.arguments]):
            return self._secret_refusal(action, names) or self._web_refusal(action)
        if action.kind.startswith("web."):
            return self._web_refusal(action)
        if action.kind.startswith("files."):
            return path_refusal(action.target)
        return None

    def _secret_refusal(self, action: Action, names: set[str]) -> tuple[str, str] | None:
        """A secret is only typed, into a field of a page of its audience, and where that sends a form, to its audience."""
        places = [str(action.arguments.get("page_url", "")), *filter(None, [web_address(action)])]
        elsewhere = handles([action.target, {k: v for k, v in action.arguments.items() if k not in ("text", "form")}])
        if action.kind not in ("web.type", "web.click") or elsewhere or (action.kind == "web.click" and "form" not in action.arguments):
            return "secret-elsewhere", "A secret may only be typed into a form of its own site."
        for name in sorted(names):
            if name not in self.vault.audiences:
                return "unknown-secret", f"There is no secret `{name}`."
            if not all(self.vault.admits(name, place) for place in places):
                return "secret-audience", f"The secret `{name}` may not go to this site."
        return None

    def _web_refusal(self, action: Action) -> tuple[str, str] | None:
        if action.kind == "web.save_table":
            return path_refusal(action.target)
        if action.kind == "web.download" and (refusal := path_refusal(str(action.arguments.get("text", "")))):
            return refusal
        url = web_address(action)
        if not url and action.kind != "web.download":
            return None
        origin = Origin.of(url)
        if origin is None:
            return "scheme", f"Only http and https addresses can be opened, not `{url[:80]}`."
        if self.grants.closed(origin):
            return "own-ports", f"Port {origin.port} of {origin.host} belongs to Keepsake or a database and is closed to agents."
        if not self.grants.covers(origin) and is_private(origin.host):
            return "private-address", f"{origin.host}:{origin.port} is not a public address and no site of the task has it."
        return None

    def _by_rule(self, action: Action, rule: Rule) -> Ruling:
        """What the policy's rule says, and where it leaves that to them, the person's words. A restriction adds their doubt to its own reason."""
        why = rule.why or _DOES.get(action.effect, "Your policy says so.")
        if rule.then == Then.REFUSE:
            return Ruling(Verdict.REFUSE, f"refused-{action.effect}", rule.why or f"Your policy refuses this. {why}")
        if rule.then == Then.ALLOW:
            return Ruling(Verdict.ALLOW, "policy", rule.why or "Your policy allows this.")
        ruling = self._by_words(action)
        if rule.then == Then.WORDS or ruling.verdict == Verdict.REFUSE or ruling.rule == "new-site":
            return ruling
        doubt = ruling.reason if ruling.verdict == Verdict.ASK else ""
        return Ruling(Verdict.ASK, f"ask-{action.effect}", " ".join(filter(None, (why, doubt))))

    def _by_words(self, action: Action) -> Ruling:
        origin = Origin.of(web_address(action)) if action.kind.startswith("web.") else None
        if origin is not None and not self.allows_request.covers(origin):
            return Ruling(Verdict.ASK, "new-site", f"{origin.host}:{origin.port} is not among the task's sites.")
        return self._by_foreign_words(action) if action.kind.startswith("tool.") else self.house.judge(action)

    def _by_foreign_words(self, action: Action) -> Ruling:
        """A tool from outside the house: whether the person's words ask for this very call, where the policy lets it run at all."""
        if ruling := self.outside.judge(action.target, action.arguments):
            return ruling
        if action.effect == Effect.READ:
            return Ruling(Verdict.ALLOW, "read", "Only reads.")
        return Ruling(Verdict.ASK, "foreign-tool", "A tool from outside the house wants to act.")

    def _hosts(self, action: Action) -> list[Origin]:
        """Of the page that a web action is on, and of the one that it leads to."""
        if not action.kind.startswith("web."):
            return []
        places = (str(action.arguments.get("page_url", "")), web_address(action))
        return [origin for origin in map(Origin.of, places) if origin is not None]

    def _remember_origin(self, action: Action) -> None:
        origin = Origin.of(web_address(action)) if action.kind.startswith("web.") else None
        if origin:
            self.allows_request.approve(origin)


def web_address(action: Action) -> str:
    """The address a web action leads to: a URL as target, or `METHOD URL` for a form; empty when it stays on the page or names a file."""
    if action.kind == "web.save_table":
        return ""
    head, _, rest = action.target.partition(" ")
    return rest if head in {"GET", "POST", "PUT", "DELETE", "PATCH"} else action.target


def path_refusal(path: str) -> tuple[str, str] | None:
    """Why a workspace path is refused (rule, reason), or None. Symbolic links are the workspace's matter, see agents.files.workspace."""
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path:
        return "outside-workspace", f"`{path[:120]}` is not a path inside the workspace."
    return None
