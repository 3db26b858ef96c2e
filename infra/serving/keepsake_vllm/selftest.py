"""Proves on the machine at hand that eviction is exact: `keepsake-vllm selftest`, well under a minute on two cores.

A tiny Llama with random weights writes blocks and mementos (the grammar forces their shape, no more), in every way that moves pages: decoding
at mixed stages, a second turn out of the prefix cache, the same prompt again in segments without the cache, answers that share pages. Each row is
compared with a forward pass of transformers over the whole text under a mask, and with one under a plain causal mask, which must *not* agree.

On CUDA the test runs as the server does (FlashAttention in bfloat16, CUDA graphs, async scheduling), where rounding is the yardstick.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keepsake_vllm.bench.engine import prepare
from keepsake_vllm.bench.reference import PLAIN, Mask, Reference, derive

if TYPE_CHECKING:
    from vllm import LLM, RequestOutput

IDS = (7, 8, 9, 10)
VOCABULARY = 512
TOP = 8
# Greatest difference allowed between log probabilities of one row: rounding of float32, and of bfloat16 through three layers.
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.35}
GAP = 1.0  # a mask that is wrong must show at least so much, or the test shows nothing


@dataclass
class Verdict:
    """What came of one way of computing: greatest difference under the mask, and under a plain causal one."""

    rows: int = 0
    worst: float = 0.0
    plain: float = 0.0
    evicted: int = 0
    notes: list[str] = field(default_factory=list)


def tiny_llama(folder: Path) -> Path:
    """Random weights, large enough that a token's choice hangs on what it sees; no tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=2048,
        initializer_range=0.08,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def open_engine(model: Path, device: str, dtype: str) -> "LLM":
    """The engine as the server would open it, with small chunks, so that prefill is cut, and a grammar with small caps."""
    from vllm import LLM

    memento = {"enabled": True, "tokens": list(IDS), "grammar": True, "max_block_tokens": 45, "max_memento_tokens": 9}
    own: dict[str, Any] = {"block_size": 32, "enforce_eager": True, "kv_cache_memory_bytes": 64 << 20} if device == "cpu" else {}
    return LLM(
        str(model),
        skip_tokenizer_init=True,
        dtype=dtype,
        max_model_len=1024,
        max_num_batched_tokens=96,
        max_num_seqs=8,
        max_logprobs=TOP,
        logprobs_mode="raw_logprobs",
        seed=0,
        additional_config={"memento": memento},
        **({"gpu_memory_utilization": 0.2} if device != "cpu" else {}),
        **own,
    )


def answers(llm: "LLM", prompts: Sequence[list[int]], salt: str = "", n: int = 1, tokens: int = 130) -> list["RequestOutput"]:
    """Blocks are begun wherever one may begin, for block_start is made likelier than all else."""
    from vllm import SamplingParams

    params = SamplingParams(
        n=n,
        temperature=1.0 if n > 1 else 0.0,
        seed=1 if n > 1 else None,
        max_tokens=tokens,
        logprobs=TOP,
        ignore_eos=True,
        detokenize=False,
        logit_bias={IDS[0]: 100.0},
    )
    return llm.generate(
        [{"prompt_token_ids": prompt, **({"cache_salt": salt} if salt else {})} for prompt in prompts], params, use_tqdm=False
    )


def judge(reference: Reference, outputs: Sequence["RequestOutput"]) -> Verdict:
    """Compare each row that had a choice. A mask on the logits shifts all log probabilities of its row alike, so it is differences that count."""
    verdict = Verdict()
    for output in outputs:
        prompt = list(output.prompt_token_ids or [])
        for completion in output.outputs:
            tokens = prompt + list(completion.token_ids)
            masked = reference.logprobs(tokens, len(prompt), derive(tokens, {}))
            plain = reference.logprobs(tokens, len(prompt), Mask(*vars(derive(tokens, PLAIN)).values()))
            verdict.evicted += sum(token == IDS[3] for token in tokens)
            for place, row in enumerate(completion.logprobs or []):
                pairs = [(token, entry.logprob) for token, entry in row.items() if token not in IDS and entry.logprob > -1e4]
                if len(pairs) < 2:
                    continue
                verdict.rows += 1
                verdict.worst = max(verdict.worst, _spread(pairs, masked[place]))
                verdict.plain = max(verdict.plain, _spread(pairs, plain[place]))
    return verdict


def _spread(pairs: Sequence[tuple[int, float]], row: Any) -> float:
    shifts = [logprob - float(row[token]) for token, logprob in pairs]
    return max(shifts) - min(shifts)


def run(dtype: str) -> dict[str, Verdict]:
    """Every way of computing, by name."""
    import random

    device = prepare()
    rng = random.Random(5)

    def words(count: int) -> list[int]:
        return [rng.randrange(20, VOCABULARY) for _ in range(count)]

    with tempfile.TemporaryDirectory() as folder:
        model = tiny_llama(Path(folder))
        llm = open_engine(model, device, dtype)
        try:
            return judge_all(llm, Reference(model), words)
        finally:
            llm.llm_engine.engine_core.shutdown()  # or Python waits for the engine's process for ever when something was raised


def judge_all(llm: "LLM", reference: Reference, words: Callable[[int], list[int]]) -> dict[str, Verdict]:
    first = answers(llm, [words(count) for count in (20, 33, 64, 7, 130)])
    turns = [list(o.prompt_token_ids or []) + list(o.outputs[0].token_ids) + words(9) for o in first]
    second = answers(llm, turns, tokens=60)
    return {
        "decoding": judge(reference, first),
        "second turn": judge(reference, second),
        "in segments": judge(reference, answers(llm, turns, salt="another", tokens=60)),
        "shared pages": judge(reference, answers(llm, turns[:2], n=3, tokens=70)),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="keepsake-vllm selftest", description="Prove that eviction is exact on this machine.")
    parser.add_argument("--dtype", choices=tuple(TOLERANCE), default=None, help="default: float32 on a CPU, bfloat16 on CUDA")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    dtype = options.dtype or ("float32" if prepare() == "cpu" else "bfloat16")
    started = time.monotonic()
    verdicts = run(dtype)
    good = all(v.worst <= TOLERANCE[dtype] and v.plain >= GAP and v.evicted and v.rows for v in verdicts.values())
    if options.json:
        sys.stdout.write(json.dumps({"ok": good, "dtype": dtype, **{name: vars(verdict) for name, verdict in verdicts.items()}}) + "\n")
    else:
        for name, v in verdicts.items():
            sys.stdout.write(
                f"{name:12}  {v.rows:4} rows, {v.evicted:2} blocks evicted: off by {v.worst:.1e}, by {v.plain:.1f} without the mask\n"
            )
        sys.stdout.write(f"{'exact' if good else 'NOT EXACT'} in {dtype} after {time.monotonic() - started:.0f} s\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
