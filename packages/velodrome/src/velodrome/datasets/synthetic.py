"""Made-up samples in any workload's shape, which a network can learn to tell apart.

Made of integers and the legacy `RandomState` only (frozen by NEP 19), so that every machine makes
the same bytes.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from velodrome.datasets.base import Data, Dataset, InputSpec, Originals, Split

_SAMPLES = 10_000
_BLOCKS = 4  # a class's image is a mosaic of 4x4 blocks
_WORDS = 8  # words that a class is told by, where the vocabulary has so many
_CHUNK = 1 << 24  # values made at a time


def images(spec: InputSpec, labels: NDArray[np.int32], seed: int) -> NDArray[np.uint8]:
    """Images of (n, height, width, channels): a class is a mosaic of random blocks.

    Each image shows its class's mosaic, shifted by up to an eighth of its height and width and
    round its edges, at 3/8 of its strength, under 5/8 of uniform noise.
    """
    height, width, channels = spec.shape
    shape = (spec.classes, min(_BLOCKS, height), min(_BLOCKS, width), channels)
    mosaics = np.random.RandomState(0).randint(0, 256, shape).astype(np.uint16)
    rng = np.random.RandomState(seed)
    result = np.empty((len(labels), *spec.shape), np.uint8)
    step = max(1, _CHUNK // result[:1].size)
    for start in range(0, len(labels), step):
        part = labels[start : start + step]

        def blocks(length: int, across: int, count: int = len(part)) -> NDArray[np.int64]:
            shift = rng.randint(-(length // 8), length // 8 + 1, (count, 1))
            return (np.arange(length) + shift) % length * across // length

        rows, columns = blocks(height, shape[1]), blocks(width, shape[2])
        signal = mosaics[part[:, None, None], rows[:, :, None], columns[:, None, :]]
        noise = np.frombuffer(rng.bytes(signal.size), np.uint8).reshape(signal.shape)
        result[start : start + step] = (3 * signal + 5 * noise.astype(np.uint16)) // 8
    return result


def tokens(spec: InputSpec, labels: NDArray[np.int32], seed: int) -> NDArray[np.int32]:
    """Texts of (n, length): a quarter of a text's words are drawn from a few of its class's own.

    The other words are drawn from the whole vocabulary. A text fills half of the length at least,
    after padding with 0.
    """
    assert spec.vocabulary is not None
    (length,) = spec.shape
    each = max(1, min(_WORDS, (spec.vocabulary - 1) // (2 * spec.classes)))
    own = 1 + np.random.RandomState(0).permutation(spec.vocabulary - 1)[: each * spec.classes]
    rng = np.random.RandomState(seed)
    size = (len(labels), length)
    telling = own.reshape(spec.classes, each)[labels[:, None], rng.randint(0, each, size)]
    result = np.where(rng.randint(0, 4, size) == 0, telling, rng.randint(1, spec.vocabulary, size))
    padding = rng.randint(0, length // 2 + 1, (len(labels), 1))
    return np.where(np.arange(length) < padding, 0, result).astype(np.int32)


class Synthetic(Dataset):
    """As many training samples as asked for, 10,000 by default; a fifth of that to validate on."""

    name = "synthetic"
    summary = "made-up but learnable samples of any workload's shape, needs no network"

    def provides(self, wanted: InputSpec) -> InputSpec:
        """Whatever is wanted, if the vocabulary has a word for each class."""
        if wanted.vocabulary is not None and wanted.vocabulary <= wanted.classes:
            return msgspec.structs.replace(wanted, vocabulary=wanted.classes + 1)
        return wanted

    def arrays(self, spec: InputSpec, samples: int | None, originals: Originals | None) -> Data:
        """Make them; as many of each class, give or take one."""
        count = _SAMPLES if samples is None else samples
        make = images if spec.kind == "image" else tokens

        def split(count: int, seed: int) -> Split:
            labels = np.arange(count, dtype=np.int32) % spec.classes
            return Split(make(spec, labels, seed), labels)

        return Data(split(count, seed=1), split(-(-count // 5), seed=2))


DATASETS = (Synthetic(),)
