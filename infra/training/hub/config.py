"""A recipe for a hub model: two stages that differ in mask and seed alone, and the machine they run on. Importable without torch.

Defaults are the paper's (MEMENTO, arXiv 2604.09852, A.2). What a run is named by is everything but the machine: the same recipe on one GPU, or
on eight under torchrun, is the same run.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from infra.training.config import Section
from infra.training.hub.architecture import Architecture
from infra.training.recipe_file import read_recipe

RECIPES = Path(__file__).parent / "recipes"
EXAMPLE = RECIPES / "qwen3_8b.yaml"

Mask = Literal["causal", "memento"]
BLOCK = 128  # FlexAttention's tiles: rows are padded to a multiple of it, so that one compiled kernel does for many lengths


class ModelConfig(Section):
    """Which model, prepared with the four tokens (`keepsake models add`)."""

    path: str = Field(min_length=1, description="A directory, the name of an added model, or a hub id that one was added from.")
    revision: str | None = Field(None, description="Of a repository on the hub that holds a prepared model.")
    architecture: Architecture | None = Field(None, description="Values of its config.json, for a plan where the model is not at hand.")


class DataConfig(Section):
    """Records of `keepsake mementos build`: problem, blocks with their mementos, answer."""

    files: tuple[Path, ...] = Field(min_length=1, description="Files of records (.jsonl, .jsonl.gz).")
    system: str = Field("", description="System prompt before every problem; empty: what the chat template does without one.")
    think: Literal["auto", "none"] = Field("auto", description="auto: the thought stands in <think> where the tokenizer has such tokens.")


class TrainConfig(Section):
    max_length: int = Field(32_768, ge=128, description="Tokens of a row. A record with more is left out, not cut.")
    epochs: int = Field(5, ge=1)
    global_batch: int = Field(512, ge=1, description="Rows of a step, over all devices; with packing a row holds several records.")
    packing: bool = Field(False, description="Records share rows, best fit first; none sees another.")
    checkpoint_steps: int = Field(50, ge=1)


class OptimizerConfig(Section):
    """AdamW with linear warm-up and a cosine to zero."""

    lr: float = Field(8e-5, gt=0, le=1)
    warmup_share: float = Field(0.05, ge=0, lt=1, description="Of a stage's steps.")
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(0.0, ge=0)
    clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")


class LoraConfig(Section):
    """Low-rank adapters (LoRA, arXiv 2106.09685) in place of training all weights."""

    r: int = Field(0, ge=0, le=1024, description="Rank; 0: all weights are trained.")
    alpha: float = Field(32, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: tuple[str, ...] = Field(("all-linear",), min_length=1, description="Names of modules; all-linear: all but the head.")
    token_rows: bool = Field(True, description="The embeddings of the four tokens are trained too, in and out.")


class StageConfig(Section):
    mask: Mask
    seed: int = Field(42, ge=0, description="Of the order of rows, of adapters' first values and of dropout.")


class HardwareConfig(Section):
    """What it runs on. Decides time and memory, not what is learned."""

    parallel: Literal["none", "ddp", "fsdp2"] = Field("none", description="ddp: a whole model on each device; fsdp2: one in shards.")
    processes: int = Field(1, ge=1, description="Devices, one process each.")
    micro_batch: int = Field(1, ge=1, description="Rows at a time on a device.")
    attention: Literal["sdpa", "flex"] = Field("sdpa", description="sdpa: a dense mask, to 4,096 tokens; flex: a sparse one, on CUDA.")
    gradient_checkpointing: bool = True
    memory_gib: float = Field(78.0, gt=0, description="Of one device; an H100 of 80 GB has 78.")
    threads: int | None = Field(None, ge=1, description="Processor threads of a process; None: one a core.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.parallel == "none" and self.processes > 1:
            raise ValueError(f"{self.processes} processes need parallel=ddp or parallel=fsdp2")
        return self


class HubRecipe(Section):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_]{0,39}$")
    purpose: str = ""
    model: ModelConfig
    data: DataConfig
    stages: tuple[StageConfig, ...] = Field((StageConfig(mask="causal"), StageConfig(mask="memento")), min_length=1, max_length=4)
    train: TrainConfig = TrainConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    lora: LoraConfig = LoraConfig()
    hardware: HardwareConfig = HardwareConfig()

    @model_validator(mode="after")
    def _rows_divide(self) -> Self:
        rows = self.hardware.processes * self.hardware.micro_batch
        if self.train.global_batch % rows:
            raise ValueError(f"train.global_batch {self.train.global_batch} is no multiple of processes x micro_batch = {rows}")
        return self

    @property
    def accumulation(self) -> int:
        """Passes of each device before a step."""
        return self.train.global_batch // (self.hardware.processes * self.hardware.micro_batch)

    def computed(self, longest: int) -> int:
        """Tokens of the longest row as it is computed: filled up by other records, or to whole tiles."""
        length = self.train.max_length if self.train.packing else longest
        return -(-length // BLOCK) * BLOCK if self.hardware.attention == "flex" else length

    @property
    def digest(self) -> str:
        """SHA-256 over everything that decides the result."""
        left_out = {"purpose": True, "hardware": True, "model": {"architecture"}, "train": {"checkpoint_steps"}}
        return hashlib.sha256(json.dumps(self.model_dump(mode="json", exclude=left_out), sort_keys=True).encode()).hexdigest()

    @property
    def run_name(self) -> str:
        return f"{self.name}-{self.digest[:8]}"

    def changed(self, **sections: dict[str, object]) -> "HubRecipe":
        """The same recipe with some keys of some sections changed, checked again."""
        values = self.model_dump()
        for section, keys in sections.items():
            values[section] |= keys
        return HubRecipe.model_validate(values)


def load_hub_recipe(path: Path, overrides: Sequence[str] = ()) -> HubRecipe:
    """The recipe in a file, or one of ours by its bare name. Raises InvalidInput, which names the key."""
    return read_recipe(HubRecipe, path if path.suffix else RECIPES / f"{path}.yaml", overrides, EXAMPLE)
