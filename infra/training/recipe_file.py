"""A YAML file and `key=value` overrides as a checked model, whatever its sections. Needs pydantic and yaml alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from app.errors import InvalidInput

Paths = list[tuple[str, ...]]
R = TypeVar("R", bound=BaseModel)


def read_recipe(kind: type[R], path: Path, overrides: Sequence[str], example: Path, more: str = "") -> R:
    """The recipe at `path`. An override names a key by its full path (`optimizer.lr=3e-4`) or, where that is unique, by its last name.

    Raises InvalidInput, which names the file, the key and what it may be; `example` is a recipe to compare with, `more` a further hint.
    """
    compare = f"Compare it with {example}. {more}".strip()
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"There is no recipe at {path}.", hint=f"{example.parent} holds those that come with Keepsake.") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8: {error}", hint=f"Save it as UTF-8. {compare}") from error
    except yaml.YAMLError as error:
        raise InvalidInput(f"{path} is no YAML: {error}", hint=compare) from error
    if not isinstance(values, dict):
        raise InvalidInput(f"{path} holds no recipe.", hint=compare)
    for override in overrides:
        _override(values, override, key_paths(kind), compare)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the recipe"
        if first["type"] == "extra_forbidden":
            known = ", ".join(".".join(found) for found in key_paths(kind))
            raise InvalidInput(f"{path.name}: there is no key `{where}`.", hint=f"Keys: {known}") from error
        raise InvalidInput(f"{path.name}: {where}: {first['msg']}", hint=compare) from error


def key_paths(kind: type[BaseModel], prefix: tuple[str, ...] = ()) -> Paths:
    """Paths of all keys, sections left out."""
    paths: Paths = []
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            paths += key_paths(inner, (*prefix, name))
        else:
            paths.append((*prefix, name))
    return paths


def _override(values: dict[str, Any], override: str, known: Paths, compare: str) -> None:
    key, equals, text = override.partition("=")
    wanted = tuple(key.split("."))
    paths = [path for path in known if path == wanted or path[-1] == key]
    exact = [path for path in paths if path == wanted]
    if not equals or len(exact or paths) != 1:
        listed = ", ".join(".".join(path) for path in paths or known)
        problem = "is not key=value" if not equals else "is ambiguous" if paths else "sets no key of a recipe"
        raise InvalidInput(f"`{override}` {problem}.", hint=f"Keys: {listed}")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidInput(f"`{override}`: {text!r} is no YAML value.", hint="Quote it.") from error
    *sections, last = (exact or paths)[0]
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise InvalidInput(f"`{section}` of the recipe is no section.", hint=compare)
    values[last] = _number(value)


def _number(value: Any) -> Any:
    """YAML reads 4e-4 as a string, people do not."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
