"""Programs of `keepsake bench serving` that need vLLM or torch. Each writes JSON lines to `--out` and leaves figures to infra.bench.serving:

traces.py      frozen token streams and arrivals, by seed alone
engine.py      one vLLM engine with the worker in its own process, and how requests are driven through it
exact.py       what the engine answers in every regime, with its log probabilities     -> records
reference.py   the same tokens through transformers under a mask derived a second time -> differences
load.py        scripted answers that arrive over time: seconds, pages, schedule
rounds.py      block-free answers, a round each time it is told to
aborts.py      random requests, many of them aborted, on a tiny random model
"""
