"""One load of scripted answers on one engine, and what it took.

    python -m keepsake_vllm.bench.load --load JSON --pages N --model DIRECTORY --stats FILE --out FILE

With VLLM_PLUGINS naming none of ours, the same load runs on a vLLM without the plugin. Line of `--out`: seconds of the whole and of each answer,
and of each request, under the name that the statistics know it by, the length of its prompt and all its tokens.
"""

import argparse
import json
import time
from pathlib import Path

from keepsake_vllm.bench.engine import PAGE, Setup, drive, language, steps, warm_up
from keepsake_vllm.bench.traces import Load


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m keepsake_vllm.bench.load", description="Run one load on one engine.")
    parser.add_argument("--load", type=json.loads, required=True, help="fields of keepsake_vllm.bench.traces.Load")
    parser.add_argument("--pages", type=int, required=True, help="pages of the pool")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--stats", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    load = Load(**options.load)
    traces = load.traces(language(options.model))
    longest = -(-(load.prompt + load.tokens) // PAGE) * PAGE
    setup = Setup(options.model, options.stats, pages=options.pages, max_len=longest, requests=load.requests)
    with setup.open() as llm:
        warm_up(llm)
        started = time.monotonic()
        answers = drive(llm, traces)
        seconds = time.monotonic() - started
    result = {
        "seconds": seconds,
        "tokens": sum(len(answer.tokens) for answer in answers),
        "answers": [answer.end - answer.arrival for answer in answers],
        "plugin": bool(steps(options.stats)),
        "streams": {answer.request: [len(answer.prompt), answer.prompt + answer.tokens] for answer in answers},
    }
    options.out.write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
