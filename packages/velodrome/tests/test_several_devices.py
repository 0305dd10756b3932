"""Several devices train what one trains, and a trial that loses one ends cleanly."""

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest

from builders import trial
from processes import running
from velodrome import engines, environment
from velodrome.datasets.base import PreparedData
from velodrome.executors import machines
from velodrome.executors.base import Outcome
from velodrome.job import AnyEvent, FirstStep, Job
from velodrome.workloads import registry
from velodrome.workloads.recipe import Recipe

ENGINES = sorted(
    name
    for name, engine in engines.registry.all().items()
    if engine.framework in environment.frameworks("cpu") and not engine.one_device
)

RECIPE = Recipe(learning_rate=0.02, momentum=0.9, weight_decay=0.01, decay_epochs=(1,))


def a_job(
    engine: str,
    devices: str,
    data: PreparedData,
    samples: int,
    epochs: int = 2,
    workload: str = "lenet-official",
) -> Job:
    return Job(
        trial=trial(
            engine=engine,
            workload=workload,
            recipe=RECIPE,
            epochs=epochs,
            samples=samples,
            devices=devices,
        ),
        graph=registry.get(workload).graph,
        data=data,
        threads=2,
    )


def run(
    job: Job, folder: Path, on_event: Callable[[AnyEvent], None] = lambda event: None
) -> Outcome:
    engine = engines.registry.get(job.trial.engine)
    return machines.run(
        job,
        environment.ensure(engine.framework, "cpu", report=print),
        variables=engine.variables(job.trial.settings, job.threads),
        timeout=120,
        log=folder / f"{job.trial.short_id}.log",
        on_event=on_event,
    )


def losses(outcome: Outcome) -> list[float]:
    assert outcome.kind is None, (outcome.reason, outcome.last_lines)
    return [loss for each in outcome.epochs for loss in (each.loss, each.validation_loss)]


@pytest.mark.parametrize("engine", ENGINES)
def test_two_devices_train_what_one_trains(
    engine: str, digits: PreparedData, tmp_path: Path
) -> None:
    # Keras on these shares evenly only; the others have a last batch of 57, which two cannot.
    samples = 320 + (56 if engine in ("keras-jax", "keras-tensorflow") else 57)
    one = run(a_job(engine, "cpu", digits, samples), tmp_path)
    two = run(a_job(engine, "cpu:2", digits, samples), tmp_path)
    np.testing.assert_allclose(losses(two), losses(one), rtol=1e-4)
    # Of all of them PyTorch alone tells what handing the gradients on takes.
    assert one.waited is None
    assert (two.waited is not None and two.waited >= 0) == (engine == "torch")


@pytest.mark.parametrize("engine", ["keras-jax", "keras-tensorflow"])
def test_keras_validates_what_its_devices_cannot_share_evenly(
    engine: str, digits: PreparedData, tmp_path: Path
) -> None:
    """60 samples to train on have 15 to validate with, one batch, which two cannot share."""
    one = run(a_job(engine, "cpu", digits, 60, epochs=1), tmp_path)
    two = run(a_job(engine, "cpu:2", digits, 60, epochs=1), tmp_path)
    np.testing.assert_allclose(losses(two), losses(one), rtol=1e-4)
    assert two.epochs[0].validation_accuracy == pytest.approx(one.epochs[0].validation_accuracy)


@pytest.mark.parametrize("devices", ["cpu:2", "2xcpu"])
def test_devices_of_jax_never_wait_for_a_thread_that_waits_for_them(
    devices: str, digits: PreparedData, tmp_path: Path
) -> None:
    """With as many threads as cores, two, cpu:2 stood still within its first steps."""
    ended = run(a_job("jax", devices, digits, 1408, epochs=4, workload="lenet"), tmp_path)
    assert (ended.kind, len(ended.epochs)) == (None, 4)


def test_a_lost_process_ends_its_trial_and_nothing_else(
    digits: PreparedData, tmp_path: Path
) -> None:
    second: list[psutil.Process] = []
    ports: set[int] = set()

    def kill_second(event: AnyEvent) -> None:
        if isinstance(event, FirstStep):
            (worker,) = running("velodrome.worker", psutil.Process().children())
            second.extend(worker.children())
            ports.update(
                each.laddr.port for each in worker.net_connections("tcp") if each.status == "LISTEN"
            )
            os.kill(second[0].pid, signal.SIGKILL)

    lost = run(a_job("torch", "cpu:2", digits, 376, epochs=500), tmp_path, kill_second)
    assert lost.kind == "crash"
    assert "process 1 of the trial's 2 was ended by SIGKILL" in lost.reason
    assert not any(each.is_running() for each in second)
    assert ports
    for port in ports:
        # Fails if anyone still listens there.
        socket.create_server(("127.0.0.1", port)).close()
    after = run(a_job("torch", "cpu:2", digits, 376), tmp_path)
    assert after.kind is None


def test_what_cannot_be_shared_is_refused_with_its_reason(
    digits: PreparedData, tmp_path: Path
) -> None:
    for engine in ("keras-torch", "neon"):
        refused = engines.registry.get(engine).unsupported(
            trial(engine=engine, devices="cpu:2", workload="lenet")
        )
        assert refused is not None
        assert "one device" in refused
    outcome = run(a_job("jax", "cpu:4", digits, 64 + 3), tmp_path)
    assert outcome.kind == "unsupported"
    assert "last batch has 3" in outcome.reason


def test_learning_rate_rules() -> None:
    recipe = Recipe(learning_rate=0.05, decay_epochs=(2,))
    by_rule = {
        rule: [
            msgspec.structs.replace(recipe, rate_rule=rule).learning_rate_in(epoch, devices)
            for epoch, devices in ((1, 1), (1, 2), (1, 4), (3, 4))
        ]
        for rule in ("constant", "linear", "2017")
    }
    assert by_rule["constant"] == pytest.approx([0.05, 0.05, 0.05, 0.005])
    assert by_rule["linear"] == pytest.approx([0.05, 0.1, 0.2, 0.02])
    assert by_rule["2017"] == pytest.approx([0.05, 0.05, 0.01, 0.001])
