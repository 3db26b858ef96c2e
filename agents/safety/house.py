"""The house's own browser, files and programs, as the person's words allow them; see docs/gate.md.

Judged are forms, buttons and links that change something (agents.safety.wish), what leaves with an address or a search (agents.safety.leak), and
names of files. Reading is free otherwise, and so is what stays in the sandbox.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import unquote_plus, urlsplit

from agents.safety.following import SAVES, Following, fields_of, host, label_of, path_of
from agents.safety.forms import Doing, acts, doing_of
from agents.safety.judge import Ruling
from agents.safety.leak import leak
from agents.safety.seen import Seen, short
from agents.safety.thing import filled
from agents.safety.wish import Wish
from app.schemas import Action, Effect, Verdict
from app.vault import HANDLE, handles

_RUNS = frozenset(  # endings of files that something would run
    "sh bash zsh py pyw rb pl js mjs ts php ps1 bat cmd com exe msi vbs jar app desktop service html htm svg xhtml".split()  # noqa: SIM905
)
_READS = Ruling(Verdict.ALLOW, "read", "Only reads.")


class House:
    """`sites`: the task's, name -> address. Before `follow` nothing is known, and whatever is no reading asks."""

    def __init__(self, sites: Mapping[str, str]) -> None:
        self.sites = sites
        self._run: Following | None = None
        self._count = 0

    def follow(self, texts: Sequence[str], seen: Sequence[Seen], files: Sequence[str] = ()) -> None:
        """Bring up to date: what the person has said, in order, what was read and done, and the `files` that lay there before. Cheap where little
        is new."""
        run, texts = self._run, list(texts)
        if run is None or texts[: len(run.texts)] != run.texts or len(seen) < self._count:
            run, self._count = Following(self.sites, texts, frozenset(files)), 0
        elif len(texts) > len(run.texts):
            run.hear(texts)
        for one in seen[self._count :]:
            run.take(one)
        self._run, self._count = run, len(seen)

    def judge(self, action: Action) -> Ruling:
        """What the person's words say to an action of the house's own members."""
        if self._run is None:
            unread = Ruling(Verdict.ASK, "unread", "The gate was not told what the person said.")
            return _READS if action.effect == Effect.READ else unread
        if action.kind in SAVES:
            return self._file(self._run, action)
        if not action.kind.startswith("web."):
            return _READS if action.effect == Effect.READ else Ruling(Verdict.ALLOW, "sandbox", "Nothing outside the sandbox is changed.")
        if action.effect != Effect.READ:
            doing = doing_of(label_of(action.arguments), action.target, fields_of(action.arguments))
            return Wish(self._run, doing, action).ruling()
        if action.kind == "web.visit":
            return self._visit(self._run, action.target)
        doing = acts(action.target) if action.kind != "web.type" or "form" in action.arguments else None
        if doing is None and "form" in action.arguments:
            doing = self._telling(action)
        if doing is not None:
            return Wish(self._run, doing, action).ruling()
        # What is typed leaves with the form, or at once, if a script of the page listens.
        typed = [*filled(action.arguments).values(), *([str(action.arguments.get("text", ""))] if action.kind == "web.type" else [])]
        if handles(typed) and not self._run.asks_to_log_in(handles(typed)):
            return Ruling(Verdict.ASK, "secret", "Your words neither name this secret nor ask to log in.")
        return leak(self._run, HANDLE.sub(" ", " ".join(typed)), host(action.target)) or _READS

    @staticmethod
    def _telling(action: Action) -> Doing | None:
        """What a form does that is sent as if it only asked, where its button or its fields say more."""
        doing = doing_of(label_of(action.arguments), action.target, fields_of(action.arguments))
        return doing if doing.effect not in (Effect.READ, Effect.WRITE) else None

    def _visit(self, run: Following, url: str) -> Ruling:
        """An address that the agent names: free where the task or a page led to it, else it tells what stands in it."""
        if doing := acts(url):
            return Ruling(Verdict.ASK, f"not-asked-{doing.effect}", "The address itself does something.")
        if short(url) in run.links or url.rstrip("/") in {site.rstrip("/") for site in run.sites.values()}:
            return _READS
        parts = urlsplit(url)
        return leak(run, unquote_plus(f"{parts.path} {parts.query}"), host(url)) or _READS

    def _file(self, run: Following, action: Action) -> Ruling:
        """A name that the words say, a file of the run's own, or a new one that nothing would run."""
        path = path_of(action.kind, action.target, action.arguments)
        if action.kind == "web.download" and (visit := self._visit(run, action.target)).verdict != Verdict.ALLOW:
            return visit
        if run.reading.words.say(path) or path in run.written:
            return Ruling(Verdict.ALLOW, "granted", "Your words name this file.")
        if path in run.files:
            return Ruling(Verdict.ASK, "other-file", f"Your words do not name {path}, which lay there before.")
        if path.rpartition(".")[2].casefold() in _RUNS:
            return Ruling(Verdict.ASK, "other-file", f"Your words do not name {path}, which could be run.")
        return Ruling(Verdict.ALLOW, "new-file", "A new file of the run's own workspace.")
