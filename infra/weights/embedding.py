"""Embeddings of the four memento tokens in a model that was not made with them. torch is imported inside the functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.errors import InvalidInput
from app.memento.grammar import MEMENTO_TOKENS
from infra.weights.adapter import EMBEDDINGS, HEAD
from infra.weights.rows import Rows
from infra.weights.vocabulary import SEED_WORDS, initial_vector

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor

HEAD_SEED = 1 << 32  # the output embeddings' noise is another than the input's

Pieces = list[list[list[int]]]  # for each of the four tokens, for each of its words, the ids of the word's pieces


def seed_pieces(tokenizer: Tokenizer) -> Pieces:
    """How this tokenizer writes the words that the tokens start from: as after a space, unless that is longer. InvalidInput if it can't."""

    def pieces(word: str) -> list[int]:
        after_space, alone = (tokenizer.encode(text, add_special_tokens=False).ids for text in (f" {word}", word))
        found = after_space if 0 < len(after_space) <= len(alone) else alone
        if not found:
            raise InvalidInput(f"The tokenizer cannot write `{word}`.", hint="Take a model that was trained on English text.")
        return found

    return [[pieces(word) for word in SEED_WORDS[token]] for token in MEMENTO_TOKENS]


@dataclass(frozen=True)
class NewTokens:
    """What becomes of the embeddings: `height` rows in all, and a vector for each of the four unless the model knows them."""

    rows: Rows
    pieces: Pieces
    height: int

    def apply(self, name: str, tensor: Tensor) -> Tensor:
        """The tensor with the tokens in it; any but the two of embeddings as it is."""
        import torch

        if name not in (EMBEDDINGS, HEAD):
            return tensor
        if self.height > len(tensor):
            # Rows without a token get the mean: no answer then finds them more likely than what was trained.
            filler = tensor.float().mean(dim=0, keepdim=True).to(tensor.dtype)
            grown = torch.cat([tensor, filler.expand(self.height - len(tensor), -1)])
        else:
            grown = tensor.clone()
        if self.rows.known:
            return grown
        for row, words in zip(self.rows.ids, self.pieces, strict=True):
            vectors = [_mean([tensor[piece].tolist() for piece in pieces]) for pieces in words]
            seed = row + (HEAD_SEED if name == HEAD else 0)
            grown[row] = torch.tensor(initial_vector(vectors, seed), dtype=torch.float64).to(tensor.dtype)
        return grown


def _mean(vectors: list[list[float]]) -> list[float]:
    return [sum(column) / len(vectors) for column in zip(*vectors, strict=True)]


def shapes_after(shapes: dict[str, list[int]], height: int, tied: bool) -> dict[str, list[Any]]:
    """Shapes once the embeddings have grown; tied output embeddings are no tensor of their own."""
    kept = {name: shape for name, shape in shapes.items() if not (tied and name == HEAD)}
    return {name: [max(shape[0], height), *shape[1:]] if name in (EMBEDDINGS, HEAD) else shape for name, shape in kept.items()}
