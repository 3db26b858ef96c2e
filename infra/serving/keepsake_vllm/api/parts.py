"""Token ids to typed parts: `block`, `memento`, `answer`, and `text` for whatever stands outside of them.

    (block_start block block_end summary_start memento summary_end)* answer

All by ids: a delimiter that is spelled out is text. Malformed streams are read as `app.memento.grammar.Reader` reads them, so that the parts are
what the engine evicts. The answer begins with the first token outside a block that is not blank, or behind `</think>` if the model opened
`<think>`; blocks that open later are blocks all the same.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from app.memento.grammar import Phase, Reader, TokenIds

THINK = ("<think>", "</think>")
TAIL = 4  # a chat template that opens <think> for the model does so within the prompt's last tokens


class Kind(StrEnum):
    BLOCK = "block"
    MEMENTO = "memento"
    ANSWER = "answer"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Step:
    """One token in its part. `index` counts the blocks opened so far, from 0: a memento has its block's. `mark`: a delimiter, not text."""

    token: int
    at: int
    kind: Kind
    index: int
    mark: bool = False
    closes: bool = False  # this summary_end completes the memento


@dataclass(frozen=True)
class Vocabulary:
    """What reading a stream takes: the four ids, the ids of <think> and </think> if there are such tokens, and which tokens are blank."""

    ids: TokenIds
    blank: Callable[[int], bool]
    think: tuple[int, int] | None = None

    def thinks(self, prompt: list[int]) -> bool:
        """Whether the prompt ends inside <think>, as the templates of some models have it."""
        for token in reversed(prompt[-TAIL:]) if self.think else ():
            if token in self.think:
                return token == self.think[0]
        return False


class Sections:
    """Says for each token which part it belongs to. Blank tokens before the answer are held back until it is known whether a block follows."""

    def __init__(self, vocabulary: Vocabulary, thinking: bool = False) -> None:
        self.vocabulary = vocabulary
        self.thinking = thinking
        self.answering = False
        self.index = -1
        self._reader = Reader(vocabulary.ids)
        self._held: list[tuple[int, int]] = []
        self._reasoned = thinking

    def push(self, token: int) -> Iterator[Step]:
        """Read the next token; the steps that are certain now, in order."""
        reader, ids = self._reader, self.vocabulary.ids
        before, at = reader.phase, reader.index
        reader.push(token)
        if token == ids.block_start:
            yield from self._release(Kind.TEXT)
            self.index += 1
            self._reasoned = True
            yield Step(token, at, Kind.BLOCK, self.index, mark=True)
        elif before is Phase.TEXT:
            yield from self._outside(token, at)
        elif before is Phase.MEMENTO:
            closes = reader.phase is Phase.TEXT
            yield Step(token, at, Kind.MEMENTO, self.index, mark=closes, closes=closes)
        elif reader.phase is Phase.MEMENTO:
            yield Step(token, at, Kind.MEMENTO, self.index, mark=True)
        elif before is Phase.BLOCK:
            yield Step(token, at, Kind.BLOCK, self.index, mark=reader.phase is Phase.GAP)
        else:
            yield Step(token, at, Kind.TEXT, self.index)

    def finish(self) -> Iterator[Step]:
        """The stream ends here."""
        yield from self._release(Kind.TEXT if self._reasoned and not self.answering else Kind.ANSWER)

    def _outside(self, token: int, at: int) -> Iterator[Step]:
        think = self.vocabulary.think
        if self.answering:
            yield Step(token, at, Kind.ANSWER, self.index)
        elif think and token in think:
            yield from self._release(Kind.TEXT)
            self.thinking = self._reasoned = token == think[0] or self._reasoned
            self.answering = token == think[1]
            yield Step(token, at, Kind.TEXT, self.index, mark=True)
        elif self.thinking:
            yield Step(token, at, Kind.TEXT, self.index)
        elif self.vocabulary.blank(token):
            self._held.append((token, at))
        else:
            yield from self._release(Kind.TEXT if self._reasoned else Kind.ANSWER)
            self.answering = True
            yield Step(token, at, Kind.ANSWER, self.index)

    def _release(self, kind: Kind) -> Iterator[Step]:
        held, self._held = self._held, []
        for token, at in held:
            yield Step(token, at, kind, self.index)


class Decoder(Protocol):
    """Turns ids into text one at a time; `flush` gives what an unfinished character held back."""

    def step(self, token: int) -> str: ...

    def flush(self) -> str: ...


@dataclass
class Part:
    """One part. `tokens` counts its text, delimiters left out."""

    kind: Kind
    index: int
    text: str = ""
    tokens: int = 0

    def as_json(self) -> dict[str, Any]:
        return {"type": self.kind.value, "index": self.index, "text": self.text, "tokens": self.tokens}


class Parts:
    """The parts of one completion, as it grows. Answers and texts are counted each for themselves, blocks as they open."""

    def __init__(self, vocabulary: Vocabulary, decoder: Callable[[], Decoder], prompt: list[int] | None = None) -> None:
        self.parts: list[Part] = []
        self.blocks: list[int] = []  # where in the completion each block opened
        self._vocabulary = vocabulary
        self._sections = Sections(vocabulary, vocabulary.thinks(prompt or []))
        self._new_decoder = decoder
        self._decoder = decoder()
        self._open: Part | None = None

    def feed(self, tokens: Iterable[int]) -> list[dict[str, Any]]:
        """Read on; the events of a stream (see the class `Reply`)."""
        return self._events(step for token in tokens for step in self._sections.push(token))

    def finish(self) -> list[dict[str, Any]]:
        events = self._events(self._sections.finish())
        return events + self._close()

    def visible(self) -> list[Part]:
        """The parts worth telling: blank text between blocks is left out."""
        return [part for part in self.parts if part.kind is not Kind.TEXT or part.text.strip()]

    def _events(self, steps: Iterable[Step]) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        for step in steps:
            if step.mark:
                events += self._close(complete=step.closes)
                if step.kind is Kind.BLOCK and step.index == len(self.blocks):
                    self.blocks.append(step.at)
                    events.append({"type": "block_open", "index": step.index})
                    self._begin(Kind.BLOCK, step.index)
                elif step.kind is Kind.MEMENTO and not step.closes:
                    self._begin(Kind.MEMENTO, step.index)
                continue
            if self._open is None or self._open.kind is not step.kind:
                events += self._close()
                same = step.index if step.kind in (Kind.BLOCK, Kind.MEMENTO) else sum(part.kind is step.kind for part in self.parts)
                self._begin(step.kind, same)
            assert self._open is not None
            text = self._decoder.step(step.token)
            self._open.tokens += bool(text) or not self._vocabulary.blank(step.token)  # a control token is no text
            events += self._add(self._open, text)
        return events

    def _begin(self, kind: Kind, index: int) -> None:
        self._open = Part(kind, index)
        self.parts.append(self._open)
        self._decoder = self._new_decoder()

    def _close(self, complete: bool = False) -> list[dict[str, Any]]:
        part, self._open = self._open, None
        if part is None:
            return []
        events = self._add(part, self._decoder.flush())
        if complete:
            events.append({"type": "memento", "index": part.index, "text": part.text, "tokens": part.tokens})
        return events

    def _add(self, part: Part, text: str) -> list[dict[str, Any]]:
        if not text:
            return []
        silent = part.kind is Kind.TEXT and not part.text.strip()  # white space between blocks is worth no event
        part.text += text
        if silent and not text.strip():
            return []
        return [{"type": "delta", "part": part.kind.value, "index": part.index, "text": part.text if silent else text}]


def read_parts(
    tokens: Iterable[int], vocabulary: Vocabulary, decoder: Callable[[], Decoder], prompt: list[int] | None = None
) -> list[Part]:
    """The parts of a whole completion."""
    parts = Parts(vocabulary, decoder, prompt)
    parts.feed(tokens)
    parts.finish()
    return parts.visible()
