"""What is special to Docker: the one shape of container, nothing left over, typed errors for a missing engine or image."""

import asyncio
import io
import tarfile
from pathlib import Path

import pytest
from docker.models.containers import Container, ContainerCollection

from agents.sandbox import docker
from agents.sandbox.base import Limits
from agents.sandbox.docker import LABEL, Docker, host_config
from app.errors import SandboxFailed, SandboxUnavailable
from tests.agents.sandbox.engine import Engine

pytestmark = pytest.mark.sandbox


def containers(engine: Engine) -> list:
    client = engine.client()
    try:
        return client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True)  # another may be just going
    finally:
        client.close()


def test_the_container_has_no_network_no_capabilities_no_host_paths() -> None:
    config = host_config(Limits())
    assert config["network_mode"] == "none" and config["read_only"] and config["cap_drop"] == ["ALL"]
    assert config["security_opt"] == ["no-new-privileges"] and config["log_config"]["Type"] == "none"
    assert not {"binds", "mounts", "privileged", "devices", "volumes_from", "cap_add", "pid_mode"} & set(config)


@pytest.mark.parametrize("moment", [0.02, 0.2, 0.8])
async def test_nothing_is_left_of_a_container_whenever_it_is_cancelled(engine: Engine, moment: float) -> None:
    async with Docker(engine.image, host=engine.host) as sandbox:
        task = asyncio.create_task(sandbox.exec(["sleep", "60"], workspace=None, limits=Limits(wall_s=60)))
        await asyncio.sleep(moment)  # while it is made, attached, running
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(100):
            if not await asyncio.to_thread(containers, engine):
                return
            await asyncio.sleep(0.05)
        pytest.fail(f"left over: {containers(engine)}")


async def test_a_container_that_is_killed_is_a_broken_sandbox_not_output(engine: Engine) -> None:
    async with Docker(engine.image, host=engine.host) as sandbox:
        task = asyncio.create_task(sandbox.exec(["sleep", "60"], workspace=None, limits=Limits(wall_s=60)))
        while not (found := [one for one in await asyncio.to_thread(containers, engine) if one.status == "running"]):
            await asyncio.sleep(0.05)
        await asyncio.to_thread(found[0].kill)
        with pytest.raises(SandboxFailed, match="without an answer"):
            await task


async def test_a_leftover_that_another_process_removes_is_no_trouble(engine: Engine, monkeypatch) -> None:
    client = engine.client()
    client.containers.run(engine.image, ["true"], labels=[LABEL], network_mode="none")  # exits, and stays
    get = ContainerCollection.get

    def removed_first(self: ContainerCollection, container_id: str) -> Container:
        client.api.remove_container(container_id, force=True)
        return get(self, container_id)

    monkeypatch.setattr(ContainerCollection, "get", removed_first)
    async with Docker(engine.image, host=engine.host):
        pass
    monkeypatch.undo()
    assert not containers(engine)
    client.close()


async def test_a_missing_image_is_told_with_the_way_to_get_it(engine: Engine) -> None:
    sandbox = Docker("no-such-image:1", host=engine.host)
    with pytest.raises(SandboxUnavailable, match="no image no-such-image") as caught:
        await sandbox.start()
    assert "docker pull" in caught.value.hint and "sandbox.sh" in caught.value.hint
    with pytest.raises(SandboxUnavailable, match="no image"):
        await sandbox.exec(["true"], workspace=None)
    await sandbox.stop()


async def test_an_image_without_python_is_unavailable(engine: Engine) -> None:
    client = engine.client()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("nothing"))
    client.api.import_image_from_data(archive.getvalue(), repository="keepsake-empty-test")
    client.close()
    sandbox = Docker("keepsake-empty-test", host=engine.host)
    with pytest.raises(SandboxUnavailable, match="do not run"):
        await sandbox.start()
    await sandbox.stop()


async def test_an_image_with_volumes_of_its_own_is_refused(engine: Engine) -> None:
    client = engine.client()
    client.api.import_image_from_data(b"\0" * 10240, repository="keepsake-volume-test", changes=["VOLUME /data"])
    client.close()
    sandbox = Docker("keepsake-volume-test", host=engine.host)
    with pytest.raises(SandboxUnavailable, match="declares volumes"):
        await sandbox.start()
    await sandbox.stop()


async def test_no_engine_is_unavailable(tmp_path: Path) -> None:
    host = f"unix://{tmp_path / 'sock'}"
    with pytest.raises(SandboxUnavailable, match="No Docker engine answers"):
        await Docker("any", host=host).start()
    assert isinstance(docker.missing(host), SandboxUnavailable)


def test_an_engine_that_answers_is_not_missing(engine: Engine) -> None:
    assert docker.missing(engine.host) is None
