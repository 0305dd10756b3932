"""Random shifts and mirror images of the training data, the same for every engine."""

import numpy as np
import numpy.typing as npt

from velodrome.engines.base import Inputs
from velodrome.workloads.recipe import Recipe

_CHUNK = 1024


def augmented(images: Inputs, recipe: Recipe, rng: np.random.Generator) -> Inputs:
    """Copies of images (n, height, width, channels) as the recipe changes them for an epoch.

    Each image is shifted by a whole number of pixels, evenly drawn from the recipe's share of
    its height and width, with its edges repeated, then mirrored or not.
    """
    n, height, width, _ = images.shape
    down, across, mirrored = rng.random((3, n))
    rows = _source(height, down, recipe.shift)
    columns = _source(width, across, recipe.shift)
    if recipe.flip:
        columns = np.where((mirrored < 0.5)[:, None], columns[:, ::-1], columns)
    result = np.empty_like(images)
    for begin in range(0, n, _CHUNK):
        part = np.arange(begin, min(begin + _CHUNK, n))
        result[part] = images[part[:, None, None], rows[part, :, None], columns[part, None, :]]
    return result


def _source(length: int, draws: npt.NDArray[np.float64], share: float) -> npt.NDArray[np.int64]:
    """Where each position of each image takes its value from; shape (n, length)."""
    shift = np.rint((2.0 * draws - 1.0) * share * length).astype(np.int64)
    source: npt.NDArray[np.int64] = np.clip(np.arange(length) + shift[:, None], 0, length - 1)
    return source
