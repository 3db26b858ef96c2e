"""Text from outside never becomes a memento token: `<|block_start|>` is made `‹block_start›`, still readable, no token.

Only the four memento tokens: which other control tokens a text may carry is the client's business (`app.memento.grammar.neutralise`).
"""

import re
from collections.abc import Iterable
from typing import Any


class Literals:
    """The four tokens as they are spelled."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self.tokens = tuple(token for token in tokens if token)
        self._pattern = re.compile("|".join(re.escape(token) for token in sorted(self.tokens, key=len, reverse=True)) or r"(?!)")
        self._harmless = {token: self._make_harmless(token) for token in self.tokens}

    def found(self, text: str) -> bool:
        return self._pattern.search(text) is not None

    def neutralise(self, text: str) -> str:
        """`text` without the literals. Idempotent; other text comes back unchanged."""
        previous = None
        while previous != text:  # taking one literal out may join the halves of another
            previous, text = text, self._pattern.sub(lambda found: self._harmless[found[0]], text)
        return text

    def neutralise_all(self, value: Any) -> tuple[Any, bool]:
        """A JSON value with every string in it neutralised, keys too, and whether any was.

        Containers are walked without recursion, as deep as they are, and come back as the same objects where nothing changed in a string.
        """
        holder = [value]
        stack: list[Any] = [holder]
        changed = False
        while stack:
            container = stack.pop()
            items = list(container.items()) if isinstance(container, dict) else list(enumerate(container))
            for key, item in items:
                if isinstance(item, str):
                    clean = self.neutralise(item)
                    if clean != item:
                        container[key], changed = clean, True
                elif isinstance(item, dict | list):
                    stack.append(item)
            if isinstance(container, dict) and any(self.found(key) for key in container):
                renamed = [(self.neutralise(key), item) for key, item in container.items()]
                container.clear()
                container.update(renamed)
                changed = True
        return holder[0], changed

    def _make_harmless(self, token: str) -> str:
        """The token's name between single angle quotes, broken up should the bare name be a token itself."""
        name = "_".join(re.findall(r"\w+", token)) or "token"
        return f"‹{name}›" if not self.found(name) else f"‹{'·'.join(name)}›"
