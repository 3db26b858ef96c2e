"""What the stack is made of: each service's command, address, ports, and how one learns that it is ready. Starts nothing."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import httpx
from pydantic import SecretStr

from app.config import Settings
from infra import serving_process

NAMES = ("worlds", "model", "api", "worker", "ui")  # in order of start


@dataclass(frozen=True)
class Service:
    """One process of the stack. `ports` is setting to port; `address` is for a person; `ready` is asked until it says yes.

    Where a module of its own starts the process, `launch` does so instead of `command` and gives pid and log; `find` gives those of one that
    another command of ours has started, which is then used and never stopped from here.
    """

    name: str
    title: str
    command: list[str]
    ready: Callable[[], bool]
    launch: Callable[[], tuple[int, Path]] | None = None
    find: Callable[[], tuple[int, Path] | None] | None = None
    stage: Callable[[str], str] | None = None  # what its log says of its progress, for a person
    ports: dict[str, int] = field(default_factory=dict)
    host: str = "127.0.0.1"
    address: str = ""
    patience_s: float = 60.0
    grace_s: float = 10.0


@cache
def client() -> httpx.Client:
    """One for all probes: each new one would read the system's certificates, which costs more than the probe."""
    return httpx.Client(timeout=2.0, follow_redirects=True, trust_env=False)


def answers(url: str) -> bool:
    """Does `url` answer with success just now?"""
    try:
        return client().get(url).is_success
    except httpx.HTTPError:
        return False


def services(settings: Settings) -> dict[str, Service]:
    """The whole stack under these settings, in order of start."""
    local = "127.0.0.1"
    reachable = local if settings.host in {"0.0.0.0", "::", ""} else settings.host
    api, ui = f"http://{reachable}:{settings.api_port}", f"http://{reachable}:{settings.ui_port}"
    shop, tracker = f"http://{local}:{settings.shop_port}", f"http://{local}:{settings.tracker_port}"
    model = f"http://{local}:{settings.model_port}"
    keepsake = str(Path(sys.executable).with_name("keepsake"))
    every = [
        Service(
            name="worlds",
            title="example shop and tracker",
            command=[keepsake, "worlds", "serve"],
            ready=lambda: answers(shop) and answers(tracker),
            ports={"KEEPSAKE_SHOP_PORT": settings.shop_port, "KEEPSAKE_TRACKER_PORT": settings.tracker_port},
            address=f"{shop} {tracker}",
        ),
        Service(
            name="model",
            title="model server",
            command=[],
            launch=lambda: launch_model(settings),
            find=lambda: find_model(settings),
            stage=model_stage,
            ready=lambda: answers(f"{model}/health"),
            ports={"KEEPSAKE_MODEL_PORT": settings.model_port},
            address=f"{model}/v1",
            patience_s=600.0,  # 30 to 90 s on two quiet cores
            grace_s=serving_process.STOP_S,
        ),
        Service(
            name="api",
            title="REST API",
            command=[keepsake, "api"],
            ready=lambda: answers(f"{api}/readyz"),
            ports={"KEEPSAKE_API_PORT": settings.api_port},
            host=settings.host,
            address=api,
        ),
        Service(
            name="worker",
            title="worker",
            command=[keepsake, "worker"],
            ready=lambda: readiness(settings.effective_api_url).get("worker") == "ok",
            patience_s=90.0,
            grace_s=20.0,  # it hands its runs back before it goes
        ),
        Service(
            name="ui",
            title="user interface",
            command=[keepsake, "ui"],
            ready=lambda: answers(f"{ui}/_stcore/health"),
            ports={"KEEPSAKE_UI_PORT": settings.ui_port},
            host=settings.host,
            address=ui,
        ),
    ]
    return {service.name: service for service in every}


def launch_model(settings: Settings) -> tuple[int, Path]:
    """The model server, as benches and training start it too, so that each finds the other's."""
    handle = serving_process.start(settings)
    return handle.pid, handle.log


def find_model(settings: Settings) -> tuple[int, Path] | None:
    handle = serving_process.find(settings)
    return (handle.pid, handle.log) if handle and handle.port == settings.model_port else None


def model_stage(log: str) -> str:
    """The last stage of the model server's start that its log tells of."""
    return next((stage for mark, stage in reversed(serving_process.STAGES) if mark in log), "starts")


def readiness(api_url: str) -> dict[str, str]:
    """The API's own checks by name; empty where it does not answer."""
    try:
        answer = client().get(f"{api_url}/readyz")
        return answer.json().get("checks", {})
    except (httpx.HTTPError, json.JSONDecodeError):
        return {}


def environment(settings: Settings) -> dict[str, str]:
    """What a service inherits: this process's environment, and the settings in use, wherever they were read from (a `.env` file here)."""
    chosen = {**os.environ, "KEEPSAKE_HOME": str(settings.home.absolute())}
    for name in settings.model_fields_set - {"home"}:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        chosen[f"KEEPSAKE_{name.upper()}"] = json.dumps(value) if isinstance(value, list) else str(value)
    return chosen
