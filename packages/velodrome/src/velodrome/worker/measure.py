"""Train one job and read the clocks."""

import math
import time

import numpy as np

from velodrome.datasets.structure import count
from velodrome.engines.base import Engine, Totals
from velodrome.failures import Diverged
from velodrome.job import EpochDone, Finished, FirstStep, Job
from velodrome.record import Epoch, Memory
from velodrome.worker import memory, randomness
from velodrome.worker.device_memory import DeviceWatch
from velodrome.worker.energy import Meters
from velodrome.worker.placement import placement
from velodrome.worker.start import Emit, Started, ledger, start


def measure(job: Job, emit: Emit) -> None:
    """Run the job from the framework's import to the last epoch, reporting each stage.

    Raises:
        Unsupported: the engine cannot run it.
        Diverged: a loss is no longer finite.
    """
    gpus = job.devices.gpus
    watch, meters = DeviceWatch(gpus), Meters(gpus)
    started = start(job, emit)
    engine = started.engine
    emit(FirstStep(seconds=_first_step(engine, job, count(started.y))))
    for number in range(1, job.trial.epochs + 1):
        epoch = _epoch(started, job, number, meters)
        watch.look()
        emit(EpochDone(number=number, epoch=epoch))
    held = Memory(
        imported=started.imported, peak=memory.peak(), devices=watch.found(_told(engine, gpus))
    )
    emit(
        Finished(memory=held, placement=placement(), ledger=ledger(engine), waited=engine.waited())
    )


def _told(engine: Engine, gpus: tuple[int, ...]) -> dict[int, int]:
    """The framework's own figures, by the number of the GPU."""
    if not gpus:
        return {}
    # Nothing is what a process tells of a GPU that another process of the trial trains on.
    return {gpu: peak for gpu, peak in zip(gpus, engine.device_memory(), strict=False) if peak}


def _first_step(engine: Engine, job: Job, samples: int) -> float:
    """Time one step from cold, then put the initial weights back."""
    batch = randomness.order(job.trial, 1, samples)[: job.trial.batch_size]
    begin = time.perf_counter()
    engine.train(batch, engine.learning_rate(1))
    seconds = time.perf_counter() - begin
    engine.set_weights(randomness.initial_weights(job))
    return seconds


def _epoch(started: Started, job: Job, number: int, meters: Meters) -> Epoch:
    engine, x, y, validation, _ = started
    order = randomness.order(job.trial, number, count(y))
    learning_rate = engine.learning_rate(number)

    before = meters.read()
    begin = time.perf_counter()
    if job.trial.recipe.augments():
        assert isinstance(x, np.ndarray)
        assert isinstance(y, np.ndarray)
        engine.load_training(randomness.epoch_images(job.trial, number, x), y)
    trained = engine.train(order, learning_rate)
    between = time.perf_counter()
    joules = meters.since(before)
    middle = time.perf_counter()
    validated = engine.evaluate()
    end = time.perf_counter()

    _check_finite("loss", trained, number)
    _check_finite("validation loss", validated, number)
    return Epoch(
        train_seconds=between - begin,
        validation_seconds=end - middle,
        samples=len(order),
        validation_samples=validation,
        learning_rate=learning_rate,
        loss=trained.loss,
        accuracy=trained.accuracy,
        validation_loss=validated.loss,
        validation_accuracy=validated.accuracy,
        joules=joules or None,
    )


def _check_finite(what: str, totals: Totals, epoch: int) -> None:
    if not math.isfinite(totals.loss):
        raise Diverged(f"the {what} was {totals.loss} in epoch {epoch}")
