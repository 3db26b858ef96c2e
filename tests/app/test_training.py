"""Jobs and curves as their files tell of them."""

import json
from pathlib import Path

import pytest

from app.errors import NotFound
from app.lock import held
from app.training import JobStatus, read_curves, read_job, read_jobs, runs_folder
from tests.app.training_files import at_work, run, steps


def test_without_runs_there_are_no_jobs(tmp_path: Path) -> None:
    assert read_jobs(tmp_path) == []


def test_jobs_are_listed_newest_first_and_those_not_begun_before_them(tmp_path: Path) -> None:
    run(tmp_path, "old")
    run(tmp_path, "new", started="2026-02-02T03:04:05Z", status="stopped", steps_done=10)
    with at_work(runs_folder(tmp_path) / "begins"):
        assert [(job.name, job.status) for job in read_jobs(tmp_path)] == [
            ("begins", JobStatus.PREPARING),
            ("new", JobStatus.STOPPED),
            ("old", JobStatus.FINISHED),
        ]


def test_a_job_at_work_tells_rate_and_time_left_of_its_last_steps(tmp_path: Path) -> None:
    folder = run(tmp_path, status="running", steps_done=0, tokens=0, metrics=steps(*range(1, 31), mfu=0.31))
    with at_work(folder):
        job = read_job(tmp_path, "first-1")
    assert (job.status, job.steps_done, job.tokens, job.tokens_per_s, job.left_s, job.mfu) == (
        JobStatus.RUNNING,
        30,
        3000,
        50.0,
        20.0,
        0.31,
    )


def test_a_job_whose_process_is_gone_without_a_word_is_cut_off(tmp_path: Path) -> None:
    folder = run(tmp_path, status="running", steps_done=10, metrics=steps(*range(1, 15)))
    with at_work(folder):
        assert read_job(tmp_path, "first-1").status == JobStatus.RUNNING
    job = read_job(tmp_path, "first-1")
    assert (job.status, job.steps_done, job.left_s) == (JobStatus.CUT_OFF, 10, None), "it goes on from its checkpoint"
    (folder / "manifest.json").unlink()
    assert read_job(tmp_path, "first-1").status == JobStatus.CUT_OFF


def test_a_broken_manifest_is_told_of_and_hides_no_other_job(tmp_path: Path) -> None:
    run(tmp_path, "good")
    (run(tmp_path, "bad") / "manifest.json").write_text("{")
    assert {job.name: job.status for job in read_jobs(tmp_path)} == {"good": JobStatus.FINISHED, "bad": JobStatus.UNREADABLE}


def test_curves_are_thinned_out_and_broken_lines_passed_over(tmp_path: Path) -> None:
    lines = [json.dumps({"step": step, "loss": 1 / step}) for step in range(1, 1001)]
    lines += [
        "[]",
        "half a li",
        '{"step": 1000, "loss": NaN}',
        '{"step": 1000, "dev": {"exact": 0.5, "n": 20}}',
        '{"step": 1001, "dev": 3}',
    ]
    run(tmp_path, metrics="\n".join(lines))
    curves = read_curves(tmp_path, "first-1")
    assert 250 <= len(curves.loss) <= 300 and curves.loss[-1].step == 1000
    assert [(point.step, point.exact, point.n) for point in curves.held_out] == [(1000, 0.5, 20)]


def test_a_short_curve_has_every_step(tmp_path: Path) -> None:
    run(tmp_path, metrics=steps(1, 2, 4))
    assert [(point.step, point.loss) for point in read_curves(tmp_path, "first-1").loss] == [(1, 1.0), (2, 0.5), (4, 0.25)]


@pytest.mark.parametrize("name", ["nothing", "..", "../runs/first-1", "", "a\0b"])
def test_an_unknown_job_is_not_found(tmp_path: Path, name: str) -> None:
    run(tmp_path)
    with pytest.raises(NotFound):
        read_job(tmp_path, name)


def test_a_lock_is_seen_while_it_is_held_and_looking_takes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not held(path)
    with at_work(tmp_path):
        assert held(path) and held(path)
    assert not held(path)
