import hashlib
import io
import os
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from velodrome import datasets
from velodrome.datasets import InputSpec, cifar10
from velodrome.datasets.base import Edition, File
from velodrome.datasets.cifar10 import Cifar10, read_batch, read_npz
from velodrome.errors import UserError

from .conftest import REAL_DATA

SPEC = InputSpec("image", (32, 32, 3), 10)
BATCHES = [*cifar10._TRAIN, *cifar10._TEST]


def python2_pickle(images: np.ndarray, labels: list[int]) -> bytes:
    """What Python 2 wrote into a batch file: its strings are bytes, its module names are old."""

    def string(value: bytes) -> bytes:
        return pickle.BINSTRING + struct.pack("<i", len(value)) + value

    def number(value: int) -> bytes:
        return pickle.BININT + struct.pack("<i", value)

    count, width = images.shape
    dtype = (
        b"cnumpy\ndtype\n" + string(b"u1") + number(0) + number(1) + b"\x87R"
        b"(" + number(3) + string(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    )
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        + number(0) + b"\x85" + string(b"b") + b"\x87R"
        b"(" + number(1) + number(count) + number(width) + b"\x86" + dtype + b"\x89"
        + string(images.tobytes()) + b"tb"
    )  # fmt: skip
    numbers = b"](" + b"".join(map(number, labels)) + b"e"
    return b"\x80\x02}(" + string(b"data") + array + string(b"labels") + numbers + b"u."


def images(seed: int) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (20, 3072)).astype(np.uint8)


CONTENTS = {
    name: python2_pickle(images(seed), [(seed + i) % 10 for i in range(20)])
    for seed, name in enumerate(BATCHES)
}


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cifar10:
    """CIFAR-10's code with 120 images of our own and their checksums."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, content in CONTENTS.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    (tmp_path / "made.tar.gz").write_bytes(archive.getvalue())
    dataset = Cifar10()
    dataset.editions = (  # type: ignore[misc]
        Edition("archive", (known("cifar-10-python.tar.gz", archive.getvalue()),)),
        Edition("batches", tuple(known(name, content) for name, content in CONTENTS.items())),
        *Cifar10.editions[2:],
    )
    monkeypatch.setenv("VELODROME_DATA", str(tmp_path / "data"))
    return dataset


def known(name: str, content: bytes) -> File:
    return File(name, len(content), hashlib.md5(content).hexdigest(), "md5")


def place(tmp_path: Path, folder: str) -> Path:
    path = tmp_path / "data" / folder
    path.mkdir(parents=True)
    return path


def assert_small(dataset: Cifar10) -> str:
    prepared = dataset.prepare(SPEC)
    assert prepared.note == ""
    data = datasets.load(prepared)
    assert data.train.x.shape == (100, 32, 32, 3)
    assert data.validation.x.shape == (20, 32, 32, 3)
    expected = images(5)[7].reshape(3, 32, 32)  # in the test batch, of label (5 + 7) % 10
    (at,) = np.flatnonzero((data.validation.x == expected.transpose(1, 2, 0)).all((1, 2, 3)))
    assert data.validation.y[at] == 2
    assert np.bincount(data.train.y).tolist() == [10] * 10
    return prepared.fingerprint


@pytest.mark.parametrize("folder", [".", "cifar10"])
def test_archive(small: Cifar10, tmp_path: Path, folder: str) -> None:
    (tmp_path / "made.tar.gz").rename(place(tmp_path, folder) / "cifar-10-python.tar.gz")
    assert_small(small)


@pytest.mark.parametrize(
    "folder", [".", "cifar10", "cifar-10-batches-py", "cifar10/cifar-10-batches-py"]
)
def test_batches_are_the_same_data_as_the_archive(
    small: Cifar10, tmp_path: Path, folder: str
) -> None:
    where = place(tmp_path, folder)
    for name, content in CONTENTS.items():
        (where / name).write_bytes(content)
    fingerprint = assert_small(small)
    for name in CONTENTS:
        (where / name).unlink()
    (tmp_path / "made.tar.gz").rename(where / "cifar-10-python.tar.gz")
    assert assert_small(small) == fingerprint


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_batch_of_another_checksum_is_never_unpickled(small: Cifar10, tmp_path: Path) -> None:
    where = place(tmp_path, "cifar10")
    for name, content in CONTENTS.items():
        (where / name).write_bytes(content)
    evil = tmp_path / "evil"
    (where / "data_batch_3").write_bytes(pickle.dumps(Payload(evil)))
    with pytest.raises(UserError, match="data_batch_3 is damaged or another file"):
        small.prepare(SPEC)
    assert not evil.exists()


def test_unpickling_calls_nothing(tmp_path: Path) -> None:
    evil = tmp_path / "evil"
    content = pickle.dumps({b"data": Payload(evil), b"labels": [1]})
    with pytest.raises(UserError, match="not a batch file"):
        read_batch(content)
    assert not evil.exists()
    pickle.loads(content)
    assert evil.exists(), "the payload is none"


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x02}.", pickle.dumps([1]), pickle.dumps({b"data": 1, b"labels": 2})]
)
def test_other_content_is_no_batch(content: bytes) -> None:
    with pytest.raises(UserError, match="not a batch file"):
        read_batch(content)


@pytest.fixture
def arrays(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Arrays of an npz file that count as the exact ones."""
    rng = np.random.RandomState(0)
    result = {
        "x_train": rng.randint(0, 256, (60, 32, 32, 3)).astype(np.uint8),
        "y_train": rng.randint(0, 10, 60).astype(np.uint8),
        "x_test": rng.randint(0, 256, (30, 32, 32, 3)).astype(np.uint8),
        "y_test": rng.randint(0, 10, 30).astype(np.uint8),
    }
    for part, count in (("train", 40), ("test", 10)):
        digests = [
            hashlib.sha256(result[name][:length].tobytes()).hexdigest()
            for name, length in ((f"x_{part}", count), (f"y_{part}", None))
        ]
        monkeypatch.setattr(cifar10, f"_{part.upper()}_CONTENT", (count, *digests))
    return result


@pytest.mark.parametrize("labels", ["(n,) uint8", "(n, 1) int64"])
def test_npz(
    arrays: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labels: str
) -> None:
    monkeypatch.setenv("VELODROME_DATA", str(tmp_path / "data"))
    if labels == "(n, 1) int64":
        for name in ("y_train", "y_test"):
            arrays[name] = arrays[name][:, None].astype(np.int64)
    np.savez(place(tmp_path, "cifar10") / "cifar10.npz", **arrays)
    prepared = Cifar10().prepare(SPEC)
    data = datasets.load(prepared)
    assert "npz" in prepared.note
    pairs = sorted(
        zip((x.tobytes() for x in arrays["x_train"]), arrays["y_train"].ravel(), strict=True)
    )
    assert pairs == sorted(zip((x.tobytes() for x in data.train.x), data.train.y, strict=True))


def test_npz_that_was_replaced_is_converted_anew(
    arrays: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VELODROME_DATA", str(tmp_path / "data"))
    path = place(tmp_path, "cifar10") / "cifar10.npz"
    np.savez(path, **arrays)
    before = Cifar10().prepare(SPEC)
    arrays["x_train"][-1] ^= 1  # beyond what is verified
    np.savez(path, **arrays)
    assert Cifar10().prepare(SPEC).fingerprint != before.fingerprint


@pytest.mark.parametrize("name", ["x_train", "y_train", "x_test", "y_test"])
def test_npz_of_other_content_is_refused(arrays: dict[str, Any], tmp_path: Path, name: str) -> None:
    arrays[name][0] ^= 1
    np.savez(tmp_path / "cifar10.npz", **arrays)
    with pytest.raises(UserError, match="not CIFAR-10's own pixels and labels"):
        read_npz(tmp_path / "cifar10.npz")


def test_npz_in_another_layout_is_refused(arrays: dict[str, Any], tmp_path: Path) -> None:
    arrays["x_test"] = arrays["x_test"].transpose(0, 3, 1, 2)
    np.savez(tmp_path / "cifar10.npz", **arrays)
    with pytest.raises(UserError, match=r"x_test is uint8 \(30, 3, 32, 32\)"):
        read_npz(tmp_path / "cifar10.npz")


def test_npz_without_an_array_is_refused(arrays: dict[str, Any], tmp_path: Path) -> None:
    del arrays["y_test"]
    np.savez(tmp_path / "cifar10.npz", **arrays)
    with pytest.raises(UserError, match="y_test"):
        read_npz(tmp_path / "cifar10.npz")


def test_npz_is_never_unpickled(arrays: dict[str, Any], tmp_path: Path) -> None:
    evil = tmp_path / "evil"
    arrays["y_test"] = np.array([Payload(evil)], dtype=object)
    np.savez(tmp_path / "cifar10.npz", **arrays)
    with pytest.raises(UserError):
        read_npz(tmp_path / "cifar10.npz")
    assert not evil.exists()


def test_content_digests_are_those_of_the_exact_images(originals: Callable[..., None]) -> None:
    originals("cifar10/cifar10_exact_subset.npz")
    exact = np.load(Path(str(REAL_DATA)) / "cifar10" / "cifar10_exact_subset.npz")
    for (count, pixels, labels), x, y in (
        (cifar10._TRAIN_CONTENT, exact["x_train"], exact["y_train_all"]),
        (cifar10._TEST_CONTENT, exact["x_test"], exact["y_test_all"]),
    ):
        assert cifar10._digest(x[:count]) == pixels
        assert cifar10._digest(y) == labels
    assert tuple(exact["label_names"]) == cifar10.CLASSES


def test_the_real_one(originals: Callable[..., None]) -> None:
    originals("cifar10/cifar-10-python.tar.gz")
    data = Cifar10().arrays(SPEC, None, Cifar10()._placed(Path("/nowhere")))
    assert np.bincount(data.train.y).tolist() == [5000] * 10
    for split, (count, pixels, labels) in (
        (data.train, cifar10._TRAIN_CONTENT),
        (data.validation, cifar10._TEST_CONTENT),
    ):
        assert cifar10._digest(split.x[:count]) == pixels
        assert cifar10._digest(split.y) == labels
