"""Prometheus: `memento:*` beside vLLM's own `vllm:*`, on the server's /metrics.

vLLM serves the library's default registry or, with several API processes, the sum over the files that the library's metrics write; metrics made
the ordinary way are in both.
"""

from functools import cache
from typing import Any

TOKENS = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072)
RATIOS = (*(tenth / 10 for tenth in range(1, 10)), 0.95, 1.0)


class Metrics:
    def __init__(self) -> None:
        from prometheus_client import Counter, Histogram

        self.compactions = Counter("memento:compactions", "Finished blocks evicted from the key-value cache.")
        self.evicted = Counter("memento:evicted_tokens", "Tokens evicted with them.")
        self.replays = Counter("memento:replays", "Requests computed again in segments after a preemption.")
        self.peak = Histogram("memento:peak_kv_tokens", "Most keys that a finished request held at once.", buckets=TOKENS)
        self.saved = Histogram(
            "memento:kv_saved_ratio", "Share of the cache over time that a finished request did without.", buckets=RATIOS
        )

    def observe(self, usage: dict[str, int], computed: int) -> None:
        """A request has finished with `computed` tokens in its logical cache."""
        self.compactions.inc(usage["compactions"])
        self.evicted.inc(usage["evicted_tokens"])
        self.replays.inc(usage["replays"])
        self.peak.observe(usage["peak_kv_tokens"])
        everything = area(computed) - area(min(usage["cached_tokens"], computed))
        if everything > 0:
            self.saved.observe(min(1.0, max(0.0, 1 - usage["kv_auc"] / everything)))


def area(tokens: int) -> int:
    """Keys resident, summed over the first `tokens` tokens, if all are kept."""
    return tokens * (tokens + 1) // 2


@cache
def metrics() -> Metrics | Any:
    """This process's metrics, made on first use: only API processes have any."""
    return Metrics()
