"""The sandbox of a deployment: one fresh, hardened container per execution, through docker-py to a real engine.

No network, read-only root, no capabilities, no new privileges, uid 64000, memory and processes bound by the container's cgroup, no logs kept
by the engine, no host path mounted: files travel through the supervisor's standard input and output (wire.py) into a size-capped tmpfs.

Whoever can talk to the engine is root on its host. So in compose only sandboxd does, and everybody else uses remote.py.

Traps: tmpfs is noexec by default; without CAP_SYS_RESOURCE the engine needs both ulimits, nofile and nproc; RLIMIT_NPROC would count all
containers' processes of the uid together, so `pids` is the cgroup's here; tmpfs counts as the container's memory.
"""

import asyncio
import base64
import platform
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Any

import docker
import docker.errors
import requests
from docker.types import LogConfig, Ulimit

from agents.sandbox import seccomp
from agents.sandbox.base import MIB, Limits
from agents.sandbox.supervised import SUPERVISOR, SupervisedSandbox
from agents.sandbox.wire import Order, frame
from app.errors import SandboxFailed, SandboxUnavailable

UID = 64_000  # owns nothing in the image
SHARED_BYTES = 64 * MIB
LABEL = "keepsake.sandbox"
STDOUT = 1
TROUBLE = (docker.errors.DockerException, requests.RequestException, OSError)
HINT = "Start a Docker engine (and set KEEPSAKE_DOCKER_HOST if it is not the default one), or install bubblewrap."


class Docker(SupervisedSandbox):
    """`image` needs python3 (3.9 or later) on its PATH; nothing is pulled here. `host` is an engine address, "" for docker's own default."""

    name = "docker"

    def __init__(self, image: str, *, host: str = "") -> None:
        self.image = image
        self._host = host
        self._client: docker.DockerClient | None = None
        self._filter: str | None = None

    async def start(self) -> None:
        """Also removes what a killed process of ours left over: finished containers with our label."""
        await asyncio.to_thread(self._inspect)
        try:
            result = await self.exec(["true"], workspace=None)
        except SandboxFailed as error:
            raise SandboxUnavailable(f"Containers of {self.image} do not run: {error.message}", hint=HINT) from None
        if result.exit_code:
            raise SandboxUnavailable(f"Containers of {self.image} do not run programs: {result.stderr[:500]}", hint=HINT)

    async def stop(self) -> None:
        if self._client is not None:
            await asyncio.to_thread(self._client.close)
            self._client = None

    def _engine(self) -> docker.DockerClient:
        if self._client is None:
            try:
                # One connection per running container is held for as long as the program runs.
                pool = {"max_pool_size": 64}
                self._client = docker.DockerClient(self._host, **pool) if self._host else docker.from_env(**pool)
            except TROUBLE as error:
                raise SandboxUnavailable(f"No Docker engine answers: {short(error)}", hint=HINT) from None
        return self._client

    def _inspect(self) -> None:
        engine = self._engine()
        try:
            image = engine.images.get(self.image)
            for container in engine.containers.list(all=True, filters={"label": LABEL, "status": "exited"}, ignore_removed=True):
                with suppress(docker.errors.APIError):  # another process of ours was quicker, as it may be while they are listed
                    container.remove(v=True, force=True)
        except docker.errors.ImageNotFound:
            raise SandboxUnavailable(
                f"The engine has no image {self.image}.",
                hint=f"docker pull {self.image}, or build one with infra/images/sandbox.sh and set KEEPSAKE_SANDBOX_IMAGE.",
            ) from None
        except TROUBLE as error:
            raise SandboxUnavailable(f"The Docker engine does not answer: {short(error)}", hint=HINT) from None
        if image.attrs["Config"].get("Volumes"):
            raise SandboxUnavailable(f"The image {self.image} declares volumes, which would be writable without a bound.")

    def _our_filter(self) -> str:
        """Our system-call filter, on top of the engine's own, where it fits: the client is Linux, on the engine's architecture."""
        if self._filter is None:
            same = platform.system() == "Linux" and self._engine().info()["Architecture"] == platform.machine()
            self._filter = base64.b64encode(seccomp.program()).decode() if same else ""
        return self._filter

    def _create(self, limits: Limits) -> tuple[str, Any]:
        """A container that waits for its order, and the socket to it."""
        api = self._engine().api
        container = api.create_container(
            self.image,
            entrypoint=["python3", "-I", "-S", "-c", SUPERVISOR],
            user=f"{UID}:{UID}",
            working_dir="/",
            hostname="sandbox",
            stdin_open=True,
            healthcheck={"test": ["NONE"]},
            labels={LABEL: "1"},
            host_config=api.create_host_config(**host_config(limits)),
        )["Id"]
        try:
            attached = api.attach_socket(container, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
            socket = getattr(attached, "_sock", attached)
            socket.settimeout(None)  # a program may be silent for as long as it likes
            api.start(container)
        except BaseException:
            self._remove(container)
            raise
        return container, socket

    def _remove(self, container: str) -> None:
        try:
            self._engine().api.remove_container(container, v=True, force=True)
        except (docker.errors.NotFound, docker.errors.APIError) as error:
            # The engine removes it by itself at its end; "in progress" is as good as done.
            if error.status_code not in {404, 409}:
                raise SandboxFailed(f"A container could not be removed: {short(error)}") from None

    async def converse(self, order: Order, payload: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        complaint, silent = bytearray(), True
        creating = None
        try:
            code = await asyncio.to_thread(self._our_filter)
            order = order.model_copy(update={"count_processes": False, "filter": code})
            creating = asyncio.create_task(asyncio.to_thread(self._create, order.limits))
            _, socket = await asyncio.shield(creating)
            await asyncio.to_thread(socket.sendall, frame(order))
            async for part in payload:
                await asyncio.to_thread(socket.sendall, part)
            async for stream, part in demultiplexed(socket):
                if stream == STDOUT:
                    silent = False
                    yield part
                else:
                    complaint += part[: max(0, 4000 - len(complaint))]
            if silent:
                words = complaint.decode(errors="replace").strip()[-500:] or "no message"
                raise SandboxFailed(f"The container ended without an answer: {words}")
        except docker.errors.ImageNotFound:
            raise SandboxUnavailable(f"The engine has no image {self.image}.", hint=f"docker pull {self.image}") from None
        except TROUBLE as error:
            raise SandboxFailed(f"The Docker engine failed: {short(error)}") from None
        finally:
            if creating is not None:
                await asyncio.shield(asyncio.create_task(self._discard(creating)))

    async def _discard(self, creating: "asyncio.Task[tuple[str, Any]]") -> None:
        """Remove a container, also one whose making was still under way when its caller was cancelled."""
        await asyncio.wait({creating})
        if creating.exception() is None:  # otherwise `_create` has cleaned up behind itself
            container, socket = creating.result()
            await asyncio.to_thread(self._remove, container)
            socket.close()


def host_config(limits: Limits) -> dict[str, Any]:
    """The one shape of container that is ever made here. Only sizes come from the caller."""
    area = f"rw,exec,nosuid,nodev,mode=0700,uid={UID},gid={UID},size={limits.disk_bytes},nr_inodes={limits.files + 16}"
    memory = limits.memory_bytes + 2 * limits.disk_bytes + SHARED_BYTES + 64 * MIB
    return {
        "network_mode": "none",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "ipc_mode": "private",
        "mem_limit": memory,
        "memswap_limit": memory,
        "pids_limit": limits.pids + 1,  # and the supervisor
        "shm_size": SHARED_BYTES,
        "tmpfs": {"/workspace": area, "/tmp": area},
        "ulimits": [Ulimit(name="nofile", soft=1024, hard=1024), Ulimit(name="nproc", soft=4096, hard=4096)],
        "log_config": LogConfig(type="none"),  # or the engine would write every byte of every file to its disk
        "auto_remove": True,
    }


async def demultiplexed(socket: Any) -> AsyncIterator[tuple[int, bytes]]:
    """Chunks of an attached container as (stream, bytes). The engine puts 8 bytes before each: stream, 3 zeros, big-endian size."""
    buffer = b""
    stream = left = 0
    while data := await asyncio.to_thread(socket.recv, 1 << 18):
        buffer += data
        while buffer:
            if not left:
                if len(buffer) < 8:
                    break
                stream, left, buffer = buffer[0], int.from_bytes(buffer[4:8], "big"), buffer[8:]
                continue
            part, buffer = buffer[:left], buffer[left:]
            left -= len(part)
            yield stream, part


def short(error: Exception) -> str:
    return str(error)[:300]


def missing(host: str = "") -> SandboxUnavailable | None:
    """Why no engine can be used from here, or None."""
    try:
        client = docker.DockerClient(host, timeout=5) if host else docker.from_env(timeout=5)
        try:
            client.ping()
        finally:
            client.close()
    except TROUBLE as error:
        return SandboxUnavailable(f"No Docker engine answers: {short(error)}", hint=HINT)
    return None
