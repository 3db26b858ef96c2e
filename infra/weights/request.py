"""What is asked for when a model is added, and whether two requests would make the same."""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from app.errors import InvalidInput
from infra.weights.manifest import TOKENIZER, file_hash
from infra.weights.source import Source

VERSION = 1  # of what is made of equal inputs


class Request(BaseModel):
    """What is asked for. A policy field that is None is taken from the model's own `config.json`, else the default."""

    name: str
    model: str = Field("", description="Directory or hub id; empty: what the adapter names as its base.")
    adapter: Path | None = Field(None, description="Directory of a PEFT LoRA, or a delta file of ours.")
    keep_delimiters: bool | None = None
    keep_last_n: int | None = Field(None, ge=0)
    summary_end_sees_block: bool | None = None

    def policy(self, config: dict[str, Any]) -> dict[str, Any]:
        """The three facts on which a model's training and its server must agree."""
        given = {
            "keep_delimiters": self.keep_delimiters,
            "keep_last_n": self.keep_last_n,
            "summary_end_sees_block": self.summary_end_sees_block,
        }
        own = config.get("memento") or {}
        defaults = {"keep_delimiters": False, "keep_last_n": 0, "summary_end_sees_block": True}
        return {key: own.get(key, default) if given[key] is None else given[key] for key, default in defaults.items()}


def fingerprint(request: Request, source: Source) -> str:
    """One SHA-256 over everything that decides what is made."""
    read = ("config.json", TOKENIZER, "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "generation_config.json")
    files = [*source.files, *(source.directory / name for name in read)]
    if request.adapter:
        files += sorted(request.adapter.iterdir()) if request.adapter.is_dir() else [request.adapter]
    hashes = [(file.name, file_hash(file)) for file in files if file.is_file()]
    policy = request.model_dump(include={"keep_delimiters", "keep_last_n", "summary_end_sees_block"})
    return hashlib.sha256(json.dumps([VERSION, hashes, policy]).encode()).hexdigest()


def base_of(lora: dict[str, Any] | None) -> str:
    named = str((lora or {}).get("base_model_name_or_path") or "")
    if not named:
        raise InvalidInput("Which model is to be added?", hint="Name it with --model DIRECTORY_OR_HUB_ID.")
    return named


def require_same_base(lora: dict[str, Any] | None, source: Source, named: bool) -> None:
    """An adapter that names its base is for that one, however it is spelled: as a path, a hub id, or its last part."""
    theirs = str((lora or {}).get("base_model_name_or_path") or "")
    if named and theirs and Path(theirs).name.lower() != Path(source.name).name.lower():
        raise InvalidInput(
            f"The adapter was made for {theirs}, not for {source.name}.",
            hint="Give its own base; if this is it under another name, correct base_model_name_or_path in adapter_config.json.",
        )
