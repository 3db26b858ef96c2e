"""vLLM's real scheduler against a model made of hashes. Runs in the serving environment: prints one JSON object a seed.

The "key and value" of a token is the hash of the token, its position and of all keys that its row sees, in slot order. So two streams agree in a
row if and only if they agree in everything the row depends on: a slot moved wrongly, a page shared too early, a position that slipped or a block
seen too long gives another hash, without rounding and without a model. The worker here is as vLLM's: it knows what the scheduler's output tells.

    python tests/infra/serving/engine/symbolic.py --seed 1 --requests 200 [--asynchronous] [--pages 40] ... [// --seed 2 ...]
"""

import argparse
import json
import random
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import Any

MODEL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 512,
    "hidden_size": 128,
    "intermediate_size": 128,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "torch_dtype": "float32",
}
BLOCK_START, BLOCK_END, SUMMARY_START, SUMMARY_END = IDS = (7, 8, 9, 10)


def row_hash(token: int, position: int, seen: list[int]) -> int:
    return hash((token, position, tuple(seen)))


class Worker:
    """Keeps block tables and a memory of slots, and computes rows."""

    def __init__(self, page_size: int, scripts: dict[str, list[int]]) -> None:
        self.size = page_size
        self.scripts = scripts
        self.memory: dict[int, int] = {}
        self.tables: dict[str, list[int]] = {}
        self.tokens: dict[str, list[int]] = {}
        self.prompts: dict[str, int] = {}
        self.rows: dict[str, dict[int, int]] = {}
        self.computed = 0

    def run(self, output: Any) -> dict[str, int]:
        """Carry out one scheduled step; the token sampled for each request that came to its end."""
        step = getattr(output, "memento", None)
        offsets = {}
        if step is not None:
            for moves in (step.compactions, step.copies):
                assert len(set(moves.target)) == len(moves.target), "a slot is written twice"
                values = [self.memory.get(slot) for slot in moves.source]
                self.memory.update(zip(moves.target, values, strict=True))
            for rewrite in step.rewrites:
                if rewrite.request_id in self.tables:
                    self.tables[rewrite.request_id] = list(rewrite.pages)
            offsets = step.offsets
        for request_id in output.finished_req_ids:
            self.tables.pop(request_id, None)
        starts = {}
        for new in output.scheduled_new_reqs:
            self.tables[new.req_id] = list(new.block_ids[0])
            self.tokens.setdefault(new.req_id, list(new.prompt_token_ids))
            self.prompts.setdefault(new.req_id, len(new.prompt_token_ids))
            starts[new.req_id] = new.num_computed_tokens
        cached = output.scheduled_cached_reqs
        for request_id, pages, computed in zip(cached.req_ids, cached.new_block_ids, cached.num_computed_tokens, strict=True):
            if request_id in cached.resumed_req_ids:
                self.tables[request_id] = list(pages[0])
            elif pages is not None:
                self.tables[request_id] += pages[0]
            starts[request_id] = computed
        sampled = {}
        for request_id, count in output.num_scheduled_tokens.items():
            start, offset = starts[request_id], offsets.get(request_id, 0)
            tokens = self.tokens[request_id]
            for position in range(start, start + count):
                self._row(request_id, tokens[position], position, position - offset)
            self.computed += count
            if start + count == len(tokens):
                place = len(tokens) - self.prompts[request_id]
                script = self.scripts[request_id]
                sampled[request_id] = script[place] if place < len(script) else 1
                tokens.append(sampled[request_id])
        return sampled

    def _row(self, request_id: str, token: int, position: int, place: int) -> None:
        table, size = self.tables[request_id], self.size
        slots = [table[index // size] * size + index % size for index in range(place + 1)]
        value = row_hash(token, position, [self.memory.get(slot, -1) for slot in slots[:-1]])
        self.memory[slots[-1]] = value
        self.rows.setdefault(request_id, {})[position] = value


def reference(tokens: list[int], hidden: list[tuple[int, int, int]]) -> list[int]:
    """Rows of a stream with nothing evicted, under its mask: keys [start, end) hidden from rows at or behind `boundary`."""
    rows: list[int] = []
    for position, token in enumerate(tokens):
        gone = [(start, end) for start, end, boundary in hidden if position >= boundary]
        rows.append(row_hash(token, position, [row for key, row in enumerate(rows) if not any(a <= key < b for a, b in gone)]))
    return rows


def hidden_ranges(tokens: list[int], keep_delimiters: bool, keep_last_n: int, sees_block: bool, mode: str) -> list[tuple[int, int, int]]:
    """What a well-formed stream hides from whom, worked out anew."""
    if mode == "off":
        return []
    pairs, at = [], 0
    while SUMMARY_END in tokens[at:]:
        close = tokens.index(SUMMARY_END, at)
        start = max(index for index in range(at, close) if tokens[index] == BLOCK_START)  # an earlier one was left open
        pairs.append((start, tokens.index(BLOCK_END, start), close))
        at = close + 1
    ranges = []
    for index, (start, end, _) in enumerate(pairs):
        if index + keep_last_n >= len(pairs):
            break
        close = pairs[index + keep_last_n][2]
        first, last = (start + 1, end) if keep_delimiters else (start, end + 1)
        boundary = last if mode == "restart" else close + sees_block
        if last > first:
            ranges.append((first, last, boundary))
    return ranges


class Traffic:
    """Random requests: fresh ones, further turns of earlier ones, the same under another policy, blocks left open."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.random = random.Random(options.seed)
        self.options = options
        self.past: list[tuple[list[int], dict[str, Any], str]] = []

    def words(self, low: int, high: int) -> list[int]:
        return [self.random.randrange(20, 400) for _ in range(self.random.randint(low, high))]

    def thought(self, most: int) -> list[int]:
        out = []
        for _ in range(self.random.randint(0, most)):
            out += [BLOCK_START, *self.words(0, 30), BLOCK_END, SUMMARY_START, *self.words(0, 9), SUMMARY_END]
            if self.random.random() < 0.3:
                out += self.words(1, 6)
        return out

    def request(self) -> tuple[list[int], list[int], dict[str, Any], str]:
        """Prompt, script, options, cache salt."""
        choice = self.random.random()
        if self.past and choice < 0.55:
            prompt, options, salt = self.random.choice(self.past[-12:])
            if self.random.random() < 0.5:
                prompt = prompt + self.words(1, 20)
            if self.random.random() < 0.3:
                prompt = prompt[: self.random.randint(1, len(prompt))]
            if self.random.random() < 0.15:
                salt = "other"
            if self.random.random() < 0.4:
                options = self.policy()
            prompt = prompt or self.words(1, 9)
        else:
            prompt, options, salt = self.words(1, 40) + self.thought(2), self.policy(), ""
        script = self.close(prompt) + self.thought(3) + self.words(1, 12)
        limit = self.options.length - 4
        if len(prompt) + len(script) > limit:
            prompt = self.words(1, 30)
            script = (self.thought(3) + self.words(1, 12))[: limit - len(prompt)]
        return prompt, script, options, salt

    def close(self, prompt: list[int]) -> list[int]:
        """What finishes a block that the prompt leaves open; twins of a prompt finish it each in its own way."""
        open_tokens = prompt[max((i for i, t in enumerate(prompt) if t in (BLOCK_START, SUMMARY_END)), default=0) :]
        if BLOCK_START not in open_tokens or SUMMARY_START in open_tokens:
            return []
        end = [] if BLOCK_END in open_tokens else [*self.words(0, 9), BLOCK_END]
        return [*end, SUMMARY_START, *self.words(0, 5), SUMMARY_END]

    def policy(self) -> dict[str, Any]:
        options: dict[str, Any] = {}
        choice = self.random.random()
        if choice < 0.2:
            options["memento"] = "off"
        elif choice < 0.4 and not self.options.asynchronous:
            options["memento"] = "restart"
        if self.random.random() < 0.25:
            options["memento_keep_last_n"] = self.random.randint(0, 2)
        return options


def build(options: argparse.Namespace, folder: Path) -> tuple[Any, Any]:
    """vLLM's scheduler, and the hasher of its requests' pages."""
    import torch
    from keepsake_vllm import plugin
    from vllm.engine.arg_utils import EngineArgs
    from vllm.utils.hashing import sha256
    from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
    from vllm.v1.core.sched.async_scheduler import AsyncScheduler
    from vllm.v1.core.sched.scheduler import Scheduler
    from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
    from vllm.v1.structured_output import StructuredOutputManager

    plugin.register()
    (folder / "config.json").write_text(json.dumps(MODEL))
    init_none_hash(sha256)
    memento = {
        "enabled": True,
        "tokens": list(IDS),
        "keep_delimiters": options.keep_delimiters,
        "summary_end_sees_block": not options.blind_end,
    }
    config = EngineArgs(
        model=str(folder),
        skip_tokenizer_init=True,
        dtype="float32",
        max_model_len=options.length,
        block_size=options.page_size,
        enforce_eager=True,
        max_num_batched_tokens=options.chunk,
        max_num_seqs=options.running,
        enable_prefix_caching=not options.no_cache,
        scheduling_policy=options.policy,
        additional_config={"memento": memento},
    ).create_engine_config()
    config.scheduler_config.async_scheduling = options.asynchronous
    config.cache_config.num_gpu_blocks = options.pages
    spec = FullAttentionSpec(block_size=options.page_size, num_kv_heads=2, head_size=64, dtype=torch.float32)
    cache = KVCacheConfig(num_blocks=options.pages, kv_cache_tensors=[], kv_cache_groups=[KVCacheGroupSpec(["layer"], spec)])
    kind = AsyncScheduler if options.asynchronous else Scheduler
    scheduler = kind(
        vllm_config=config,
        kv_cache_config=cache,
        structured_output_manager=StructuredOutputManager(config),
        block_size=options.page_size,
        log_stats=False,
    )
    return scheduler, get_request_block_hasher(options.page_size, sha256)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, help="play so many times, each with the next seed")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--pages", type=int, default=60)
    parser.add_argument("--page-size", type=int, default=8)
    parser.add_argument("--length", type=int, default=400)
    parser.add_argument("--chunk", type=int, default=64)
    parser.add_argument("--running", type=int, default=6)
    parser.add_argument("--aborts", type=float, default=0.1)
    parser.add_argument("--policy", choices=("fcfs", "priority"), default="fcfs")
    for flag in ("asynchronous", "keep-delimiters", "blind-end", "no-cache"):
        parser.add_argument(f"--{flag}", action="store_true")
    regimes = " ".join(sys.argv[1:]).split("//")  # in one process: vLLM takes longer to import than a regime to play
    for options in [parser.parse_args(regime.split()) for regime in regimes]:
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(options.seeds):
                sys.stdout.write(json.dumps({"seed": options.seed, **play(options, *build(options, Path(folder)))}) + "\n")
                sys.stdout.flush()
                options.seed += 1


def play(options: argparse.Namespace, scheduler: Any, hasher: Any) -> dict[str, Any]:
    """Feed the traffic through the scheduler, with aborts, and judge every row that was computed."""
    from vllm import SamplingParams
    from vllm.v1.outputs import ModelRunnerOutput
    from vllm.v1.request import Request, RequestStatus

    traffic, scripts = Traffic(options), {}
    worker = Worker(options.page_size, scripts)
    requests: dict[str, tuple[Any, dict[str, Any], str]] = {}
    aborted: set[str] = set()
    finished: dict[str, list[int]] = {}
    reports: dict[str, dict[str, Any]] = {}
    queue: deque[tuple[Any, dict[str, int]]] = deque()
    depth = 2 if options.asynchronous else 1
    steps = 0

    def add() -> None:
        prompt, script, own, salt = traffic.request()
        name = f"r{len(requests)}"
        scripts[name] = script
        params = SamplingParams(max_tokens=len(script), temperature=0, ignore_eos=True, extra_args=own or None)
        request = Request(
            name,
            prompt,
            params,
            None,
            cache_salt=salt or None,
            block_hasher=hasher,
            priority=traffic.random.randint(0, 2),
            arrival_time=len(requests),
        )
        requests[name] = (request, own, salt)
        scheduler.add_request(request)

    while (len(requests) < options.requests or scheduler.has_requests() or queue) and steps < 200 * options.requests:
        steps += 1
        while len(requests) < options.requests and traffic.random.random() < 0.4:
            add()
        live = [name for name in requests if name not in finished and name not in aborted]
        if live and traffic.random.random() < options.aborts / 10:
            victim = traffic.random.choice(live)
            aborted.add(victim)
            scheduler.finish_requests(victim, RequestStatus.FINISHED_ABORTED)
        output = scheduler.schedule()
        queue.append((output, worker.run(output)))
        if len(queue) < depth and output.total_num_scheduled_tokens:
            continue
        while len(queue) >= depth or (queue and not output.total_num_scheduled_tokens):
            done, sampled = queue.popleft()
            names = list(done.num_scheduled_tokens)
            answer = ModelRunnerOutput(
                req_ids=names,
                req_id_to_index={name: index for index, name in enumerate(names)},
                sampled_token_ids=[[sampled[name]] if name in sampled else [] for name in names],
                logprobs=None,
                prompt_logprobs_dict={},
                pooler_output=[],
            )
            for group in scheduler.update_from_output(done, answer).values():
                for item in group.outputs:
                    finished.setdefault(item.request_id, []).extend(item.new_token_ids)
                    told = (item.kv_transfer_params or {}).get("memento")
                    if told:
                        known = reports.setdefault(item.request_id, {"evictions": []})
                        known["evictions"] += told["evictions"]
                        known.update({key: value for key, value in told.items() if key != "evictions"})
                    if item.finish_reason is not None:
                        request, own, salt = requests[item.request_id]
                        traffic.past.append((list(request.all_token_ids), own, salt))

    wrong, rows, told_wrong = [], 0, []
    for name, (request, own, _) in requests.items():
        tokens = worker.tokens.get(name, [])
        mode = own.get("memento", "keep")
        hidden = hidden_ranges(tokens, options.keep_delimiters, own.get("memento_keep_last_n", 0), not options.blind_end, mode)
        expected = reference(tokens, hidden)
        for position, value in worker.rows.get(name, {}).items():
            rows += 1
            if value != expected[position] and (name not in aborted or mode != "restart"):
                wrong.append((name, position, len(request.prompt_token_ids), len(tokens)))
        if name not in aborted and finished.get(name) != scripts[name]:
            wrong.append((name, "script", finished.get(name), scripts[name]))
        usage = reports.get(name, {}).get("usage")
        if name not in aborted and (usage is None or usage["peak_kv_tokens"] > len(tokens)):
            told_wrong.append((name, usage))
    pool = scheduler.kv_cache_manager.block_pool
    return {
        "rows": rows,
        "wrong": wrong[:5],
        "reports_wrong": told_wrong[:5],
        "finished": len(finished),
        "aborted": len(aborted),
        "steps": steps,
        "stalled": scheduler.has_requests(),
        "leaked": sum(page.ref_cnt > 0 and not page.is_null for page in pool.blocks),
        "preemptions": sum(request.num_preemptions for request, _, _ in requests.values()),
        "computed": worker.computed,
        **vars(scheduler.memento.tally),
    }


if __name__ == "__main__":
    main()
