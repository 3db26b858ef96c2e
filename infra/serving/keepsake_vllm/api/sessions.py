"""Conversations that outlive a request: the token ids of all that was said, blocks included, under a handle that cannot be guessed.

A chat client drops reasoning between turns; with its handle the next turn goes on from the very ids of the last, so that the engine finds the
compacted cache of the conversation, or rebuilds it exactly. Every turn has a handle of its own, and an old one stays valid until it expires: a
conversation can branch. SQLite, so that several API processes share it and a restart loses nothing; messages are kept as digests only.
"""

import hashlib
import json
import os
import secrets
import sqlite3
import tempfile
import threading
import time
import zlib
from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keepsake_vllm.api.errors import Refused

MAX_SESSIONS = 20_000
MAX_BYTES = 512 * 1024 * 1024
FILE = "sessions.sqlite3"


def digest(value: Any) -> str:
    """A fingerprint of a JSON value; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def message_digest(message: dict[str, Any]) -> str:
    """Fingerprint of a message as the template sees it: role, text, tool calls; reasoning and fields of our own left out."""
    calls = [_call(call) for call in message.get("tool_calls") or [] if isinstance(call, dict)]
    facts = {key: message.get(key) for key in ("name", "tool_call_id") if message.get(key) is not None}
    return digest([message.get("role"), _text(message.get("content")), calls, facts])


def _text(content: Any) -> Any:
    """Content in one shape: nothing is "", a lone text part is its text; outer white space does not count."""
    if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        content = "\n".join(str(part.get("text", "")) for part in content)
    return (content or "").strip() if content is None or isinstance(content, str) else content


def _call(call: dict[str, Any]) -> list[Any]:
    function = call.get("function") or {}
    arguments = function.get("arguments")
    with suppress(ValueError):
        arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
    return [function.get("name"), arguments]


@dataclass(frozen=True)
class Session:
    """A conversation after a turn. `ids`: prompt and output. `messages`: digests of all messages sent. `answer`: digest of the turn's answer.
    `frame`: digest of what else the prompt was made of (model, tools, template arguments)."""

    ids: list[int]
    messages: list[str]
    answer: str
    frame: str

    def position(self, messages: list[Any], frame: str) -> int:
        """Index of the stored answer in `messages`. Raises Refused (409) if they do not continue this conversation."""
        count = len(self.messages)
        given = [message_digest(message) if isinstance(message, dict) else "" for message in messages[: count + 1]]
        if frame != self.frame:
            raise _conflict("the model, tools or template arguments are others than in its last turn")
        for index, (stored, sent) in enumerate(zip(self.messages, given, strict=False)):
            if stored != sent:
                raise _conflict(f"messages[{index}] is not what was sent before")
        if len(given) <= count:
            raise _conflict(f"it has {count} messages and an answer, {len(messages)} were sent")
        if given[count] != self.answer:
            raise _conflict(f"messages[{count}] is not the answer that the model gave")
        return count


def _conflict(what: str) -> Refused:
    advice = 'send all earlier messages and the answer unchanged, then the new ones, or start afresh with memento_session: "new"'
    return Refused(409, "memento_session_conflict", f"The request does not continue this session: {what}; {advice}.", "memento_session")


class Sessions:
    """The store. `hours`: how long a handle is valid. `owner` below is what tells one caller's sessions from another's (API key, model)."""

    def __init__(
        self,
        directory: Path | None = None,
        hours: float = 24.0,
        max_sessions: int = MAX_SESSIONS,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._seconds = hours * 3600
        self._max_sessions, self._max_bytes, self._clock = max_sessions, max_bytes, clock
        self._lock = threading.Lock()
        self.path = _private(directory) / FILE
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600))
        os.chmod(self.path, 0o600)
        self._database = sqlite3.connect(self.path, timeout=30, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS sessions (key TEXT PRIMARY KEY, expires REAL NOT NULL, size INTEGER NOT NULL, state BLOB NOT NULL)"
        )
        self._database.execute("CREATE INDEX IF NOT EXISTS by_expiry ON sessions (expires)")

    def save(self, session: Session, owner: bytes) -> str:
        """Keep it; its new handle."""
        handle = secrets.token_urlsafe(32)
        facts = json.dumps([session.messages, session.answer, session.frame]).encode()
        state = zlib.compress(len(facts).to_bytes(4, "little") + facts + array("i", session.ids).tobytes(), 1)
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                row = (_key(handle, owner), self._clock() + self._seconds, len(state), state)
                self._database.execute("INSERT INTO sessions VALUES (?, ?, ?, ?)", row)
                self._trim()
                self._database.execute("COMMIT")
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
        return handle

    def load(self, handle: str, owner: bytes) -> Session:
        """The conversation behind a handle. Raises Refused (404) if there is none, it has expired, or it is another caller's."""
        with self._lock:
            query = "SELECT state FROM sessions WHERE key = ? AND expires > ?"
            row = self._database.execute(query, (_key(handle, owner), self._clock())).fetchone()
        if row is None:
            message = 'There is no such session: the handle is wrong, has expired or belongs to another key; start afresh with "new".'
            raise Refused(404, "memento_session_not_found", message, "memento_session")
        raw = zlib.decompress(row[0])
        cut = 4 + int.from_bytes(raw[:4], "little")
        messages, answer, frame = json.loads(raw[4:cut])
        ids = array("i")
        ids.frombytes(raw[cut:])
        return Session(ids.tolist(), messages, answer, frame)

    def close(self) -> None:
        self._database.close()

    def _trim(self) -> None:
        """Drop what has expired, then the oldest beyond the bounds."""
        self._database.execute("DELETE FROM sessions WHERE expires <= ?", (self._clock(),))
        count, size = self._database.execute("SELECT COUNT(*), COALESCE(SUM(size), 0) FROM sessions").fetchone()
        while count > 1 and (count > self._max_sessions or size > self._max_bytes):
            key, freed = self._database.execute("SELECT key, size FROM sessions ORDER BY expires, rowid LIMIT 1").fetchone()
            self._database.execute("DELETE FROM sessions WHERE key = ?", (key,))
            count, size = count - 1, size - freed


def _key(handle: str, owner: bytes) -> str:
    """What the store knows of a handle: whoever reads the file cannot use it."""
    return hashlib.sha256(handle.encode() + b"\0" + hashlib.sha256(owner).digest()).hexdigest()


def _private(directory: Path | None) -> Path:
    """The store's directory, ours alone. Raises PermissionError if the default one is somebody else's."""
    chosen = directory or Path(tempfile.gettempdir()) / f"keepsake-sessions-{os.getuid()}"
    chosen.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = chosen.lstat()
    if directory is None and (chosen.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077):
        raise PermissionError(f"{chosen} is not ours alone; set session_dir in the memento options")
    return chosen
