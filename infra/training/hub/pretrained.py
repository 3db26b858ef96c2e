"""The model that a recipe names: where its files are, its shape, its four tokens, and what its mementos evict. Loads no weights."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.config import Settings
from app.errors import InvalidInput, NotFound, SetupError
from app.memento.grammar import MEMENTO_TOKENS, TokenIds
from app.memento.visibility import Policy
from infra.training.hub.architecture import Architecture, read_architecture
from infra.training.hub.config import ModelConfig
from infra.weights.added import added_models
from infra.weights.manifest import TOKENIZER, read_manifest, tensor_hashes, weights_hash
from infra.weights.rows import token_ids
from infra.weights.source import CHOSEN, read_json, weight_files

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Pretrained:
    """A prepared model. `policy`: as its server will have it, so as its second stage must."""

    name: str
    directory: Path
    shape: Architecture
    ids: TokenIds
    policy: Policy

    def tokenizer(self) -> Any:
        """As transformers reads it; padding on the right."""
        return open_tokenizer(self.directory)

    def weights_hash(self) -> str:
        """Over all tensors; taken from the manifest where the directory has one."""
        made = read_manifest(self.directory)
        if made:
            return made.weights
        return weights_hash({name: found for file in weight_files(self.directory) for name, found in tensor_hashes(file).items()})


def find_model(settings: Settings, model: ModelConfig, say: Say, *, ask_hub: bool = True) -> Pretrained:
    """A directory, an added model by its name or by what it was made from, or a prepared one on the hub (without `ask_hub`: in its cache).

    Raises NotFound, InvalidInput where the tokenizer lacks the tokens, SetupError where the hub is out of reach.
    """
    directory = _directory(settings, model, say, ask_hub)
    if not (directory / "config.json").is_file():
        raise InvalidInput(f"{model.path} holds no model: it has no config.json.", hint="Give a directory as transformers saves it.")
    config = read_json(directory / "config.json")
    name = model.path.rstrip("/").rpartition("/")[2].lower()
    if not (directory / TOKENIZER).is_file():
        raise InvalidInput(f"{model.path} has no {TOKENIZER}.", hint=_prepare(name, model.path))
    known, facts = token_ids(read_json(directory / TOKENIZER)), config.get("memento") or {}
    missing = [token for token in MEMENTO_TOKENS if token not in known]
    if missing or list(facts.get("tokens", ())) != [known[token] for token in MEMENTO_TOKENS]:
        lack = f"its tokenizer lacks {', '.join(missing)}" if missing else "its config.json does not say which tokens they are"
        raise InvalidInput(f"{model.path} is not prepared for mementos: {lack}.", hint=_prepare(name, model.path))
    policy = Policy(**{key: value for key, value in facts.items() if key != "tokens"})
    return Pretrained(model.path, directory, read_architecture(config), TokenIds(*facts["tokens"]), policy)


def open_tokenizer(directory: Path) -> Any:
    """InvalidInput unless it is a fast tokenizer with a chat template."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False, padding_side="right")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"The tokenizer in {directory} cannot be read: {error}", hint="Prepare the model again.") from error
    if not tokenizer.is_fast or not tokenizer.chat_template:
        raise InvalidInput(f"The tokenizer in {directory} has no chat template.", hint="Prepare the model with `keepsake models add`.")
    return tokenizer


def _directory(settings: Settings, model: ModelConfig, say: Say, ask_hub: bool) -> Path:
    given = Path(model.path).expanduser()
    if given.is_dir():
        return given
    added = added_models(settings)
    by_name = [m for m in added if m.name == model.path]
    for found in by_name or [m for m in added if m.manifest.source.get("model") == model.path]:
        return found.directory
    if not _HUB_ID.fullmatch(model.path):
        known = ", ".join(m.name for m in added) or "none yet"
        raise NotFound(f"There is no model {model.path}.", hint=f"A directory, a hub id, or an added model ({known}).")
    return _fetch(model, say, ask_hub)


def _fetch(model: ModelConfig, say: Say, ask_hub: bool) -> Path:
    """A repository of the hub. Its small files first: one that is not prepared is not downloaded."""
    from httpx import HTTPError
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    name = model.path.rpartition("/")[2].lower()
    try:
        if ask_hub:
            say(f"looking for {model.path} on the hub")
        config = read_json(Path(hf_hub_download(model.path, "config.json", revision=model.revision, local_files_only=not ask_hub)))
        if "memento" not in config:
            raise InvalidInput(f"{model.path} is not prepared for mementos.", hint=_prepare(name, model.path))
        return Path(snapshot_download(model.path, revision=model.revision, allow_patterns=list(CHOSEN), local_files_only=not ask_hub))
    except (HTTPError, HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise SetupError(
            f"{model.path} was not added here, and the hub gave no answer: {str(error).splitlines()[0]}", hint=_prepare(name, model.path)
        ) from error


def _prepare(name: str, path: str) -> str:
    return f"Prepare it: `keepsake models add {name} --model {path}`; this recipe then finds it."
