"""What a build came to: outcomes, pass rates, sizes, and what it took."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from infra.training.mementos.journal import read_folder


@dataclass(frozen=True)
class Prices:
    """Money per million tokens, in whatever currency."""

    prompt: float
    completion: float


@dataclass
class Report:
    """Over all records of a folder. What was in flight when a process was killed is in no figure."""

    settings: dict[str, Any]
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)  # of each reason one sentence
    took: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    estimated: bool = False
    blocks: list[int] = field(default_factory=list)  # of each kept record
    block_tokens: list[int] = field(default_factory=list)
    memento_tokens: list[int] = field(default_factory=list)

    @property
    def records(self) -> int:
        return self.kept + self.dropped.total()

    def as_dict(self, prices: Prices | None = None) -> dict[str, Any]:
        took = self.took
        mementos = took["mementos"]
        values: dict[str, Any] = {
            "records": self.records,
            "kept": self.kept,
            "dropped": dict(self.dropped.most_common()),
            "mementos": mementos,
            "pass_rate_first": _share(took["passed_first"], mementos),
            "pass_rate": _share(took["passed"], mementos),
            "calls": took["calls"],
            "repeats": took["repeats"],
            "windows": took["windows"],
            "failed_windows": took["failed_windows"],
            "prompt_tokens": took["prompt_tokens"],
            "completion_tokens": took["completion_tokens"],
            "tokens_estimated": self.estimated,
            "record_seconds": round(self.seconds, 1),
            "blocks_median": _median(self.blocks),
            "block_tokens_median": _median(self.block_tokens),
            "memento_tokens_median": _median(self.memento_tokens),
            "compression": _share(sum(self.memento_tokens), sum(self.block_tokens)),
            "teacher": self.settings.get("teacher"),
        }
        if prices:
            cost = (took["prompt_tokens"] * prices.prompt + took["completion_tokens"] * prices.completion) / 1e6
            values |= {"cost": round(cost, 4), "cost_per_kept": round(cost / self.kept, 4) if self.kept else None}
        return values


def report(folder: Path) -> Report:
    """Raises NotFound, StorageError."""
    settings, kept, dropped = read_folder(folder)
    result = Report(settings)
    for record in kept:
        result.kept += 1
        _add(result, record)
        result.blocks.append(len(record["blocks"]))
        result.block_tokens += [size["block"] for size in record["tokens"]]
        result.memento_tokens += [size["memento"] for size in record["tokens"]]
    for record in dropped:
        result.dropped[record["reason"]] += 1
        result.examples.setdefault(record["reason"], f"{record.get('id') or record.get('where')}: {record['message']}")
        _add(result, record)
    return result


def _add(result: Report, record: dict[str, Any]) -> None:
    for name, value in record["cost"].items():
        if name == "estimated":
            result.estimated |= value
        elif name == "seconds":
            result.seconds += value
        else:
            result.took[name] += value


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None


def _median(values: list[int]) -> float | None:
    return float(median(values)) if values else None
