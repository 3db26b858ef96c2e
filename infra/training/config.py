"""A training recipe: everything that decides what comes out, validated before anything heavy starts. Importable without torch.

A recipe is a YAML file; `key=value` overrides go over it, by full path (`optimizer.lr=3e-4`) or by last name where that is unique (`lr=3e-4`).
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.memento.visibility import Policy
from infra.training.recipe_file import read_recipe

EXAMPLE = Path("infra/training/recipes/first_team.yaml")


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Seeds(Section):
    """Seeds `start` to `stop` - 1 of the worlds' tasks. Which seeds belong to which split is the worlds' own rule, and they hold to it."""

    start: int = Field(ge=0)
    stop: int = Field(gt=0)

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.stop <= self.start:
            raise ValueError(f"seeds {self.start} to {self.stop} are none")
        return self


class TracesConfig(Section):
    """Reasoning in blocks and mementos, of infra.reasoning: seeds of each family. Which seeds belong to which split is its own rule."""

    families: tuple[str, ...] = Field((), description="Names of infra.reasoning.families; none: no traces of theirs.")
    files: dict[Literal["train", "dev", "eval"], list[Path]] = Field(
        default_factory=dict, description="Files of `keepsake mementos build` (mementos.jsonl), beside the families'."
    )
    share: float = Field(0.5, gt=0, lt=1, description="Of the tokens that a run sees; the rest are the team's decisions.")
    parts: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(
        default_factory=dict,
        description="Part of the training seeds that a family takes, where not all: what is learned already needs few.",
    )
    train: Seeds = Seeds(start=0, stop=2_000)
    dev: Seeds = Seeds(start=900_000, stop=900_040)
    eval: Seeds = Seeds(start=950_000, stop=950_040)

    @model_validator(mode="after")
    def _parts_of_families(self) -> Self:
        if unknown := sorted(self.parts.keys() - set(self.families)):
            raise ValueError(f"parts names {', '.join(unknown)}, which the families do not")
        return self


class DataConfig(Section):
    """Where examples come from: oracle runs of these seeds, or files of examples where any are named; and reasoning traces."""

    train: Seeds = Seeds(start=0, stop=600)
    dev: Seeds = Seeds(start=9_000, stop=9_060)
    eval: Seeds = Seeds(start=10_000, stop=10_060)
    files: dict[Literal["train", "dev", "eval"], list[Path]] = Field(
        default_factory=dict, description="Files of examples (.jsonl, .jsonl.gz) in place of all seeds."
    )
    traces: TracesConfig = TracesConfig()
    streams: float = Field(0, ge=0, lt=1, description="Of the decisions' tokens: whole runs as one conversation each (agents.stream).")
    workers: int = Field(2, ge=1, le=64, description="Processes that make examples; changes nothing but the time.")
    floor: int = Field(0, ge=0, description="Examples that a decision type is brought up to, with repeats.")
    ceiling: int = Field(1_000_000, ge=1, description="Examples that a decision type is cut down to.")
    copies: int = Field(3, ge=1, description="How often one example may stand in a pass to reach the floor.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.floor > self.ceiling:
            raise ValueError(f"floor {self.floor} is above ceiling {self.ceiling}")
        if self.files and not self.files.keys() >= {"train", "dev", "eval"}:
            raise ValueError("files name all of train, dev and eval, or none")
        return self


class OptimizerConfig(Section):
    """AdamW with linear warm-up and linear decay to zero."""

    lr: float = Field(4e-4, gt=0, le=1)
    warmup_steps: int = Field(10, ge=0)
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = Field(0.01, ge=0)
    clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")


class TrainConfig(Section):
    tokens: int = Field(2_000_000, ge=1, description="Prompt and completion tokens to learn from; passes over the data repeat as needed.")
    tokens_per_step: int | None = Field(None, ge=64, description="None: 2,048 on a processor, 8,192 on a GPU.")
    siblings: int = Field(
        4,
        ge=1,
        description="Examples that begin alike and share a step, where the common beginning is computed once; 1: none do.",
    )
    init: str = Field("base", description="Weights to start from: base, the name of a shipped delta or of a run, or a directory.")
    mask: Literal["causal", "memento"] = Field(
        "causal", description="memento: what follows a finished block's memento does not see the block, as in the server."
    )
    frozen_layers: int = Field(0, ge=0, description="Lowest layers, and the input embeddings, that are not trained.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Of weights and activations. auto: bfloat16 where the device multiplies it fast. Updates are always float32."
    )
    threads: int | None = Field(None, ge=1, description="Processor threads; None: one a core.")
    seed: int = Field(0, ge=0)
    checkpoint_steps: int = Field(50, ge=1)
    dev_steps: int = Field(200, ge=1, description="Steps between measurements on a few held-out examples.")
    dev_examples: int = Field(200, ge=0, description="How many; 0: no such measurements.")


class EvaluationConfig(Section):
    """Held-out examples to measure on at the end; None: all."""

    dev: int | None = Field(1_000, ge=1)
    eval: int | None = Field(1_000, ge=1)


class DeltaConfig(Section):
    """How the fine-tune is packed, see infra.weights.delta."""

    bits: Literal[1, 2, "ternary", "auto"] = "auto"
    group: int = Field(64, ge=8)
    max_bytes: int = Field(32_000_000, ge=1_000)


class GateConfig(Section):
    """A bound that a figure must keep before the weights may be served."""

    figure: str = Field(
        pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)+$",
        description="`bench.key` such as worlds.success, or a path into the run's own metrics such as rebuilt_dev.exact.",
    )
    at_least: float | None = Field(None, allow_inf_nan=False)
    at_most: float | None = Field(None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError(f"the gate on {self.figure} names one of at_least and at_most")
        return self


class Recipe(Section):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_]{0,39}$")
    purpose: str = ""
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    delta: DeltaConfig = DeltaConfig()
    gates: tuple[GateConfig, ...] = Field(
        (), description="What `keepsake train promote` asks of the figures, beside what was promised before."
    )

    @property
    def digest(self) -> str:
        """SHA-256 over everything that decides the result; the number of workers does not, nor what is asked of the result."""
        # Keys that came later count only where they say something: a new one must not give old runs another name.
        data: dict[str, Any] = {"workers": True}
        if not self.data.streams:
            data["streams"] = True
        if not self.data.traces.files:
            data["traces"] = {"files"}
        body = self.model_dump(mode="json", exclude={"purpose": True, "gates": True, "data": data})
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

    @property
    def policy(self) -> Policy | None:
        """What a finished block's memento evicts; None under the causal mask."""
        return Policy() if self.train.mask == "memento" else None

    @property
    def run_name(self) -> str:
        return f"{self.name}-{self.digest[:8]}"


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe at `path` with `key=value` overrides. Raises InvalidInput, which names the key and what it may be."""
    return read_recipe(Recipe, path, overrides, EXAMPLE, "`keepsake train validate RECIPE` prints all keys.")
