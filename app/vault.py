"""Secrets that no model sees: a task or an agent writes a handle, `{{secret:NAME}}`, and the browser puts the value in, on its own sites only.

They stand in `<home>/secrets.yaml`, readable by its owner alone: NAME: {value: …, sites: […]}, or {env: VARIABLE}, or {keyring: SERVICE/USER}.
"""

import os
import re
import stat
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from app.errors import ActionRefused, InvalidInput, SetupError

HANDLE = re.compile(r"\{\{\s*secret:([A-Za-z][\w-]{0,63})\s*\}\}")
_SHORTEST = 6  # characters of a value that is looked for in texts; a shorter one would eat ordinary words


class Secret(BaseModel):
    """One secret. `sites`: its audience, as patterns of hosts (with a port where it is not the usual one) or names of a task's sites."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    value: SecretStr | None = None
    env: str | None = None
    keyring: str | None = None
    sites: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_source(self) -> "Secret":
        if sum(source is not None for source in (self.value, self.env, self.keyring)) != 1:
            raise ValueError("give one of value, env and keyring")
        return self

    def read(self) -> str:
        """The value. Raises SetupError where its source has none."""
        if self.value is not None:
            return self.value.get_secret_value()
        found = os.environ.get(self.env) if self.env is not None else _from_keyring(str(self.keyring))
        if not found:
            raise SetupError("A secret's source has no value.", hint=f"Set {self.env or self.keyring}.")
        return found


class Vault:
    """The secrets of this machine, for one task. Without any it does nothing. `sites`: the task's, name -> address."""

    def __init__(self, secrets: Mapping[str, Secret] | None = None, sites: Mapping[str, str] | None = None) -> None:
        self._secrets, self._sites = dict(secrets or {}), dict(sites or {})
        self._read: dict[str, str] = {}  # a keyring is asked once

    @classmethod
    def read(cls, path: Path, sites: Mapping[str, str] | None = None) -> "Vault":
        """From the file; an empty one where there is none. Raises SetupError where others can read it, or it cannot be understood."""
        if not path.exists():
            return cls({}, sites)
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SetupError(f"Others can read {path.name}.", hint=f"chmod 600 {path.name}")
        try:
            held = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
            secrets = {name: Secret.model_validate(given) for name, given in held.items()}
        except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError, AttributeError) as error:
            first = error.errors(include_input=False)[0]["msg"] if isinstance(error, ValidationError) else type(error).__name__
            raise SetupError(f"{path.name} cannot be understood: {first}.", hint="See docs/gate.md.") from None  # the error quotes values
        return cls(secrets, sites)

    def __bool__(self) -> bool:
        return bool(self._secrets)

    def __repr__(self) -> str:
        return f"Vault({', '.join(self._secrets)})"

    @property
    def audiences(self) -> dict[str, tuple[str, ...]]:
        """Names of the secrets, and where each may go."""
        return {name: secret.sites for name, secret in self._secrets.items()}

    def admits(self, name: str, url: str) -> bool:
        """Whether a secret may be sent to an address."""
        secret, parts = self._secrets.get(name), urlsplit(url)
        if secret is None or parts.scheme not in ("http", "https") or not parts.hostname:
            return False
        host, place = parts.hostname.casefold(), f"{parts.hostname.casefold()}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
        for wanted in secret.sites:
            own = urlsplit(self._sites.get(wanted, ""))
            if own.hostname and f"{own.hostname.casefold()}:{own.port or (443 if own.scheme == 'https' else 80)}" == place:
                return True
            if wanted not in self._sites and (fnmatchcase(place, wanted.casefold()) or fnmatchcase(host, wanted.casefold())):
                return True
        return False

    def fill(self, text: str, url: str) -> str:
        """A text with the values of its handles, for a field of the page at `url`. Raises ActionRefused for one that may not go there."""
        for name in HANDLE.findall(text):
            if not self.admits(name, url):
                raise ActionRefused(f"The secret `{name}` may not go to this site.", hint="Its audience stands in secrets.yaml.")
        return HANDLE.sub(lambda match: self._value(match[1]), text)

    def values(self) -> list[str]:
        """All values that can be read now, for whoever keeps them out of logs."""
        return [value for value, _ in self._known()]

    def hide(self, text: str) -> str:
        """A text in which values are handles again: what a page shows of a secret never reaches a model."""
        for value, name in self._known():
            text = text.replace(value, f"{{{{secret:{name}}}}}")
        return text

    def hidden(self, value: Any) -> Any:
        """JSON values with every string hidden."""
        return _mapped(value, self.hide) if self else value

    def _value(self, name: str) -> str:
        if name not in self._read:
            self._read[name] = self._secrets[name].read()
        return self._read[name]

    def _known(self) -> list[tuple[str, str]]:
        found = []
        for name in self._secrets:
            try:
                value = self._value(name)
            except SetupError:
                continue  # where it is used, that is told
            if len(value) >= _SHORTEST:
                found.append((value, name))
        return sorted(found, key=lambda own: -len(own[0]))


def handles(value: Any) -> set[str]:
    """Names of the secrets whose handles stand in JSON values."""
    return {name for text in _strings(value) for name in HANDLE.findall(text)}


def keep(path: Path, name: str, secret: Mapping[str, Any] | None) -> None:
    """Put a secret into the file, or with None take it out. Raises InvalidInput for a name or an audience that is none."""
    if not re.fullmatch(r"[A-Za-z][\w-]{0,63}", name):
        raise InvalidInput(f"`{name[:40]}` is no name of a secret.", hint="Use letters, digits, - and _, such as shop-password.")
    held = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}
    if secret is None and name not in held:
        raise InvalidInput(f"There is no secret `{name}`.", hint="`keepsake secrets list` names them.")
    held.pop(name, None)
    if secret is not None:
        held[name] = dict(secret)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:  # made readable by its owner alone
        yaml.safe_dump(held, file, allow_unicode=True)
    os.replace(file.name, path)


def _from_keyring(place: str) -> str | None:
    try:
        keyring = import_module("keyring")  # an extra of one's own
    except ImportError:
        raise SetupError("A secret is kept in the keyring, which no package here can open.", hint="pip install keyring") from None
    service, _, user = place.partition("/")
    return keyring.get_password(service, user)


def _mapped(value: Any, change: Any) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _mapped(own, change) for key, own in value.items()}
    return [_mapped(own, change) for own in value] if isinstance(value, Sequence) else value


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for own in value.values():
            yield from _strings(own)
    elif isinstance(value, Sequence):
        for own in value:
            yield from _strings(own)
