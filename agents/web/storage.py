"""Cookies and local storage: saved profiles that a person names, and what a run has gathered, kept for the next process.

Both are Playwright storage states. They hold sessions, so they are readable by their owner only, and a model never sees them.
"""

import json
import os
import re
import secrets
from pathlib import Path
from typing import Any

from app.config import Settings
from app.errors import InvalidInput, NotFound

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_SESSION = re.compile(r"browser/[0-9a-f]{32}\.json")

StorageState = dict[str, Any]


def profile_path(settings: Settings, name: str) -> Path:
    """Where the profile of this name lies. Raises InvalidInput for a name that is none."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"`{name[:40]}` is no profile name.", hint="Lower-case letters, digits, - and _.")
    return settings.home / "profiles" / f"{name}.json"


def save_profile(settings: Settings, name: str, state: StorageState) -> Path:
    """Keep a logged-in state under a name."""
    path = profile_path(settings, name)
    _write(path, state)
    return path


def load_profiles(settings: Settings, names: list[str]) -> StorageState:
    """The named profiles as one state. Raises NotFound for a missing or broken one."""
    merged: StorageState = {"cookies": [], "origins": []}
    for name in dict.fromkeys(names):
        state = _read(profile_path(settings, name))
        if state is None:
            raise NotFound(f"There is no browser profile `{name}`.", hint="Save one first, or take the profile out of the task's site.")
        merged["cookies"] += state.get("cookies", [])
        merged["origins"] += state.get("origins", [])
    return merged


def new_session() -> str:
    """A fresh name for a run's own state, relative to the data directory."""
    return f"browser/{secrets.token_hex(16)}.json"


def save_session(settings: Settings, name: str, state: StorageState) -> None:
    _write(_session_path(settings, name), state)


def load_session(settings: Settings, name: str) -> StorageState | None:
    """A run's own state, None when its file is gone."""
    return _read(_session_path(settings, name))


def forget_session(settings: Settings, memory: dict[str, Any]) -> None:
    """Delete what a run's browser kept; called when the run's data are deleted."""
    if memory.get("storage"):
        _session_path(settings, memory["storage"]).unlink(missing_ok=True)


def _session_path(settings: Settings, name: str) -> Path:
    if not _SESSION.fullmatch(name):
        raise InvalidInput("That is no browser session.", hint="Take the name from the run's memory.")
    return settings.data_dir / name


def _write(path: Path, state: StorageState) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(f".{secrets.token_hex(4)}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        json.dump(state, stream)
    fresh.replace(path)


def _read(path: Path) -> StorageState | None:
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return state if isinstance(state, dict) else None
