"""A request's own choices, judged where vLLM judges its parameters: a wrong one is the client's error (HTTP 400), not the engine's."""

from collections.abc import Callable
from typing import Any

from keepsake_vllm.engine.options import request_options, server_options
from keepsake_vllm.engine.patch import wrap


def install() -> None:
    """Wrap vLLM's check of sampling parameters. Raises UnsupportedVLLM."""
    from vllm.v1.engine.input_processor import InputProcessor

    wrap(InputProcessor, "_validate_params", ["params", "supported_tasks"], _validate)


def _validate(original: Callable[..., Any]) -> Callable[..., Any]:
    def _validate_params(self: Any, params: Any, *args: Any, **kwargs: Any) -> Any:
        config = self.vllm_config
        if server_options(config.additional_config).enabled:
            try:
                own = request_options(getattr(params, "extra_args", None))
                if own.memento == "restart" and (config.scheduler_config.async_scheduling or getattr(config, "use_v2_model_runner", False)):
                    raise ValueError(
                        "memento: restart computes a memento again after its tokens were sampled, which async scheduling and model runner V2 "
                        "cannot take back; start the server with --no-async-scheduling and VLLM_USE_V2_MODEL_RUNNER=0, or use keep"
                    )
            except ValueError as error:
                raise _refusal(str(error)) from error
        return original(self, params, *args, **kwargs)

    return _validate_params


def _refusal(sentence: str) -> Exception:
    try:
        from vllm.exceptions import VLLMValidationError
    except ImportError:
        return ValueError(sentence)
    return VLLMValidationError(sentence, parameter="vllm_xargs")
