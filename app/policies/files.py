"""Policies as files: those of the package, and a person's own as `<home>/policies/NAME.yaml`."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

import yaml
from pydantic import ValidationError

from app.errors import InvalidInput
from app.policies.base import PolicyFile, PolicyItem

_LARGEST = 100_000  # characters of one file


@cache
def presets() -> Mapping[str, PolicyFile]:
    """Those that come with the package, by name, from the one that asks most to the one that asks nobody."""
    here = files("app.policies")
    names = ("ask_all", "ask_writes", "allow_listed", "unattended")
    return MappingProxyType({name: parsed((here / f"{name}.yaml").read_text(encoding="utf-8"), name) for name in names})


def resolved(policy: str | PolicyFile) -> PolicyFile:
    """A preset by its name. Raises InvalidInput for another one: those lie on the disk of the API's machine, see `named`."""
    if isinstance(policy, PolicyFile):
        return policy
    found = presets().get(policy)
    if found is None:
        raise InvalidInput(f"`{policy}` is none of the policies that come with Keepsake.", hint=f"Those are {', '.join(presets())}.")
    return found


def named(folder: Path, name: str) -> PolicyFile:
    """A preset, or the file of that name. Raises InvalidInput with what is wrong and where."""
    if name in presets():
        return presets()[name]
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join([*presets(), *sorted(path.stem for path in folder.glob("*.yaml"))])
        raise InvalidInput(f"There is no policy `{name}`.", hint=f"Known are {known}; put one of your own into {folder.name}/{name}.yaml.")
    return read(path)


def chosen(folder: Path, policy: str | PolicyFile) -> PolicyFile:
    """A policy in full, whichever way it was given. Raises InvalidInput."""
    return policy if isinstance(policy, PolicyFile) else named(folder, policy)


def spelled(text: str) -> str | PolicyFile:
    """What a person wrote in a shell: the path of a YAML file, or a policy's name. Raises InvalidInput."""
    return read(Path(text)) if text.endswith((".yaml", ".yml")) else text


def read(path: Path) -> PolicyFile:
    """A policy from a file of any place; without a `name` it has the file's. Raises InvalidInput."""
    try:
        return parsed(path.read_text(encoding="utf-8"), path.stem)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The policy {path.name} cannot be read: {error}.", hint="It is a YAML file in UTF-8.") from error


def offered(folder: Path) -> list[PolicyItem]:
    """All policies to choose from; a file that cannot be read says why."""
    found = [_item(policy, own=False) for policy in presets().values()]
    for path in sorted(folder.glob("*.yaml")):
        try:
            if path.stem in presets():
                raise InvalidInput(f"`{path.stem}` is the name of a policy that comes with Keepsake.", hint="Rename the file.")
            found.append(_item(read(path), own=True))
        except InvalidInput as error:
            found.append(PolicyItem(name=path.stem, title=path.stem, own=True, error=f"{error.message} {error.hint}".strip()))
    return found


def parsed(text: str, name: str) -> PolicyFile:
    """The policy that a YAML text holds; it must bear `name`, where it bears one. Raises InvalidInput."""
    if len(text) > _LARGEST:
        raise InvalidInput(f"The policy `{name}` has {len(text):,} characters.", hint=f"At most {_LARGEST:,}.")
    try:
        held = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InvalidInput(f"The policy `{name}` is no YAML: {' '.join(str(error).split())[:300]}.", hint=_HINT) from error
    if not isinstance(held, dict):
        raise InvalidInput(f"The policy `{name}` holds no keys.", hint=_HINT)
    try:
        policy = PolicyFile.model_validate({"name": name} | held)
    except ValidationError as error:
        raise InvalidInput(f"The policy `{name}` is not right: {_first(error)}.", hint=_HINT) from error
    if policy.name != name:
        raise InvalidInput(f"The policy `{name}` calls itself `{policy.name}`.", hint="Leave `name` out, or rename the file.")
    return policy


_HINT = "docs/gate.md shows what a policy looks like."


def _first(error: ValidationError) -> str:
    """The first complaint with its place: `rule 2, effects 1: Input should be …`."""
    first = error.errors(include_url=False)[0]
    place: list[str] = []
    for step in first["loc"]:
        if isinstance(step, int) and place:
            place[-1] = f"{place[-1].removesuffix('s') if place[-1] == 'rules' else place[-1]} {step + 1}"
        else:
            place.append(str(step))
    return f"{', '.join(place)}: {first['msg']}"


def _item(policy: PolicyFile, own: bool) -> PolicyItem:
    return PolicyItem(name=policy.name, title=policy.title or policy.name, about=policy.about, own=own, rules=policy.rules)
