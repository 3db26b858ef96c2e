"""The service under test is the one that the contract suite talks to."""

from tests.agents.sandbox.conftest import need_bubblewrap, sandboxd_url

__all__ = ["need_bubblewrap", "sandboxd_url"]
