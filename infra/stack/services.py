"""What the stack is made of: each service's command, address, ports, and how one learns that it is ready. Starts nothing."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import httpx
from pydantic import SecretStr

from app.config import Settings

NAMES = ("worlds", "model", "api", "worker", "ui")  # in order of start


@dataclass(frozen=True)
class Service:
    """One process of the stack. `ports` is setting to port; `address` is for a person; `ready` is asked until it says yes."""

    name: str
    title: str
    command: list[str]
    ready: Callable[[], bool]
    ports: dict[str, int] = field(default_factory=dict)
    host: str = "127.0.0.1"
    address: str = ""
    patience_s: float = 60.0
    grace_s: float = 10.0


def answers(url: str) -> bool:
    """Does `url` answer with success just now?"""
    try:
        return httpx.get(url, timeout=2.0, follow_redirects=True, trust_env=False).is_success
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
            command=[sys.executable, "-m", "infra.stack.worlds"],
            ready=lambda: answers(shop) and answers(tracker),
            ports={"KEEPSAKE_SHOP_PORT": settings.shop_port, "KEEPSAKE_TRACKER_PORT": settings.tracker_port},
            address=f"{shop} {tracker}",
        ),
        Service(
            name="model",
            title="model server",
            command=[keepsake, "serve"],
            ready=lambda: answers(f"{model}/health"),
            ports={"KEEPSAKE_MODEL_PORT": settings.model_port},
            address=f"{model}/v1",
            patience_s=600.0,  # 30 to 90 s on two quiet cores
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
            command=[
                *(sys.executable, "-m", "streamlit", "run", str(ui_script())),
                *("--server.port", str(settings.ui_port), "--server.address", settings.host or local),
                *("--server.headless", "true", "--browser.gatherUsageStats", "false"),
            ],
            ready=lambda: answers(f"{ui}/_stcore/health"),
            ports={"KEEPSAKE_UI_PORT": settings.ui_port},
            host=settings.host,
            address=ui,
        ),
    ]
    return {service.name: service for service in every}


def readiness(api_url: str) -> dict[str, str]:
    """The API's own checks by name; empty where it does not answer."""
    try:
        answer = httpx.get(f"{api_url}/readyz", timeout=3.0, trust_env=False)
        return answer.json().get("checks", {})
    except (httpx.HTTPError, json.JSONDecodeError):
        return {}


def ui_script() -> Path:
    spec = find_spec("ui")
    assert spec and spec.submodule_search_locations, "the ui package is part of every distribution of ours"
    return Path(spec.submodule_search_locations[0]) / "main.py"


def environment(settings: Settings) -> dict[str, str]:
    """What a service inherits: this process's environment, and the settings in use, wherever they were read from (a `.env` file here)."""
    chosen = {**os.environ, "KEEPSAKE_HOME": str(settings.home.absolute())}
    for name in settings.model_fields_set - {"home"}:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        chosen[f"KEEPSAKE_{name.upper()}"] = json.dumps(value) if isinstance(value, list) else str(value)
    return chosen
