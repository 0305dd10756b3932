"""IMDB film reviews, as Keras encodes them.

Maas et al., "Learning Word Vectors for Sentiment Analysis", ACL 2011. A word's number is its rank
by frequency in the training reviews.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velodrome.datasets.base import Data, Dataset, Edition, File, InputSpec, Originals, Split

_START, _UNKNOWN, _OFFSET = 1, 2, 3  # the defaults of keras.datasets.imdb.load_data

_NAME = "imdb.npz"
_KERAS = File(
    _NAME,
    17464789,
    "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f",
    urls=("https://storage.googleapis.com/tensorflow/tf-keras-datasets/imdb.npz",),
)
_REBUILT = File(_NAME, 17464916, "7b6652e7d9ce755457171b90d57c7a884cb422c0866035351ce96775a8839556")


def encoded(reviews: Sequence[Sequence[int]], length: int, vocabulary: int) -> NDArray[np.int32]:
    """Bring reviews to one length, as `load_data` and `pad_sequences` of Keras do by default.

    A review becomes 1 (start), then rank + 3 for each word, and 2 where that is `vocabulary` or
    more. A longer one keeps its end, a shorter one is preceded by 0.

    Args:
        reviews: word ranks, from 1.
        length: words of the result.
        vocabulary: all numbers of the result are below it.

    Returns:
        (reviews, length)
    """
    result = np.zeros((len(reviews), length), np.int32)
    for row, review in zip(result, reviews, strict=True):
        words = np.array(review[-length:], np.int32) + _OFFSET
        words[words >= vocabulary] = _UNKNOWN
        row[length - len(words) :] = words
        if len(review) < length:
            row[length - len(review) - 1] = _START
    return result


def read_npz(path: Path) -> tuple[NDArray[Any], ...]:
    """`x_train`, `y_train`, `x_test`, `y_test`. This unpickles: for verified files only."""
    with np.load(path, allow_pickle=True) as arrays:
        return tuple(arrays[name] for name in ("x_train", "y_train", "x_test", "y_test"))


class Imdb(Dataset):
    """25,000 training and 25,000 validation reviews, half of each positive (label 1).

    The workload says to how many words they are brought and how large the vocabulary is.
    """

    name = "imdb"
    summary = "film reviews, positive or negative, 25,000 + 25,000, downloaded (17 MiB)"
    editions = (Edition("keras", (_KERAS,)),)

    def provides(self, wanted: InputSpec) -> InputSpec:
        """Two classes of texts, in the length and vocabulary wanted; else Keras's example's."""
        if wanted.vocabulary is None:
            return InputSpec("tokens", (500,), 2, 5000)
        return InputSpec("tokens", wanted.shape, 2, max(wanted.vocabulary, _OFFSET + 1))

    def arrays(self, spec: InputSpec, samples: int | None, originals: Originals | None) -> Data:
        """Encode the reviews."""
        assert originals is not None
        assert spec.vocabulary is not None
        x, y, vx, vy = read_npz(originals.paths[_NAME])
        (length,) = spec.shape
        return Data(
            Split(encoded(x.tolist(), length, spec.vocabulary), y.astype(np.int32)),
            Split(encoded(vx.tolist(), length, spec.vocabulary), vy.astype(np.int32)),
        )


class ImdbRebuilt(Imdb):
    """The same reviews, put together anew: another data set than IMDB, under a name of its own."""

    name = "imdb-rebuilt"
    summary = "film reviews as in imdb, but rebuilt, from its own imdb.npz in VELODROME_DATA"
    editions = (
        Edition(
            "npz",
            (_REBUILT,),
            note="IMDB rebuilt from the reviews and Keras's word index: not Keras's own file",
        ),
    )
    folders = ("imdb",)


DATASETS = (Imdb(), ImdbRebuilt())
