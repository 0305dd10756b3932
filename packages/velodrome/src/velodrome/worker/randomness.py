"""Every random draw of a trial, the same for every engine and numpy version."""

import numpy as np

from velodrome.engines.base import Inputs, Order
from velodrome.job import Job
from velodrome.trial import Trial
from velodrome.worker.augmentation import augmented
from velodrome.workloads.graph import Weights


def generator(trial: Trial, *stream: int) -> np.random.Generator:
    """A source of draws of its own for each trial and stream."""
    return np.random.Generator(np.random.PCG64([trial.seed, trial.repeat, *stream]))


def initial_weights(job: Job) -> Weights:
    """The weights that training starts from."""
    if job.model is None:
        return job.graph.initial_weights(generator(job.trial, 0))
    with np.load(job.model.weights, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def telling_weights(job: Job) -> Weights:
    """Weights to compare engines from: as `initial_weights`, but no array is constant.

    Where biases are zero and scales one, an engine that forgets them goes unnoticed. What a
    normalisation adds is larger, so that fewer ReLUs behind it are near zero: deep networks with
    batch normalisation magnify rounding from layer to layer else (`docs/parity.md`).
    """
    rng = generator(job.trial, 2)
    ranges = {"beta": (0.4, 0.8)}
    return {
        name: array
        + rng.uniform(*ranges.get(name.rpartition("/")[2], (0.05, 0.15)), array.shape).astype("f4")
        if array.dtype.kind == "f" and array.size and not np.ptp(array)
        else array
        for name, array in initial_weights(job).items()
    }


def order(trial: Trial, epoch: int, samples: int) -> Order:
    """The order of the samples in an epoch, counted from 1; shape (samples,).

    Sorted uniform draws rather than `permutation`, whose algorithm numpy may change.
    With `drop_last`, what does not fill a batch is left out.
    """
    draws = generator(trial, 1, epoch).random(samples)
    shuffled = np.argsort(draws, kind="stable").astype(np.int64)
    if trial.drop_last:
        return shuffled[: samples - samples % trial.batch_size]
    return shuffled


def epoch_images(trial: Trial, epoch: int, images: Inputs) -> Inputs:
    """The training images as an epoch, counted from 1, sees them."""
    return augmented(images, trial.recipe, generator(trial, 4, epoch))
