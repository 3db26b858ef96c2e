"""One vLLM engine as the benches use it: worker in its own process, chosen pages, scripted outputs, statistics of every step."""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keepsake_vllm.bench.traces import TOKENS, Speak, Trace, english
from keepsake_vllm.launch import detect_device, environment

if TYPE_CHECKING:
    from vllm import LLM, SamplingParams

PAGE = 32


def prepare() -> str:
    """The real server's environment variables for this process and its children, before vLLM is imported. The device: cpu or cuda."""
    device = detect_device()
    options = argparse.Namespace(cache_gib=1, threads=0)
    os.environ.update(environment(options, device, os.environ, sorted(os.sched_getaffinity(0))))
    return device


def language(model: Path) -> Speak:
    """Sentences in the model's tokens."""
    from transformers import AutoTokenizer

    return english(AutoTokenizer.from_pretrained(model))


@dataclass(frozen=True)
class Setup:
    """An engine to open. `pages` bounds its pool; `memento` are the plugin's options beside the token ids and the statistics."""

    model: Path
    stats: Path
    dtype: str = "bfloat16"
    page: int = PAGE
    pages: int | None = None
    max_len: int = 4096
    batch: int = 2048
    requests: int = 16
    precise: bool = False  # linear layers as torch computes them, see keepsake_vllm.bench.precise
    memento: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def open(self) -> "Iterator[LLM]":
        """The engine while it is needed; half a minute to start on two cores. Statistics of an earlier one at the same path are removed."""
        device = prepare()
        os.environ["VLLM_USE_V2_MODEL_RUNNER"] = "0"  # runner V2 takes other logits processors
        from vllm import LLM

        for path in (self.stats, worker_stats(self.stats)):
            path.unlink(missing_ok=True)
        options = {"enabled": True, "tokens": list(TOKENS), "stats": str(self.stats), **self.memento}
        llm = LLM(
            str(self.model),
            dtype=self.dtype,
            block_size=self.page,
            num_gpu_blocks_override=self.pages,
            max_model_len=self.max_len,
            max_num_batched_tokens=self.batch,
            max_num_seqs=self.requests,
            skip_tokenizer_init=True,
            enforce_eager=device == "cpu",
            seed=0,
            async_scheduling=False,  # a script's next token depends on how many there are
            max_logprobs=20,
            disable_log_stats=False,
            logits_processors=["keepsake_vllm.testing:ScriptedLogits"],
            worker_extension_cls="keepsake_vllm.bench.precise.Precise" if self.precise else "",
            additional_config={"memento": options},
        )
        try:
            yield llm
        finally:
            llm.llm_engine.engine_core.shutdown()  # else Python waits for the engine's process at its exit, at times for ever


def scripted(script: Sequence[int], free: int = 0, **more: Any) -> "SamplingParams":
    """Parameters that make a request say `script` and then `free` tokens of its own choice. `memento…` keywords are the plugin's."""
    from vllm import SamplingParams

    extra = {"script": list(script)} | {key: more.pop(key) for key in list(more) if key.startswith("memento")}
    defaults = {"temperature": 0.0, "max_tokens": len(script) + free, "ignore_eos": True, "detokenize": False}
    return SamplingParams(**(defaults | more), extra_args=extra)


@dataclass
class Answer:
    """What came of one trace: engine's id of the request, when it arrived and ended (seconds of the run), what it said."""

    request: str
    prompt: list[int]
    tokens: list[int]
    arrival: float
    end: float


def drive(llm: "LLM", traces: Sequence[Trace]) -> list[Answer]:
    """Send each trace at its time and wait for all, in the order in which they end."""
    engine = llm.llm_engine
    waiting = sorted(traces, key=lambda trace: trace.arrival)
    sent: dict[str, tuple[str, Trace]] = {}
    answers: list[Answer] = []
    started = time.monotonic()
    while waiting or engine.has_unfinished_requests():
        now = time.monotonic() - started
        while waiting and waiting[0].arrival <= now:
            trace, name = waiting.pop(0), f"r{len(sent)}"
            sent[name] = engine.add_request(name, {"prompt_token_ids": trace.prompt}, scripted(trace.script)), trace
        if not engine.has_unfinished_requests():
            time.sleep(waiting[0].arrival - now)
            continue
        for output in engine.step():
            if output.finished:
                name, trace = sent[output.request_id]
                said = list(output.outputs[0].token_ids)
                if said != trace.script:
                    raise RuntimeError("the engine did not follow the script")
                answers.append(Answer(name, trace.prompt, said, trace.arrival, time.monotonic() - started))
    return answers


def warm_up(llm: "LLM") -> None:
    """One short request: what happens on first use only is not measured."""
    drive(llm, [Trace([11, 12, 13], [14, 15, 16, 17])])


def pages_in_use(llm: "LLM") -> int:
    """Pages with references after the last step, by vLLM's own account."""
    usage = next(metric.value for metric in llm.get_metrics() if metric.name == "vllm:kv_cache_usage_perc")
    return round(usage * (llm.llm_engine.vllm_config.cache_config.num_gpu_blocks - 1))


def plugin_loaded() -> bool:
    """Whether vLLM has let the plugin wrap its scheduler; it loads the same plugins into all of an engine's processes."""
    from vllm.v1.core.sched.scheduler import Scheduler

    return getattr(Scheduler.schedule, "_keepsake", False)


def steps(stats: Path) -> list[dict[str, Any]]:
    """What the plugin's scheduler wrote of every step; empty if the plugin is not loaded."""
    return list(_lines(stats))


def worker_stats(stats: Path) -> Path:
    """Where the plugin's worker writes of its compactions."""
    return stats.with_name(stats.name + ".worker")


def compactions_us(stats: Path) -> list[float]:
    """Microseconds per compaction of each step that had some."""
    return [line["us"] / line["compactions"] for line in _lines(worker_stats(stats)) if line["compactions"]]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        with path.open() as stream:
            yield from (json.loads(line) for line in stream)


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
