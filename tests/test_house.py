"""The house holds together: floors, names, locks, what is committed, and the way in."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra.stack import settings_table

ROOT = Path(__file__).parents[1]
ROOMS = ("app", "agents", "backend", "ui", "infra")
BIN = Path(sys.executable).parent


def run(*command: str, directory: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=120)


def committed() -> list[Path]:
    listed = run("git", "ls-files", "-z").stdout.split("\0")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def lines_with(needles: Iterable[str], files: Iterable[Path]) -> list[str]:
    """`file:line` of each line that holds one of the needles; binary files are passed over."""
    found = []
    for path in files:
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{path}:{number}: {needle}" for number, line in enumerate(text.splitlines(), 1) for needle in needles if needle in line]
    return found


# Floors and names


def test_import_contracts_hold() -> None:
    result = run(str(BIN / "lint-imports"))
    assert result.returncode == 0, result.stdout[-2000:]


def test_app_stays_free_of_what_upper_floors_need(tmp_path: Path) -> None:
    modules = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in sorted((ROOT / "app").rglob("*.py")) if p.name != "__init__.py"]
    heavy = ("autogen_core", "autogen_agentchat", "autogen_ext", "fastapi", "streamlit", "torch", "vllm", "sqlalchemy", "dbos")
    code = f"import sys, {', '.join(modules)}\nprint(*(name for name in {heavy} if name in sys.modules))"
    result = run(sys.executable, "-c", code, directory=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []


def shadowing(names: Iterable[str], distributions: Iterable[metadata.Distribution]) -> list[str]:
    """Distributions other than ours that bring a top-level module of one of these names."""
    return sorted(
        f"{distribution.metadata['Name']} brings {name}"
        for distribution in distributions
        if distribution.metadata["Name"] != "keepsake"
        for name in names
        if any(file.parts[0] in (name, f"{name}.py") for file in distribution.files or ())
    )


def test_no_installed_distribution_shadows_our_names() -> None:
    assert shadowing(ROOMS, metadata.distributions()) == []


def test_a_distribution_that_did_would_be_found(tmp_path: Path) -> None:
    about = tmp_path / "openai_agents-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: openai-agents\nVersion: 1.0\n")
    (about / "RECORD").write_text("agents/__init__.py,,\nopenai_agents-1.0.dist-info/METADATA,,\n")
    assert shadowing(ROOMS, metadata.distributions(path=[str(tmp_path)])) == ["openai-agents brings agents"]


def test_our_names_mean_this_checkout_from_anywhere(tmp_path: Path) -> None:
    code = f"import {', '.join(ROOMS)}\nprint(*(m.__path__[0] for m in ({', '.join(ROOMS)})), sep='\\n')"
    result = run(sys.executable, "-c", code, directory=tmp_path)
    assert result.stdout.split() == [str(ROOT / room) for room in ROOMS], result.stderr


# Locks


def pins(name: str) -> dict[str, list[str]]:
    """Package to the versions a lock pins (more than one where they differ by Python version)."""
    found: dict[str, list[str]] = {}
    for match in re.finditer(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE):
        found.setdefault(canonicalize_name(match[1]), []).append(match[2])
    return found


def required(*extras: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = list(project["project"]["dependencies"])
    for extra in extras:
        lines += project["project"]["optional-dependencies"][extra]
    return [r for r in map(Requirement, lines) if r.name != "keepsake"]


def test_the_main_lock_pins_what_pyproject_asks_for() -> None:
    locked = pins("main.txt")
    for requirement in required("agents", "backend", "ui", "worlds", "bench"):
        versions = locked.get(canonicalize_name(requirement.name), [])
        assert versions, f"{requirement} is not locked: make lock"
        assert all(requirement.specifier.contains(v, prereleases=True) for v in versions), (
            f"{requirement} is locked at {versions}: make lock"
        )


def test_the_development_lock_adds_tools_to_the_main_one() -> None:
    main, dev = pins("main.txt"), pins("dev.txt")
    assert {name: dev.get(name) for name in main} == main
    group = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["dev"]
    for requirement in map(Requirement, group):
        versions = dev.get(canonicalize_name(requirement.name), [])
        assert versions and all(requirement.specifier.contains(v, prereleases=True) for v in versions), f"{requirement}: make lock"


def test_the_training_lock_pins_everything_but_torch() -> None:
    locked = pins("train.txt")
    for requirement in required("agents", "worlds", "train"):
        if requirement.name != "torch":
            versions = locked.get(canonicalize_name(requirement.name), [])
            assert versions and all(requirement.specifier.contains(v, prereleases=True) for v in versions), f"{requirement}: make lock"
    assert not [name for name in locked if name in ("torch", "triton") or name.startswith(("nvidia", "cuda"))]


@pytest.mark.parametrize("lock", sorted(p.name for p in (ROOT / "requirements").glob("*.txt")))
def test_a_lock_has_a_hash_for_every_pin_and_no_address(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(-|--)(i|f|index|extra|find|trusted)", text, re.MULTILINE)
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text.strip())
    assert blocks and all("--hash=sha256:" in block for block in blocks)


def test_there_is_no_uv_lock() -> None:
    assert not (ROOT / "uv.lock").exists()  # it records the addresses of files


# What is committed


def registry_hosts() -> set[str]:
    """Package registries by their own names, and those that this machine's package tools are set to."""
    known = {
        "py" + "pi.org",
        "python" + "hosted.org",
        "npm" + "js.org",
        "npm" + "js.com",
        "download.py" + "torch.org",
        "debian" + ".org/debian",
    }
    said = [value for name, value in os.environ.items() if re.search(r"INDEX|REGISTRY|PROXY|FIND_LINKS", name, re.IGNORECASE)]
    said.append(run(sys.executable, "-m", "pip", "config", "list").stdout)
    for path in (Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*"), Path.home() / ".npmrc"):
        if path.is_file():
            said.append(path.read_text(errors="replace"))
    hosts = {re.sub(r"^.*@", "", host) for text in said for host in re.findall(r"https?://([^/\s\"']+)", text)}
    return known | {host for host in hosts if not re.match(r"localhost|127\.|\[::1\]", host)}


def test_no_committed_file_names_a_registry() -> None:
    assert lines_with(registry_hosts(), committed()) == []


def test_no_committed_file_names_a_path_of_this_machine() -> None:
    assert lines_with({f"{ROOT}/", f"{Path.home()}/", "/tm" + "p/"}, committed()) == []


def test_a_path_of_this_machine_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text(f"see {ROOT}/app\n")
    assert lines_with({f"{ROOT}/"}, [tmp_path / "note.txt"]) == [f"{tmp_path}/note.txt:1: {ROOT}/"]


def test_there_is_nothing_for_a_forge_of_one_maker() -> None:
    assert [p for p in committed() if p.relative_to(ROOT).parts[0] in (".github", ".gitlab")] == []


# The way in


def test_the_console_script_works_from_anywhere(tmp_path: Path) -> None:
    result = run(str(BIN / "keepsake"), "--help", directory=tmp_path)
    assert result.returncode == 0, result.stderr
    for command in ("up", "down", "status", "logs", "serve", "doctor", "demo", "bench", "run"):
        assert re.search(rf"\b{command}\b", result.stdout), f"`keepsake --help` does not list {command}"


def test_the_readme_lists_the_settings_as_they_are() -> None:
    text = (ROOT / "README.md").read_text()
    assert settings_table.in_step(text) == text, "make readme"


def test_the_readme_has_a_line_for_every_room() -> None:
    tree = re.search(r"```\napp/.*?```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert tree
    named = set(re.findall(r"^\s*([a-z_]+)/", tree[0], re.MULTILINE))
    tops = {p.relative_to(ROOT).parts[0] for p in committed() if len(p.relative_to(ROOT).parts) > 1}
    inside = {
        p.relative_to(ROOT / "infra").parts[0]
        for p in committed()
        if p.is_relative_to(ROOT / "infra") and len(p.relative_to(ROOT).parts) > 2
    }
    assert {name for name in tops | inside if not name.startswith(".")} <= named


def test_continuous_integration_runs_what_a_person_runs() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in script.read_text() and "make test" in script.read_text()
    assert run("make", "--dry-run", "help").returncode == 0
