import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from velodrome import datasets
from velodrome import download as download_module
from velodrome.datasets import InputSpec
from velodrome.datasets.base import Edition, File
from velodrome.datasets.mnist import Mnist, read_idx
from velodrome.errors import UserError

from .conftest import REAL_DATA, Server
from .test_download import breaks_off, fails, serve, wrong_bytes

SPEC = InputSpec("image", (28, 28, 1), 10)
NAMES = [file.name for file in Mnist.editions[0].files]


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)


CONTENTS = dict(
    zip(
        NAMES,
        [
            idx(np.arange(40 * 784).reshape(40, 28, 28) % 251),
            idx(np.arange(40) % 10),
            idx(np.arange(20 * 784).reshape(20, 28, 28) % 241),
            idx(np.arange(20) % 10),
        ],
        strict=True,
    )
)


@pytest.fixture
def small(server: Server) -> Mnist:
    """MNIST's code with sixty images of our own, served on loopback."""

    def answer(content: bytes) -> Callable[..., None]:
        return lambda handler, _: serve(handler, content)

    server.answers = {f"/{name}": [answer(content)] for name, content in CONTENTS.items()}
    dataset = Mnist()
    files = tuple(
        File(
            name,
            len(content),
            hashlib.sha256(content).hexdigest(),
            urls=(server.url(f"/gone/{name}"), server.url(f"/{name}")),
        )
        for name, content in CONTENTS.items()
    )
    server.answers |= {f"/gone/{name}": [fails(404)] for name in CONTENTS}
    dataset.editions = (Edition("idx", files),)  # type: ignore[misc]
    return dataset


def assert_small(dataset: Mnist) -> None:
    data = datasets.load(dataset.prepare(SPEC))
    assert [len(split.y) for split in data] == [40, 20]
    first = int(np.flatnonzero(data.train.x[:, 0, 0, 0] == 0)[0])
    assert data.train.y[first] == 0
    assert (data.train.x[first].ravel() == np.arange(784) % 251).all()


def test_downloaded_from_the_mirror_that_has_it(small: Mnist, server: Server, cache: Path) -> None:
    assert_small(small)
    assert [path for path, _ in server.requests] == [
        f"{prefix}/{name}" for name in NAMES for prefix in ("/gone", "")
    ]
    assert_small(small)
    assert len(server.requests) == 8
    kept = {path.name for path in (cache / "datasets" / "mnist").glob("*.gz")}
    assert kept == set(NAMES)


@pytest.mark.parametrize("folder", [".", "mnist"])
def test_files_in_the_users_folder_need_no_network(
    small: Mnist, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    place = tmp_path / "data" / folder
    place.mkdir(parents=True)
    for name, content in CONTENTS.items():
        (place / name).write_bytes(content)
    monkeypatch.setenv("VELODROME_DATA", str(tmp_path / "data"))
    assert_small(small)
    assert server.requests == []
    for name in NAMES:  # what was converted serves without its originals
        (place / name).unlink()
    assert_small(small)
    assert server.requests == []


def test_only_what_the_user_lacks_is_downloaded(
    small: Mnist, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES[1:]:
        (tmp_path / name).write_bytes(CONTENTS[name])
    monkeypatch.setenv("VELODROME_DATA", str(tmp_path))
    assert_small(small)
    assert {path for path, _ in server.requests} == {f"/gone/{NAMES[0]}", f"/{NAMES[0]}"}


def test_users_folder_that_is_none_is_named(
    small: Mnist, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VELODROME_DATA", str(tmp_path / "datta"))
    with pytest.raises(UserError, match=r"VELODROME_DATA names .*datta, which is no folder"):
        small.prepare(SPEC)
    assert server.requests == []


def test_damaged_file_of_the_user_is_named(
    small: Mnist, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / NAMES[2]).write_bytes(CONTENTS[NAMES[2]][:-1] + b"!")
    monkeypatch.setenv("VELODROME_DATA", str(tmp_path))
    with pytest.raises(UserError, match=f"{NAMES[2]} is damaged or another file"):
        small.prepare(SPEC)
    assert server.requests == []


def test_broken_off_download_leaves_no_file_and_is_resumed(
    small: Mnist, server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_module, "_PAUSE", 0.0)
    path = f"/{NAMES[0]}"
    good = server.answers[path]
    content = CONTENTS[NAMES[0]] + bytes(20_000)
    server.answers[path] = [lambda handler, _: breaks_off(100)(handler, content)]
    broken = msgspec.structs.replace(
        small.editions[0].files[0], size=len(content), digest=hashlib.sha256(content).hexdigest()
    )
    edition = small.editions[0]
    server.answers[path] = [lambda handler, _: breaks_off(100)(handler, content), fails(500)]
    small.editions = (  # type: ignore[misc]
        msgspec.structs.replace(edition, files=(broken, *edition.files[1:])),
    )
    with pytest.raises(UserError, match="HTTP 500"):
        small.prepare(SPEC)
    assert not (cache / "datasets" / "mnist" / NAMES[0]).exists()
    server.answers[path] = good
    small.editions = (edition,)  # type: ignore[misc]
    server.requests.clear()
    assert_small(small)
    assert (path, "bytes=100-") in server.requests


def test_wrong_bytes_from_every_mirror(small: Mnist, server: Server, cache: Path) -> None:
    name = NAMES[1]
    server.answers[f"/{name}"] = [lambda handler, _: wrong_bytes(handler, CONTENTS[name])]
    with pytest.raises(UserError, match="sha256"):
        small.prepare(SPEC)
    assert not (cache / "datasets" / "mnist" / name).exists()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", "no IDX file"),
        (b"<html>", "no IDX file"),
        (b"\0\0\x08\x01\0\0\0\x03ab", "2 values, its header says 3"),
    ],
)
def test_other_formats_are_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "file.gz").write_bytes(gzip.compress(content))
    with pytest.raises(UserError, match=complaint):
        read_idx(tmp_path / "file.gz")


def test_the_real_one(originals: Callable[..., None]) -> None:
    originals(*(f"mnist/{name}" for name in NAMES))
    prepared = datasets.get("mnist").prepare(SPEC)
    data = datasets.load(prepared)
    assert prepared.note == ""
    assert prepared.fingerprint == (
        "10d70263954c20ae95bd976571176698b365ccbb085b38c467826f8e23914ae2"
    )
    assert data.train.x.shape == (60000, 28, 28, 1)
    assert data.validation.x.shape == (10000, 28, 28, 1)
    assert np.bincount(data.train.y).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert np.bincount(data.validation.y).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    assert data.train.x.mean() / 255 == pytest.approx(0.13066, abs=1e-5)
    assert data.train.x.std() / 255 == pytest.approx(0.30811, abs=1e-5)
    assert data.validation.x.mean() / 255 == pytest.approx(0.13251, abs=1e-5)
    images = read_idx(Path(str(REAL_DATA)) / "mnist" / NAMES[0])
    labels = read_idx(Path(str(REAL_DATA)) / "mnist" / NAMES[1])
    pairs = {(image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)}
    assert pairs == {(x.tobytes(), int(y)) for x, y in zip(*data.train, strict=True)}


def test_a_limit_keeps_the_digits_in_proportion(originals: Callable[..., None]) -> None:
    originals(*(f"mnist/{name}" for name in NAMES))
    data = datasets.load(datasets.get("mnist").prepare(SPEC, samples=600), 600)
    assert len(data.validation.y) == 100
    shares = np.array([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]) / 100
    assert (abs(np.bincount(data.train.y) - shares) <= 1).all()
