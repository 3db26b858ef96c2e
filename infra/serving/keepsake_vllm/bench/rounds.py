"""Block-free answers, one round for each line on stdin: the bench alternates an engine with the plugin and one without.

    python -m keepsake_vllm.bench.rounds --load JSON --model DIRECTORY --stats FILE --out FILE < numbers

Each round's prompts are new, so that no prefix cache helps, and depend on its number alone. Lines of `--out`: first whether the plugin is loaded,
then the seconds of each round.
"""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

from keepsake_vllm.bench.engine import PAGE, Setup, drive, language, plugin_loaded, warm_up
from keepsake_vllm.bench.traces import Load


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m keepsake_vllm.bench.rounds", description="Run a round of a load for each line.")
    parser.add_argument("--load", type=json.loads, required=True, help="fields of keepsake_vllm.bench.traces.Load")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--stats", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    load, speak = Load(**options.load), language(options.model)
    pages = 2 * load.requests * -(-(load.prompt + load.tokens) // PAGE)
    # Without statistics, which a server in use does not write either.
    setup = Setup(options.model, options.stats, pages=pages, max_len=1024, requests=load.requests, memento={"stats": None})
    with setup.open() as llm, options.out.open("w") as out:
        warm_up(llm)
        drive(llm, replace(load, tokens=16, seed=-1).traces(speak))
        out.write(json.dumps({"plugin": plugin_loaded()}) + "\n")
        out.flush()
        for line in sys.stdin:
            traces = replace(load, seed=int(line)).traces(speak)
            started = time.monotonic()
            drive(llm, traces)
            out.write(json.dumps({"round": int(line), "seconds": time.monotonic() - started}) + "\n")
            out.flush()


if __name__ == "__main__":
    main()
