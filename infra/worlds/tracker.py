"""The tracker: a real Fossil server with tickets and wiki, one repository file a world.

Fossil's own configuration gives it a plain skin and a ticket form with one Submit button (Fossil's default asks for a preview first). A user
`clerk` files tickets; agents enter by a saved, logged-in browser profile and see no password. Everybody may read.
"""

import contextlib
import functools
import hashlib
import os
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from select import select
from typing import Any

from app.errors import SetupError, ToolError
from infra.worlds.base import Ticket

TYPES = ("Bug", "Feature", "Documentation", "Incident", "Question")
SEVERITIES = ("Critical", "Severe", "Important", "Minor", "Cosmetic")
STATUSES = ("Open", "Verified", "Review", "Deferred", "Fixed", "Tested", "Closed")
COLUMNS = ("title", "type", "severity", "status")
REPORT = "All Tickets"

_USER = "clerk"
_PROJECT = hashlib.sha1(b"keepsake tracker").hexdigest()  # the same for all worlds: one profile opens them all
_SECRET = hashlib.sha1(b"keepsake tracker clerk").hexdigest().upper() + "0123456789"
_EPOCH = datetime(2026, 3, 2, 9, 0)
_WIKI_AGE = timedelta(days=1100)  # the index of wiki pages shows ages: "3.01 years" whenever a world is made
_MENU = "Home /home * {}\nTickets /ticket r {}\n{New Ticket} /tktnew n {}\nWiki /wcontent j {}\n"
_WIKI = {
    "Tracker": "Welcome. Defects, wishes and questions about our products are kept here as tickets.",
    "House rules": "One ticket for one matter. Severity Critical is for data loss and outages only.",
    "Release checklist": "1. All Critical tickets are closed.  2. The documentation names every new feature.",
}


def _fossil(*arguments: str, home: Path) -> None:
    """Run the Fossil program. Raises SetupError where it is not installed, ToolError when it fails."""
    result = subprocess.run([_program(), *arguments], env=_environment(home), capture_output=True, text=True, check=False)
    if result.returncode:
        raise ToolError(f"fossil {arguments[0]} failed: {result.stderr.strip() or result.stdout.strip()}")


def _program() -> str:
    path = shutil.which("fossil")
    if path is None:
        raise SetupError("Fossil is not installed, so there is no tracker.", hint="apt-get install fossil")
    return path


def _environment(home: Path) -> dict[str, str]:
    return {"FOSSIL_HOME": str(home), "HOME": str(home), "FOSSIL_USER": "admin"}


@functools.cache
def _prepared() -> bytes:
    """An empty tracker with skin, reports, users and wiki, made once a process (about 0.2 s)."""
    with tempfile.TemporaryDirectory(prefix="keepsake-tracker-") as folder:
        home = Path(folder)
        repository = home / "tracker.fossil"
        _fossil("init", str(repository), home=home)
        skin = files("infra.worlds") / "tracker_skin"
        settings = {
            "project-name": "Tracker",
            "project-code": _PROJECT,
            "mainmenu": _MENU,
            "backoffice-disable": "1",  # its chores after a request would lock the database under the next one
            "access-log": "0",
            "header": (skin / "header.html").read_text(),
            "footer": (skin / "footer.html").read_text(),
            "css": (skin / "style.css").read_text(),
            "ticket-common": (skin / "common.th1").read_text(),
            "ticket-newpage": (skin / "newticket.th1").read_text(),
            "ticket-viewpage": (skin / "viewticket.th1").read_text(),
            "ticket-reportlist": (skin / "reports.th1").read_text(),
        }
        with sqlite3.connect(repository) as db:
            for name, value in settings.items():
                db.execute("REPLACE INTO config(name, value, mtime) VALUES(?, ?, strftime('%s'))", (name, value))
            db.execute("DELETE FROM reportfmt")
            listing = f"SELECT {', '.join(COLUMNS)} FROM ticket ORDER BY tkt_ctime, tkt_id"
            changes = "SELECT substr(tkt_uuid, 1, 10) AS '#', datetime(tkt_mtime) AS 'changed', title FROM ticket ORDER BY tkt_mtime DESC"
            reports = [(1, REPORT, listing), (2, "Latest Changes", changes)]
            db.executemany("INSERT INTO reportfmt(rn, title, cols, sqlcode) VALUES(?, ?, '', ?)", reports)
            db.execute("UPDATE user SET cap='hrj' WHERE login='nobody'")
            db.execute("UPDATE user SET cap='' WHERE login IN ('anonymous', 'developer', 'reader')")
            db.execute(
                "INSERT INTO user(login, pw, cap, cookie, cexpire, info) VALUES(?, '*', 'hjrn', ?, julianday('now') + 3650, 'Files tickets')",
                (_USER, _SECRET),
            )
            _add(db, [_wiki_page(name, text) for name, text in _WIKI.items()])
        db.close()
        _fossil("rebuild", str(repository), "--quiet", home=home)
        return repository.read_bytes()


def create_tracker(repository: Path, tickets: Sequence[Ticket] = ()) -> None:
    """Write a tracker holding `tickets`, oldest first. Tickets are Fossil artifacts, put in as one batch (about 0.1 s)."""
    for ending in ("", "-journal", "-wal", "-shm"):  # a journal left behind would be played back into the new file
        repository.with_name(repository.name + ending).unlink(missing_ok=True)
    repository.write_bytes(_prepared())
    if not tickets:
        return
    with sqlite3.connect(repository) as db:
        _add(db, [_ticket_change(ticket, number) for number, ticket in enumerate(tickets)])
    db.close()
    _fossil("rebuild", str(repository), "--quiet", home=repository.parent)


def tickets(repository: Path) -> tuple[Ticket, ...]:
    """The tickets in the order they were filed."""
    with _read_only(repository) as db:
        rows = db.execute(f"SELECT {', '.join(COLUMNS)} FROM ticket ORDER BY tkt_ctime, tkt_id").fetchall()
    db.close()
    return tuple(Ticket(*(value or "" for value in row)) for row in rows)


def wiki_edits(repository: Path) -> int:
    """How often the wiki was changed since the tracker was made."""
    with _read_only(repository) as db:
        (count,) = db.execute("SELECT count(*) FROM event WHERE type='w'").fetchone()
    db.close()
    return count - len(_WIKI)


def profile(host: str = "127.0.0.1") -> dict[str, Any]:
    """Playwright storage state of a browser in which the clerk is logged in. Opens every tracker made here; never shown to a model."""
    cookie = {
        "name": f"fossil-{_PROJECT[:16]}",
        "value": f"{_SECRET}%2F{_PROJECT[:16]}%2F{_USER}",
        "domain": host,
        "path": "/",
        "expires": -1,
        "httpOnly": True,
        "secure": False,
        "sameSite": "Lax",
    }
    return {"cookies": [cookie], "origins": []}


class TrackerServer:
    """`fossil server` on a loopback port of its own. `port` 0 takes a free one."""

    def __init__(self, repository: Path, port: int = 0, *, public: bool = False) -> None:
        self.repository = repository
        self.port = port
        self.public = public
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self, patience: float = 5.0) -> None:
        """Return when it listens. Raises ToolError when it does not within `patience` seconds."""
        self.port = self.port or _free_port()
        command = [_program(), "server", str(self.repository), "--port", str(self.port), "--nossl", "--nojail"]
        command += [] if self.public else ["--localhost"]
        self._process = subprocess.Popen(
            command,
            env=_environment(self.repository.parent),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # a group of its own: Fossil forks a child a request, and stop ends them all
        )
        assert self._process.stdout is not None
        ready, _, _ = select([self._process.stdout], [], [], patience)
        line = self._process.stdout.readline() if ready else "no word from it"
        if not line.startswith("Listening"):
            self.stop()
            raise ToolError(f"The tracker did not start on port {self.port}: {line.strip()}", hint="Is the port taken?")

    def stop(self) -> None:
        """End the server; more than once is fine."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(5)
        if self._process.stdout:
            self._process.stdout.close()
        self._process = None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _read_only(repository: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{repository}?mode=ro", uri=True, timeout=10)


# Fossil's file format (https://fossil-scm.org/home/doc/trunk/www/fileformat.wiki): cards in alphabetical order, MD5 of all before as Z card.


def _ticket_change(ticket: Ticket, number: int) -> bytes:
    date = (_EPOCH + timedelta(hours=7 * number)).isoformat(timespec="milliseconds")
    fields = {"severity": ticket.severity, "status": ticket.status, "title": ticket.title, "type": ticket.type}
    cards = [f"J {name} {_escape(value)}" for name, value in fields.items() if value]
    ticket_id = hashlib.sha1(f"ticket {number}".encode()).hexdigest()
    return _seal("\n".join([f"D {date}", *cards, f"K {ticket_id}", "U admin"]) + "\n")


def _wiki_page(name: str, text: str) -> bytes:
    date = (datetime.now(UTC).replace(tzinfo=None) - _WIKI_AGE).isoformat(timespec="milliseconds")
    return _seal(f"D {date}\nL {_escape(name)}\nN text/x-markdown\nU admin\nW {len(text.encode())}\n{text}\n")


def _seal(cards: str) -> bytes:
    return f"{cards}Z {hashlib.md5(cards.encode()).hexdigest()}\n".encode()


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace(" ", "\\s").replace("\n", "\\n").replace("\t", "\\t")


def _add(db: sqlite3.Connection, artifacts: Sequence[bytes]) -> None:
    """Put artifacts into the blob table; `fossil rebuild` then derives everything else from them."""
    received = db.execute("INSERT INTO rcvfrom(uid, mtime) VALUES(1, julianday('now'))").lastrowid
    for content in artifacts:
        packed = struct.pack(">I", len(content)) + zlib.compress(content)
        name = hashlib.sha3_256(content).hexdigest()
        db.execute("INSERT INTO blob(rcvid, size, uuid, content) VALUES(?, ?, ?, ?)", (received, len(content), name, packed))
