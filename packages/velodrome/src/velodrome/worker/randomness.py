"""Every random draw of a trial, the same for every engine and numpy version."""

import numpy as np

from velodrome.engines.base import Order
from velodrome.trial import Trial
from velodrome.workloads.graph import Graph, Weights


def _generator(trial: Trial, *stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([trial.seed, trial.repeat, *stream]))


def initial_weights(trial: Trial, graph: Graph) -> Weights:
    """The weights that training starts from."""
    return graph.initial_weights(_generator(trial, 0))


def order(trial: Trial, epoch: int, samples: int) -> Order:
    """The order of the samples in an epoch, counted from 1; shape (samples,).

    Sorted uniform draws rather than `permutation`, whose algorithm numpy may change.
    With `drop_last`, what does not fill a batch is left out.
    """
    draws = _generator(trial, 1, epoch).random(samples)
    shuffled = np.argsort(draws, kind="stable").astype(np.int64)
    if trial.drop_last:
        return shuffled[: samples - samples % trial.batch_size]
    return shuffled
