"""Training jobs as their files tell of them: `<home>/training/runs/<name>/{manifest.json, metrics.jsonl, lock}`. The files are the truth; this
only reads them, and infra.training writes them.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from app.errors import NotFound
from app.lock import held

MANIFEST, METRICS, LOCK = "manifest.json", "metrics.jsonl", "lock"
WINDOW = 20  # steps that a rate is averaged over
POINTS = 300  # most points of a curve
TAIL = 16_384  # bytes at the end of the metrics that hold at least so many steps


class RunManifest(BaseModel):
    """`manifest.json` of a run. `seconds` is training alone, over all attempts; `wall_s` everything from first start to end."""

    version: Literal[1] = 1
    status: Literal["running", "stopped", "finished"]
    name: str
    recipe: dict[str, Any]
    recipe_sha256: str
    commit: str
    dirty: bool = Field(description="The checkout had changes that are in no commit.")
    base: str = Field(description="Hash of the base's weights.")
    init: str = Field(description="Hash of the weights that training began with.")
    data: dict[str, Any] = Field(description="Hashes, counts, and what of them a run of these steps sees.")
    device: str
    precision: str
    threads: int
    packages: dict[str, str]
    started: datetime
    finished: datetime | None = None
    attempts: int = 1
    steps: int
    steps_done: int = 0
    tokens: int = 0
    computed: int = Field(0, description="Tokens that had to be computed: common beginnings count once.")
    seconds: float = 0.0
    wall_s: float | None = None
    metrics: dict[str, Any] = Field(default_factory=dict)
    artifacts: dict[str, str] = Field(default_factory=dict, description="SHA-256 of the files that a run leaves behind.")


class JobStatus(StrEnum):
    PREPARING = "preparing"  # examples are made or read, no step was taken yet
    RUNNING = "running"
    STOPPED = "stopped"  # on request; it saved first
    CUT_OFF = "cut_off"  # its process is gone without a word: killed, or the disk was full
    FINISHED = "finished"
    UNREADABLE = "unreadable"  # its manifest is broken


class Job(BaseModel):
    """How one run stands. `mfu`: share of the device's peak arithmetic, where the run measures it; `left_s`: time to the last step."""

    name: str
    status: JobStatus
    purpose: str = ""
    started: datetime | None = None
    finished: datetime | None = None
    attempts: int = 0
    steps: int = 0
    steps_done: int = 0
    tokens: int = 0
    tokens_per_s: float | None = None
    mfu: float | None = None
    left_s: float | None = None
    device: str = ""
    metrics: dict[str, Any] = Field(default_factory=dict)


class Point(BaseModel):
    """Mean loss of the steps up to `step` since the point before; nats a token."""

    step: int
    loss: float


class HeldOut(BaseModel):
    """A measurement on held-out examples: share of answers that are exact, of `n`."""

    step: int
    exact: float
    n: int


class Curves(BaseModel):
    name: str
    loss: list[Point] = Field(default_factory=list)
    held_out: list[HeldOut] = Field(default_factory=list)


def runs_folder(home: Path) -> Path:
    return home / "training" / "runs"


def read_jobs(home: Path) -> list[Job]:
    """All runs, the newest first; those that have not begun to train before them."""
    jobs = [_job(folder) for folder in _folders(home)]
    return sorted(jobs, key=lambda job: (job.started is None, job.started.timestamp() if job.started else 0.0), reverse=True)


def read_job(home: Path, name: str) -> Job:
    """Raises NotFound."""
    return _job(_folder(home, name))


def read_curves(home: Path, name: str, points: int = POINTS) -> Curves:
    """What a run has logged of itself; lines that are cut off or broken are passed over. Raises NotFound."""
    lines = list(_lines(_text(_folder(home, name) / METRICS)))
    steps = [(line["step"], line["loss"]) for line in lines if _numbers(line, "step", "loss")]
    size = max(1, -(-len(steps) // points))
    groups = [steps[start : start + size] for start in range(0, len(steps), size)]
    loss = [Point(step=group[-1][0], loss=round(sum(x for _, x in group) / len(group), 5)) for group in groups]
    measured = [(line["step"], line["dev"]) for line in lines if _numbers(line, "step") and isinstance(line.get("dev"), dict)]
    held_out = [HeldOut(step=step, exact=dev["exact"], n=dev["n"]) for step, dev in measured if _numbers(dev, "exact", "n")]
    return Curves(name=name, loss=loss, held_out=held_out)


def _folders(home: Path) -> list[Path]:
    root = runs_folder(home)
    return [folder for folder in sorted(root.iterdir()) if folder.is_dir()] if root.is_dir() else []


def _folder(home: Path, name: str) -> Path:
    for folder in _folders(home):
        if folder.name == name:
            return folder
    raise NotFound(f"There is no training run `{name[:80]}`.", hint="The list of jobs has those that there are.")


def _job(folder: Path) -> Job:
    at_work = held(folder / LOCK)
    try:
        manifest = RunManifest.model_validate_json((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        return Job(name=folder.name, status=JobStatus.PREPARING if at_work else JobStatus.CUT_OFF)
    except (OSError, ValidationError):
        return Job(name=folder.name, status=JobStatus.UNREADABLE)
    status = JobStatus(manifest.status)
    if status == JobStatus.FINISHED:
        at_work = False
    elif at_work:
        status = JobStatus.RUNNING
    elif status == JobStatus.RUNNING:
        status = JobStatus.CUT_OFF
    recent = [line for line in _lines(_text(folder / METRICS, TAIL)) if _numbers(line, "step", "tokens", "seconds")][-WINDOW:]
    done = recent[-1]["step"] if at_work and recent else manifest.steps_done
    seconds = sum(line["seconds"] for line in recent[1:])
    steps_per_s = (len(recent) - 1) / seconds if seconds else 0.0
    rate = (recent[-1]["tokens"] - recent[0]["tokens"]) / seconds if seconds else None
    if not at_work:
        rate = manifest.tokens / manifest.seconds if manifest.seconds else None
    return Job(
        name=folder.name,
        status=status,
        purpose=str(manifest.recipe.get("purpose", "")),
        started=manifest.started,
        finished=manifest.finished,
        attempts=manifest.attempts,
        steps=manifest.steps,
        steps_done=done,
        tokens=recent[-1]["tokens"] if at_work and recent else manifest.tokens,
        tokens_per_s=None if rate is None else round(rate, 1),
        mfu=next((line["mfu"] for line in reversed(recent) if _numbers(line, "mfu")), None),
        left_s=round((manifest.steps - done) / steps_per_s, 1) if at_work and steps_per_s else None,
        device=manifest.device,
        metrics=manifest.metrics,
    )


def _text(path: Path, tail: int | None = None) -> str:
    """A file, or its last `tail` bytes; empty where there is none."""
    try:
        with path.open("rb") as stream:
            if tail:
                stream.seek(max(0, path.stat().st_size - tail))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""


def _lines(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def _numbers(line: dict[str, Any], *keys: str) -> bool:
    """Whether all of these are finite numbers."""
    return all(isinstance(line.get(key), int | float) and line[key] == line[key] and abs(line[key]) < 1e300 for key in keys)
