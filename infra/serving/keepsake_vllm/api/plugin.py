"""Everything the API half changes in vLLM, in one call."""


def install() -> None:
    """Called in each of vLLM's processes by the plugin's entry point, before vLLM makes its objects. Raises UnsupportedVLLM."""
    from keepsake_vllm.api import accounts, reasoning, rendering

    accounts.install()
    rendering.install()
    reasoning.install()
