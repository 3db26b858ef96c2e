"""The science bench: its parts, what it keeps, what it asks of servers. The program and the server are stand-ins."""

from contextlib import contextmanager

import httpx
import pytest
from rich.progress import Progress

from app.config import Settings
from app.errors import InvalidInput, SetupError, ToolError
from infra.bench import science, science_server
from infra.bench.base import BenchContext
from infra.bench.command import load
from infra.science import process
from infra.training.command import training_python
from tests.infra.science.samples import answer, seed


@pytest.fixture
def make(tmp_path):
    def build(resume=False, n=None, **options):
        return BenchContext(Settings(home=tmp_path), "science", "dev", n, 0, resume, Progress(disable=True), options)

    return build


class Program:
    """Stands for infra.science.process; fails at the seeds it is told."""

    def __init__(self, broken=()):
        self.ran, self.broken = [], set(broken)

    async def stream(self, log, *arguments, threads):
        number = int(arguments[arguments.index("--seed") + 1])
        self.ran.append(number)
        if number in self.broken:
            raise SetupError("The program died.")
        for record in seed(kept=0.25 + 0.001 * number):
            yield record

    async def records(self, log, *arguments, threads):
        self.ran.append(arguments[0])
        return [{"kind": "trace", "family": "f", "seed": 0, "trained": -0.1, "off": -0.4}]


@pytest.fixture
def program(monkeypatch):
    def install(broken=()):
        stand_in = Program(broken)
        monkeypatch.setattr(science, "stream", stand_in.stream)
        monkeypatch.setattr(science, "records", stand_in.records)
        return stand_in

    return install


async def test_the_toy_is_resumed_seed_by_seed_and_drawn(make, program, tmp_path):
    first = program(broken=[2])
    with pytest.raises(SetupError):
        await science.bench(make(parts="toy", seeds="3"))
    assert sorted(first.ran) == [0, 1, 2]
    again = program()
    figures = await science.bench(make(resume=True, parts="toy", seeds="3", plots=str(tmp_path / "drawn")))
    assert again.ran == [2] and figures["probe_kept"].value == 0.251 and figures["probe_kept"].n == 3
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == [
        "science-accuracy.svg",
        "science-mismatch.svg",
        "science-probe.svg",
    ]


async def test_seeds_of_other_sizes_are_not_taken_for_finished(make, program):
    program()
    await science.bench(make(parts="toy", seeds="2", steps="10"))
    other = program()
    await science.bench(make(resume=True, parts="toy", seeds="2", steps="20"))
    assert sorted(other.ran) == [0, 1]


async def test_a_wrong_part_or_family_is_named(make):
    with pytest.raises(InvalidInput, match="part magic"):
        await science.bench(make(parts="toy,magic"))
    with pytest.raises(InvalidInput, match="conundrum"):
        await science.bench(make(parts="toy", families="conundrum"))
    assert load("science") is science.bench


class Server:
    """Stands for model servers; remembers what they were told and asked."""

    def __init__(self):
        self.started, self.modes = [], []

    @contextmanager
    def process(self, python, weights, folder, label, *options):
        self.started.append((label, options[options.index("--additional-config") + 1]))
        yield label

    async def answer(self, client, server, made, mode):
        assert isinstance(client, httpx.AsyncClient)
        self.modes.append(mode)
        return answer(mode != "restart")


@pytest.fixture
def server(monkeypatch, tmp_path):
    stand_in = Server()
    monkeypatch.setattr(science_server, "model_process", stand_in.process)
    monkeypatch.setattr(science_server, "_answer", stand_in.answer)
    monkeypatch.setattr(science, "ensure_serving_env", lambda settings: tmp_path)
    monkeypatch.setattr(science, "_weights", lambda context, name: tmp_path / "weights")
    return stand_in


async def test_keep_and_restart_share_a_server_and_drop_is_paired(make, server):
    figures = await science.bench(make(parts="restart", n=4, families="chain_sum,gcd_lcm"))
    assert [label for label, _ in server.started] == ["keep-restart"] and sorted(server.modes) == ["keep"] * 4 + ["restart"] * 4
    assert figures["restart_drop"].value == 1.0 and figures["restart_drop"].n == 4


async def test_wrong_rules_have_servers_of_their_own_and_nothing_is_asked_twice(make, server, program):
    ran = program()
    figures = await science.bench(make(parts="restart,mismatch", n=2, families="chain_sum"))
    assert [label for label, _ in server.started] == ["keep-restart", "off", "early", "delimiters"]
    assert '"summary_end_sees_block": false' in server.started[2][1] and '"keep_delimiters": true' in server.started[3][1]
    assert server.modes.count("keep") == 6 and figures["trace_nats_off"].value == pytest.approx(0.3)
    before = len(server.modes)
    again = await science.bench(make(resume=True, parts="restart,mismatch", n=2, families="chain_sum"))
    assert again == figures and len(server.modes) == before and ran.ran == ["traces"]


async def test_a_program_that_dies_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "training_python", lambda: training_python(tmp_path / "env"))
    with pytest.raises(SetupError, match="not installed"):
        await process.records(tmp_path / "log", "seed", threads=1)
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho \'{"kind": "point"}\'\necho it broke >&2\nexit 3\n')
    python.chmod(0o755)
    with pytest.raises(ToolError, match="status 3:\nit broke"):
        await process.records(tmp_path / "log", "seed", threads=1)
