"""The memento tokens, the reader of a token stream, and how text from outside is kept from ever becoming one of the tokens.

Grammar of a stream (MEMENTO, arXiv 2604.09852, A.2.1): `(block_start reasoning block_end summary_start memento summary_end)* answer`.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

BLOCK_START = "<|block_start|>"
BLOCK_END = "<|block_end|>"
SUMMARY_START = "<|summary_start|>"
SUMMARY_END = "<|summary_end|>"
MEMENTO_TOKENS = (BLOCK_START, BLOCK_END, SUMMARY_START, SUMMARY_END)

# Rows 7 to 10 of SmolLM2's vocabulary are unused; the four tokens take their place, so nothing is resized.
MEMENTO_TOKEN_IDS = {BLOCK_START: 7, BLOCK_END: 8, SUMMARY_START: 9, SUMMARY_END: 10}


@dataclass(frozen=True)
class TokenIds:
    """Ids of the four tokens in one model's vocabulary."""

    block_start: int
    block_end: int
    summary_start: int
    summary_end: int

    def __post_init__(self) -> None:
        ids = (self.block_start, self.block_end, self.summary_start, self.summary_end)
        if len(set(ids)) != 4 or min(ids) < 0:
            raise ValueError(f"the four memento tokens need four different ids of the vocabulary, not {list(ids)}")


class Phase(StrEnum):
    """Where in the grammar a stream stands. GAP is between a block's end and its memento's start."""

    TEXT = "text"
    BLOCK = "block"
    GAP = "gap"
    MEMENTO = "memento"


@dataclass(frozen=True, slots=True)
class Pair:
    """A finished block with its memento. Indices into the stream; the block is [start, end) with its delimiters, the memento [memento, close].
    `ended`: the block has a block_end; without one it ends before summary_start."""

    start: int
    end: int
    memento: int
    close: int
    ended: bool


class Reader:
    """Reads a stream of token ids one by one and tells when a block and its memento are complete. O(1) memory; tolerant of malformed streams:

    a second block_start begins the block anew (what stood before it stays ordinary text); a missing block_end is implied by summary_start; a
    block_end, summary_start or summary_end out of place is ordinary text.
    """

    __slots__ = ("_end", "_ended", "_memento", "_start", "ids", "index", "phase")

    def __init__(self, ids: TokenIds) -> None:
        self.ids = ids
        self.index = 0  # of the next token
        self.phase = Phase.TEXT
        self._start = self._end = self._memento = 0
        self._ended = False

    def push(self, token: int) -> Pair | None:
        """Read the next token; the pair that it completes, if it does."""
        at, ids = self.index, self.ids
        self.index = at + 1
        if token == ids.block_start:
            self.phase, self._start, self._ended = Phase.BLOCK, at, False
        elif self.phase is Phase.TEXT:
            pass
        elif token == ids.block_end:
            if self.phase is Phase.BLOCK:
                self.phase, self._end, self._ended = Phase.GAP, at + 1, True
        elif token == ids.summary_start:
            if self.phase is Phase.BLOCK:
                self._end = at
            if self.phase is not Phase.MEMENTO:
                self.phase, self._memento = Phase.MEMENTO, at
        elif token == ids.summary_end and self.phase is Phase.MEMENTO:
            self.phase = Phase.TEXT
            return Pair(self._start, self._end, self._memento, at, self._ended)
        return None


# Literal strings that some tokenizer or chat template reads as control: every `<|name|>` and DeepSeek's `<｜name｜>`, then names in angle
# brackets (SmolLM2, Llama, Gemma, thinking and tools), in half-barred ones (Gemma 4: `<|turn>`, `<turn|>`), and in Mistral's square ones.
_ANGLE = (
    "repo_name|reponame|file_sep|filename|gh_stars|issue_start|issue_comment|issue_closed|jupyter_start|jupyter_text|jupyter_code"
    "|jupyter_output|jupyter_script|empty_output|s|/s|unk|pad|bos|eos|/?think|/?tool_call|/?tool_response|/?tools|/?safety_thoughts"
    "|(?:start|end)_of_(?:turn|image)|(?:start|end)_function_(?:call|declaration|response)"
)
_HALF_BARRED = "turn|channel|think|tool|tool_call|tool_response|image|audio|video"
_SQUARE = "/?INST|/?SYSTEM_PROMPT|/?AVAILABLE_TOOLS|TOOL_CALLS|/?TOOL_RESULTS|/?TOOL_CONTENT|CALL_ID|ARGS|/?THINK"
_CONTROL = re.compile(
    rf"<\|([^|<>\n]{{1,64}})\|>|<｜([^｜<>\n]{{1,64}})｜>|｜(DSML)｜|<<(/?SYS)>>"
    rf"|<({_ANGLE})>|<\|({_HALF_BARRED})>|<({_HALF_BARRED})\|>|\[({_SQUARE})\]"
)


def neutralise(text: str) -> str:
    """`text` with every control-token literal made harmless but still readable: `<|im_end|>` becomes `‹im_end›`.

    Applied to all that a person, page, file or program supplies before a model sees it. Idempotent; other text is returned unchanged.
    """
    previous = None
    while previous != text:  # taking one literal out may join the halves of another
        previous, text = text, _CONTROL.sub(lambda m: f"‹{m[m.lastindex or 0]}›", text)
    return text
