"""Where the four memento tokens live in another model's vocabulary, and its tokenizer with them in it. Needs neither torch nor transformers."""

import copy
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidInput
from app.memento.grammar import MEMENTO_TOKENS

# Names that Llama 3, Phi and others keep for tokens to come. Never trained, so their rows are free.
_RESERVED = re.compile(r"<\|?(?:reserved_special_token|reserved|dummy|placeholder|unused|extra_id|extra)[_-]?\d+\|?>|\[unused\d+\]")


@dataclass(frozen=True)
class Rows:
    """Ids of the four tokens in the order of MEMENTO_TOKENS. `known`: the model has them already, with embeddings of their own."""

    ids: tuple[int, ...]
    known: bool = False

    def embeddings(self, now: int) -> int:
        """Rows that the embeddings must have, `now` or more."""
        return max(now, *(row + 1 for row in self.ids))


def require_bpe(tokenizer: dict[str, Any]) -> None:
    """InvalidInput unless this `tokenizer.json` is of a kind in which an entry that no merge leads to is out of text's reach."""
    kind = tokenizer.get("model", {}).get("type")
    if kind != "BPE":
        raise InvalidInput(
            f"The tokenizer is of the kind {kind or 'unknown'}, in which text could spell the memento tokens.",
            hint="Take a model with a BPE tokenizer; those of Llama, Qwen and Phi are.",
        )


def token_ids(tokenizer: dict[str, Any]) -> dict[str, int]:
    """Name to id of every token, added ones included."""
    return {**tokenizer["model"]["vocab"], **{entry["content"]: entry["id"] for entry in tokenizer.get("added_tokens", ())}}


def known_rows(tokenizer: dict[str, Any]) -> Rows | None:
    """The four where the tokenizer has them already; None where it has none. InvalidInput if it has some of them."""
    ids = token_ids(tokenizer)
    found = [token for token in MEMENTO_TOKENS if token in ids]
    if found and len(found) < len(MEMENTO_TOKENS):
        raise InvalidInput(
            f"The tokenizer has {', '.join(found)} but not all four memento tokens.", hint="Take a tokenizer with all or none."
        )
    return Rows(tuple(ids[token] for token in MEMENTO_TOKENS), known=True) if found else None


def require_free(tokenizer: dict[str, Any], rows: Rows) -> Rows:
    """`rows`, which an adapter's tokenizer gives. InvalidInput if this tokenizer has tokens of its own there."""
    mine = sorted(name for name, row in token_ids(tokenizer).items() if row in rows.ids and not _RESERVED.fullmatch(name))
    if mine:
        raise InvalidInput(
            f"The adapter's tokenizer has memento tokens where this model has `{mine[0]}`.", hint="Give the model that it was trained on."
        )
    return rows


def free_rows(tokenizer: dict[str, Any], embeddings: int, used: Iterable[str], used_ids: Iterable[int]) -> Rows:
    """Four rows to take: reserved tokens first, then embeddings past the tokenizer's end, then new rows.

    `used`: names that something still speaks of (chat template, special tokens); `used_ids`: ids that the configuration names.
    """
    ids, texts, taken = token_ids(tokenizer), list(used), set(used_ids)
    reserved = [
        entry["id"]
        for entry in sorted(tokenizer.get("added_tokens", ()), key=lambda entry: entry["id"])
        if _RESERVED.fullmatch(entry["content"]) and entry["id"] not in taken and entry["id"] < embeddings
        if not any(entry["content"] in text for text in texts)
    ]
    end = max(ids.values()) + 1
    past = [row for row in range(end, max(end, embeddings)) if row not in taken]
    fresh = range(max(end, embeddings), max(end, embeddings) + 4)
    return Rows(tuple(next(group[:4] for group in (reserved, past, fresh) if len(group) >= 4)))


def with_plain_tokens(tokenizer: dict[str, Any], rows: Rows) -> dict[str, Any]:
    """`tokenizer.json` with the four as plain entries that no merge leads to, whatever stood in their rows before.

    Added tokens get their entries in the vocabulary too: the library numbers one that has none by the vocabulary's size, which changes here.
    """
    changed, taken = copy.deepcopy(tokenizer), set(rows.ids)
    changed["added_tokens"] = [
        entry for entry in changed.get("added_tokens", ()) if entry["id"] not in taken and entry["content"] not in MEMENTO_TOKENS
    ]
    vocab = {name: row for name, row in changed["model"]["vocab"].items() if row not in taken and name not in MEMENTO_TOKENS}
    vocab |= {entry["content"]: entry["id"] for entry in changed["added_tokens"]}
    vocab |= dict(zip(MEMENTO_TOKENS, rows.ids, strict=True))
    changed["model"]["vocab"] = dict(sorted(vocab.items(), key=lambda item: item[1]))
    return changed


def tokenizer_settings(config: dict[str, Any], special: dict[str, Any], gone: set[str]) -> dict[str, Any]:
    """`tokenizer_config.json` without the names in `gone`, without code of its own, read by the class that takes `tokenizer.json` at its word."""
    merged = {**special, **config}
    dropped = (
        "auto_map",
        "chat_template",
        "added_tokens_decoder",
        "tokenizer_file",
        "name_or_path",
        "backend",
        "is_local",
        "local_files_only",
    )
    kept = {key: value for key, value in merged.items() if key not in dropped and _name(value) not in gone}
    for key in ("additional_special_tokens", "extra_special_tokens"):
        if isinstance(kept.get(key), list):
            kept[key] = [token for token in kept[key] if _name(token) not in gone]
        elif isinstance(kept.get(key), dict):
            kept[key] = {role: token for role, token in kept[key].items() if _name(token) not in gone}
    return {**kept, "tokenizer_class": "PreTrainedTokenizerFast"}


def _name(token: Any) -> str:
    """A token may stand as its name or as an object with its name in it."""
    return str(token.get("content", "")) if isinstance(token, dict) else str(token)
