"""The entry point (group `vllm.general_plugins`): vLLM calls `register` in each of its processes, before it builds an engine."""

import logging

log = logging.getLogger("vllm.keepsake")

# Versions on which the equivalence tests have run, on the device named.
TESTED = {"0.26.0": "cpu", "0.32.0": "cpu"}
_done = False


def register() -> None:
    """Wrap the methods of this vLLM that the plugin needs. A server that does not ask for memento is never harmed: only one that does fails to
    start on a vLLM whose methods differ, with a sentence that names the first."""
    global _done
    if _done:
        return
    _done = True
    import vllm

    from keepsake_vllm.engine.patch import UnsupportedVLLM

    try:
        _install()
    except (UnsupportedVLLM, ImportError) as error:
        _refuse_when_asked(
            f"memento does not fit vLLM {vllm.__version__}: {error}. Install one of {', '.join(TESTED)}, or start the server without memento."
        )
        return
    version = vllm.__version__.split("+")[0]
    if version not in TESTED:
        log.info(
            "memento was not tested on vLLM %s, but all that it wraps is there; `keepsake-vllm selftest` proves it on this machine", version
        )


def _install() -> None:
    from keepsake_vllm.api import plugin as api
    from keepsake_vllm.engine import cpu_seeds, hooks, runner_v1, runner_v2, validation

    hooks.install()
    validation.install()
    api.install()
    runner_v1.install()
    cpu_seeds.install()
    if _has_triton():  # V2 needs it, and its modules do not load without
        runner_v2.install()


def _has_triton() -> bool:
    from vllm.triton_utils import HAS_TRITON

    return HAS_TRITON


def _refuse_when_asked(sentence: str) -> None:
    """Make an engine that is to serve mementos fail at its start; any other runs as if the plugin were not there."""
    from vllm.v1.core.sched.scheduler import Scheduler

    from keepsake_vllm.engine.options import server_options
    from keepsake_vllm.engine.patch import UnsupportedVLLM

    log.warning("%s", sentence)
    original = Scheduler.__init__

    def __init__(self: object, vllm_config: object, *args: object, **kwargs: object) -> None:
        if server_options(vllm_config.additional_config).enabled:  # type: ignore[attr-defined]
            raise UnsupportedVLLM(sentence)
        original(self, vllm_config, *args, **kwargs)  # type: ignore[arg-type]

    Scheduler.__init__ = __init__  # type: ignore[method-assign]
