"""Examples as token ids, exactly as the server's tokenizer makes them of a chat request. Needs `tokenizers`, not torch."""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from app.errors import InvalidInput, SetupError
from infra.training.examples import Example
from infra.training.packing import Encoded


class Encoder:
    """The tokenizer of a directory of weights. Raises SetupError when it has none."""

    def __init__(self, directory: Path) -> None:
        path = directory / "tokenizer.json"
        if not path.is_file():
            raise SetupError(f"There are no weights at {directory}.", hint="Build the base weights first: `make setup`.")
        self._tokenizer = Tokenizer.from_file(str(path))

    def encode(self, examples: Sequence[Example], longest: int | None = None) -> list[Encoded]:
        """Prompt and answer apart, as a server continues a prompt. InvalidInput for an example of more than `longest` tokens."""
        prompts = self._tokenizer.encode_batch([example.prompt for example in examples], add_special_tokens=False)
        answers = self._tokenizer.encode_batch([example.answer for example in examples], add_special_tokens=False)
        encoded = [Encoded(tuple(p.ids), tuple(a.ids)) for p, a in zip(prompts, answers, strict=True)]
        for example, tokens in zip(examples, encoded, strict=True):
            if longest and len(tokens) > longest:
                raise InvalidInput(
                    f"An example of kind {example.kind} (seed {example.seed}) has {len(tokens)} tokens, a step holds {longest}.",
                    hint="Raise train.tokens_per_step, or shorten the prompt.",
                )
        return encoded

    def text(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids), skip_special_tokens=False)
