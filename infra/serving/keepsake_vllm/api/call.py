"""What the middleware knows of the HTTP request that is being served, for the hooks deeper in vLLM. It travels in a context variable, which
asyncio hands on to every task that serves the request."""

import hashlib
import hmac
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.memento.grammar import TokenIds

from keepsake_vllm.api.untrusted import Literals

if TYPE_CHECKING:
    from keepsake_vllm.api.accounts import Account
    from keepsake_vllm.api.splice import Splice


@dataclass
class Call:
    """One HTTP request. `accounts` fill in as the engine tells, by choice."""

    literals: Literals | None = None  # its text must give no memento token
    ids: TokenIds | None = None
    key: bytes | None = None  # the API key it came with, where the server asks for one
    splice: "Splice | None" = None
    accounts: "dict[int, Account] | None" = None

    def salt(self, own: str | None) -> str | None:
        """The cache salt of its prompts: nobody reaches another key's cached prefixes, whatever salt they choose."""
        if self.key is None:
            return own
        return hmac.new(self.key, b"keepsake cache salt\0" + (own or "").encode(), hashlib.sha256).hexdigest()


CALL: ContextVar[Call | None] = ContextVar("keepsake_call", default=None)
