"""The model that is to be prepared: a directory, or a repository of the Hugging Face hub fetched into the hub's own cache."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import InvalidInput, NotFound, SetupError
from infra.lock import require_disk
from infra.weights.attention import require_full_attention
from infra.weights.manifest import TOKENIZER, WEIGHTS, tensor_shapes

INDEX = "model.safetensors.index.json"
CHOSEN = ("*.safetensors", "*.json", "*.jinja", "LICENSE*", "NOTICE*", "USE_POLICY*", "*.md")  # neither code nor pickles
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """A model directory that may be prepared. `name`: what it is called, for adapters that name their base."""

    name: str
    directory: Path
    config: dict[str, Any]
    tokenizer: dict[str, Any]
    files: list[Path]
    shapes: dict[str, list[int]]

    def settings(self, name: str) -> dict[str, Any]:
        """One of its further JSON files; empty where it has none."""
        return read_json(self.directory / name) if (self.directory / name).is_file() else {}

    def templates(self) -> list[str]:
        """Its chat templates, the default one first."""
        files = [self.directory / "chat_template.jinja", *sorted((self.directory / "additional_chat_templates").glob("*.jinja"))]
        found = [file.read_text(encoding="utf-8") for file in files if file.is_file()]
        inside = (
            self.settings("tokenizer_config.json").get("chat_template") or self.settings("chat_template.json").get("chat_template") or []
        )
        named = [{"template": inside}] if isinstance(inside, str) else inside
        return found + [entry["template"] for entry in named]


def open_source(spelled: str, say: Say) -> Source:
    """The model at a path or under a hub id. Refuses, with a typed error, what can't be served before it loads or fetches any weights."""
    path = Path(spelled).expanduser()
    if path.is_dir():
        name, directory = path.resolve().name, path
    elif _HUB_ID.fullmatch(spelled):
        name, directory = spelled, fetch(spelled, say)
    else:
        raise NotFound(f"There is no model directory {spelled}.", hint="Give a directory, or a hub id such as Qwen/Qwen3-8B.")
    if not (directory / "config.json").is_file():
        raise InvalidInput(f"{spelled} holds no model: it has no config.json.", hint="Give a directory as transformers saves it.")
    config = read_json(directory / "config.json")
    require_full_attention(config)
    if not (directory / TOKENIZER).is_file():
        raise InvalidInput(
            f"{spelled} has no {TOKENIZER}, the fast form of a tokenizer.", hint="Save its tokenizer with transformers once."
        )
    files = weight_files(directory)
    shapes = {name: shape for file in files for name, shape in tensor_shapes(file).items()}
    return Source(name, directory, config, read_json(directory / TOKENIZER), files, shapes)


def weight_files(directory: Path) -> list[Path]:
    """Its safetensors files. InvalidInput if it has none, or not all that its index names."""
    names = [WEIGHTS]
    if (directory / INDEX).is_file():
        names = sorted(set(read_json(directory / INDEX).get("weight_map", {}).values()))
    missing = [name for name in names if Path(name).name != name or not (directory / name).is_file()]
    if not names or missing:
        pickles = any(directory.glob("*.bin"))
        raise InvalidInput(
            f"{directory} has no weights in safetensors"
            + (", only pickles, which can carry code." if pickles else f": {WEIGHTS} is missing."),
            hint="Save the model as safetensors.",
        )
    return [directory / name for name in names]


def fetch(repository: str, say: Say) -> Path:
    """A hub repository's files, without code and pickles; the hub's cache keeps them and goes on with a download that was cut off.

    Raises NotFound (no such repository), SetupError (hub out of reach and nothing in the cache, or no disk).
    """
    from httpx import HTTPError
    from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    say(f"looking for {repository} on the hub")
    try:
        require_full_attention(read_json(Path(hf_hub_download(repository, "config.json"))))
        try:
            facts = HfApi().model_info(repository, files_metadata=True)
            size = sum(file.size or 0 for file in facts.siblings or () if Path(file.rfilename).match("*.safetensors"))
            require_disk(Path(constants.HF_HUB_CACHE), size, f"Downloading {repository}")
            say(f"downloading {size / 1e9:.1f} GB")
        except (HTTPError, HfHubHTTPError, OfflineModeIsEnabled):
            say("the hub cannot be reached; taking what its cache has")
        return Path(snapshot_download(repository, allow_patterns=list(CHOSEN)))
    except GatedRepoError:
        raise SetupError(f"{repository} is open to those only who accepted its terms.", hint="Accept them on the hub and log in.") from None
    except RepositoryNotFoundError:
        raise NotFound(f"The hub has no model {repository}.", hint="Check its name.") from None
    except (HTTPError, HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise SetupError(
            f"{repository} could not be fetched from the hub: {str(error).splitlines()[0]}", hint="Check the network, or give a directory."
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """InvalidInput unless it is a JSON object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path.name} cannot be read: {error}", hint="Copy the model again.") from error
    if not isinstance(value, dict):
        raise InvalidInput(f"{path.name} is no JSON object.", hint="Copy the model again.")
    return value
