"""What a directory of weights holds, as hashes: read straight from the safetensors file, so it needs no torch.

Layout of safetensors: 8 bytes little-endian length, a JSON header of {name: {dtype, shape, data_offsets}}, then the data.
"""

import hashlib
import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, Field

from app.errors import SetupError

WEIGHTS = "model.safetensors"  # a large model has several files, model-00001-of-00004.safetensors and so on
SAFETENSORS = ".safetensors"
MANIFEST = "manifest.json"
PARTIAL = ".partial"  # ending of a file that is being written
TOKENIZER = "tokenizer.json"
TOKENIZER_FILES = (TOKENIZER, "tokenizer_config.json", "special_tokens_map.json")


class Manifest(BaseModel):
    """`manifest.json` of a directory of weights. No times and no paths: two builds of the same weights give equal files."""

    name: str
    weights: str = Field(description="SHA-256 over all tensors: name, dtype, shape, content.")
    tensors: dict[str, str] = Field(description="SHA-256 of each tensor.")
    files: dict[str, str] = Field(description="SHA-256 of the tokenizer and configuration files.")
    source: dict[str, Any] = Field(default_factory=dict, description="What the weights were made from.")


def tensor_hashes(path: Path) -> dict[str, str]:
    """SHA-256 of each tensor in a safetensors file, over dtype, shape and bytes. SetupError if the file is no safetensors file."""
    with _opened(path) as (stream, header, data):
        hashes = {}
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"][0]):
            start, end = entry["data_offsets"]
            stream.seek(data + start)
            digest = hashlib.sha256(json.dumps([entry["dtype"], entry["shape"]]).encode())
            while start < end:
                chunk = stream.read(min(1 << 22, end - start))
                if not chunk:
                    raise ValueError(f"{name} is cut short")
                digest.update(chunk)
                start += len(chunk)
            hashes[name] = digest.hexdigest()
        return hashes


def tensor_shapes(path: Path) -> dict[str, list[int]]:
    """Shape of each tensor in a safetensors file. SetupError if the file is no safetensors file."""
    with _opened(path) as (_, header, _):
        return {name: list(entry["shape"]) for name, entry in header.items()}


@contextmanager
def _opened(path: Path) -> Generator[tuple[BinaryIO, dict[str, Any], int]]:
    """The open file, its header without metadata, and where its data begins; what goes wrong meanwhile becomes a SetupError."""
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 0 < length < 100_000_000:
                raise ValueError(f"header of {length} bytes")
            header = json.loads(stream.read(length))
            header.pop("__metadata__", None)
            yield stream, header, 8 + length
    except (OSError, ValueError, KeyError) as error:
        raise SetupError(f"{path.name} cannot be read: {error}", hint="Delete its directory and build the weights again.") from error


def weights_hash(tensors: dict[str, str]) -> str:
    """One SHA-256 for a whole set of tensors."""
    return hashlib.sha256(json.dumps(tensors, sort_keys=True).encode()).hexdigest()


def tokenizer_hash(manifest: Manifest) -> str:
    """One SHA-256 for the files that decide how text is read."""
    return hashlib.sha256(json.dumps([manifest.files.get(name) for name in TOKENIZER_FILES]).encode()).hexdigest()


def file_hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_manifest(directory: Path, name: str, source: dict[str, Any]) -> Manifest:
    """Hash everything in `directory` and write its manifest there, last of all: a directory with a manifest is complete."""
    files = sorted(directory.glob(f"*{SAFETENSORS}")) or [directory / WEIGHTS]
    return _write(directory, name, {name: found for path in files for name, found in tensor_hashes(path).items()}, source)


def renew_manifest(directory: Path, manifest: Manifest) -> Manifest:
    """The manifest after its files, but not its weights, have changed."""
    return _write(directory, manifest.name, manifest.tensors, manifest.source)


def _write(directory: Path, name: str, tensors: dict[str, str], source: dict[str, Any]) -> Manifest:
    files = {
        p.name: file_hash(p)
        for p in sorted(directory.iterdir())
        if p.is_file() and p.suffix != PARTIAL and p.name not in {WEIGHTS, MANIFEST}
    }
    manifest = Manifest(name=name, weights=weights_hash(tensors), tensors=tensors, files=files, source=source)
    partial = directory / f"{MANIFEST}{PARTIAL}"
    partial.write_text(manifest.model_dump_json(indent=1) + "\n")
    partial.replace(directory / MANIFEST)
    return manifest


def read_manifest(directory: Path) -> Manifest | None:
    """The manifest of a complete directory of weights; None where there is none. SetupError if it is broken."""
    path = directory / MANIFEST
    if not path.is_file():
        return None
    try:
        return Manifest.model_validate_json(path.read_text())
    except ValueError as error:
        raise SetupError(f"{path} is broken", hint=f"Delete {directory} and build the weights again.") from error
