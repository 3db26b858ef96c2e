"""What the plugin refuses at start, and how it says so."""

import textwrap

import pytest

from tests.infra.serving_environment import evaluate


def program(code: str) -> object:
    return evaluate(textwrap.dedent(code))


def test_a_vllm_with_other_methods_is_named_at_the_start_of_a_memento_server_and_leaves_others_alone():
    told = program(
        """
        import json
        from types import SimpleNamespace as S
        from vllm.v1.core.sched.scheduler import Scheduler
        preempt = Scheduler._preempt_request
        def _preempt_request(self, victim): ...
        Scheduler._preempt_request = _preempt_request
        from keepsake_vllm import plugin
        plugin.register()
        def start(config):
            try:
                Scheduler(S(additional_config=config))
            except Exception as error:
                return f"{type(error).__name__}: {error}"
        print(json.dumps([start({"memento": {"enabled": True}}), start({})]))
        """
    )
    assert told[0].startswith(
        "UnsupportedVLLM: memento does not fit vLLM 0.32.0: vllm.v1.core.sched.scheduler.Scheduler._preempt_request takes"
    )
    assert "takes (victim), not (request, timestamp)" in told[0]
    assert told[0].endswith("or start the server without memento.")
    assert told[1].startswith("TypeError")  # vLLM's own, about what was not given


REFUSED = {
    "speculative_config": ("draft", "speculative decoding"),
    "kv_transfer_config": ("connector", "a KV connector"),
    "pipeline": (2, "pipeline parallelism"),
    "context": (2, "context parallelism"),
    "chunked": (False, "chunked prefill switched off"),
    "encoder_decoder": (True, "an encoder-decoder model"),
    "window": (4096, "sliding-window or chunked attention"),
    "groups": (2, "several kinds of attention"),
    "kind": ("MLAAttentionSpec", "in place of full attention"),
    "blind_async": (True, "summary_end_sees_block=false together with async scheduling"),
}


@pytest.fixture(scope="module")
def sentences() -> dict[str, str]:
    """What each configuration is told, by its key; None where it is accepted."""
    return program(
        f"""
        import json
        from types import SimpleNamespace as S
        import torch
        from vllm.v1.kv_cache_interface import FullAttentionSpec, SlidingWindowSpec
        from keepsake_vllm.engine.options import Options
        from keepsake_vllm.engine.support import refuse_unsupported
        def told(**odd):
            kind = SlidingWindowSpec if odd.get("kind") else FullAttentionSpec
            window = {{"sliding_window": 4096}} if odd.get("window") or odd.get("kind") else {{}}
            spec = kind(block_size=16, num_kv_heads=2, head_size=64, dtype=torch.float32, **window)
            config = S(
                parallel_config=S(
                    decode_context_parallel_size=odd.get("context", 1),
                    prefill_context_parallel_size=1,
                    pipeline_parallel_size=odd.get("pipeline", 1),
                ),
                speculative_config=odd.get("speculative_config"), kv_transfer_config=odd.get("kv_transfer_config"), kv_events_config=None,
                scheduler_config=S(enable_chunked_prefill=odd.get("chunked", True), async_scheduling=odd.get("blind_async", False)),
                model_config=S(is_encoder_decoder=odd.get("encoder_decoder", False)),
            )
            groups = [S(kv_cache_spec=spec)] * odd.get("groups", 1)
            options = Options(summary_end_sees_block=not odd.get("blind_async"))
            try:
                refuse_unsupported(S(vllm_config=config, kv_cache_config=S(kv_cache_groups=groups)), options)
            except ValueError as error:
                return str(error)
        print(json.dumps({{key: told(**{{key: value[0]}}) for key, value in {REFUSED!r}.items()}} | {{"plain": told()}}))
        """
    )


@pytest.mark.parametrize("key", REFUSED)
def test_what_cannot_be_exact_is_refused_with_a_sentence(sentences, key):
    assert REFUSED[key][1] in sentences[key]
    assert sentences[key].startswith("memento cannot be used with ")


def test_full_attention_alone_is_accepted(sentences):
    assert sentences["plain"] is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"enabeld": True}, "enabeld in the memento options"),
        ({"keep_last_n": -1}, "greater than or equal to 0"),
        ({"tokens": ["a", "b", "c"]}, "tokens"),
        ("yes", "the memento options"),
    ],
)
def test_unknown_and_impossible_server_options_are_named(options, says):
    told = program(
        f"""
        import json
        from keepsake_vllm.engine.options import server_options
        try:
            print(json.dumps(str(server_options({{"memento": {options!r}}}))))
        except ValueError as error:
            print(json.dumps(str(error)))
        """
    )
    assert says in told


def test_token_ids_that_the_tokenizer_lacks_are_named():
    told = program(
        """
        import json
        from keepsake_vllm.engine.options import Options
        said = []
        for options in (Options(), Options(tokens=(7, 8, 9, 99)), Options(tokens=(7, 7, 8, 9))):
            try:
                options.token_ids({str(number): number for number in range(20)})
            except ValueError as error:
                said.append(str(error))
        print(json.dumps(said))
        """
    )
    assert "the tokenizer has no <|block_start|>" in told[0]
    assert "no token has the id 99" in told[1]
    assert "four different ids" in told[2]
