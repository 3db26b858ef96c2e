"""Which sandbox a process uses: the one that is set, or the first that this machine has. Never the host."""

from pathlib import Path

from agents.sandbox import bubblewrap, docker
from agents.sandbox.base import Sandbox
from agents.sandbox.bubblewrap import Bubblewrap
from agents.sandbox.docker import Docker
from agents.sandbox.remote import RemoteSandbox
from agents.sandbox.supervised import SupervisedSandbox
from app.config import Settings
from app.errors import SandboxUnavailable


def choose(settings: Settings) -> Sandbox:
    """The sandbox that `settings.sandbox` names; for `auto`: sandboxd when its address is set, then bubblewrap, then Docker.

    Tries bubblewrap with `true` and asks the engine for a sign of life, a tenth of a second together; image and Python are `start`'s part.
    Raises SandboxUnavailable with what to install.
    """
    if settings.sandbox == "sandboxd" or (settings.sandbox == "auto" and settings.sandboxd_url):
        return sandboxd(settings)
    return local(settings)


def local(settings: Settings) -> SupervisedSandbox:
    """The sandbox of this machine, for sandboxd itself: `choose` without the way to another sandboxd. Same errors."""
    if settings.sandbox == "bubblewrap":
        if reason := bubblewrap.missing():
            raise reason
        return Bubblewrap()
    if settings.sandbox == "docker":
        if reason := docker.missing(settings.docker_host):
            raise reason
        return Docker(settings.sandbox_image, host=settings.docker_host)
    no_bubblewrap = bubblewrap.missing()
    if no_bubblewrap is None:
        return Bubblewrap()
    no_engine = docker.missing(settings.docker_host)
    if no_engine is None:
        return Docker(settings.sandbox_image, host=settings.docker_host)
    raise SandboxUnavailable(
        f"No sandbox on this machine, so no code is run. {no_bubblewrap.message} {no_engine.message}",
        hint="Install bubblewrap (Debian: apt-get install bubblewrap libseccomp2 python3), or start a Docker engine.",
    )


def sandboxd(settings: Settings) -> RemoteSandbox:
    if not settings.sandboxd_url:
        raise SandboxUnavailable("The sandbox is sandboxd, but it has no address.", hint="Set KEEPSAKE_SANDBOXD_URL.")
    return RemoteSandbox(settings.sandboxd_url, token(settings))


def token(settings: Settings) -> str:
    """The bearer token that sandboxd and its clients share. Raises SandboxUnavailable when there is none."""
    path = settings.sandboxd_token_path
    try:
        value = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SandboxUnavailable(
            f"sandboxd's token cannot be read from {path}: {error}.", hint="Set KEEPSAKE_SANDBOXD_TOKEN_FILE."
        ) from None
    if len(value) < 16 or not value.isascii():
        raise SandboxUnavailable(f"sandboxd's token in {path} is not at least 16 ASCII characters.")
    return value
