"""The directory of one run of a hub recipe, `<home>/training/runs/<recipe>-<hash8>`, beside those of the embedded model."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.config import Settings
from app.errors import Conflict, NotFound
from infra.training.hub.config import HubRecipe
from infra.training.manifest import RunManifest
from infra.training.run_folder import RunFolder


class HubFolder(RunFolder):
    """Names of what a run leaves behind."""

    def __init__(self, settings: Settings, recipe: HubRecipe) -> None:
        super().__init__(settings, recipe)  # type: ignore[arg-type]
        self.rows = self.path / "rows"
        self.result_name = "adapter" if recipe.lora.r else "model"
        self.stages = len(recipe.stages)

    def stage(self, number: int) -> Path:
        """Of stage `number`, counted from 1."""
        return self.path / f"stage{number}"

    def result(self, number: int) -> Path:
        """What a finished stage leaves: weights, or an adapter."""
        return self.stage(number) / self.result_name

    @contextmanager
    def held(self, recipe: HubRecipe, resume: bool) -> Iterator[RunManifest | None]:
        """Hold the directory; gives the manifest of earlier attempts. Raises Conflict, NotFound."""
        name = self.path.name
        if resume and not self.path.is_dir():
            raise NotFound(
                f"There is no run {name} to resume.", hint="Recipe and overrides together name a run; `train-hub run` starts it."
            )
        if not resume and self.path.is_dir():
            raise Conflict(f"There is a run {name} already.", hint=f"`keepsake train-hub resume` goes on with it; or remove {self.path}")
        with self.opened(recipe, resume) as earlier:  # type: ignore[arg-type]
            yield earlier
