"""Thinking in blocks: so many blocks of reasoning, each with its memento, that our model server's grammar forces before an answer."""

from dataclasses import dataclass
from typing import Any

# Two cores decode some thirty tokens a second, and every role call of the team thinks anew: a block with its memento costs it three seconds.
# Longer ones would free more, but a role's answer is a line, and a memento of 24 tokens holds the one sentence that it needs.
BLOCK_TOKENS = 64
MEMENTO_TOKENS = 24
_DELIMITERS = 4  # tokens that open and close a block and its memento
_LIMITS = ("max_tokens", "max_completion_tokens")


@dataclass(frozen=True)
class Thinking:
    """`blocks`: how many there are, no fewer and no more, so that the room made for them is enough."""

    blocks: int

    @property
    def room(self) -> int:
        """Tokens that these blocks take at most."""
        return self.blocks * (BLOCK_TOKENS + MEMENTO_TOKENS + _DELIMITERS)

    @property
    def xargs(self) -> dict[str, int]:
        """`vllm_xargs` of a request (keepsake_vllm.engine.options)."""
        return {
            "memento_grammar": 1,
            "memento_min_blocks": self.blocks,
            "memento_max_blocks": self.blocks,
            "memento_max_block_tokens": BLOCK_TOKENS,
            "memento_max_memento_tokens": MEMENTO_TOKENS,
        }

    def make_room(self, request: dict[str, Any]) -> None:
        """Raise the limit of a request, which the server counts over thought and answer together, so that the answer's own stays what it was."""
        request.update({key: request[key] + self.room for key in _LIMITS if isinstance(request.get(key), int)})
