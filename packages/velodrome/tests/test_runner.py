"""Plans and the rows of trials that cannot run."""

import os
from pathlib import Path

import pytest

from velodrome import machine, planner, runner, store
from velodrome.errors import UserError
from velodrome.job import AnyEvent, Job
from velodrome.machine import this_machine
from velodrome.record import Record
from velodrome.study import parse

STUDY = {
    "name": "s",
    "workloads": ["mlp", "lenet"],
    "engines": ["torch", "jax", "mxnet"],
    "batch_sizes": [64, 128],
    "repeats": 3,
    "dataset": "digits",
}


class Silent:
    """An observer that keeps what ended."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def note(self, text: str) -> None: ...
    def planned(self, done: int, jobs: list[Job]) -> None: ...
    def begun(self, job: Job) -> None: ...
    def event(self, job: Job, event: AnyEvent) -> None: ...
    def ended(self, record: Record) -> None:
        self.records.append(record)


def test_repeats_are_interleaved_over_everything() -> None:
    jobs = runner.plan(parse(STUDY), this_machine())
    assert len(jobs) == 2 * 3 * 2 * 3
    assert len({job.trial.id for job in jobs}) == len(jobs)
    assert [job.trial.repeat for job in jobs] == [0] * 12 + [1] * 12 + [2] * 12
    for begin in range(0, len(jobs), 3):
        together = [job.trial for job in jobs[begin : begin + 3]]
        assert {trial.engine for trial in together} == {"torch", "jax", "mxnet"}
        assert len({(trial.workload, trial.batch_size) for trial in together}) == 1


def test_variables_that_no_engine_gets_are_named_once(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []

    class Noting(Silent):
        def note(self, text: str) -> None:
            notes.append(text)

    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    study = parse(STUDY | {"engines": ["keras-mxnet"], "dtypes": ["float16"]})
    planner.run(study, run_folder, Noting())
    (named,) = [note for note in notes if "XLA_FLAGS" in note]
    assert "CUDA_VISIBLE_DEVICES" not in named


def test_the_order_of_engines_is_drawn_from_the_seed() -> None:
    def order(seed: int) -> list[str]:
        study = parse(STUDY | {"seed": seed})
        return [job.trial.engine for job in runner.plan(study, this_machine())]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_processors_and_threads_are_of_those_that_we_may_use() -> None:
    """As `taskset -c` restricts them."""
    before = os.sched_getaffinity(0)
    one = min(before)
    os.sched_setaffinity(0, {one})
    try:
        jobs = runner.plan(parse(STUDY), this_machine())
    finally:
        os.sched_setaffinity(0, before)
    assert {(job.cpus, job.threads) for job in jobs} == {((one,), 1)}


def test_two_processors_of_one_core_are_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_cpus", lambda: (0, 1))
    monkeypatch.setattr(machine, "one_cpu_a_core", lambda: (0,))
    assert this_machine().cores == 1
    assert this_machine().threads == 2


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(UserError, match=r"batch_sizes: 2000 .* 1437"):
        runner.plan(parse(STUDY | {"batch_sizes": 2000}), this_machine())
    with pytest.raises(UserError, match=r"batch_sizes: 128 .* 100"):
        runner.plan(parse(STUDY | {"samples": 100}), this_machine())


def test_what_an_engine_cannot_do_is_a_row_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VELODROME_HOME", str(tmp_path / "home"))
    watched = Silent()
    study = parse(STUDY | {"devices": "gpu:4", "repeats": 1, "workloads": "mlp"})
    runner.run(study, tmp_path / "run", watched)
    # Nothing is installed for trials that cannot run.
    assert not (tmp_path / "home" / "environments").exists()
    records = store.read(tmp_path / "run")
    assert records == watched.records
    assert len(records) == 6
    for record in records:
        assert record.status == "unsupported"
        assert record.failure is not None
        assert "gpu:4" in record.failure.reason
        assert record.id[:12] in record.failure.command


def test_an_environment_that_cannot_be_made_is_a_row_for_its_engines_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A home of its own, and a pip that finds no package: nothing can be installed.
    monkeypatch.setenv("VELODROME_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    watched = Silent()
    study = parse(STUDY | {"repeats": 1, "workloads": "mlp", "engines": "jax"})
    runner.run(study, tmp_path / "run", watched)
    assert [record.status for record in watched.records] == ["import", "import"]
    failure = watched.records[0].failure
    assert failure is not None
    assert "jax" in failure.reason
