"""What the plugin refuses, each with a sentence: combinations that would be silently wrong."""

from typing import Any

from keepsake_vllm.engine.options import Options


class MementoUnsupported(ValueError):
    """The server was started with memento on and something beside it that cannot be exact."""


def refuse_unsupported(scheduler: Any, options: Options) -> None:
    """Raise MementoUnsupported if this scheduler's configuration and the memento options do not go together."""
    from vllm.v1.kv_cache_interface import FullAttentionSpec

    config = scheduler.vllm_config
    groups = scheduler.kv_cache_config.kv_cache_groups
    spec = groups[0].kv_cache_spec if groups else None
    parallel = config.parallel_config
    windowed = getattr(spec, "sliding_window", None) or getattr(spec, "attention_chunk_size", None)
    context_parallel = getattr(parallel, "decode_context_parallel_size", 1) * getattr(parallel, "prefill_context_parallel_size", 1)
    checks = (
        (len(groups) != 1, "a model with several kinds of attention (hybrid, sliding-window or state-space layers)"),
        (len(groups) == 1 and type(spec) is not FullAttentionSpec, f"{type(spec).__name__} in place of full attention"),
        (bool(windowed), "sliding-window or chunked attention"),
        (config.speculative_config is not None, "speculative decoding"),
        (config.kv_transfer_config is not None, "a KV connector (offload, disaggregated prefill)"),
        (getattr(config, "kv_events_config", None) is not None and config.kv_events_config.enable_kv_cache_events, "KV cache events"),
        (context_parallel > 1, "context parallelism"),
        (parallel.pipeline_parallel_size > 1, "pipeline parallelism"),
        (not config.scheduler_config.enable_chunked_prefill, "chunked prefill switched off"),
        (config.model_config.is_encoder_decoder, "an encoder-decoder model"),
        (
            config.scheduler_config.async_scheduling and not options.summary_end_sees_block,
            "summary_end_sees_block=false together with async scheduling, which has always computed that row already "
            "(start the server with --no-async-scheduling)",
        ),
    )
    found = [what for wrong, what in checks if wrong]
    if found:
        raise MementoUnsupported(
            f"memento cannot be used with {'; nor with '.join(found)}. Start the server without it, or without memento."
        )
