"""A run as the gate follows it: the person's words, and what the house's own members read and did, kept so that it can be asked quickly."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from agents.safety.forms import Doing, doing_of, words_in
from agents.safety.history import Source
from agents.safety.lexicon import lexicon
from agents.safety.reading import Reading
from agents.safety.seen import Seen, short
from agents.safety.tools import Parameter, Role, Tool
from agents.safety.values import Kind
from agents.safety.words import Clause, Words, joined
from app.schemas import Effect

_POINTING = ("the", "my", "our", "this", "that", "attached", "enclosed")
SAVES = ("files.write", "web.save_table", "web.download")
_GIVES = {"page": Kind.URL, "file": Kind.FILE, "program": None}
_TOOLS = {
    name: Tool(name, Effect.READ, parameters={"name": Parameter("name", Role.SELECTOR, kind)}, open_world=True)
    for name, kind in _GIVES.items()
}


@dataclass
class Following:
    """`sites`: the task's, name -> address; `files`: those that lay there before the run."""

    sites: Mapping[str, str]
    texts: Sequence[str]
    files: frozenset[str] = frozenset()
    said: list[Words] = field(init=False)  # text by text
    used: list[tuple[str, ...]] = field(default_factory=list)  # what was done that is granted once
    pages: dict[str, set[str]] = field(default_factory=dict)  # words of a host's pages
    links: set[str] = field(default_factory=set)  # addresses that pages led to, or that were open
    written: set[str] = field(default_factory=set)  # files that the run has written
    size: int = 0  # characters read
    _titles: dict[str, list[set[str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.said = [Words.of([text]) for text in self.texts]
        self.reading = Reading(joined(self.said))

    def hear(self, texts: Sequence[str]) -> None:
        """The person has said more: these are all their texts now."""
        self.said += [Words.of([text]) for text in texts[len(self.texts) :]]
        self.texts = texts
        self.reading = self.reading.again(joined(self.said))
        for source in self.reading.history.sources:
            if source.tool == "file":
                self._name(source, str(source.arguments["name"]))

    def take(self, seen: Seen) -> None:
        self.size += len(seen.text)
        if seen.what == "deed":
            self._take_deed(seen)
            return
        self.reading.see(self.reading.history.add(_TOOLS[seen.what], {"name": seen.where}, seen.text))
        if seen.what == "file":
            self._name(self.reading.history.sources[-1], seen.where)
        if seen.what == "page":
            own = host(seen.where)
            self.pages.setdefault(own, set()).update(words_in(seen.text))
            self._titles.setdefault(own, []).append(set(words_in(str(seen.arguments.get("title", "")))))
            self.links |= {short(seen.where), *seen.arguments.get("links", ())}

    def _take_deed(self, deed: Seen) -> None:
        if deed.kind in SAVES:
            self.written.add(path_of(deed.kind, deed.where, deed.arguments))
            return
        doing = doing_of(label_of(deed.arguments), deed.where, fields_of(deed.arguments))
        if takes_out(doing):
            self.used = [key for key in self.used if key[0] != "cart"]  # what was put in may be put in again
        else:
            self.used.append(once(doing, deed.where, deed.arguments))

    def _name(self, source: Source, path: str) -> None:
        """`The attached list` names a file as well as its path does."""
        spoken = [clause for clause in self.reading.words.clauses if self._attached(clause, path)]
        if spoken:
            self.reading.named.setdefault(source, spoken)

    def speaks_of_file(self, path: str) -> bool:
        """Whether the words say a file's name, or speak of an attachment that can only be this file."""
        return self.reading.words.say(path) or any(self._attached(clause, path) for clause in self.reading.words.clauses)

    def _attached(self, clause: Clause, path: str) -> bool:
        if path not in self.files:
            return False
        called = {" ".join(words_in(path.rpartition("/")[2].partition(".")[0]))}
        called |= lexicon().attachments if len(self.files) == 1 else set()
        return any(name and clause.said.holds(f"{pointing} {name}") for name in called for pointing in _POINTING)

    def asks_to_log_in(self, secrets: Iterable[str]) -> bool:
        """Whether the words name each of these secrets, or ask to log in."""
        if all(self.reading.words.said.holds(name) for name in secrets):
            return True
        return bool(lexicon().families_of({"log-in"}) & {n for clause in self.reading.words.clauses for n in clause.families})

    def common(self, own: str) -> set[str]:
        """The words that name a site and no thing of it: its host, the name that the task gives it, and what all its titles have."""
        titles = self._titles.get(own, [])
        shared = set.intersection(*titles) if len({frozenset(title) for title in titles}) > 1 else set()
        return shared | self.named(own) | set(words_in(own))

    def named(self, own: str) -> set[str]:
        """The names that the task gives to a host."""
        return {word for name, url in self.sites.items() if host(url) == own for word in words_in(name)}

    def message(self, clause: Clause) -> Words:
        """The text of the person that a clause of theirs stands in."""
        return next(words for words in self.said if any(own is clause for own in words.clauses))

    def files_named_in(self, said: Words) -> list[Source]:
        """The files that a message names."""
        return [s for s, named in self.reading.named.items() if s.tool == "file" and any(clause in named for clause in said.clauses)]

    def files_named_near(self, number: int) -> list[Source]:
        """The files that a clause and its neighbours name: `note.txt says what to buy. Order it.`"""
        clauses = self.reading.words.clauses[max(0, number - 1) : number + 2]
        return [s for s, named in self.reading.named.items() if s.tool == "file" and any(clause in named for clause in clauses)]


def host(url: str) -> str:
    """Host and port of an address, or of `METHOD ADDRESS`."""
    return urlsplit(url.rpartition(" ")[2]).netloc.rpartition("@")[2].casefold()


def label_of(given: Mapping[str, Any]) -> str:
    """The words of the button that an action presses; Enter in a box presses its form's button."""
    return str(given.get("presses") or (given.get("locator") or {}).get("name", ""))


def fields_of(given: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in given.get("form", {}).items()}


def path_of(kind: str, target: str, given: Mapping[str, Any]) -> str:
    """The file that an action writes."""
    return str(given.get("text", "")) if kind == "web.download" else target


def takes_out(doing: Doing) -> bool:
    """Whether something is taken out of a cart, which harms nobody."""
    return doing.buying and bool(lexicon().families_of({"remove"}) & doing.families)


def once(doing: Doing, target: str, given: Mapping[str, Any]) -> tuple[str, ...]:
    """What a message of the person grants once: a form of a site; putting into a cart, once for each thing."""
    if doing.buying:
        return ("cart", host(target), str(given.get("row") or given.get("title", "")))
    method, _, url = target.rpartition(" ")
    return ("form", method, url.partition("?")[0], " ".join(words_in(label_of(given))))
