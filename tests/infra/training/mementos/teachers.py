"""A deterministic teacher behind a real OpenAI-compatible endpoint, and traces for it. It is a stub, not a model: what it says follows from the
request alone, so every run of a build gets the same answers."""

import json
import random
import re
import time
import zlib
from pathlib import Path
from typing import Any

from infra.training.mementos import compress, judge, scores
from tests.agents.endpoint import completion

FULL = {"formulas": 3, "numbers": 2, "methods": 2, "validation": 1, "correctness": 1, "result_first": 1, "deductions": [], "feedback": ""}
POOR = {**FULL, "formulas": 1, "deductions": ["missing_critical"], "feedback": "Add the bound."}


def answer(body: dict[str, Any], pause_s: float = 0.0) -> dict[str, Any]:
    """As a teacher would. A problem that says `hard` gets poor mementos until they are refined, one that says `hopeless` always, and one that
    says `silent` lacks its first memento, also when asked again."""
    time.sleep(pause_s)
    system, user = (body["messages"][i]["content"] for i in (0, 1))
    problem = user.partition("=== PROBLEM ===\n")[2].partition("\n")[0]
    if system == scores.PROMPT:
        rng = random.Random(zlib.crc32(user.encode()))
        text = json.dumps({"scores": [rng.randint(0, 3) for _ in range(_number(r"Scores to give: (\d+)", user))]})
    elif system == compress.PROMPT:
        again = re.search(r"only these: ([\d, ]+)\.", user)
        wanted = [int(i) for i in again[1].split(",")] if again else range(1, _number(r"Write the (\d+) mementos", user) + 1)
        word = "refined" if again else "state"
        text = (
            "".join(f"=== MEMENTO {i} ===\n{word}: {i}; x = {i}\n" for i in wanted if not ("silent" in problem and i == 1)) + "=== END ==="
        )
    else:
        assert system == judge.PROMPT
        poor = "hopeless" in problem or ("hard" in problem and "refined" not in user)
        text = "Here it is:\n```json\n" + json.dumps(POOR if poor else FULL) + "\n```"
    return completion(text)


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, text[-200:]
    return int(found[1])


def trace(seed: int, kind: str = "easy", sentences: int = 60) -> dict[str, Any]:
    """A record of about ten tokens a sentence."""
    rng = random.Random(seed)
    said = []
    for i in range(sentences):
        a, b = rng.randint(2, 99), rng.randint(2, 99)
        said.append(f"Next I look at number {i}, where {a} + {b} = {a + b} must hold.")
        said.append(rng.choice([" ", "\n\n", "\n", "\r\n\r\n"]))
    thought = "".join(said)
    return {
        "id": f"t{seed}",
        "problem": f"A {kind} problem {seed}.",
        "response": f"<think>\n{thought}</think>\n\nIt is {seed}.",
        "source": "test",
    }


def thought_of(record: dict[str, Any]) -> str:
    return str(record["response"]).removeprefix("<think>").partition("</think>")[0]


def write_traces(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8", newline="")
    return path


def write_tokenizer(path: Path) -> Path:
    """A tokenizer.json that counts words and marks."""
    model = {"type": "WordLevel", "vocab": {"?": 0}, "unk_token": "?"}
    path.write_text(json.dumps({"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}, "model": model}))
    return path


def count_words(texts: Any) -> list[int]:
    """Tokens as that tokenizer counts them."""
    return [len(re.findall(r"\w+|[^\w\s]+", text)) for text in texts]
