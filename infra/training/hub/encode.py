"""A record as a row of tokens, exactly as the served model will see and say it: its chat template, its `<think>`, the four tokens by their ids.

    prompt [<think> "\\n"] (block_start block block_end summary_start memento summary_end)* ["\\n" </think> "\\n\\n"] answer end-of-turn

The brackets hold where the tokenizer has the two as tokens; a template that opens <think> in the prompt has done so already. Each stretch of
text is tokenized by itself, with its control-token literals neutralised, so that no text ever becomes a token that controls.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.errors import InvalidInput
from app.memento.grammar import TokenIds, neutralise
from infra.training.mementos.records import Dropped, Reason, Trace

THINK = ("<think>", "</think>")
TAIL = 4  # a template that opens <think> does so within the prompt's last tokens, as the server's reader has it
IGNORED = -100  # no loss here
_MARK = "4nswer-w0rds"


@dataclass(frozen=True)
class Row:
    """Tokens of one record; the first `prompt` of them are not learned."""

    ids: list[int]
    prompt: int

    @property
    def labels(self) -> list[int]:
        return [IGNORED] * self.prompt + self.ids[self.prompt :]


class Encoder:
    """`tokenizer` is a fast one of transformers. Raises InvalidInput where its chat template cannot be used."""

    def __init__(self, tokenizer: Any, ids: TokenIds, system: str = "", think: Literal["auto", "none"] = "auto") -> None:
        self.ids = ids
        self._tokenizer = tokenizer
        self._system = [{"role": "system", "content": neutralise(system)}] if system else []
        self._think = self._thinking() if think == "auto" else None
        added = [token for token in tokenizer.get_added_vocab() if token.strip()]
        self._control = re.compile("|".join(map(re.escape, sorted(added, key=len, reverse=True))) or r"(?!)")
        self._end = self._end_of_turn()

    def encode(self, trace: Trace) -> Row:
        """Raises Dropped for a record without blocks, without an answer, or with a control token in its text."""
        if not trace.blocks:
            raise Dropped(Reason.INCOMPLETE, "It has no blocks: make them with `keepsake mementos build`.")
        if empty := next((n for n, block in enumerate(trace.blocks, 1) if not block.memento.strip()), 0):
            raise Dropped(Reason.MISSING_MEMENTO, f"Memento {empty} is empty.")
        if not trace.answer.strip():
            raise Dropped(Reason.INCOMPLETE, "The answer is empty.")
        prompt = self._ids([self._render([*self._system, {"role": "user", "content": self._plain(trace.problem)}])])[0]
        return Row(prompt + self._completion(trace, prompt), len(prompt))

    def _completion(self, trace: Trace, prompt: list[int]) -> list[int]:
        texts = [self._plain(text) for block in trace.blocks for text in (block.text, block.memento)]
        texts[0], texts[-2] = texts[0].lstrip("\n"), texts[-2].rstrip("\n")
        answer = self._plain(trace.answer).strip()
        before, after, *stretches, answered = self._ids(["\n", "\n", *texts, f"\n\n{answer}" if self._think else answer])
        ids = self.ids
        thought: list[int] = []
        for block, memento in zip(stretches[::2], stretches[1::2], strict=True):
            thought += [ids.block_start, *block, ids.block_end, ids.summary_start, *memento, ids.summary_end]
        if self._think:
            opened = next((token == self._think[0] for token in reversed(prompt[-TAIL:]) if token in self._think), False)
            thought = [*([] if opened else [self._think[0], *before]), *thought, *after, self._think[1]]
        return [*thought, *answered, *self._end]

    def _plain(self, text: str) -> str:
        text = neutralise(text)
        if found := self._control.search(text):
            raise Dropped(Reason.UNREADABLE, f"The text holds the control token {found[0]!r}: take it out.")
        return text

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.backend_tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def _render(self, messages: list[dict[str, str]], *, open_turn: bool = True) -> str:
        try:
            return self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=open_turn)
        except Exception as error:  # a template is a program of somebody else's
            raise InvalidInput(
                f"The model's chat template does not take this conversation: {error}", hint="Prepare the model with `keepsake models add`."
            ) from error

    def _thinking(self) -> tuple[int, int] | None:
        """Ids of <think> and </think> where each is one token."""
        found = self._ids(THINK)
        return (found[0][0], found[1][0]) if [len(ids) for ids in found] == [1, 1] else None

    def _end_of_turn(self) -> list[int]:
        """What the template writes behind an answer, up to the token that ends it."""
        said = self._render([{"role": "user", "content": "-"}, {"role": "assistant", "content": _MARK}], open_turn=False)
        _, marked, behind = said.rpartition(_MARK)
        ids, tokenizer = self._ids([behind])[0] if marked else [], self._tokenizer
        ends = {tokenizer.eos_token_id, *tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
        for place, token in enumerate(ids):
            if token in ends:
                return ids[: place + 1]
        if tokenizer.eos_token_id is None:
            raise InvalidInput("Neither the chat template nor the tokenizer ends an answer.", hint="Set the tokenizer's eos_token.")
        return [tokenizer.eos_token_id]
