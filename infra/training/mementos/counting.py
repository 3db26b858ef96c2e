"""Tokens as the model to be trained counts them. Needs `tokenizers`, which the training environment has."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from app.errors import InvalidInput, SetupError


class TokenCounter:
    """Counts with a tokenizer.json. Raises SetupError where there is none, InvalidInput where it is broken."""

    def __init__(self, path: Path) -> None:
        file = path / "tokenizer.json" if path.is_dir() else path
        if not file.is_file():
            raise SetupError(
                f"There is no tokenizer at {file}.",
                hint="Build the embedded model's with `make setup`, or name another's with --tokenizer.",
            )
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises bare Exceptions
            raise InvalidInput(f"{file} is no tokenizer: {error}", hint="Name a tokenizer.json as `tokenizers` saves it.") from error
        self.digest = hashlib.sha256(file.read_bytes()).hexdigest()

    def __call__(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special ones not added."""
        return [len(encoding.ids) for encoding in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
