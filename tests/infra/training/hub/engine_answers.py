"""Answers of the real serving engine to a tiny model: runs in the serving environment.

python tests/infra/training/hub/engine_answers.py DIRECTORY        leaves model/ and answers.json there
"""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "serving" / "engine"))

from cases import BLOCK_END, BLOCK_START, SUMMARY_END, SUMMARY_START, Cases


def record(output: Any) -> dict[str, Any]:
    """Tokens, how many of them were the prompt, and log probabilities of the likeliest tokens at each place of the answer."""
    prompt, completion = list(output.prompt_token_ids), output.outputs[0]
    rows = [[[token, entry.logprob] for token, entry in row.items()] for row in completion.logprobs]
    return {"tokens": prompt + list(completion.token_ids), "prompt": len(prompt), "rows": rows}


def main(folder: Path) -> None:
    cases = Cases(folder)
    words, pair = cases.words, cases.pair
    try:
        answers = [
            cases.say(words(20), pair(40, 6) + pair(20, 3) + words(9)),
            cases.say(words(40) + pair() + words(5), pair(30, 5) + words(12)),
            cases.say(words(11), [BLOCK_START, *words(30), SUMMARY_START, *words(5), SUMMARY_END, *words(9)]),
            cases.say(words(9), [BLOCK_END, *words(9), SUMMARY_START, *words(4), SUMMARY_END, *words(5)]),
        ]
        (folder / "answers.json").write_text(json.dumps([record(answer) for answer in answers]))
    finally:
        cases.llm.llm_engine.engine_core.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
