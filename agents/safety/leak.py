"""Whether an address, or what is typed into a form, would tell a site what stands in a file, in a program's output or on another site."""

from agents.safety.following import Following, host
from agents.safety.forms import words_in
from agents.safety.history import Source
from agents.safety.judge import Ruling
from agents.safety.lexicon import lexicon, verbs
from agents.safety.seen import MOST
from app.schemas import Verdict

_SHORT = 4  # letters; shorter words give nothing away


def leak(run: Following, text: str, to: str) -> Ruling | None:
    """What a host would be told that neither the person's words nor its own pages say; None where it would be told nothing."""
    for word in _unsaid(run, text, to):
        for source in run.reading.history.with_word(word):
            if _is_elsewhere(run, source, to):
                return Ruling(Verdict.ASK, "confidential", f"`{word[:40]}` stands in {_place(source)} and would be told to {to}.")
    return disguised(run, text, to)


def disguised(run: Following, text: str, to: str) -> Ruling | None:
    """Words of the agent's own, after it read what nobody spoke of: they may carry that in other letters."""
    word = next(iter(_unsaid(run, text, to)), None)
    if word is None:
        return None
    if run.size > MOST:
        return Ruling(Verdict.ASK, "much-read", f"More was read than the gate keeps; nobody can tell where `{word[:40]}` comes from.")
    private = next((s for s in run.reading.history.sources if s.tool != "page" and _is_elsewhere(run, s, to)), None)
    if private is None:
        return None
    reason = f"{_place(private)} was read, which you do not speak of; `{word[:40]}` may come from there."
    return Ruling(Verdict.ASK, "confidential", reason)


def _is_elsewhere(run: Following, source: Source, to: str) -> bool:
    """Whether a source is another site, a file of which the words do not speak, or what a program may have made of such a file."""
    if source.tool == "page":
        return host(str(source.arguments["name"])) != to
    return not all(run.speaks_of_file(path) for path in run.files) if source.tool == "program" else source not in run.reading.named


def _unsaid(run: Following, text: str, to: str) -> list[str]:
    """Words that are neither the person's, nor of a file that they name, nor the site's own."""
    words = [word for word in words_in(text) if len(word) >= _SHORT]
    if not words:
        return []
    known = {*words_in("\n".join(run.texts)), *run.pages.get(to, ()), *lexicon().generic, *verbs()}
    known |= {word for source in run.reading.named for word in words_in(source.text)}
    return [word for word in words if word not in known]


def _place(source: Source) -> str:
    return str(source.arguments["name"])[:80] or "A program's output"
