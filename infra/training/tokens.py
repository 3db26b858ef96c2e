"""Examples as token ids, exactly as the server's tokenizer makes them of a chat request. Needs `tokenizers`, not torch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tokenizers import Tokenizer

from app.errors import InvalidInput, SetupError
from app.memento.grammar import MEMENTO_TOKEN_IDS, TokenIds
from app.memento.visibility import Policy, evict_after
from infra.training.examples import Example
from infra.training.packing import Encoded

IDS = TokenIds(*MEMENTO_TOKEN_IDS.values())


class Encoder:
    """The tokenizer of a directory of weights. Raises SetupError when it has none.

    `policy`: what a finished block's memento evicts, as the server that will run the weights has it; None to evict nothing.
    """

    def __init__(self, directory: Path, policy: Policy | None = None) -> None:
        path = directory / "tokenizer.json"
        if not path.is_file():
            raise SetupError(f"There are no weights at {directory}.", hint="Build the base weights first: `make setup`.")
        self.policy = policy
        self._tokenizer = Tokenizer.from_file(str(path))

    def encode(self, examples: Sequence[Example], longest: int | None = None) -> list[Encoded]:
        """Prompt and answer apart, as a server continues a prompt. InvalidInput for an example of more than `longest` tokens."""
        single = [example for example in examples if not example.conversation]
        prompts = iter(self._ids([example.prompt for example in single]))
        answers = iter(self._ids([example.answer for example in single]))
        encoded = [
            self._conversation(example) if example.conversation else self._finish(next(prompts), self._thought(example) + next(answers))
            for example in examples
        ]
        for example, tokens in zip(examples, encoded, strict=True):
            if longest and len(tokens) > longest:
                raise InvalidInput(
                    f"An example of kind {example.kind} (seed {example.seed}) has {len(tokens)} tokens, a step holds {longest}.",
                    hint="Raise train.tokens_per_step, or shorten the prompt.",
                )
        return encoded

    def _ids(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        return [tuple(encoding.ids) for encoding in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def _thought(self, example: Example) -> tuple[int, ...]:
        """Blocks and mementos between their tokens, which no text is read as. Each stretch is tokenized by itself."""
        ids: list[int] = []
        stretches = self._ids([text for pair in example.thought for text in pair])
        for block, memento in zip(stretches[::2], stretches[1::2], strict=True):
            ids += [IDS.block_start, *block, IDS.block_end, IDS.summary_start, *memento, IDS.summary_end]
        return tuple(ids)

    def _conversation(self, example: Example) -> Encoded:
        """All of it as the server has it at the last answer, every answer learned. A memento is asked for before anything closes it, so what is
        learned at its end is the end of an answer."""
        ids: list[int] = []
        aims: list[tuple[int, int]] = []
        pieces = list(example.pieces)
        texts = iter(self._ids([piece.text for piece in pieces]))
        for piece in pieces:
            ids += [IDS.block_end, IDS.summary_start] if piece.closes else []
            own = next(texts)
            aims += [(len(ids) + i - 1, token) for i, token in enumerate(own)] if piece.learned else []
            # In the conversation the memento's end takes the place of its answer's.
            ids += [*(own[:-1] if piece.answer else own), IDS.summary_end] if piece.closes else own
            ids += [IDS.block_start] if piece.opens else []
        start = aims[0][0] + 1
        return replace(self._finish(tuple(ids[:start]), tuple(ids[start:])), aims=tuple(aims))

    def _finish(self, prompt: tuple[int, ...], answer: tuple[int, ...]) -> Encoded:
        if self.policy is None or IDS.summary_end not in prompt + answer:
            return Encoded(prompt, answer)
        return Encoded(prompt, answer, tuple(evict_after(prompt + answer, IDS, self.policy)))

    def text(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids), skip_special_tokens=False)
