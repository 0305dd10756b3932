"""Compute what is compared between engines, and how uncertain rounding makes it."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from velodrome.engines.base import Engine, Order
from velodrome.failures import Diverged
from velodrome.job import Answered, Comparison, Finished, Job
from velodrome.record import Memory
from velodrome.worker import answer, memory, randomness
from velodrome.worker.placement import placement
from velodrome.worker.start import Emit, ledger, start
from velodrome.workloads.graph import Weights

Array = npt.NDArray[np.float64]


class _Pass(NamedTuple):
    """One call of `Engine.train`."""

    batches: tuple[Order, ...]
    learning_rate: float

    def order(self) -> Order:
        return np.concatenate(self.batches)


def compare(job: Job, emit: Emit) -> None:
    """Write the job's quantities, and the noise of each, to the file that it names.

    The noise is the largest distance (2-norm) from the quantity to what the same engine
    makes of the same problem put slightly differently: every weight moved to a neighbouring
    number, the samples of each batch in another order. In exact arithmetic the second changes
    nothing and the first next to nothing, so the distance is what rounding does.

    Raises:
        Unsupported: the engine cannot run it.
        Diverged: a quantity is not finite.
    """
    comparison = job.comparison
    assert comparison is not None
    engine, *_, imported = start(job, emit)
    weights = randomness.telling_weights(job)
    if job.trial.dtype == "float64":
        weights = {
            name: array.astype(np.float64) if array.dtype.kind == "f" else array
            for name, array in weights.items()
        }
    passes = _passes(job, comparison)
    found = _quantities(engine, weights, weights, passes)
    noise = dict.fromkeys(found, 0.0)
    for number in range(comparison.variants):
        rng = randomness.generator(job.trial, 3, number)
        moved = {name: _moved(array, comparison.epsilon, rng) for name, array in weights.items()}
        mixed = [_mixed(each, rng) for each in passes]
        for name, value in _quantities(engine, moved, weights, mixed).items():
            noise[name] = max(noise[name], float(np.linalg.norm(value - found[name])))
    again = _quantities(engine, weights, weights, passes)
    same = all(np.array_equal(found[name], value) for name, value in again.items())
    _write(comparison.answer, found, noise, same)
    emit(Answered())
    held = Memory(imported=imported, peak=memory.peak())
    emit(Finished(memory=held, placement=placement(), ledger=ledger(engine)))


def _passes(job: Job, comparison: Comparison) -> list[_Pass]:
    """Single batches, then a pass with a last batch that is not full, at a lowered rate."""
    size, rate = job.trial.batch_size, comparison.learning_rate
    order = np.arange(comparison.samples(size), dtype=np.int64)
    *whole, last = [order[begin : begin + size] for begin in range(0, len(order), size)]
    return [
        *(_Pass((batch,), rate) for batch in whole[:-1]),
        _Pass((whole[-1], last), rate * job.trial.recipe.decay_factor),
    ]


def _quantities(
    engine: Engine, weights: Weights, origin: Weights, passes: list[_Pass]
) -> dict[str, Array]:
    """Everything that is compared, by name, starting from `weights`.

    How far the weights have come is counted from `origin`.
    """
    engine.set_weights(weights)
    first_loss, gradients = engine.gradients(passes[0].batches[0])
    trained = [engine.train(each.order(), each.learning_rate) for each in passes]
    validated = engine.evaluate()
    after = engine.weights()
    quantities = {
        "loss": np.array([first_loss, *(each.loss for each in trained)]),
        "validation loss": np.array([validated.loss]),
    }
    if validated.accuracy is not None:
        quantities["accuracy"] = np.array([each.accuracy for each in trained], np.float64)
        quantities["validation accuracy"] = np.array([validated.accuracy])
    for name, gradient in gradients.items():
        quantities[f"gradient of {name}"] = np.asarray(gradient, np.float64)
    for name, array in after.items():
        quantities[f"update of {name}"] = np.asarray(array, np.float64) - origin[name]
    for name, value in quantities.items():
        if not np.isfinite(value).all():
            raise Diverged(f"the {name} is not finite")
    return quantities


def _moved(
    array: npt.NDArray[np.floating], epsilon: float, rng: np.random.Generator
) -> npt.NDArray[np.floating]:
    """Every element one relative `epsilon` up or down; whole numbers stay."""
    if array.dtype.kind != "f":
        return array
    signs = 2.0 * rng.integers(0, 2, array.shape) - 1.0
    return (array * (1.0 + epsilon * signs)).astype(array.dtype)


def _mixed(each: _Pass, rng: np.random.Generator) -> _Pass:
    """The same batches, their samples in another order."""
    batches = tuple(batch[rng.random(len(batch)).argsort()] for batch in each.batches)
    return _Pass(batches, each.learning_rate)


def _write(
    path: str, quantities: dict[str, Array], noise: dict[str, float], repeatable: bool
) -> None:
    """An `.npz` with `value/NAME` and `noise/NAME` for each quantity, and `repeatable`."""
    arrays: dict[str, Any] = {f"value/{name}": value for name, value in quantities.items()}
    arrays |= {f"noise/{name}": np.array(value) for name, value in noise.items()}
    arrays["repeatable"] = np.array(repeatable)
    answer.write(path, **arrays)
