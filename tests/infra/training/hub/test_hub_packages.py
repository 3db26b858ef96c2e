"""The lock of hub training: the training lock with TRL, PEFT and what they need, at the very same versions."""

from packaging.utils import canonicalize_name

from tests.test_house import pins, required


def test_the_hub_lock_adds_to_the_training_lock():
    train, hub = pins("train.txt"), pins("train-hub.txt")
    assert {name: hub.get(name) for name in train} == train
    for requirement in required("train-hub"):
        versions = hub.get(canonicalize_name(requirement.name), [])
        assert versions and all(requirement.specifier.contains(v, prereleases=True) for v in versions), f"{requirement}: make lock"


def test_it_brings_neither_torch_nor_anything_of_cuda():
    assert not [name for name in pins("train-hub.txt") if name in ("torch", "triton") or name.startswith(("nvidia", "cuda"))]
    assert {"trl", "peft", "accelerate", "datasets", "pyarrow"} <= set(pins("train-hub.txt")) - set(pins("train.txt"))
