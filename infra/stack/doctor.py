"""`keepsake doctor`: what is missing or wrong on this machine, and what to do about it. Changes nothing.

Each check is a function of the settings that yields `Check`s; one that breaks is a failed line of its own, not the end of the doctor.
"""

import asyncio
import os
import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Callable, Iterator
from importlib import metadata
from urllib.parse import urlsplit

from packaging.requirements import Requirement

from agents.sandbox.choice import choose
from app.config import Settings
from app.errors import KeepsakeError
from infra.serving_env import serving_env_ready, serving_python
from infra.stack import debian, endpoint, ports, preflight
from infra.stack.preflight import FAIL, OK, WARN, Check
from infra.stack.process import read_record
from infra.stack.services import readiness, services
from infra.weights.served import weights_ready

EXTRAS = ("agents", "backend", "ui", "worlds")
PATIENCE_S = 20.0
SETUP = "Run `make setup` in the checkout."


def examine(settings: Settings) -> Iterator[Check]:
    """All checks, in the order in which a set-up meets them."""
    for name, check in CHECKS.items():
        try:
            yield from check(settings)
        except KeepsakeError as error:
            yield Check(FAIL, name, error.message, error.hint)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            yield Check(FAIL, name, f"cannot be examined: {error}")


def machine(settings: Settings) -> Iterator[Check]:
    yield preflight.python()
    yield preflight.system()
    yield preflight.memory()
    free = shutil.disk_usage(preflight.existing(settings.home)).free / 1e9
    low = free < preflight.DISK_LEAST_GB
    yield Check(
        WARN if low else OK, "disk", f"{free:.1f} GB free at {settings.home}", "Runs keep screenshots and files there." if low else ""
    )


def packages(settings: Settings) -> Iterator[Check]:  # noqa: ARG001
    """Our own requirements, as the installed distribution states them."""
    wrong = []
    for line in metadata.requires("keepsake") or []:
        requirement = Requirement(line)
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *EXTRAS)):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} is {version}, wanted {requirement.specifier}")
    wrong = sorted(set(wrong))
    yield Check(FAIL, "Python packages", "; ".join(wrong), SETUP) if wrong else Check(OK, "Python packages", "all there")


def chromium(settings: Settings) -> Iterator[Check]:
    if not os.access(settings.chromium, os.X_OK):
        hint = "Debian: apt-get install chromium; or say where it is by KEEPSAKE_CHROMIUM."
        yield Check(FAIL, "Chromium", f"no program at {settings.chromium}", hint)
        return
    yield Check(OK, "Chromium", output([str(settings.chromium), "--version"]))
    if "fonts-liberation" in debian.missing(debian.RUN):
        yield Check(WARN, "fonts", "no Liberation fonts", "Pages look odd without them. Debian: apt-get install fonts-liberation")


def sandbox(settings: Settings) -> Iterator[Check]:
    """Starts it for real: a kernel or a container may forbid what the program needs."""
    chosen = choose(settings)
    asyncio.run(asyncio.wait_for(chosen.start(), PATIENCE_S))
    yield Check(OK, "sandbox", f"{chosen.name} runs programs")


def fossil(settings: Settings) -> Iterator[Check]:  # noqa: ARG001
    if shutil.which("fossil") is None:
        yield Check(WARN, "Fossil", "not installed", "Only the example tracker needs it. Debian: apt-get install fossil")
        return
    yield Check(OK, "Fossil", output(["fossil", "version"]))


def listening(settings: Settings) -> Iterator[Check]:
    """Each port of the stack is free, or ours."""
    for service in services(settings).values():
        record = read_record(settings.run_dir / f"{service.name}.json")
        if record and record.alive:
            yield Check(OK, f"service {service.name}", f"runs (pid {record.pid})" + (f" at {service.address}" if service.address else ""))
            continue
        for setting, port in service.ports.items():
            if ports.free(port, service.host):
                yield Check(OK, f"port {port}", f"free for the {service.title}")
            else:
                yield Check(FAIL, f"port {port}", f"taken ({ports.owner(port)})", f"Stop that program, or set {setting} to a free port.")


def serving(settings: Settings) -> Iterator[Check]:
    """Environment and weights of the embedded model, which an outside endpoint makes needless."""
    if settings.model_url:
        yield Check(OK, "embedded model", "not used, KEEPSAKE_MODEL_URL names an endpoint")
        return
    if serving_env_ready(settings):
        yield Check(OK, "serving environment", str(serving_python(settings).parents[1]))
    else:
        yield Check(FAIL, "serving environment", "not built, or of another version", SETUP)
    if weights_ready(settings):
        yield Check(OK, "weights", "built")
    else:
        yield Check(FAIL, "weights", f"not built below {settings.weights_dir}", SETUP)


def model(settings: Settings) -> Iterator[Check]:
    found = endpoint.ask(settings)
    if found.problem:
        own = not settings.model_url
        hint = "`keepsake up` starts it." if own else "Check KEEPSAKE_MODEL_URL and KEEPSAKE_MODEL_KEY."
        yield Check(WARN if own else FAIL, "model endpoint", f"{found.url} {found.problem}", hint)
        return
    if settings.model_name not in found.models:
        serves = ", ".join(found.models) or "nothing"
        yield Check(
            FAIL, "model endpoint", f"{found.url} does not serve {settings.model_name}", f"It serves {serves}: set KEEPSAKE_MODEL_NAME."
        )
        return
    yield Check(OK, "model endpoint", f"{found.url} serves {settings.model_name}")
    yield (
        Check(OK, "constrained output", "yes")
        if found.constrained
        else Check(WARN, "constrained output", "no", "Answers are validated and asked for again; with a small model many runs will fail.")
    )
    yield (
        Check(OK, "/tokenize", "yes") if found.tokenize else Check(WARN, "/tokenize", "no", "Token counts are estimates, and labelled so.")
    )


def database(settings: Settings) -> Iterator[Check]:
    url = urlsplit(settings.effective_database_url)
    if url.scheme.startswith("sqlite"):
        path = settings.data_dir / "keepsake.sqlite" if not settings.database_url else None
        yield sqlite(settings, str(path or url.path[1:]))
        return
    import psycopg

    try:
        with psycopg.connect(settings.effective_database_url.replace(url.scheme, "postgresql", 1), connect_timeout=5) as connection:
            version = connection.info.server_version // 10_000
    except psycopg.Error as error:
        # Its class alone: the text may hold the address with the password.
        yield Check(
            FAIL, "database", f"PostgreSQL at {url.hostname} does not answer ({type(error).__name__})", "Check KEEPSAKE_DATABASE_URL."
        )
        return
    yield Check(OK, "database", f"PostgreSQL {version} at {url.hostname}")


def sqlite(settings: Settings, path: str) -> Check:
    if not os.path.exists(path):
        writable = os.access(preflight.existing(settings.data_dir), os.W_OK)
        if not writable:
            return Check(FAIL, "database", f"{settings.data_dir} cannot be written", "Give it to this user, or set KEEPSAKE_HOME.")
        return Check(OK, "database", "SQLite, made at the first start")
    try:
        with sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=5) as connection:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        return Check(FAIL, "database", f"{path}: {error}", "Is the disk full, or the file another user's?")
    return Check(OK if verdict == "ok" else FAIL, "database", f"SQLite at {path}" + ("" if verdict == "ok" else f": {verdict}"))


def keys(settings: Settings) -> Iterator[Check]:
    """Whoever reads these files can act as their owner."""
    for name, path in (("API key", settings.key_path), ("sandboxd token", settings.sandboxd_token_path)):
        if not path.exists():
            if name == "API key":
                yield Check(OK, name, "made at the API's first start")
            continue
        about = path.stat()
        if about.st_uid != os.geteuid():
            yield Check(WARN, name, f"{path} belongs to another user", "UI and CLI must run as the user that the API runs as.")
        elif open_to := stat.S_IMODE(about.st_mode) & 0o077:
            yield Check(FAIL, name, f"{path} is open to others (mode {open_to:03o} beyond its owner)", f"chmod 600 {path}")
        else:
            yield Check(OK, name, f"{path}, its owner's only")


def api(settings: Settings) -> Iterator[Check]:
    checks = readiness(settings.effective_api_url)
    if not checks:
        yield Check(WARN, "API", f"{settings.effective_api_url} does not answer", "`keepsake up` starts it.")
        return
    said = ", ".join(f"{name} {word}" for name, word in checks.items())
    yield Check(OK if set(checks.values()) == {"ok"} else WARN, "API", f"{settings.effective_api_url}: {said}")


def output(command: list[str]) -> str:
    """First line that a program prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    said = (done.stdout or done.stderr).strip().splitlines()
    if done.returncode:
        raise OSError(f"`{' '.join(command)}` ended with status {done.returncode}: {said[-1] if said else 'no output'}")
    return said[0] if said else "no output"


CHECKS: dict[str, Callable[[Settings], Iterator[Check]]] = {
    "machine": machine,
    "Python packages": packages,
    "Chromium": chromium,
    "sandbox": sandbox,
    "Fossil": fossil,
    "embedded model": serving,
    "database": database,
    "keys": keys,
    "ports": listening,
    "API": api,
    "model endpoint": model,
}
