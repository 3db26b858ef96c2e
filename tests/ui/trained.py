"""Jobs and versions of every kind, for the training page."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from app.registry import Aliases, Gate, Promotion, PromotionStatus, RegistryView, Version
from app.training import Curves, HeldOut, Job, JobStatus, Point


def ago(**time: float) -> datetime:
    return datetime.now(UTC) - timedelta(**time)


def job(name: str, status: JobStatus, **more: Any) -> Job:
    about = {"started": ago(hours=2), "attempts": 1, "steps": 1470, "steps_done": 1470, "tokens": 3_010_000, "device": "AMD EPYC, 2 cores"}
    return Job(name=name, status=status, **about | more)


def jobs() -> list[Job]:
    measured = {"rebuilt_dev": {"exact": 0.9917, "n": 600}, "rebuilt_eval": {"exact": 0.98, "n": 600}}
    return [
        Job(name="reasoning_stage3-aa11bb22", status=JobStatus.PREPARING),
        job(
            "reasoning_stage2-0f1e2d3c",
            JobStatus.RUNNING,
            purpose="What a finished block's memento must carry, under the mask of the server. **Not** <b>markdown</b>.",
            steps_done=612,
            tokens=1_253_000,
            tokens_per_s=843.2,
            mfu=0.31,
            left_s=2210,
        ),
        job("reasoning_stage1-1c7776fa", JobStatus.CUT_OFF, started=ago(hours=9), steps_done=300, attempts=2),
        job("first_team-9a8b7c6d", JobStatus.STOPPED, started=ago(days=1), steps_done=100, tokens_per_s=790.0),
        job(
            "first_team-5046767b",
            JobStatus.FINISHED,
            started=ago(days=2),
            finished=ago(days=2) + timedelta(minutes=58),
            purpose="SmolLM2-135M makes the team's decisions on shop, tracker and desk.",
            tokens_per_s=598.0,
            metrics=measured,
        ),
        Job(name="broken-00000000", status=JobStatus.UNREADABLE),
    ]


def curves(name: str) -> Curves:
    if not name.startswith(("reasoning_stage2", "first_team-5046767b")):
        return Curves(name=name)
    last = 612 if name.startswith("reasoning") else 1470
    loss = [Point(step=s, loss=round(0.05 + 2.4 * math.exp(-s / 160) + 0.03 * math.sin(s / 7), 4)) for s in range(5, last, 5)]
    held_out = [HeldOut(step=s, exact=round(1 - math.exp(-s / 260), 3), n=100) for s in range(100, last, 100)]
    return Curves(name=name, loss=loss, held_out=held_out)


def gate(figure: str, value: float | None, threshold: float, *, source: str = "promise", n: int = 40, passed: bool = True) -> Gate:
    return Gate.model_validate(
        {"figure": figure, "source": source, "direction": "at_least", "threshold": threshold, "value": value, "n": n, "passed": passed}
    )


def version(name: str, *gates: Gate, **more: Any) -> Version:
    hashes = {"base": "b" * 64, "delta": "d" * 64, "rebuilt": "e" * 64, "data_sha256": "c" * 64}
    about = {"run": name.rpartition(".")[0] or name, "recipe": "first_team.yaml", "created": ago(hours=3), "commit": "489789285c7a"}
    return Version.model_validate({"version": name, "gates": list(gates), **hashes, **about, **more})


def registry(promotion: Promotion | None = None) -> RegistryView:
    """One of each: served, before it, a candidate whose gates fail, one that could be promoted."""
    good = [gate("worlds.success", 0.95, 0.835), gate("worlds.success_lookup", 0.9, 0.6, n=10)]
    failing = [
        gate("rebuilt_dev.exact", 0.884, 0.95, source="recipe", n=300, passed=False),
        gate("worlds.success", 0.75, 0.835, passed=False),
        gate("worlds.success_lookup", None, 0.6, passed=False),
    ]
    return RegistryView(
        serving="reasoning_stage2-0f1e2d3c.1",
        aliases=Aliases(candidate="reasoning_stage2-77777777.1", production="reasoning_stage2-0f1e2d3c.1", previous="first_team-5046767b"),
        versions=[
            version("reasoning_stage2-77777777.1", *failing, recipe="reasoning_stage2.yaml", commit="12ab34cd56ef+"),
            version("reasoning_stage2-0f1e2d3c.1", *good, recipe="reasoning_stage2.yaml"),
            version("first_team-9a8b7c6d.1", *good),
            version("first_team-5046767b", *good, shipped=True, created=ago(days=2)),
        ],
        promotion=promotion,
    )


def promotion(status: PromotionStatus, message: str, hint: str = "") -> Promotion:
    ended = None if status == PromotionStatus.RUNNING else ago(seconds=50)
    return Promotion(
        verb="promote", version="first_team-9a8b7c6d.1", status=status, message=message, hint=hint, started=ago(seconds=90), ended=ended
    )


BUSY = promotion(PromotionStatus.RUNNING, "waiting for requests that are still being answered (1)")
FAILED = promotion(
    PromotionStatus.FAILED,
    "first_team-9a8b7c6d.1 did not come up, what was served before is served again: The model server stopped while it was loading:\n"
    "RuntimeError: these weights do not load",
    "The log of the attempt is ~/.keepsake/logs/model-production.log.failed.",
)
DONE = promotion(PromotionStatus.DONE, "first_team-9a8b7c6d.1 is production, and is served")
CARD = "# first_team-5046767b\n\n| base | SmolLM2-135M-Instruct |\n\n## Limits\n\n- It has 135 million parameters.\n"
