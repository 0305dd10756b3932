"""Several machines, played by this one, train what one trains, and end together."""

import os
import signal
import socket
from pathlib import Path

import numpy as np
import psutil
import pytest

from builders import trial
from processes import running
from test_runner import Silent
from test_several_devices import a_job, losses, run
from velodrome import engines, environment, runner, store
from velodrome.datasets.base import PreparedData
from velodrome.executors import here
from velodrome.job import AnyEvent, FirstStep
from velodrome.machine import this_machine
from velodrome.study import parse

ENGINES = sorted(
    name
    for name, engine in engines.registry.all().items()
    if engine.framework in environment.frameworks("cpu")
    and not (engine.one_device or engine.one_machine)
)


def test_the_four_frameworks_train_over_machines() -> None:
    assert ENGINES == ["jax", "keras-jax", "mxnet", "tensorflow", "torch"]


@pytest.mark.parametrize("engine", ENGINES)
def test_two_machines_train_what_one_trains(
    engine: str, digits: PreparedData, tmp_path: Path
) -> None:
    # Keras shares evenly only; the others have a last batch of 57, which two cannot.
    samples = 320 + (56 if engine == "keras-jax" else 57)
    one = run(a_job(engine, "cpu", digits, samples), tmp_path)
    two = run(a_job(engine, "2xcpu", digits, samples), tmp_path)
    np.testing.assert_allclose(losses(two), losses(one), rtol=1e-4)
    assert two.ledger is not None
    assert "one of 2 machines, at 127.0.0.1, 127.0.0.1" in two.ledger.notes


@pytest.mark.parametrize("engine", ["jax", "mxnet", "torch"])
def test_two_machines_of_two_devices_train_what_one_device_trains(
    engine: str, digits: PreparedData, tmp_path: Path
) -> None:
    one = run(a_job(engine, "cpu", digits, 377, epochs=1), tmp_path)
    four = run(a_job(engine, "2xcpu:2", digits, 377, epochs=1), tmp_path)
    np.testing.assert_allclose(losses(four), losses(one), rtol=1e-4)


@pytest.mark.parametrize(
    ("engine", "number"),
    [("jax", 1), ("mxnet", 0), ("mxnet", 1), ("tensorflow", 1), ("torch", 0), ("torch", 1)],
)
def test_a_lost_machine_ends_its_trial_and_leaves_nothing(
    engine: str, number: int, digits: PreparedData, tmp_path: Path
) -> None:
    # Another test's browser may still be open.
    others = set(psutil.Process().children(recursive=True))
    all_of_it: list[psutil.Process] = []
    ports: set[int] = set()

    def kill(event: AnyEvent) -> None:
        if isinstance(event, FirstStep):
            all_of_it.extend(set(psutil.Process().children(recursive=True)) - others)
            for each in all_of_it:
                listening = (one for one in each.net_connections("tcp") if one.status == "LISTEN")
                ports.update(one.laddr.port for one in listening)
            (victim,) = (
                worker
                for worker in running("velodrome.worker", psutil.Process().children())
                if os.readlink(f"/proc/{worker.pid}/fd/1").endswith(".1.log") == bool(number)
            )
            victim.send_signal(signal.SIGKILL)

    lost = run(a_job(engine, "2xcpu", digits, 377, epochs=500), tmp_path, kill)
    assert lost.kind == "crash"
    assert f"machine {number} of the trial's 2: the worker was ended by SIGKILL" in lost.reason
    assert len(all_of_it) >= 2
    _, alive = psutil.wait_procs(all_of_it, timeout=1)
    # One whose parent died too may wait for someone to ask how it ended.
    assert all(process.status() == psutil.STATUS_ZOMBIE for process in alive)
    assert ports
    for port in ports:
        # Fails if anyone still listens there.
        socket.create_server(("127.0.0.1", port)).close()


def test_a_study_compares_one_machine_with_two(tmp_path: Path) -> None:
    study = parse(
        {
            "name": "two",
            "workloads": "lenet",
            "dataset": "digits",
            "engines": ["torch", "keras-torch"],
            "batch_sizes": 64,
            "epochs": 1,
            "samples": 128,
            "devices": ["cpu", "2xcpu", "2xgpu:8"],
        }
    )
    runner.run(study, tmp_path / "run", Silent())
    records = {
        (record.trial.engine, record.trial.devices): record
        for record in store.read(tmp_path / "run")
    }
    assert {key: record.status for key, record in records.items()} == {
        ("torch", "cpu"): "ok",
        ("torch", "2xcpu"): "ok",
        ("torch", "2xgpu:8"): "unsupported",
        ("keras-torch", "cpu"): "ok",
        ("keras-torch", "2xcpu"): "unsupported",
        ("keras-torch", "2xgpu:8"): "unsupported",
    }
    (one,), (two,) = (records["torch", devices].epochs for devices in ("cpu", "2xcpu"))
    assert two.loss == pytest.approx(one.loss, rel=1e-4)
    refused = records["torch", "2xgpu:8"].failure
    assert refused is not None
    assert "one can play several on its CPU only" in refused.reason


@pytest.mark.parametrize(
    ("engine", "devices", "reason"),
    [
        ("keras-torch", "2xcpu", "DistributedDataParallel"),
        ("keras-tensorflow", "2xcpu", "MultiWorkerMirroredStrategy"),
        ("keras-mxnet", "2xcpu", "contexts of one process"),
        ("tensorflow", "2xcpu:2", "its one CPU"),
    ],
)
def test_what_cannot_train_over_machines_says_why(engine: str, devices: str, reason: str) -> None:
    refused = engines.registry.get(engine).unsupported(trial(engine=engine, devices=devices))
    assert refused is not None
    assert reason in refused


def test_gpus_of_two_machines_are_not_on_one(digits: PreparedData) -> None:
    refused = here.unsupported(a_job("torch", "2xgpu", digits, 377), this_machine())
    assert refused is not None
    assert "2xgpu is 2 machines" in refused
