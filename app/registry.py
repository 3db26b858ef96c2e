"""The registry of the embedded model's weights as its files tell of it, `<home>/registry/embedded`:

    <version>/entry.json      what it is, immutable; beside it delta.safetensors and card.md
    aliases.json              which version is candidate, production, previous
    shipped.json              which version this installation ships as production: it is served while no alias says otherwise
    promotion.json            the promotion or rollback under way, or the last one

The files are the truth. This only reads them; infra.training.registry writes them.
"""

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import NotFound, StorageError
from app.lock import held

ENTRY, DELTA, CARD = "entry.json", "delta.safetensors", "card.md"
ALIASES, SHIPPED, PROMOTION, LOCK = "aliases.json", "shipped.json", "promotion.json", "embedded.lock"
NAME = r"^[a-z0-9][a-z0-9._-]{0,79}$"


class Figure(BaseModel):
    """A measured value with its 95 % interval and the number of observations, where they are known."""

    model_config = ConfigDict(extra="ignore")
    value: float
    ci95: tuple[float, float] | None = None
    n: int | None = None


class Gate(BaseModel):
    """A figure, the bound that it must keep, and whether it does. `value` None: nobody has measured it, which does not pass."""

    figure: str = Field(description="`bench.key` such as worlds.success, or a path into the run's own metrics such as rebuilt_dev.exact.")
    source: Literal["recipe", "promise"] = Field(description="Who asks: the recipe, or what was promised of the embedded model before.")
    direction: Literal["at_least", "at_most"]
    threshold: float
    value: float | None = None
    n: int | None = None
    passed: bool = False

    def __str__(self) -> str:
        by = "is asked for by the recipe" if self.source == "recipe" else "was promised before"
        asked = f"{self.direction.replace('_', ' ')} {self.threshold:g} {by}"
        measured = "was not measured" if self.value is None else f"is {self.value:g}" + (f" (n = {self.n})" if self.n else "")
        return f"{self.figure} {measured}, {asked}"


class Version(BaseModel):
    """`entry.json`. Hashes are SHA-256: `delta` of the file, `base` and `rebuilt` over all tensors before and after it is applied."""

    format: Literal[1] = 1
    version: str = Field(pattern=NAME)
    run: str
    recipe: str = Field(description="File name of the recipe.")
    recipe_sha256: str = ""
    base: str
    delta: str = Field(pattern=r"^[0-9a-f]{64}$")
    rebuilt: str = Field(pattern=r"^[0-9a-f]{64}$")
    data: str = Field("", description="What it was trained on, in words.")
    data_sha256: str
    created: datetime
    commit: str
    shipped: bool = Field(False, description="It is part of the installation.")
    metrics: dict[str, Any] = Field(default_factory=dict)
    gates: list[Gate] = Field(default_factory=list, description="As they stood when the version was registered.")

    @property
    def asked(self) -> list[Gate]:
        """The gates of its recipe, without what came of them."""
        return [gate.model_copy(update={"value": None, "n": None, "passed": False}) for gate in self.gates if gate.source == "recipe"]

    def figure(self, path: str) -> Figure | None:
        return find_figure(self.metrics, path)


class Aliases(BaseModel):
    candidate: str | None = None
    production: str | None = None
    previous: str | None = None


class PromotionStatus(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Promotion(BaseModel):
    """A change of production, under way or the last one. `message`: where it is, or how it ended; `hint`: what to do about a failure."""

    verb: Literal["promote", "rollback"]
    version: str = Field(description="What is, or was to be, production afterwards.")
    status: PromotionStatus
    message: str = ""
    hint: str = ""
    started: datetime
    ended: datetime | None = None


class RegistryView(BaseModel):
    """All that the files say. `serving`: what the model server is given, by alias or as shipped."""

    serving: str | None = None
    aliases: Aliases = Aliases()
    versions: list[Version] = Field(default_factory=list, description="The newest first.")
    problems: list[str] = Field(default_factory=list, description="Entries that cannot be read.")
    promotion: Promotion | None = None


def registry_folder(home: Path) -> Path:
    return home / "registry" / "embedded"


def read_registry(home: Path) -> RegistryView:
    """Raises StorageError when the aliases cannot be read."""
    folder = registry_folder(home)
    versions, problems = [], []
    for path in sorted(folder.glob(f"[a-z0-9]*/{ENTRY}")):
        try:
            versions.append(read_version(home, path.parent.name))
        except StorageError as error:
            problems.append(f"{error.message} {error.hint}")
    versions.sort(key=lambda version: (version.created.timestamp(), version.version), reverse=True)
    aliases = read_aliases(home)
    return RegistryView(
        serving=aliases.production or read_shipped(home),
        aliases=aliases,
        versions=versions,
        problems=problems,
        promotion=read_promotion(home),
    )


def read_version(home: Path, name: str) -> Version:
    """The entry of that name; its delta is not looked at. Raises NotFound, StorageError when it is broken."""
    folder = registry_folder(home)
    known = [path.name for path in folder.iterdir() if (path / ENTRY).is_file()] if folder.is_dir() else []
    if name not in known:
        raise NotFound(f"There is no version `{name[:80]}`.", hint="`keepsake train versions` lists those that there are.")
    try:
        version = Version.model_validate_json((folder / name / ENTRY).read_bytes())
        if version.version != name:
            raise ValueError("it names another version")
    except (OSError, ValueError) as error:
        raise StorageError(
            f"The registry's entry {name} cannot be read.", hint=f"Remove {folder / name} and register its run again."
        ) from error
    return version


def read_aliases(home: Path) -> Aliases:
    """Raises StorageError when the file is broken: then nobody can say what production is."""
    path = registry_folder(home) / ALIASES
    try:
        return Aliases.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Aliases()
    except (OSError, ValidationError) as error:
        raise StorageError(
            f"The registry's aliases in {path} cannot be read.", hint="Remove the file: then the weights that Keepsake ships are served."
        ) from error


def read_shipped(home: Path) -> str | None:
    """The version that is served while the alias production is not set, as the last start of the model server noted it."""
    try:
        return Aliases.model_validate_json((registry_folder(home) / SHIPPED).read_bytes()).production
    except (OSError, ValidationError):
        return None


def read_promotion(home: Path) -> Promotion | None:
    """The promotion under way or the last one. One whose process is gone without a word has failed."""
    folder = registry_folder(home)
    try:
        found = Promotion.model_validate_json((folder / PROMOTION).read_bytes())
    except (OSError, ValidationError):
        return None
    if found.status == PromotionStatus.RUNNING and not held(folder.parent / LOCK):
        hint = "Aliases and weights are whole. Start it again, or `keepsake up` if the model server does not run."
        return found.model_copy(update={"status": PromotionStatus.FAILED, "message": "It was cut off.", "hint": hint})
    return found


def find_figure(metrics: dict[str, Any], path: str) -> Figure | None:
    """The figure at a dotted path: a mapping with a `value`, or a plain number, whose `n` then stands beside it."""
    beside: dict[str, Any] = {}
    found: Any = metrics
    for part in path.split("."):
        if not isinstance(found, dict) or part not in found:
            return None
        beside, found = found, found[part]
    if isinstance(found, bool) or not isinstance(found, int | float | dict):
        return None
    try:
        return Figure.model_validate(found if isinstance(found, dict) else {"value": found, "n": beside.get("n")})
    except ValidationError:
        return None
