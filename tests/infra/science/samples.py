"""Records as the program writes them, made up."""

from typing import Any

Record = dict[str, Any]
RULES = {"trained": 0.95, "early": 0.9, "late": 0.94, "delimiters": 0.93, "full": 0.4, "restart": 0.8}


def seed(kept: float = 0.25, restart: float = 0.15, rules: dict[str, float] | None = None) -> list[Record]:
    """One seed's."""

    def probe(name: str, accuracy: float, distance: int = 1, layer: int = 4) -> Record:
        return {"kind": "probe", "name": name, "distance": distance, "layer": layer, "accuracy": accuracy}

    return [
        probe("untrained_kept", 0.15),
        probe("untrained_restart", 0.14),
        {"kind": "point", "step": 50, "loss": 1.0, "answer": 0.5, "whole": 0.4},
        {"kind": "point", "step": 100, "loss": 0.1, "answer": 0.95, "whole": 0.9},
        probe("kept", kept),
        probe("kept", 0.2, distance=3),
        probe("kept", 0.12, layer=1),
        probe("direct", 0.5, distance=0),
        probe("control", 0.1, distance=-1),
        probe("restart", restart),
        *({"kind": "rule", "name": n, "answer": a, "whole": a - 0.01, "shift": 0.1, "nats": 0.01} for n, a in (rules or RULES).items()),
        {"kind": "done", "seconds": 60.0},
    ]


def answer(correct: bool, **more: Any) -> Record:
    """One problem's, from the server."""
    return {"family": "gcd_lcm", "seed": 900_000, "correct": correct, "finish": "stop", "tokens": 400, "blocks": 6, "evicted": 300, **more}
