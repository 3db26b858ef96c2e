"""Figures of a candidate, measured again by the benches that made those promised. They belong to the weights, whoever trained them:

<home>/training/measured/<first 16 of the weights' hash>.json    {"weights": hash, "<bench>": {figures and how they were made}}
"""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from app.config import Settings
from app.errors import ModelUnavailable, SetupError, StorageError
from app.registry import find_figure
from infra.training.manifest import write_json

# As docs/RESULTS.md measured them; {weights}: the candidate's directory.
BENCHES: dict[str, tuple[str, ...]] = {
    "worlds": ("--split", "eval", "--n", "40", "--set", "base_n=0", "--set", "weights={weights}"),
    "reasoning": ("--split", "eval", "--set", "memento={weights}"),
}
END_S = 60.0  # a bench ends browsers, worlds and a model server
ABOUT = ("split", "seed", "commit", "device", "seconds")

Run = Callable[[Sequence[str]], str]


def measured(settings: Settings, weights: str) -> dict[str, Any]:
    """What the benches said of the weights with this hash, by bench; empty where nobody asked. Raises StorageError for a broken file."""
    path = _path(settings, weights)
    try:
        found = json.loads(path.read_bytes())
        if found.pop("weights") != weights:
            raise ValueError("figures of other weights")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, KeyError) as error:
        raise StorageError(f"{path} is broken: {error}.", hint="Remove it and measure again.") from error
    return found


def measure(settings: Settings, names: Sequence[str], directory: Path, weights: str, run: Run | None = None) -> dict[str, Any]:
    """Run these benches on the weights in `directory`, keep what they say, and return all that is known of the weights.

    Minutes to an hour each; progress goes to stderr. Raises SetupError when a bench fails (what it said before is on
    stderr), ModelUnavailable when the server that it asked did not answer every time.
    """
    known = measured(settings, weights)
    for name in names:
        options = [option.format(weights=directory) for option in BENCHES[name]]
        known[name] = _figures(name, (run or _bench)([name, *options, "--json"]))
        write_json(_path(settings, weights), {"weights": weights, **known})
    return known


def _bench(arguments: Sequence[str]) -> str:
    """Standard output of `keepsake bench`. Ctrl-C reaches it through here and once, so that it ends its model server before it goes."""
    command = [sys.executable, "-m", "app.cli", "bench", *arguments]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            output, _ = process.communicate()
        except BaseException:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
    if process.returncode:
        raise SetupError(
            f"`keepsake bench {arguments[0]}` ended with exit code {process.returncode}.",
            hint="What it said stands above; mend it and try again.",
        )
    return output


def _figures(name: str, output: str) -> dict[str, Any]:
    try:
        said = json.loads(output.strip().splitlines()[-1])
        figures = {**{key: said[key] for key in ABOUT if key in said}, **said["figures"]}
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise SetupError(f"`keepsake bench {name}` gave no figures.", hint="Run it by hand with --json to see what it says.") from error
    lost = find_figure(figures, "unanswered")
    if lost and lost.value:
        raise ModelUnavailable(
            f"The model server was away, or too slow to answer, in {lost.value:g} of {lost.n} tasks of `keepsake bench {name}`: its figures say "
            "nothing of the weights and are not kept.",
            hint="Measure again when the machine has nothing else to do.",
        )
    return figures


def _path(settings: Settings, weights: str) -> Path:
    return settings.home / "training" / "measured" / f"{weights[:16]}.json"
