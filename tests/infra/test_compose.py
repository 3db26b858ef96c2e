"""compose.yaml holds to its promises, as far as a file can: what it publishes, who meets whom, and that every image builds on a named base."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "compose.yaml"
TEXT = FILE.read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_it_is_a_compose_file() -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run([checker, "--builtin-schema", "vendor.compose-spec", FILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_variable_has_a_default() -> None:
    assert [name for name in re.findall(r"\$\{([^}]+)\}", TEXT) if ":-" not in name] == []


def test_whoever_is_waited_for_says_when_it_is_well() -> None:
    waits = [(name, other) for name, service in SERVICES.items() for other in service.get("depends_on", {})]
    assert waits
    assert [pair for pair in waits if "healthcheck" not in SERVICES[pair[1]]] == []


def test_nothing_but_api_and_ui_is_published_and_they_on_loopback_alone() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published.keys() == {"api", "ui"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service
    assert not any("docker.sock" in str(volume) for volume in service.get("volumes", []))


def test_generated_code_meets_the_worker_and_nobody_else() -> None:
    assert list(SERVICES["sandboxd"]["networks"]) == ["sandbox"]
    assert COMPOSE["networks"]["sandbox"] == {"internal": True}
    assert [name for name, service in SERVICES.items() if "sandbox" in service.get("networks", ())] == ["worker", "sandboxd"]


def test_the_ui_does_not_reach_the_database() -> None:
    assert [name for name, service in SERVICES.items() if "db" in service.get("networks", ())] == ["db", "api", "worker"]


def test_a_gpu_is_asked_for_in_its_profile_alone() -> None:
    assert [name for name, service in SERVICES.items() if "deploy" in service] == ["model-gpu"]
    assert SERVICES["model-gpu"]["profiles"] == ["gpu"]


def test_secrets_are_files() -> None:
    assert all(set(secret) == {"file"} for secret in COMPOSE["secrets"].values())
    assert not re.search(r"PASSWORD|TOKEN:|_KEY:", TEXT)


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_builds_on_a_base_that_can_be_named(name: str) -> None:
    build = SERVICES[name]["build"]
    recipe = (ROOT / build["dockerfile"]).read_text()
    default = re.search(r"^ARG BASE_IMAGE=(\S+)\nFROM \$\{BASE_IMAGE\}", recipe, re.MULTILINE)
    assert default
    assert re.fullmatch(r"\$\{[A-Z_]+:-(.+)\}", build["args"]["BASE_IMAGE"])[1] == default[1]  # type: ignore[index]
    assert ":" in default[1] and not default[1].endswith(":latest")
