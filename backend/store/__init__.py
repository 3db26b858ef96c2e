"""The store: the only writer of the tables. Each part has its nouns; together they share one database, one redactor and one bell."""

import secrets
from urllib.parse import urlsplit

from app.config import Settings
from app.vault import Vault
from backend.blobs import Blobs
from backend.database import Database, durable_url
from backend.redaction import Redactor
from backend.store.answers import Answers
from backend.store.approvals import Approvals
from backend.store.bell import Bell
from backend.store.files import Files
from backend.store.keys import Keys
from backend.store.runs import Runs
from backend.store.tasks import Tasks
from backend.store.turns import Turns
from backend.store.workers import Workers


class Store:
    """Everything Keepsake keeps. `open` it once a process, `close` it at the end."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings)
        self.redactor = redactor_of(settings)
        self.bell = Bell()
        self.files = Files(self.database, self.redactor, self.bell, Blobs(settings.data_dir / "blobs"))
        self.tasks = Tasks(self.files, settings.max_task_chars, settings.policies_dir)
        self.runs = Runs(self.database, self.redactor, self.bell)
        self.approvals = Approvals(self.runs, settings.approval_hours * 3600)
        self.turns = Turns(self.database, self.redactor, self.bell)
        self.answers = Answers(self.database, owner=secrets.token_hex(8))
        self.keys = Keys(self.database)
        self.workers = Workers(self.database)
        self._open = False

    async def open(self) -> None:
        """Bring both databases to the newest schema, once. Raises StorageError, SetupError."""
        if self._open:
            return
        self.settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        await self.database.migrate(durable_url(self.settings))
        self._open = True

    async def close(self) -> None:
        await self.database.close()


def redactor_of(settings: Settings) -> Redactor:
    """Knows the secrets of these settings: the model's key, the databases' passwords, and those of the vault as it is now."""
    passwords = [urlsplit(url).password for url in (settings.database_url, settings.durable_url, settings.model_url) if url]
    return Redactor([settings.model_key.get_secret_value(), *(p for p in passwords if p), *Vault.read(settings.secrets_path).values()])
