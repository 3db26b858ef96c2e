"""A dry run: the data, the mask and the memory of a recipe, without weights and without torch."""

from dataclasses import dataclass
from math import ceil
from typing import Any

from app.config import Settings
from app.errors import InvalidInput, SetupError
from app.memento.grammar import MEMENTO_TOKEN_IDS, TokenIds
from app.memento.visibility import Policy
from infra.training.hub.architecture import Architecture
from infra.training.hub.config import HubRecipe
from infra.training.hub.encode import Encoder
from infra.training.hub.memory import Memory, checkpoint_bytes, require_fit
from infra.training.hub.pretrained import Say, find_model, open_tokenizer
from infra.training.hub.rows import RowReader, Statistics


@dataclass(frozen=True)
class HubPlan:
    """`checkpoint`: bytes of one on disk; `steps` of one stage, None where rows are still to be packed; `counted_with`: whose tokenizer."""

    rows: Statistics
    memory: Memory
    checkpoint: int
    shape: Architecture
    steps: int | None
    counted_with: str

    @property
    def summary(self) -> dict[str, Any]:
        gib = {name: round(size, 2) for name, size in self.memory.parts.items()}
        return {
            **self.rows.summary,
            "steps_per_stage": self.steps,
            "weights": self.shape.weights,
            "checkpoint_bytes": self.checkpoint,
            "memory_gib": {**gib, "total": round(self.memory.total, 2)},
            "counted_with": self.counted_with,
        }


def make_hub_plan(settings: Settings, recipe: HubRecipe, say: Say) -> HubPlan:
    """Every record is tokenized and its mask worked out. A model that is not at hand is planned for with the recipe's `model.architecture` and
    the embedded model's tokenizer.

    Raises InvalidInput (data, model, or memory that does not do; it names the knob), NotFound, SetupError.
    """
    tokenizer, ids, policy, counted_with = None, TokenIds(*MEMENTO_TOKEN_IDS.values()), Policy(), recipe.model.path
    shape = recipe.model.architecture
    try:
        model = find_model(settings, recipe.model, say, ask_hub=shape is None)
    except SetupError:
        if shape is None:
            raise
        tokenizer, counted_with = open_tokenizer(_base(settings)), "the embedded model"
        say(f"{recipe.model.path} is not on this machine: tokens are counted with the embedded model's tokenizer")
    else:
        if shape and shape != model.shape:
            raise InvalidInput(f"model.architecture is not what {recipe.model.path}/config.json says.", hint="Take it out of the recipe.")
        tokenizer, ids, policy, shape = model.tokenizer(), model.ids, model.policy, model.shape
    train, hardware = recipe.train, recipe.hardware
    reader = RowReader(recipe.data.files, Encoder(tokenizer, ids, recipe.data.system, recipe.data.think), policy, train.max_length)
    for _ in reader:
        pass
    found = reader.statistics
    passes = ceil(found.rows / (hardware.processes * hardware.micro_batch))
    steps = None if train.packing else train.epochs * ceil(passes / recipe.accumulation)
    needed = require_fit(recipe, shape, recipe.computed(found.longest))
    return HubPlan(found, needed, checkpoint_bytes(recipe, shape), shape, steps, counted_with)


def _base(settings: Settings) -> Any:
    directory = settings.weights_dir / "base"
    if not (directory / "tokenizer.json").is_file():
        raise SetupError("There is no tokenizer to count with.", hint="Build the embedded model's with `make setup`, or add the model.")
    return directory
