"""A delta is small, belongs to one base, and rebuilds the same bits. Weights are made on the spot; torch runs in the serving environment."""

import json
import math
import struct
from random import Random

import pytest

from app.errors import SetupError
from infra.weights.delta import read_header
from infra.weights.manifest import MANIFEST, WEIGHTS, read_manifest, write_manifest
from tests.infra.serving_environment import evaluate
from tests.infra.weights.tensors import read, rounded, tiny_llama, write

EMBEDDINGS, QUERY, NORM = "model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight", "model.norm.weight"

# Everything that needs torch, in one program: importing torch is what takes the time.
PROGRAM = """
import json, sys
from pathlib import Path
from app.errors import KeepsakeError
from infra.weights.delta import apply_delta, pack_delta
home = Path(sys.argv[1])
results = {}
def attempt(name, function, *arguments):
    try:
        results[name] = function(*arguments).model_dump(mode="json")
    except KeepsakeError as error:
        results[name] = {"refused": type(error).__name__, "message": error.message}
def pack(name, base="base", tuned="tuned", bits="auto", limit=32_000_000):
    attempt(f"pack {name}", pack_delta, home / base, home / tuned, home / f"{name}.safetensors", bits, 48, limit)
def apply(name, base="base", out=None):
    attempt(f"apply {out or name}", apply_delta, home / base, home / f"{name}.safetensors", home / (out or name))
for name, bits in (("sign", 1), ("ternary", "ternary"), ("quaternary", 2), ("auto", "auto")):
    pack(name, bits=bits)
    apply(name)
(home / "again").mkdir()
pack("again/auto")
apply("again/auto")
pack("tight", limit=results["pack quaternary"]["bytes"] - 500)
pack("large", bits=2, limit=3000)
apply("sign", base="other", out="never-other")
raw = bytearray((home / "sign.safetensors").read_bytes())
length = int.from_bytes(raw[:8], "little")
raw[8 + length + json.loads(raw[8 : 8 + length])["codes:model.layers.0.self_attn.q_proj.weight"]["data_offsets"][0] + 20] ^= 1
(home / "flipped.safetensors").write_bytes(raw)
apply("flipped", out="never-flipped")
pack("extra-delta", tuned="extra")
pack("diverged-delta", tuned="diverged")
print(json.dumps(results))
"""


def weights(path, tensors, dtype="BF16"):
    path.mkdir()
    write(path / WEIGHTS, tensors, dtype)
    (path / "tokenizer.json").write_text("{}")
    (path / "NOTICE").write_text("Apache\n")
    write_manifest(path, path.name, {})
    return path


def nudged(tensors, names, seed=5):
    """The tensors with small random changes in `names`, values kept in full precision."""
    random = Random(seed)
    return {
        name: (shape, [v + random.gauss(0, 0.004) for v in values] if name in names else values)
        for name, (shape, values) in tensors.items()
    }


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """A base, a tuned model whose embeddings changed in two rows only, its deltas, and what packing and applying each came to."""
    home = tmp_path_factory.mktemp("weights")
    plain = tiny_llama(1)
    tuned = nudged(plain, {QUERY, NORM, "model.layers.0.mlp.down_proj.weight"})
    changed = list(plain[EMBEDDINGS][1])
    changed[7 * 96 : 9 * 96] = [v + 0.01 for v in changed[7 * 96 : 9 * 96]]
    tuned[EMBEDDINGS] = (plain[EMBEDDINGS][0], changed)
    weights(home / "base", plain)
    weights(home / "tuned", tuned, "F32")
    weights(home / "other", tiny_llama(2))
    weights(home / "extra", {**plain, "model.extra.weight": ([2], [0.0, 0.0])}, "F32")
    weights(home / "diverged", {**plain, NORM: ([96], [math.nan] * 96)}, "F32")
    return home, plain, tuned, evaluate(PROGRAM, home)


@pytest.mark.model
def test_more_bits_come_nearer_to_the_tuned_weights(workshop):
    _, _, _, results = workshop
    errors = [results[f"pack {form}"]["error"] for form in ("sign", "ternary", "quaternary")]
    # Least squares for normal changes leaves 0.363, 0.190 and 0.119 of the energy; rounding to bf16 adds a little.
    assert errors == pytest.approx([0.363, 0.190, 0.119], abs=0.04)


@pytest.mark.model
def test_the_one_bit_form_is_the_sign_times_the_mean_of_its_group(workshop):
    """Rebuilt here in plain Python: sign, mean of 48 changes, rounded to bf16."""
    home, plain, tuned, _ = workshop
    rebuilt = read(home / "sign" / WEIGHTS)[QUERY][1]
    before, after = plain[QUERY][1], tuned[QUERY][1]
    agree = 0
    for start in range(0, len(before), 48):
        change = [a - b for a, b in zip(after[start : start + 48], before[start : start + 48], strict=True)]
        scale = struct.unpack("<e", struct.pack("<e", sum(map(abs, change)) / 48))[0]  # kept as fp16
        expected = [rounded(b + math.copysign(scale, c)) for b, c in zip(before[start : start + 48], change, strict=True)]
        agree += sum(e == r for e, r in zip(expected, rebuilt[start : start + 48], strict=True))
    assert agree == len(before)


@pytest.mark.model
def test_small_tensors_come_back_exactly(workshop):
    home, _, tuned, _ = workshop
    assert read(home / "sign" / WEIGHTS)[NORM][1] == [rounded(v) for v in tuned[NORM][1]]


@pytest.mark.model
def test_rows_that_did_not_change_stay_as_they_are_and_cost_a_bit_each(workshop):
    home, plain, _, _ = workshop
    rebuilt = read(home / "ternary" / WEIGHTS)[EMBEDDINGS][1]
    moved = {i // 96 for i, (a, b) in enumerate(zip(rebuilt, plain[EMBEDDINGS][1], strict=True)) if a != b}
    assert moved == {7, 8}
    raw = (home / "ternary.safetensors").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    cost = {key: end - start for key, (start, end) in ((k, v["data_offsets"]) for k, v in header.items() if k.endswith(EMBEDDINGS))}
    assert cost == {f"codes:{EMBEDDINGS}": 39, f"scales:{EMBEDDINGS}": 8, f"rows:{EMBEDDINGS}": 16}


@pytest.mark.model
def test_a_tensor_that_did_not_change_is_not_in_the_file(workshop):
    home, _, _, _ = workshop
    assert "model.layers.0.input_layernorm.weight" not in read_header(home / "sign.safetensors").tensors


@pytest.mark.model
def test_the_tokenizer_comes_along_and_the_notice_says_that_it_was_tuned(workshop):
    home, _, _, _ = workshop
    assert (home / "sign" / "tokenizer.json").read_text() == "{}"
    assert "fine-tuned these weights further (delta sign)" in (home / "sign" / "NOTICE").read_text()
    assert read_manifest(home / "sign").weights == read_header(home / "sign.safetensors").rebuilt


@pytest.mark.model
def test_packing_and_applying_twice_gives_equal_files(workshop):
    home, _, _, _ = workshop
    assert (home / "again" / "auto.safetensors").read_bytes() == (home / "auto.safetensors").read_bytes()
    for name in (WEIGHTS, MANIFEST):
        assert (home / "again" / "auto" / name).read_bytes() == (home / "auto" / name).read_bytes()


@pytest.mark.model
def test_auto_spends_its_budget_where_it_helps_most(workshop):
    _, _, _, results = workshop
    free, tight, most, least = (results[f"pack {name}"] for name in ("auto", "tight", "quaternary", "sign"))
    assert free["error"] == most["error"]
    assert tight["bytes"] <= most["bytes"] - 500
    assert most["error"] < tight["error"] < least["error"]


@pytest.mark.model
@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        ("pack large", "allowed"),
        ("pack extra-delta", "other tensors"),
        ("pack diverged-delta", "not finite"),
        ("apply never-other", "belongs to a base with the hash"),
        ("apply never-flipped", "expected"),
    ],
)
def test_what_cannot_be_right_is_refused_and_leaves_nothing(workshop, attempt, message):
    home, _, _, results = workshop
    assert "refused" in results[attempt]
    assert message in results[attempt]["message"]
    assert not list(home.glob(attempt.split()[1] + "*"))


def test_a_file_that_is_no_delta_is_refused(tmp_path):
    write(tmp_path / "x.safetensors", tiny_llama(1))
    with pytest.raises(SetupError, match="not a delta"):
        read_header(tmp_path / "x.safetensors")
