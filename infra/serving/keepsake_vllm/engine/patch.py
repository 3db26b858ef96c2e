"""How vLLM is extended without touching its files: a method is wrapped in place, after a check that it is the method we know."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any


class UnsupportedVLLM(RuntimeError):
    """This vLLM is not the one the plugin was written for: a method it wraps is missing or takes other parameters."""


def wrap(owner: Any, name: str, parameters: Sequence[str], make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replace `owner.name` by `make(original)`; once only. `parameters`: names that the original must take, in this order (self left out).

    Raises UnsupportedVLLM.
    """
    original = owner.__dict__.get(name) if inspect.isclass(owner) else getattr(owner, name, None)
    where = f"{owner.__module__}.{owner.__qualname__}.{name}" if inspect.isclass(owner) else f"{owner.__name__}.{name}"
    if original is None:
        raise UnsupportedVLLM(f"{where} does not exist")
    if getattr(original, "_keepsake", False):
        return
    taken = [p for p in inspect.signature(original).parameters if p != "self"]
    wanted = iter(taken)
    if not all(parameter in wanted for parameter in parameters):
        raise UnsupportedVLLM(f"{where} takes ({', '.join(taken)}), not ({', '.join(parameters)})")
    wrapped = functools.wraps(original)(make(original))
    wrapped._keepsake = True  # type: ignore[attr-defined]
    setattr(owner, name, wrapped)


def require(owner: Any, *names: str) -> None:
    """Raise UnsupportedVLLM unless `owner`, a class or module, has every attribute in `names`."""
    for name in names:
        if not hasattr(owner, name):
            raise UnsupportedVLLM(f"{getattr(owner, '__qualname__', owner.__name__)}.{name} does not exist")
