"""Where generated code runs. Open base.py first; `choose` picks the implementation."""

from agents.sandbox.base import ExecResult, Limits, Sandbox
from agents.sandbox.choice import choose
from agents.sandbox.workspace import Listing, safe_listing

__all__ = ["ExecResult", "Limits", "Listing", "Sandbox", "choose", "safe_listing"]
