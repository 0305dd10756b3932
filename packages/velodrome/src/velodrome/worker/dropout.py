"""See an engine's dropout in the steps that it takes.

In a graph of dropout, flatten and one dense layer whose kernel K is zero, with inputs x, masks d
and classes told apart evenly, the gradient of the mean loss over samples n with labels y(n) is::

    dK[i, j] = mean over n of d[n, i] * x[n, i] * (1 / classes - [j = y(n)])

So a step of plain gradient descent along samples of different classes tells the mask of each.
"""

import time

import numpy as np

from velodrome import datasets, engines
from velodrome.engines.base import Engine
from velodrome.job import Answered, Built, Finished, Imported, Job
from velodrome.record import Memory
from velodrome.worker import answer, memory, randomness
from velodrome.worker.placement import placement
from velodrome.worker.start import Emit, arrays

# A step so short that the classes stay even; a power of two rounds nothing.
_SHORT = 2.0**-30

_CALLS = 2

_TELLING = 0.1


def look(job: Job, emit: Emit) -> None:
    """Write the masks that training drew, and two losses of inference, to the job's file.

    `masks` is (calls, samples, values): what each input was multiplied by; the samples of a call
    fill two batches. `losses` is what the engine finds over the validation data at random
    weights, and what it is in float64 without dropout.

    Raises:
        Unsupported: the engine cannot run it.
    """
    asked = job.dropped
    assert asked is not None
    begin = time.perf_counter()
    engine = engines.make(job)
    emit(Imported(seconds=time.perf_counter() - begin))
    data = datasets.load(job.data, job.trial.samples)
    engine.build()
    x, y = arrays(data.train)
    engine.load_training(x, y)
    checked = arrays(data.validation)
    engine.load_validation(*checked)
    kernel, bias = job.graph.parameters()
    weights = randomness.initial_weights(job)
    engine.set_weights(weights)
    emit(Built(seconds=time.perf_counter() - begin, ledger=engine.ledger()))
    found = engine.evaluate().loss
    logits = checked[0].reshape(len(checked[1]), -1).astype(np.float64) @ weights[kernel]
    expected = _cross_entropy(logits + weights[bias], checked[1])
    engine.set_weights({name: np.zeros_like(each) for name, each in weights.items()})
    masks = [_masks(engine, job, kernel, x, y) for _ in range(_CALLS)]
    answer.write(asked, masks=np.array(masks), losses=np.array([found, expected]))
    emit(Answered())
    held = Memory(imported=memory.resident(), peak=memory.peak())
    emit(Finished(memory=held, placement=placement(), ledger=engine.ledger()))


def _masks(engine: Engine, job: Job, kernel: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What the values of one sample of each class were multiplied by in one call of `train`."""
    classes, chosen = np.unique(y, return_index=True)
    # One class less: their columns would be dependent.
    order = chosen[:-1].astype(np.int64)
    size = job.trial.batch_size
    before = engine.weights()[kernel].astype(np.float64)
    engine.train(order, _SHORT)
    gradient = (before - engine.weights()[kernel]) / _SHORT
    shares = 1.0 / np.minimum(size, len(order) - np.arange(len(order)) // size * size)
    columns = (1.0 / len(classes) - np.eye(len(classes))[y[order]]) * shares[:, None]
    products = np.linalg.lstsq(columns.T, gradient.T, rcond=None)[0]
    values = x[order].reshape(len(order), -1)
    # Of a value near zero nothing can be told.
    telling = (values > _TELLING).all(0)
    masks: np.ndarray = products[:, telling] / values[:, telling]
    return masks


def _cross_entropy(logits: np.ndarray, y: np.ndarray) -> float:
    top = logits.max(1, keepdims=True)
    log_p = logits - top - np.log(np.exp(logits - top).sum(1, keepdims=True))
    return float(-log_p[np.arange(len(y)), y].mean())
