import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from velodrome import datasets, workloads
from velodrome.datasets import InputSpec
from velodrome.datasets.base import Edition, File
from velodrome.datasets.imdb import Imdb, ImdbRebuilt, encoded, read_npz
from velodrome.download import checksum
from velodrome.errors import UserError

from .conftest import REAL_DATA

SPEC = InputSpec("tokens", (500,), 2, 5000)
REVIEWS = st.lists(st.lists(st.integers(1, 40), max_size=30), min_size=1, max_size=8)


def one_by_one(review: list[int], length: int, vocabulary: int) -> list[int]:
    """The rule as Keras documents it: mark, shift, replace, truncate, pad."""
    marked = [1] + [rank + 3 for rank in review]
    known = [word if word < vocabulary else 2 for word in marked]
    cut = known[max(0, len(known) - length) :]
    return [0] * (length - len(cut)) + cut


@given(REVIEWS, st.integers(1, 35), st.integers(4, 50))
def test_encoding(reviews: list[list[int]], length: int, vocabulary: int) -> None:
    result = encoded(reviews, length, vocabulary)
    assert result.dtype == np.int32
    assert result.shape == (len(reviews), length)
    assert result.tolist() == [one_by_one(review, length, vocabulary) for review in reviews]


def test_encoding_by_example() -> None:
    assert encoded([[1, 9, 4], [5, 6, 7, 8]], 5, 12).tolist() == [
        [0, 1, 4, 2, 7],
        [1, 8, 9, 10, 11],
    ]
    assert encoded([[5, 6, 7, 8]], 4, 12).tolist() == [[8, 9, 10, 11]]
    assert encoded([[5, 6, 7, 8]], 2, 10).tolist() == [[2, 2]]


def save(path: Path, reviews: list[Any]) -> None:
    labels = np.arange(len(reviews)) % 2
    x = np.empty(len(reviews), object)
    x[:] = reviews
    np.savez(path, x_train=x, y_train=labels, x_test=x[:4], y_test=labels[:4])


def small(path: Path) -> Imdb:
    dataset = Imdb()
    file = File("imdb.npz", path.stat().st_size, checksum(path))
    dataset.editions = (*Imdb.editions, Edition("small", (file,), note="small"))  # type: ignore[assignment, misc]
    return dataset


def test_length_and_vocabulary_are_the_workloads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "imdb.npz", [[i + 1] * (i + 1) for i in range(20)])
    monkeypatch.setenv("VELODROME_DATA", str(tmp_path))
    dataset = small(tmp_path / "imdb.npz")
    fingerprints = set()
    for length, vocabulary in ((10, 100), (12, 100), (10, 8)):
        spec = InputSpec("tokens", (length,), 2, vocabulary)
        prepared = dataset.prepare(spec)
        data = datasets.load(prepared)
        assert (prepared.shape, prepared.vocabulary) == ((length,), vocabulary)
        assert (prepared.train, prepared.validation, prepared.note) == (20, 4, "small")
        assert data.train.x.shape == (20, length)
        assert data.train.x.max() < vocabulary
        assert ((data.train.x == 0).sum(1) == np.maximum(length - 2 - sizes(data.train), 0)).all()
        fingerprints.add(prepared.fingerprint)
    assert len(fingerprints) == 3


def sizes(split: datasets.Split) -> Any:
    """Words besides the start and one other, for each text."""
    return (split.x != 0).sum(axis=1, dtype=np.int64) - 2


def test_another_file_of_that_name_is_never_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "evil"),)

    save(tmp_path / "imdb.npz", [[1], Payload(), [2], [3]])
    monkeypatch.setenv("VELODROME_DATA", str(tmp_path))
    with pytest.raises(UserError, match=r"imdb\.npz is damaged or another file"):
        Imdb().prepare(SPEC)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "wanted", [InputSpec("image", (28, 28, 1), 10), InputSpec("tokens", (500,), 3, 5000)]
)
def test_other_workloads_are_refused(wanted: InputSpec) -> None:
    with pytest.raises(UserError, match="data set imdb has 500 tokens of 5000 words in 2 classes"):
        Imdb().prepare(wanted)


@pytest.mark.parametrize("workload", ["imdb-rnn", "transformer-imdb"])
def test_the_rebuilt_one_suits_the_workloads_of_the_other(workload: str) -> None:
    datasets.get("imdb-rebuilt").check(workloads.get(workload).takes())


def test_the_rebuilt_one_is_never_taken_for_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "imdb" / "imdb.npz"
    path.parent.mkdir()
    save(path, [[1], [2], [3], [4]])
    file = File("imdb.npz", path.stat().st_size, checksum(path))
    monkeypatch.setattr(ImdbRebuilt, "editions", (Edition("npz", (file,)),))
    monkeypatch.setenv("VELODROME_DATA", str(tmp_path))
    with pytest.raises(UserError, match=r"is data set imdb-rebuilt, not imdb: choose --dataset"):
        datasets.get("imdb").prepare(SPEC)
    assert datasets.get("imdb-rebuilt").prepare(SPEC).name == "imdb-rebuilt"


@pytest.mark.parametrize("dataset", [Imdb(), ImdbRebuilt()])
def test_the_real_one(dataset: Imdb, originals: Callable[..., None]) -> None:
    originals("imdb/imdb.npz")
    path = Path(str(REAL_DATA)) / "imdb" / "imdb.npz"
    if checksum(path) != dataset.editions[0].files[0].digest:
        with pytest.raises(UserError, match="choose --dataset imdb"):
            dataset.prepare(SPEC)
        return
    prepared = dataset.prepare(SPEC)
    assert prepared.name == dataset.name
    assert bool(prepared.note) == (dataset.name == "imdb-rebuilt")
    assert (prepared.train, prepared.validation) == (25000, 25000)
    assert prepared.fingerprint == (
        "64de2be05a220c4d79b5daff56fb65e8a5fabbb4e981d836f24b37c0363b7251"
    )
    data = datasets.load(prepared)
    for split in data:
        assert np.bincount(split.y).tolist() == [12500, 12500]
        assert split.x.min() == 0
        assert split.x.max() == 4999
        assert not (split.x == 3).any(), "the number between unknown and the first word"
        assert (split.x[:, -1] > 0).all()
    assert np.bincount(datasets.load(prepared, 64).train.y).tolist() == [32, 32]
    x, y, _, _ = read_npz(path)
    lengths = np.array([len(review) + 1 for review in x])
    assert (lengths.mean(), lengths.max(), lengths.min()) == (
        pytest.approx(238.71, abs=0.01),
        2494,
        11,
    )
    shuffled = np.arange(25000)
    np.random.RandomState(113).shuffle(shuffled)  # as load_data of Keras does
    assert lengths[shuffled[:10]].tolist() == [218, 189, 141, 550, 147, 43, 123, 562, 233, 130]
    assert y[shuffled[:10]].tolist() == [1, 0, 0, 1, 0, 0, 1, 0, 1, 0]
