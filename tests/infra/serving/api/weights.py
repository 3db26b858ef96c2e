"""A model directory whose tokenizer reads text as memento tokens."""

import json
from pathlib import Path

from app.memento.grammar import MEMENTO_TOKEN_IDS


def with_control_tokens(base: Path, out: Path) -> Path:
    """`base` with the four memento tokens as added control tokens, in links where nothing differs."""
    out.mkdir()
    for file in base.iterdir():
        if file.name != "tokenizer.json":
            (out / file.name).symlink_to(file)
    tokenizer = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [{"id": number, "content": token, **plain} for token, number in MEMENTO_TOKEN_IDS.items()]
    tokenizer["added_tokens"] = sorted([*tokenizer["added_tokens"], *added], key=lambda entry: entry["id"])
    (out / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    return out
