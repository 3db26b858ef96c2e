"""The directory that the model server loads: the base, or the base plus the newest production delta. Needs no torch here:

    python -m infra.weights.served [--variant base] [--here]        prints the directory

The arithmetic runs as a program of the serving environment. `--here` takes the running interpreter instead, for an image that is one.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

from app.config import Settings
from app.errors import KeepsakeError, SetupError
from infra.lock import exclusive
from infra.serving_env import ensure_serving_env
from infra.weights.base import WEIGHTS_SHA256
from infra.weights.manifest import WEIGHTS, read_manifest
from infra.weights.shipped import newest_production

Variant = Literal["production", "base"]


def say(line: str) -> None:
    sys.stderr.write(f"weights: {line}\n")
    sys.stderr.flush()


def served_name(settings: Settings, variant: Variant) -> str:
    """Name under which the API serves a variant."""
    return settings.model_name if variant == "production" else f"{settings.model_name}-base"


def build_served(settings: Settings, variant: Variant = "production", python: Path | None = None) -> Path:
    """Directory of complete weights for `variant`, built if need be; milliseconds when it is there.

    `python`: interpreter that has torch; by default the serving environment, itself built if need be. Raises SetupError.
    """
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
            _run(settings, python, "infra.weights.delta", "apply", "--base", base, "--delta", delta.path(), "--out", directory)
            for stale in directory.parent.iterdir():
                if stale != directory:
                    shutil.rmtree(stale)
    return directory


def weights_ready(settings: Settings, variant: Variant = "production") -> bool:
    """True if `build_served` would build nothing."""
    base, delta = settings.weights_dir / "base", newest_production()
    if not _holds(base, WEIGHTS_SHA256):
        return False
    return (
        variant == "base" or delta is None or _holds(settings.weights_dir / "served" / f"{delta.name}-{delta.rebuilt[:12]}", delta.rebuilt)
    )


def _base(settings: Settings, python: Path | None) -> Path:
    directory = settings.weights_dir / "base"
    if not _holds(directory, WEIGHTS_SHA256):
        _run(settings, python, "infra.weights.base", "--out", directory)
    return directory


def _holds(directory: Path, weights: str) -> bool:
    manifest = read_manifest(directory)
    return manifest is not None and manifest.weights == weights and (directory / WEIGHTS).is_file()


def _run(settings: Settings, python: Path | None, module: str, *arguments: str | Path) -> None:
    """Run a module of ours with torch. Its progress passes through to stderr; its `error:` and `hint:` lines become a SetupError."""
    interpreter = python or ensure_serving_env(settings)
    command = [str(interpreter), "-m", module, *map(str, arguments)]
    said: list[str] = []
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line.rstrip())
            if line.startswith(("base weights: ", "weights ")):
                sys.stderr.write(line)
                sys.stderr.flush()
    if process.returncode:
        found = {key: text for key, _, text in (line.partition(": ") for line in said) if key in {"error", "hint"}}
        last = next((line for line in reversed(said) if line), f"exit status {process.returncode}")
        raise SetupError(found.get("error", f"{module} failed: {last}"), hint=found.get("hint", "Run `keepsake doctor`."))


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
