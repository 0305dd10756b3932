"""The same study by every executor: the same table, whatever dies in the middle."""

import contextlib
import csv
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from processes import of_this_test, running
from test_runner import Silent
from velodrome import executors, report, runner, store
from velodrome.environment import Environment
from velodrome.job import AnyEvent, EpochDone, Job
from velodrome.record import Record
from velodrome.study import parse

STUDY = parse(
    {
        "name": "small",
        "workloads": "mlp",
        "dataset": "digits",
        "engines": "mxnet",
        "batch_sizes": [32, 64, 128],
        "epochs": [1, 2],
        "samples": 300,
        "repeats": 2,
    }
)


class Watching(Silent):
    """Keeps all that it is told, and does something at the first start after so many ends."""

    def __init__(self, after: int = -1, then: Any = None) -> None:
        super().__init__()
        self.notes: list[str] = []
        self.begins: list[str] = []
        self._after = after
        self._then = then

    def note(self, text: str) -> None:
        self.notes.append(text)

    def begun(self, job: Job) -> None:
        self.begins.append(job.trial.id)
        if self._then and len(self.records) >= self._after:
            then, self._then = self._then, None
            then()


def measured(folder: Path) -> list[tuple[str, ...]]:
    """All that a table tells and that does not depend on the clock."""
    report.show([folder])
    with (folder / "results.csv").open(newline="") as file:
        return sorted(
            tuple(row[name] for name in ("id", "attempt", "status", "accuracy", "loss"))
            for row in csv.DictReader(file)
        )


@pytest.fixture(scope="module")
def by_local(mxnet_environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study's folder as this machine filled it."""
    folder = tmp_path_factory.mktemp("local") / "run"
    runner.run(STUDY, folder, Silent())
    assert {record.status for record in store.read(folder)} == {"ok"}
    return folder


def test_what_the_machine_was_like_before_the_run_is_kept_with_each_trial(by_local: Path) -> None:
    (spread,) = {each.steadiness.at_start for each in store.read(by_local) if each.steadiness}
    assert spread is not None
    assert spread >= 0


def whole(records: list[Record]) -> None:
    """Each has what the local executor keeps of a trial."""
    for record in records:
        assert record.steadiness is not None
        assert record.ceiling is not None
        assert record.placement is not None
        assert record.ledger is not None


def race(folder: Path, jobs: int, python: Path) -> tuple[dict[str, str], str]:
    """Statuses by devices of trials that want each other's company, and what was said."""
    tests = Path(__file__).parent
    meeting = folder / "meeting"
    meeting.mkdir()
    # A home of its own: environments are adopted in it.
    ours = {
        "VELODROME_HOME": str(folder / "home"),
        "VELODROME_ENGINES": str(tests / "meeting"),
        "VELODROME_MEETING": str(meeting),
    }
    done = subprocess.run(
        [
            sys.executable,
            str(tests / "side_by_side.py"),
            str(folder / "run"),
            str(jobs),
            str(python),
        ],
        env=os.environ | ours,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    records = store.read(folder / "run")
    return {record.trial.devices: record.status for record in records}, done.stderr


def test_trials_share_no_device_and_those_on_other_gpus_run_side_by_side(
    mxnet_environment: Environment, tmp_path: Path
) -> None:
    statuses, said = race(tmp_path, 2, mxnet_environment.python)
    assert statuses == {"gpu@0": "ok", "gpu@1": "ok", "gpu@0+1": "ok", "cpu": "ok"}, said
    assert "trials on cpu train on all processors, so they run one at a time" in said


def test_without_jobs_each_trial_is_alone(
    mxnet_environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VELODROME_PATIENCE", "3")
    statuses, said = race(tmp_path, 1, mxnet_environment.python)
    # The first of the two waits in vain while it starts; the other finds its trace.
    assert sorted((statuses["gpu@0"], statuses["gpu@1"])) == ["import", "ok"], said
    assert (statuses["gpu@0+1"], statuses["cpu"]) == ("ok", "ok")


def test_a_study_that_began_here_goes_on_by_submitit_though_a_job_is_killed(
    by_local: Path, tmp_path: Path
) -> None:
    pytest.importorskip("submitit", reason="velodrome[slurm] is not installed")
    folder = tmp_path / "run"
    half = msgspec.structs.replace(STUDY, repeats=1)
    runner.run(half, folder, Silent())
    assert len(store.read(folder)) == 6

    def kill() -> None:
        """The job in the middle of a trial, as a node that dies would."""
        for job in running("submitit.core._submit", psutil.Process().children(recursive=True)):
            job.kill()

    watched = Watching(2, kill)
    runner.run(STUDY, folder, watched, executor=executors.named("submitit-local", None))
    assert any("is submitted again" in note for note in watched.notes)
    assert len(set(watched.begins)) == 6
    assert len(watched.begins) == 7
    whole(watched.records)
    assert measured(folder) == measured(by_local)


def test_what_submitit_loses_again_and_again_is_a_row(
    mxnet_environment: Environment, tmp_path: Path
) -> None:
    pytest.importorskip("submitit", reason="velodrome[slurm] is not installed")

    class Killing(Watching):
        def begun(self, job: Job) -> None:
            super().begun(job)
            for each in running("submitit.core._submit", psutil.Process().children(recursive=True)):
                each.kill()

    study = msgspec.structs.replace(STUDY, batch_sizes=(32,), epochs=(500,), repeats=1)
    watched = Killing()
    runner.run(study, tmp_path / "run", watched, executor=executors.named("submitit-local", None))
    (record,) = store.read(tmp_path / "run")
    assert record.status == "lost"
    assert record.failure is not None
    assert "3 jobs lost" in record.failure.reason


@pytest.fixture
def in_background() -> Iterator[None]:
    """As what a shell has started in its background, which ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("in_background", "mxnet_environment")
@pytest.mark.parametrize(
    ("name", "library"), [("local", "velodrome"), ("submitit-local", "submitit"), ("ray", "ray")]
)
def test_no_trial_outlives_a_run_that_is_stopped(tmp_path: Path, name: str, library: str) -> None:
    pytest.importorskip(library, reason=f"{library} is not installed")
    found: list[psutil.Process] = []

    class Stopping(Silent):
        def event(self, job: Job, event: AnyEvent) -> None:
            if isinstance(event, EpochDone):
                found.extend(running("velodrome.worker", of_this_test()))
                raise KeyboardInterrupt

    study = msgspec.structs.replace(STUDY, batch_sizes=(32,), epochs=(5000,), repeats=1)
    with pytest.raises(KeyboardInterrupt):
        runner.run(study, tmp_path / "run", Stopping(), executor=executors.named(name, None))
    assert found
    _, alive = psutil.wait_procs(found, timeout=10)
    # One whose parent died too may wait for someone to ask how it ended.
    assert all(process.status() == psutil.STATUS_ZOMBIE for process in alive)
    assert store.read(tmp_path / "run") == []


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Ray cluster of two nodes on this machine, and a head that runs nothing."""
    ray = pytest.importorskip("ray", reason="velodrome[ray] is not installed")
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80 * 2**20}
    made = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


def test_ray_loses_nothing_when_a_node_is_killed(
    by_local: Path, cluster: Any, tmp_path: Path
) -> None:
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20) for _ in range(2)]

    class Killing(Watching):
        """Kills a node that trains, all its processes at once, when four trials have ended."""

        killed = False

        def event(self, job: Job, event: AnyEvent) -> None:
            for node in nodes if len(self.records) >= 4 and not self.killed else ():
                raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
                everything = [raylet, *raylet.children(recursive=True)]
                self.killed = bool(running("velodrome.worker", everything))
                for process in everything if self.killed else ():
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
                if self.killed:
                    return

    watched = Killing()
    folder = tmp_path / "run"
    runner.run(STUDY, folder, watched, executor=executors.named(f"ray://{cluster.address}", None))
    assert any("goes to another node" in note for note in watched.notes)
    assert len(set(watched.begins)) == 12
    whole(watched.records)
    assert measured(folder) == measured(by_local)
    logs = [path.name for path in (folder / "logs").iterdir()]
    assert sorted(logs) == sorted(f"{record.id[:12]}-1.log" for record in watched.records)


def test_ray_trains_one_trial_over_nodes_and_gives_it_others_when_one_is_killed(
    cluster: Any, tmp_path: Path
) -> None:
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20) for _ in range(3)]

    class Killing(Watching):
        """Kills a node of the two that train together, all its processes at once."""

        killed: psutil.Process | None = None

        def event(self, job: Job, event: AnyEvent) -> None:
            if self.killed or job.trial.devices != "2xcpu" or not isinstance(event, EpochDone):
                return
            for node in nodes:
                raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
                everything = [raylet, *raylet.children(recursive=True)]
                if running("velodrome.worker", everything):
                    self.killed = raylet
                    for process in everything:
                        with contextlib.suppress(psutil.NoSuchProcess):
                            process.kill()
                    return

    study = msgspec.structs.replace(
        STUDY,
        engines=("torch",),
        batch_sizes=(32,),
        epochs=(60,),
        repeats=1,
        devices=("cpu", "2xcpu", "4xcpu"),
    )
    watched = Killing()
    executor = executors.named(f"ray://{cluster.address}", None)
    runner.run(study, tmp_path / "run", watched, executor=executor)
    records = {record.trial.devices: record for record in store.read(tmp_path / "run")}
    assert {devices: record.status for devices, record in records.items()} == {
        "cpu": "ok",
        "2xcpu": "ok",
        "4xcpu": "unsupported",
    }
    assert watched.killed is not None
    assert any("goes to another node" in note for note in watched.notes)
    whole([records["cpu"], records["2xcpu"]])
    one, two = ([each.loss for each in records[devices].epochs] for devices in ("cpu", "2xcpu"))
    # Rounding grows with the epochs.
    assert two[:3] == pytest.approx(one[:3], rel=1e-4)


class KillingASecondMachine(Watching):
    """Kills the worker that another one tells of, in the first epoch of a long trial."""

    def event(self, job: Job, event: AnyEvent) -> None:
        if isinstance(event, EpochDone) and event.number == 1 and job.trial.epochs > 2:
            everything = psutil.Process().children(recursive=True)
            (second,) = (
                worker
                for worker in running("velodrome.worker", everything)
                if os.readlink(f"/proc/{worker.pid}/fd/1").endswith(".1.log")
            )
            second.kill()


def test_submitit_trains_one_trial_over_tasks_that_end_together(tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="velodrome[slurm] is not installed")
    study = msgspec.structs.replace(
        STUDY,
        engines=("torch",),
        batch_sizes=(32,),
        epochs=(2,),
        repeats=1,
        devices=("cpu", "2xcpu", "2xgpu"),
    )
    long = msgspec.structs.replace(study, epochs=(5000,), devices=("2xcpu",))
    for each in (study, long):
        executor = executors.named("submitit-local", None)
        runner.run(each, tmp_path / "run", KillingASecondMachine(), executor=executor)
    records = {
        (record.trial.devices, record.trial.epochs): record
        for record in store.read(tmp_path / "run")
    }
    assert {key: record.status for key, record in records.items()} == {
        ("cpu", 2): "ok",
        ("2xcpu", 2): "ok",
        ("2xgpu", 2): "unsupported",
        ("2xcpu", 5000): "crash",
    }
    whole([records["cpu", 2], records["2xcpu", 2]])
    one, two = ([each.loss for each in records[devices, 2].epochs] for devices in ("cpu", "2xcpu"))
    assert two == pytest.approx(one, rel=1e-4)
    failure = records["2xcpu", 5000].failure
    assert failure is not None
    assert "machine 1 of the trial's 2: the worker was ended by SIGKILL" in failure.reason
    assert not running("velodrome.worker", psutil.Process().children(recursive=True))
