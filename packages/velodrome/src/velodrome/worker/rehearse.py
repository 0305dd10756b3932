"""Build a user's model once, keep its initial weights, and try a step of it."""

import time
from typing import Any

import numpy as np

from velodrome import datasets, engines
from velodrome.job import Answered, Built, Finished, Imported, Job
from velodrome.record import Memory
from velodrome.worker import answer, memory
from velodrome.worker.placement import placement
from velodrome.worker.start import Emit, arrays


def rehearse(job: Job, emit: Emit) -> None:
    """Write the initial weights to the file that the job's model names.

    A step and a validation pass show first whether the model can be trained.

    Raises:
        Unsupported: the engine cannot run it.
        Exception: whatever the user's file raises.
    """
    assert job.model is not None
    begin = time.perf_counter()
    engine = engines.make(job)
    emit(Imported(seconds=time.perf_counter() - begin))
    imported = memory.resident()

    begin = time.perf_counter()
    engine.build()
    weights: Any = engine.weights()
    data = datasets.load(job.data, job.trial.samples)
    engine.load_training(*arrays(data.train))
    engine.load_validation(*arrays(data.validation))
    emit(Built(seconds=time.perf_counter() - begin, ledger=engine.ledger()))
    engine.train(np.arange(job.trial.batch_size), engine.learning_rate(1))
    engine.evaluate()

    answer.write(job.model.weights, **weights)
    emit(Answered())
    held = Memory(imported=imported, peak=memory.peak())
    emit(Finished(memory=held, placement=placement(), ledger=engine.ledger()))
