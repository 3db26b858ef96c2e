"""What needs torch, as a program of the training environment: a JSON line for each record on stdout.

python -m infra.science.program seed --seed 0 --steps 1200 --samples 25000 --sequences 500
python -m infra.science.program traces --weights DIRECTORY --families a,b --each 10 --split dev --first 0
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from infra.science import experiment, traces
from infra.science.experiment import Record, Sizes
from infra.science.probe import Probing
from infra.science.train import Training
from infra.training.precision import pick_precision, prepare_process


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infra.science.program")
    parser.add_argument("--threads", type=int, help="all cores by default")
    parts = parser.add_subparsers(dest="part", required=True)
    seed = parts.add_parser("seed", help="the toy's experiment for one seed")
    seed.add_argument("--seed", type=int, required=True)
    seed.add_argument("--steps", type=int, default=Training.steps, help="training steps")
    seed.add_argument("--samples", type=int, default=Probing.samples, help="samples of each probe")
    seed.add_argument("--sequences", type=int, default=Sizes.sequences, help="sequences answered under each rule")
    costs = parts.add_parser("traces", help="log probability of gold traces under wrong rules")
    costs.add_argument("--weights", type=Path, required=True)
    costs.add_argument("--families", required=True, help="names, with commas")
    costs.add_argument("--each", type=int, required=True, help="problems of each family")
    costs.add_argument("--split", choices=("train", "dev", "eval"), required=True)
    costs.add_argument("--first", type=int, default=0, help="seeds of the split to pass over")
    return parser.parse_args(arguments)


def records(options: argparse.Namespace) -> Iterator[Record]:
    precision = pick_precision("auto", experiment.CPU)
    if options.part == "seed":
        training, probing = Training(steps=options.steps), Probing(samples=options.samples)
        return experiment.run(options.seed, Sizes(training=training, probing=probing, sequences=options.sequences), precision)
    chosen = traces.chosen(options.families.split(","), options.each, options.split, options.first)
    return traces.costs(options.weights, chosen, precision)


def main() -> None:
    options = parse(sys.argv[1:])
    prepare_process(options.threads)
    for record in records(options):
        sys.stdout.write(json.dumps(record) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
