"""Linear layers of a CPU worker as torch computes them, for a comparison with a reference that runs on torch.

vLLM's own (oneDNN) add up in another order: against float64, a float32 model's hidden states come out two to three times as far off, and its log
probabilities twice. vLLM imports this in the worker before it loads weights, since `Precise` is its `worker_extension_cls`. A GPU is left alone.
"""

from vllm import _custom_ops

_custom_ops._supports_onednn = False


class Precise:
    """Adds nothing to a worker; naming it is what counts."""
