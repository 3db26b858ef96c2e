import re
from pathlib import Path

import pytest

from app.errors import InvalidInput
from infra.training.hub.architecture import read_architecture
from infra.training.hub.config import RECIPES, load_hub_recipe
from infra.training.hub.memory import GIB, memory, require_fit

LENGTH = 32_768
# As their model cards say.
BILLIONS = {"qwen3_8b": 8.2, "qwen3_32b": 32.8, "phi4_reasoning": 14.7}


def recipe(name="qwen3_8b", *overrides):
    return load_hub_recipe(Path(name), overrides)


def needed(found, length=LENGTH):
    return memory(found, found.model.architecture, length)


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.yaml")))
def test_every_recipe_has_its_models_size_and_fits_where_it_says(name):
    found = recipe(name)
    assert found.model.architecture.weights / 1e9 == pytest.approx(BILLIONS[name], abs=0.06)
    assert 0.5 * found.hardware.memory_gib < require_fit(found, found.model.architecture, LENGTH).total < found.hardware.memory_gib


def test_states_are_sixteen_bytes_a_weight_and_shared_by_shards():
    one = needed(recipe("qwen3_8b", "parallel=none", "processes=1")).parts
    weights = recipe().model.architecture.weights
    assert one["weights"] + one["gradients"] + one["optimizer"] == pytest.approx(16 * weights / GIB)
    eight = needed(recipe()).parts
    assert 8 * eight["optimizer"] == pytest.approx(one["optimizer"]) and 8 * eight["gradients"] == pytest.approx(one["gradients"])


def test_a_dense_mask_costs_three_bytes_a_pair_and_a_sparse_or_causal_one_nothing():
    assert needed(recipe("qwen3_8b", "attention=sdpa", "micro_batch=2")).parts["mask"] == pytest.approx(2 * 3 * LENGTH**2 / GIB)
    assert needed(recipe()).parts["mask"] == 0
    causal = "stages=[{mask: causal}]"
    assert needed(recipe("qwen3_8b", "attention=sdpa", causal)).parts["mask"] == 0
    assert needed(recipe("qwen3_8b", "attention=sdpa", causal, "packing=true")).parts["mask"] > 0


def test_lora_trains_its_pairs_and_the_rows_of_four_tokens():
    found = recipe("qwen3_8b", "parallel=none", "processes=1", "lora.r=16")
    shape = found.model.architecture
    pairs = 16 * 36 * ((4096 + 4096) * 2 + (4096 + 1024) * 2 + (4096 + 12288) * 3)
    assert shape.adapter(16, ("all-linear",), 4) == pairs + 2 * 4 * 4096
    assert shape.adapter(16, ("q_proj",), 0) == 16 * 36 * 2 * 4096
    assert needed(found).parts["optimizer"] == pytest.approx(8 * (pairs + 2 * 4 * 4096) / GIB)
    with pytest.raises(InvalidInput, match="has no head"):
        shape.adapter(16, ("head",), 4)


@pytest.mark.parametrize(
    "overrides",
    [
        ("parallel=none", "processes=1"),
        ("parallel=none", "processes=1", "attention=sdpa", "memory_gib=36", "lora.r=8"),
        ("micro_batch=8",),
        ("micro_batch=2", "attention=sdpa", "gradient_checkpointing=false"),
        ("parallel=ddp", "processes=8"),
    ],
)
def test_impossible_memory_is_refused_and_the_knob_that_is_named_helps(overrides):
    found = recipe("qwen3_8b", *overrides)
    with pytest.raises(InvalidInput, match=r"needs [\d.]+ GiB on each device for rows of 32,768 tokens") as refused:
        require_fit(found, found.model.architecture, LENGTH)
    proposed = re.findall(r"with ((?:[a-z_.]+=\S+ ?)+)\((\d+) GiB\)", refused.value.hint)
    assert proposed, refused.value.hint
    for words, size in proposed:
        settled = recipe("qwen3_8b", *[o for o in overrides if o.split("=")[0] not in re.findall(r"\.(\w+)=", words)], *words.split())
        assert needed(settled).total == pytest.approx(float(size), abs=0.5)
        assert needed(settled).total <= found.hardware.memory_gib


def test_no_device_is_too_small_without_a_sentence():
    found = recipe("qwen3_32b", "memory_gib=3")
    with pytest.raises(InvalidInput) as refused:
        require_fit(found, found.model.architecture, LENGTH)
    assert "smaller model" in refused.value.hint


def test_the_real_device_counts_where_it_is_known():
    found = recipe()
    with pytest.raises(InvalidInput, match="there are 40"):
        require_fit(found, found.model.architecture, LENGTH, available=40.0)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"model_type": "qwen3_next"}, "family `qwen3_next`"),
        ({}, "family `unknown`"),
        ({"model_type": "llama", "hidden_size": 64}, "Field required"),
        (
            {
                "model_type": "llama",
                "hidden_size": 65,
                "intermediate_size": 9,
                "num_hidden_layers": 1,
                "num_attention_heads": 4,
                "vocab_size": 9,
            },
            "no multiple of num_attention_heads",
        ),
    ],
)
def test_a_shape_that_is_none_is_refused(config, problem):
    with pytest.raises(InvalidInput, match=problem):
        read_architecture(config)
