"""Ids to text with the model's own tokenizer, one token at a time. Needs `tokenizers`, which comes with vLLM."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from app.memento.grammar import TokenIds

from keepsake_vllm.api.parts import THINK, Vocabulary


class Detokeniser:
    """Text of a growing list of ids. With `skip_special` control tokens give none. `prompt`: ids that came before, as vLLM has it."""

    def __init__(self, tokenizer: Any, skip_special: bool = True, prompt: list[int] | None = None) -> None:
        self.skip_special = skip_special
        self._tokenizer = tokenizer
        self._fast = getattr(tokenizer, "_tokenizer", None)
        self._pending: list[int] = []
        self._stream = self._new_stream(prompt)

    def step(self, token: int) -> str:
        """The text that is certain with this token; "" while a character is unfinished."""
        self._pending.append(token)
        if self._stream is None:
            text = self._tokenizer.decode(self._pending, skip_special_tokens=self.skip_special)
            text = "" if text.endswith("�") and len(self._pending) < 8 else text
        else:
            try:
                text = self._stream.step(self._fast, token) or ""
            except Exception:  # ids that make no valid text upset the library's decoder; it begins anew
                self._stream = self._new_stream(None)
                return self.flush()
        if text:
            self._pending.clear()
        return text

    def flush(self) -> str:
        """What is left of an unfinished character, as U+FFFD."""
        pending, self._pending = self._pending, []
        return self._tokenizer.decode(pending, skip_special_tokens=self.skip_special) if pending else ""

    def _new_stream(self, prompt: list[int] | None) -> Any:
        if self._fast is None or not hasattr(self._fast, "id_to_token"):
            return None
        from tokenizers.decoders import DecodeStream

        return DecodeStream(ids=list(prompt or []), skip_special_tokens=self.skip_special)


class Silent(Detokeniser):
    """Gives no text for `tokens`, be they control tokens to the tokenizer or not."""

    def __init__(self, tokenizer: Any, tokens: frozenset[int]) -> None:
        super().__init__(tokenizer)
        self._silent = tokens

    def step(self, token: int) -> str:
        return self.flush() if token in self._silent else super().step(token)


def vocabulary(tokenizer: Any, ids: TokenIds) -> Vocabulary:
    """How to read streams of this tokenizer's model."""
    known = tokenizer.get_vocab()
    think = (known[THINK[0]], known[THINK[1]]) if all(token in known for token in THINK) else None

    ours = {ids.block_start, ids.block_end, ids.summary_start, ids.summary_end}

    @lru_cache(maxsize=65_536)
    def blank(token: int) -> bool:
        return token in ours or not tokenizer.decode([token], skip_special_tokens=True).strip()

    return Vocabulary(ids, blank, think)


def decoders(tokenizer: Any, ids: TokenIds) -> Callable[[], Detokeniser]:
    """Makes a decoder per part."""
    ours = frozenset((ids.block_start, ids.block_end, ids.summary_start, ids.summary_end))
    return lambda: Silent(tokenizer, ours)
