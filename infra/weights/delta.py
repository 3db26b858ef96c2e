"""A full fine-tune as a small file on top of the base. Runs where torch is, in the serving or the training environment:

    python -m infra.weights.delta pack  --base DIR --tuned DIR --out FILE [--form auto]
    python -m infra.weights.delta apply --base DIR --delta FILE --out DIR

One safetensors file. A matrix is kept as codes and scales of the rows that changed (infra/weights/codes.py), a small tensor in full, a tensor
that did not change not at all. Its metadata names the base by hash and holds the hash of the weights that it rebuilds to: applying it to
another base is refused, and so is a result that differs in one bit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field, ValidationError

from app.errors import InvalidInput, KeepsakeError, SetupError
from infra.weights.codes import Form
from infra.weights.entries import Entry, candidates, choose, rebuild
from infra.weights.manifest import MANIFEST, WEIGHTS, Manifest, read_manifest, weights_hash, write_manifest

if TYPE_CHECKING:
    from torch import Tensor

MAX_BYTES = 32_000_000
HEADER_PER_TENSOR = 400  # bytes of names, offsets and metadata, rounded up
CODED = (Form.SIGN, Form.TERNARY, Form.QUATERNARY)


class DeltaHeader(BaseModel):
    """Metadata of a delta file, one JSON string under the key `keepsake`."""

    version: Literal[1] = 1
    name: str
    base: str = Field(description="Hash of the base's weights.")
    rebuilt: str = Field(description="Hash of the weights after applying.")
    tensors: dict[str, Entry]


class PackReport(BaseModel):
    """What packing came to. `error`: squared distance of the rebuilt to the tuned weights, as a share of the whole change."""

    name: str
    bytes: int
    error: float
    rebuilt: str
    forms: dict[str, int]


def pack_delta(
    base_dir: Path,
    tuned_dir: Path,
    out_path: Path,
    bits: Literal[1, 2, "ternary", "auto"] = "auto",
    group: int = 64,
    max_bytes: int = MAX_BYTES,
) -> PackReport:
    """Write the difference of two directories of weights to `out_path`.

    `bits`: one form for every matrix (1, "ternary" about 1.6, 2), or "auto": for each matrix the form that, with all others, leaves the least
    squared error within `max_bytes`. Tuned weights may be fp32, which codes better than weights already rounded to bf16.
    Raises InvalidInput: other tensors than the base's, values that are not finite, or a file over `max_bytes`.
    """
    import torch
    from safetensors.torch import load_file, save_file

    base, tuned, manifest = load_file(base_dir / WEIGHTS), load_file(tuned_dir / WEIGHTS), _complete(base_dir)
    tuned.pop("lm_head.weight", None)  # tied
    if {n: t.shape for n, t in base.items()} != {n: t.shape for n, t in tuned.items()}:
        raise InvalidInput(
            "The tuned weights have other tensors or shapes than the base.", hint="Fine-tune the base itself, without resizing it."
        )
    if unusable := [name for name, tensor in tuned.items() if not torch.isfinite(tensor).all()]:
        raise InvalidInput(
            f"{unusable[0]} of the tuned weights has values that are not finite.", hint="The training diverged; lower its learning rate."
        )

    forms = {1: (Form.SIGN,), "ternary": (Form.TERNARY,), 2: (Form.QUATERNARY,), "auto": CODED}[bits]
    packed = {name: candidates(base[name], tuned[name], forms, group) for name in base}
    chosen = choose(packed, max_bytes - HEADER_PER_TENSOR * len(packed))
    data: dict[str, Tensor] = {}
    hashes: dict[str, str] = {}
    for name, candidate in chosen.items():
        data |= {f"{part}:{name}": tensor for part, tensor in candidate.data.items()}
        hashes[name] = tensor_hash(rebuild(base[name], candidate.entry, candidate.data))
    header = DeltaHeader(
        name=out_path.stem,
        base=manifest.weights,
        rebuilt=weights_hash(hashes),
        tensors={name: candidate.entry for name, candidate in chosen.items() if candidate.entry},
    )
    out_path.parent.mkdir(parents=True, exist_ok=True)
    partial = out_path.with_suffix(".partial")
    # One metadata key only: safetensors writes several in no fixed order, and equal inputs are to give equal files.
    save_file(data, partial, metadata={"keepsake": header.model_dump_json()})
    if (size := partial.stat().st_size) > max_bytes:
        partial.unlink()
        raise InvalidInput(
            f"The delta would have {size / 1e6:.1f} MB, {max_bytes / 1e6:.1f} are allowed.", hint="Use fewer bits or larger groups."
        )
    partial.replace(out_path)
    change = sum(float((tuned[n].float() - base[n].float()).square().sum()) for n in base)
    counts = {form.value: sum(e.form is form for e in header.tensors.values()) for form in Form}
    error = sum(c.error for c in chosen.values()) / change if change else 0.0
    return PackReport(name=header.name, bytes=size, error=error, rebuilt=header.rebuilt, forms=counts)


def apply_delta(base_dir: Path, delta_path: Path, out_dir: Path) -> Manifest:
    """Make `out_dir` a directory of weights: base plus delta, with the base's tokenizer and configuration. Atomic.

    Raises SetupError: a delta of another base, a damaged file, or a result that is not bit for bit what the delta was made for.
    """
    from safetensors.torch import load_file, save_file

    header, manifest = read_header(delta_path), _complete(base_dir)
    if header.base != manifest.weights:
        raise SetupError(
            f"{delta_path.name} belongs to a base with the hash {header.base[:12]}, this base has {manifest.weights[:12]}.",
            hint="Build the base weights of this version of Keepsake again, or take a delta that was made for them.",
        )
    base, data = load_file(base_dir / WEIGHTS), load_file(delta_path)
    rebuilt = {}
    for name, tensor in base.items():
        parts = {part: data[f"{part}:{name}"] for part in ("codes", "scales", "rows", "full") if f"{part}:{name}" in data}
        try:
            rebuilt[name] = rebuild(tensor, header.tensors.get(name), parts)
        except (KeyError, RuntimeError, ValueError) as error:
            raise SetupError(f"{delta_path.name} is damaged at {name}: {error}", hint="Restore the file from the repository.") from error
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="building-", dir=out_dir.parent) as scratch:
        built = Path(scratch) / "weights"
        shutil.copytree(base_dir, built, ignore=shutil.ignore_patterns(WEIGHTS, MANIFEST))
        save_file(rebuilt, built / WEIGHTS, metadata={"format": "pt"})
        (built / WEIGHTS).chmod(0o644)
        with (built / "NOTICE").open("a") as notice:
            notice.write(f"\nThe Keepsake project fine-tuned these weights further (delta {header.name}).\n")
        made = write_manifest(built, header.name, {"base": manifest.weights, "delta": header.name, **manifest.source})
        if made.weights != header.rebuilt:
            raise SetupError(
                f"The weights rebuilt from {delta_path.name} have the hash {made.weights[:12]}, expected {header.rebuilt[:12]}.",
                hint="The delta file is damaged, or this machine's torch computes differently; restore the file and build again.",
            )
        if out_dir.exists():
            shutil.rmtree(out_dir)
        built.rename(out_dir)
    return made


def read_header(path: Path) -> DeltaHeader:
    """Metadata of a delta file, without torch. SetupError if it is none."""
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 0 < length < 10_000_000:
                raise ValueError("no safetensors file")
            return DeltaHeader.model_validate_json(json.loads(stream.read(length))["__metadata__"]["keepsake"])
    except (OSError, ValueError, KeyError, ValidationError) as error:
        raise SetupError(f"{path.name} is not a delta of this version: {error}", hint="Restore the file from the repository.") from error


def tensor_hash(tensor: Tensor) -> str:
    """As `manifest.tensor_hashes` gives it for the same tensor in a file."""
    import torch

    names = {torch.bfloat16: "BF16", torch.float16: "F16", torch.float32: "F32"}
    digest = hashlib.sha256(json.dumps([names[tensor.dtype], list(tensor.shape)]).encode())
    digest.update(memoryview(tensor.contiguous().view(-1).view(torch.uint8).numpy()))
    return digest.hexdigest()


def _complete(directory: Path) -> Manifest:
    manifest = read_manifest(directory)
    if manifest is None:
        raise SetupError(f"{directory} holds no complete weights.", hint="Build the base weights first: `make setup`.")
    return manifest


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.weights.delta", description="Pack a fine-tune into a small delta, or apply one.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    pack, apply = verbs.add_parser("pack"), verbs.add_parser("apply")
    for verb in (pack, apply):
        verb.add_argument("--base", type=Path, required=True)
        verb.add_argument("--out", type=Path, required=True)
    pack.add_argument("--tuned", type=Path, required=True)
    pack.add_argument("--form", choices=("sign", "ternary", "quaternary", "auto"), default="auto")
    pack.add_argument("--group", type=int, default=64)
    apply.add_argument("--delta", type=Path, required=True)
    options = parser.parse_args()
    try:
        if options.verb == "apply":
            made = apply_delta(options.base, options.delta, options.out.absolute())
            sys.stderr.write(f"weights {made.name}: ready, {made.weights[:12]}\n")
        else:
            bits = {"sign": 1, "ternary": "ternary", "quaternary": 2, "auto": "auto"}[options.form]
            report = pack_delta(options.base, options.tuned, options.out, bits, options.group)
            sys.stdout.write(report.model_dump_json() + "\n")
    except KeepsakeError as error:
        sys.stderr.write(f"error: {error.message}\nhint: {error.hint}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
