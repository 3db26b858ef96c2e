"""The directory that the model server loads: the base, the base plus the newest production delta, or an added model. Needs no torch here:

    python -m infra.weights.served [--variant base] [--here]        prints the directory

The arithmetic runs as a program of the serving environment. `--here` takes the running interpreter instead, for an image that is one.
"""

import argparse
import shutil
import sys
from pathlib import Path
from typing import Literal

from app.config import Settings
from app.errors import KeepsakeError, NotFound
from infra.lock import exclusive
from infra.weights.added import EMBEDDED, find_added
from infra.weights.base import TOKENIZER_SHA256, WEIGHTS_SHA256
from infra.weights.manifest import WEIGHTS, read_manifest, tokenizer_hash
from infra.weights.program import run_program
from infra.weights.shipped import newest_production

Variant = Literal["production", "base"]
SERVED_CONTEXT = 4096  # keepsake_vllm.launch's --max-model-len


def say(line: str) -> None:
    sys.stderr.write(f"weights: {line}\n")
    sys.stderr.flush()


def served_name(settings: Settings, variant: Variant) -> str:
    """Name under which the API serves a variant. The base is always the embedded model's."""
    embedded = settings.model_name if settings.model_name.startswith(EMBEDDED) else Settings.model_fields["model_name"].default
    return settings.model_name if variant == "production" else f"{embedded}-base"


def build_served(settings: Settings, variant: Variant = "production", python: Path | None = None) -> Path:
    """Directory of complete weights for `variant`, built if need be; milliseconds when it is there.

    `python`: interpreter that has torch; by default the serving environment, itself built if need be. A model name that is not the embedded
    model's means an added one. Raises SetupError, NotFound for a name that was not added.
    """
    if variant == "production" and not settings.model_name.startswith(EMBEDDED):
        added = find_added(settings, settings.model_name)
        if added is None:
            raise NotFound(
                f"There is no model {settings.model_name}.",
                hint="See `keepsake models list`, or unset KEEPSAKE_MODEL_NAME.",
            )
        return added.directory
    base = _base(settings, python)
    if variant == "base":
        return base
    delta = newest_production()
    if delta is None:
        say("no production delta is shipped; the untouched base is served")
        return base
    directory = settings.weights_dir / "served" / f"{delta.name}-{delta.rebuilt[:12]}"
    with exclusive(settings.weights_dir / "served.lock", "weights: another process is building them, waiting"):
        if not _holds(directory, delta.rebuilt):
            say(f"rebuilding {delta.name} from the base and its delta")
            run_program(settings, python, "infra.weights.delta", "apply", "--base", base, "--delta", delta.path(), "--out", directory)
            for stale in directory.parent.iterdir():
                if stale != directory:
                    shutil.rmtree(stale)
    return directory


def server_options(settings: Settings, variant: Variant = "production") -> tuple[str, ...]:
    """What keepsake_vllm.launch must be told about these weights: a context that is shorter than what it asks for by itself."""
    added = find_added(settings, settings.model_name) if variant == "production" else None
    return ("--max-model-len", str(added.context)) if added and added.context < SERVED_CONTEXT else ()


def weights_ready(settings: Settings, variant: Variant = "production") -> bool:
    """True if `build_served` would build nothing."""
    if variant == "production" and not settings.model_name.startswith(EMBEDDED):
        return find_added(settings, settings.model_name) is not None
    base, delta = settings.weights_dir / "base", newest_production()
    if not _holds(base, WEIGHTS_SHA256):
        return False
    return (
        variant == "base" or delta is None or _holds(settings.weights_dir / "served" / f"{delta.name}-{delta.rebuilt[:12]}", delta.rebuilt)
    )


def _base(settings: Settings, python: Path | None) -> Path:
    directory = settings.weights_dir / "base"
    if not _holds(directory, WEIGHTS_SHA256):
        run_program(settings, python, "infra.weights.base", "--out", directory)
    return directory


def _holds(directory: Path, weights: str) -> bool:
    """True if it has these weights and the tokenizer of this version."""
    manifest = read_manifest(directory)
    if manifest is None or not (directory / WEIGHTS).is_file():
        return False
    return (manifest.weights, tokenizer_hash(manifest)) == (weights, TOKENIZER_SHA256)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m infra.weights.served", description="Build the weights to serve and print their directory."
    )
    parser.add_argument("--variant", choices=("production", "base"), default="production")
    parser.add_argument("--here", action="store_true", help="use this interpreter, which has torch")
    options = parser.parse_args()
    try:
        directory = build_served(Settings(), options.variant, Path(sys.executable) if options.here else None)
    except KeepsakeError as error:
        sys.stderr.write(f"error: {error.message}\nhint: {error.hint}\n")
        return 1
    sys.stdout.write(f"{directory}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
