"""API keys `ks_<id>_<secret>`: only the SHA-256 of the 256-bit secret is stored, and what the key may do."""

import hashlib
import hmac
import os
import re
import secrets
import tempfile
from enum import StrEnum
from pathlib import Path

from app.errors import SetupError
from backend.database import Database
from backend.tables import ApiKeyRow


class Scope(StrEnum):
    USER = "user"  # tasks and runs, and looking at everything
    ADMIN = "admin"  # also what changes the installation for everybody, such as the model that is served


_SHAPE = re.compile(r"ks_([0-9a-f]{16})_([0-9A-Za-z_-]{43})")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class Keys:
    """The keys that open the API."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def owner_of(self, key: str) -> str | None:
        """Id of a valid key, None for any other text."""
        match = _SHAPE.fullmatch(key)
        if match is None:
            return None
        async with self.database.read() as session:
            row = await session.get(ApiKeyRow, match[1])
        return row.id if row is not None and hmac.compare_digest(row.digest, _digest(match[2])) else None

    async def scope_of(self, key_id: str) -> Scope | None:
        """What the key with this id may do; None for one that is gone."""
        async with self.database.read() as session:
            row = await session.get(ApiKeyRow, key_id)
        return Scope(row.scope) if row is not None else None

    async def add(self, key: str, scope: Scope = Scope.ADMIN) -> None:
        """Make `key` valid for `scope`. Raises SetupError when it has not the shape of ours."""
        match = _SHAPE.fullmatch(key)
        if match is None:
            raise SetupError("The API key file holds no key of ours.", hint="Remove it; the next start makes a new one.")
        async with self.database.write() as session:
            row = await session.get(ApiKeyRow, match[1])
            if row is None:
                session.add(ApiKeyRow(id=match[1], digest=_digest(match[2]), scope=scope))
            else:
                row.digest, row.scope = _digest(match[2]), scope

    async def ensure_file(self, path: Path) -> None:
        """After this the file at `path` holds a valid key: the one already there, or a new one that only its owner can read."""
        try:
            try:
                key = path.read_text().strip()
            except FileNotFoundError:
                key = _keep(f"ks_{secrets.token_hex(8)}_{secrets.token_urlsafe(32)}", path)
        except OSError as error:
            raise SetupError(
                f"The API key file cannot be used: {error.strerror}.", hint="Its owner must be the user of the API."
            ) from error
        if await self.owner_of(key) is None:
            await self.add(key)


def _keep(key: str, path: Path) -> str:
    """Put `key` into a file that only its owner can read, whole or not at all; the key that another process put there first wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, part = tempfile.mkstemp(dir=path.parent)  # made with mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(key + "\n")
        os.link(part, path)
    except FileExistsError:
        return path.read_text().strip()
    finally:
        os.unlink(part)
    return key
