"""Seeded requests on a CPU, whose prompts are prefilled in parts.

vLLM samples a token for every row and throws away those of unfinished prompts; a seeded generator is then wound back by its offset, which
CPU generators do not have: stock vLLM (0.26 to 0.33) dies of it, and any client could make it. Segmented prefill makes it likelier, so here the
generator's state is kept before sampling and put back after.
"""

from collections.abc import Callable
from typing import Any

from keepsake_vllm.engine.patch import wrap

Method = Callable[..., Any]


class Rewound:
    """Stands in for a generator while vLLM winds it back: that is done."""

    def get_offset(self) -> int:
        return 0

    def set_offset(self, offset: int) -> None: ...


def install() -> None:
    """Wrap model runner V1. Raises UnsupportedVLLM."""
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    wrap(GPUModelRunner, "_prepare_inputs", ["scheduler_output", "num_scheduled_tokens"], _keep)
    wrap(GPUModelRunner, "_bookkeeping_sync", ["scheduler_output", "sampler_output"], _put_back)


def _keep(original: Method) -> Method:
    def prepare_inputs(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        self._memento_generators = {}
        if self.device.type == "cpu" and self.input_batch.generators:
            thrown_away = self.discard_request_mask.np
            self._memento_generators = {
                row: (generator, generator.get_state()) for row, generator in self.input_batch.generators.items() if thrown_away[row]
            }
        return result

    return prepare_inputs


def _put_back(original: Method) -> Method:
    def bookkeeping_sync(self: Any, *args: Any, **kwargs: Any) -> Any:
        kept = self.__dict__.pop("_memento_generators", None)
        if not kept:
            return original(self, *args, **kwargs)
        generators = self.input_batch.generators
        for row, (generator, state) in kept.items():
            generator.set_state(state)
            generators[row] = Rewound()
        try:
            return original(self, *args, **kwargs)
        finally:
            generators.update({row: generator for row, (generator, _) in kept.items()})

    return bookkeeping_sync
