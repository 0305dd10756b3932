"""Real workers that really fail: under a limit, by a signal, by hanging, by diverging."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil
import pytest

from builders import trial
from processes import running
from velodrome.datasets.base import PreparedData
from velodrome.environment import Environment
from velodrome.executors import local
from velodrome.executors.base import Outcome
from velodrome.job import AnyEvent, Built, EpochDone, Failed, FirstStep, Imported, Job
from velodrome.machine import usable_cpus
from velodrome.trial import Trial
from velodrome.workloads import registry
from velodrome.workloads.recipe import Recipe


def a_job(data: PreparedData, **changes: object) -> Job:
    memory_limit = changes.pop("memory_limit", None)
    whole: Trial = trial(engine="mxnet", workload="mlp", **changes)
    assert memory_limit is None or isinstance(memory_limit, int)
    return Job(
        trial=whole,
        graph=registry.get("mlp").graph,
        data=data,
        threads=1,
        memory_limit=memory_limit,
    )


def run(
    job: Job,
    environment: Environment,
    folder: Path,
    timeout: float = 120.0,
    on_event: Callable[[AnyEvent], None] = lambda event: None,
) -> Outcome:
    return local.run(
        job,
        environment,
        variables={},
        timeout=timeout,
        log=folder / "worker.log",
        on_event=on_event,
    )


def test_a_worker_gets_velodromes_variables_and_none_that_steer_frameworks_besides(
    mxnet_environment: Environment,
    digits: PreparedData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = {"OMP_NUM_THREADS": "2", "MXNET_EXEC_BULK_EXEC_TRAIN": "1"}
    theirs = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NVIDIA_TF32_OVERRIDE": "1"}
    kept = {"KERAS_HOME": str(tmp_path), "LD_LIBRARY_PATH": str(tmp_path)}
    for name, value in {**theirs, **kept}.items():
        monkeypatch.setenv(name, value)
    seen: dict[str, str] = {}

    def look(event: AnyEvent) -> None:
        if isinstance(event, Imported):
            seen.update(worker_of_this_process().environ())

    local.run(
        a_job(digits, epochs=1, samples=64),
        mxnet_environment,
        variables=ours,
        timeout=120.0,
        log=tmp_path / "worker.log",
        on_event=look,
    )
    expected = {**dict.fromkeys(theirs), **ours, **kept}
    assert {name: seen.get(name) for name in expected} == expected


def worker_of_this_process() -> psutil.Process:
    (worker,) = running("velodrome.worker", psutil.Process().children())
    return worker


def test_a_trial_reports_every_stage_and_its_measures(
    digits: PreparedData, mxnet_environment: Environment, tmp_path: Path
) -> None:
    events: list[AnyEvent] = []
    outcome = run(a_job(digits, epochs=2), mxnet_environment, tmp_path, on_event=events.append)
    assert (outcome.kind, outcome.reason) == (None, "")
    assert [type(each) for each in events[:5]] == [Imported, Built, FirstStep, EpochDone, EpochDone]
    assert [epoch.samples for epoch in outcome.epochs] == [1437, 1437]
    assert outcome.epochs[-1].validation_accuracy > 0.7
    assert outcome.memory is not None
    assert 2**20 < outcome.memory.imported <= outcome.memory.peak < 2**33
    assert outcome.placement is not None
    assert outcome.placement.cpus == usable_cpus()
    assert outcome.placement.threads >= 1
    clocks = outcome.clocks
    parts = (clocks.import_seconds, clocks.build_seconds, clocks.first_step_seconds)
    assert all(part is not None and part > 0 for part in parts)
    epochs = sum(each.train_seconds + each.validation_seconds for each in outcome.epochs)
    assert clocks.real > epochs + sum(part for part in parts if part)
    assert clocks.user > 0
    assert outcome.ledger is not None
    assert outcome.ledger.versions["mxnet"] == "1.9.1"


def test_a_trial_is_kept_on_its_processors(
    digits: PreparedData, mxnet_environment: Environment, tmp_path: Path
) -> None:
    first = usable_cpus()[:1]
    job = msgspec.structs.replace(a_job(digits, epochs=1), cpus=first)
    outcome = run(job, mxnet_environment, tmp_path)
    assert outcome.placement is not None
    assert outcome.placement.cpus == first


def test_out_of_memory_under_a_limit_of_its_own(
    digits: PreparedData, mxnet_environment: Environment, tmp_path: Path
) -> None:
    job = a_job(digits, memory_limit=700 * 2**20)
    assert run(job, mxnet_environment, tmp_path).kind == "out-of-memory"


@pytest.mark.parametrize(
    ("oom_killed", "status", "kind"),
    [
        (True, -signal.SIGKILL, "out-of-memory"),
        (False, -signal.SIGKILL, "crash"),
        (True, -signal.SIGSEGV, "crash"),
    ],
)
def test_a_process_of_several_that_the_kernel_killed_for_memory(
    oom_killed: bool, status: int, kind: str
) -> None:
    """What a worker told that lost one, whose connection another had lost before."""
    told: list[AnyEvent] = [
        Failed(kind="error", reason="connection closed"),
        Failed(kind="crash", reason="process 1 of the trial's 2 was ended", lost=status),
    ]
    found, reason = local._verdict(told, 1, False, 60.0, "", oom_killed)
    assert (found, reason.endswith("for lack of memory")) == (kind, kind == "out-of-memory")


def test_a_crash_is_named_by_its_signal(
    digits: PreparedData, mxnet_environment: Environment, tmp_path: Path
) -> None:
    def crash(event: AnyEvent) -> None:
        if isinstance(event, FirstStep):
            os.kill(worker_of_this_process().pid, signal.SIGILL)

    outcome = run(a_job(digits, epochs=500), mxnet_environment, tmp_path, on_event=crash)
    assert outcome.kind == "crash"
    assert "SIGILL" in outcome.reason


def test_a_worker_that_hangs_is_ended_at_its_timeout(
    digits: PreparedData, mxnet_environment: Environment, tmp_path: Path
) -> None:
    hung: list[int] = []

    def hang(event: AnyEvent) -> None:
        if isinstance(event, FirstStep):
            hung.append(worker_of_this_process().pid)
            os.kill(hung[0], signal.SIGSTOP)

    job = a_job(digits, epochs=500)
    outcome = run(job, mxnet_environment, tmp_path, timeout=20.0, on_event=hang)
    assert outcome.kind == "timeout"
    assert "20 s" in outcome.reason
    assert not psutil.pid_exists(hung[0])


def test_a_loss_that_is_no_longer_finite_is_divergence(
    digits: PreparedData, mxnet_environment: Environment, tmp_path: Path
) -> None:
    job = a_job(digits, recipe=Recipe(learning_rate=1e20), epochs=5)
    outcome = run(job, mxnet_environment, tmp_path)
    assert outcome.kind == "diverged"
    assert "epoch" in outcome.reason
    assert outcome.last_lines


def test_a_framework_that_cannot_be_imported(
    digits: PreparedData, mxnet_environment: Environment, tmp_path: Path
) -> None:
    job = a_job(digits)
    other = Job(
        trial=trial(engine="torch", workload="mlp"), graph=job.graph, data=digits, threads=1
    )
    outcome = run(other, mxnet_environment, tmp_path)
    assert outcome.kind == "import"
    assert "torch" in outcome.reason


STUDY = """
workloads: mlp
dataset: digits
engines: mxnet
epochs: 2000
"""


def start_study(folder: Path) -> tuple[subprocess.Popen[bytes], psutil.Process]:
    """A harness of its own, and its worker once that trains."""
    study = folder / "long.yaml"
    study.write_text(STUDY)
    harness = subprocess.Popen(
        [sys.executable, "-m", "velodrome", "run", str(study), "--out", str(folder / "run")],
        stderr=subprocess.PIPE,
        # A shell's background jobs are started with it ignored, and would hand that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert harness.stderr is not None
    while b"epoch" not in harness.stderr.readline():
        assert harness.poll() is None
    threading.Thread(target=harness.stderr.read, daemon=True).start()
    (worker,) = psutil.Process(harness.pid).children()
    return harness, worker


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_its_harness(
    mxnet_environment: Environment, tmp_path: Path, ending: signal.Signals
) -> None:
    harness, worker = start_study(tmp_path)
    harness.send_signal(ending)
    harness.wait(timeout=10)
    deadline = time.monotonic() + 1.0
    while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the worker lives on"
        time.sleep(0.02)
    if ending != signal.SIGKILL:
        assert harness.returncode == 130
