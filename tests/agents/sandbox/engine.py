"""A real Docker engine for the tests: Debian's dockerd in directories of its own, with an image made by debootstrap."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import docker.errors
import pytest

from app.config import get_settings

IMAGE = "keepsake-sandbox-test"
RECIPE = Path(__file__).parents[3] / "infra" / "images" / "sandbox.sh"


@dataclass(frozen=True)
class Engine:
    host: str
    image: str

    def client(self) -> docker.DockerClient:
        return docker.DockerClient(self.host)


@contextmanager
def running_engine(directory: Path) -> Iterator[Engine]:
    """Start dockerd below `directory`, import the image, stop dockerd afterwards. Skips where this machine cannot."""
    if os.geteuid() != 0:
        pytest.skip("A Docker engine of the tests' own needs root.")
    if not shutil.which("dockerd"):
        pytest.skip("Docker's engine is not installed (Debian: apt-get install docker.io).")
    archive = image_archive()
    host = f"unix://{directory / 'sock'}"
    command = ["dockerd", "--data-root", directory / "data", "--exec-root", directory / "exec", "--pidfile", directory / "pid", "-H", host]
    command += ["--iptables=false", "--ip6tables=false", "--bridge=none"]
    with open(directory / "log", "wb") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(host, daemon, directory / "log")
        client = docker.DockerClient(host, timeout=300)
        with open(archive, "rb") as tar:
            client.api.import_image_from_file(tar.name, repository=IMAGE)
        client.close()
        yield Engine(host, IMAGE)
    finally:
        daemon.terminate()
        daemon.wait(30)
        clean(directory)


def clean(directory: Path) -> None:
    """Remove the engine's directories, and first the mounts that dockerd leaves there (its own network namespace)."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if Path(mount).is_relative_to(directory)), reverse=True):
        subprocess.run(["umount", mount], check=True)
    shutil.rmtree(directory)


def image_archive() -> Path:
    """The image's tar archive, made once per machine (about two minutes) and kept below KEEPSAKE_HOME."""
    archive = get_settings().home / "cache" / "sandbox-image.tar"
    if not archive.exists():
        if not shutil.which("debootstrap"):
            pytest.skip("The sandbox image cannot be made: debootstrap is not installed (Debian: apt-get install debootstrap).")
        archive.parent.mkdir(parents=True, exist_ok=True)
        made = subprocess.run([RECIPE, archive], capture_output=True, text=True)
        assert made.returncode == 0, f"debootstrap failed:\n{made.stderr}"
    return archive


def wait_for(host: str, daemon: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while daemon.poll() is None and time.monotonic() < deadline:
        try:
            client = docker.DockerClient(host)
            client.ping()
            client.close()
            return
        except docker.errors.DockerException:
            time.sleep(0.1)
    daemon.terminate()
    pytest.fail(f"dockerd did not start:\n{log.read_text()[-2000:]}")
