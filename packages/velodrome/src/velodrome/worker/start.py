"""What every job begins with: framework, data, model, initial weights."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np

from velodrome import datasets, engines
from velodrome.datasets.base import Split
from velodrome.datasets.structure import Structure, count
from velodrome.engines.base import Engine
from velodrome.failures import Unsupported
from velodrome.job import AnyEvent, Built, Imported, Job
from velodrome.record import Ledger
from velodrome.worker import memory, randomness

Emit = Callable[[AnyEvent], None]


class Started(NamedTuple):
    """A job that is ready to train.

    Attributes:
        engine: with data and initial weights in place.
        x: training inputs before augmentation.
        y: training labels.
        validation: number of validation samples.
        imported: resident bytes once the framework was loaded.
    """

    engine: Engine
    x: Structure
    y: Structure
    validation: int
    imported: int


def start(job: Job, emit: Emit) -> Started:
    """Make the job's engine ready, reporting each stage.

    Raises:
        Unsupported: the engine cannot run it.
    """
    begin = time.perf_counter()
    engine = engines.make(job)
    emit(Imported(seconds=time.perf_counter() - begin))
    imported = memory.resident()

    begin = time.perf_counter()
    data = datasets.load(job.data, job.trial.samples)
    _check_last_batch(job, count(data.train.y), engine.replicas)
    engine.build()
    x, y = arrays(data.train)
    engine.load_training(x, y)
    engine.load_validation(*arrays(data.validation))
    engine.set_weights(randomness.initial_weights(job))
    emit(Built(seconds=time.perf_counter() - begin, ledger=ledger(engine)))
    return Started(engine, x, y, count(data.validation.y), imported)


def ledger(engine: Engine) -> Ledger:
    """The engine's own, with the machines of a trial that has several."""
    own, meeting = engine.ledger(), engine.job.meeting
    if meeting is None:
        return own
    note = f"one of {len(meeting.hosts)} machines, at {', '.join(meeting.hosts)}"
    return msgspec.structs.replace(own, notes=(*own.notes, note))


def _check_last_batch(job: Job, samples: int, replicas: int) -> None:
    last = 0 if job.trial.drop_last else samples % job.trial.batch_size
    if 0 < last < replicas:
        raise Unsupported(
            f"the last batch has {last} of {samples} samples, too few for {replicas} devices; "
            "take another batch size, or drop_last"
        )


def arrays(split: Split) -> tuple[Any, Any]:
    """As an engine takes them: of velodrome's own data an array each, of the user's any structure.

    Images are scaled to 0..1 in float32; tokens, and the user's own data, are as they are.
    """
    x, y = split
    if isinstance(x, np.ndarray) and x.dtype == np.uint8:
        return x.astype(np.float32) / np.float32(255), y
    return x, y
