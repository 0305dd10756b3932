import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from velodrome import datasets
from velodrome.datasets import InputSpec
from velodrome.datasets.cifar10 import Cifar10, read_npz
from velodrome.datasets.cifar10_jpeg import Cifar10Jpeg, read_images
from velodrome.errors import UserError

from .conftest import REAL_DATA

SPEC = InputSpec("image", (32, 32, 3), 10)
ZIP = "cifar10/cifar10_jpeg.zip"
SUBSET = "cifar10/cifar10_exact_subset.npz"


def archive_of(images: dict[str, Image.Image]) -> zipfile.ZipFile:
    archive = zipfile.ZipFile(io.BytesIO(), "w")
    for name, image in images.items():
        file = io.BytesIO()
        image.save(file, "JPEG", quality=95)
        archive.writestr(name, file.getvalue())
    return archive


def test_images_come_in_the_order_of_their_numbers_with_their_class() -> None:
    archive = archive_of(
        {
            "train/00001_ship.jpg": Image.new("RGB", (32, 32), (200, 0, 0)),
            "test/00000_frog.jpg": Image.new("RGB", (32, 32), (9, 9, 9)),
            "train/00000_airplane.jpg": Image.new("RGB", (32, 32), (0, 0, 200)),
        }
    )
    split = read_images(archive, "train")
    assert split.y.tolist() == [0, 8]
    expected = np.array([[0, 0, 200], [200, 0, 0]])
    assert abs(split.x.astype(int) - expected[:, None, None]).max() <= 3


@pytest.mark.parametrize(("mode", "size"), [("L", (32, 32)), ("RGB", (32, 16))])
def test_other_images_are_refused(mode: str, size: tuple[int, int]) -> None:
    archive = archive_of({"train/00000_ship.jpg": Image.new(mode, size)})
    with pytest.raises(UserError, match="00000_ship"):
        read_images(archive, "train")


def test_not_there_and_not_to_be_downloaded() -> None:
    with pytest.raises(UserError, match=r"no public address.*put cifar10_jpeg\.zip into"):
        Cifar10Jpeg().prepare(SPEC)


def test_the_real_one(originals: Callable[..., None]) -> None:
    originals(ZIP)
    prepared = datasets.get("cifar10-jpeg").prepare(SPEC)
    assert prepared.name == "cifar10-jpeg"
    assert prepared.note == "CIFAR-10 re-encoded as JPEG: not comparable with published accuracies"
    assert prepared.fingerprint == (
        "a2a595cfea74c6fe55a661c3b38633ded539196e7af4ccd81864e233681ff175"
    )
    data = datasets.load(prepared)
    assert np.bincount(data.train.y).tolist() == [5000] * 10
    assert np.bincount(data.validation.y).tolist() == [1000] * 10
    means = [[125.27, 122.93, 113.86], [125.99, 123.69, 114.85]]
    for split, expected in zip(data, means, strict=True):
        assert split.x.mean((0, 1, 2)) == pytest.approx(expected, abs=0.01)
    assert np.bincount(datasets.load(prepared, 100).train.y).tolist() == [10] * 10


def test_it_is_near_the_exact_images_but_never_taken_for_them(
    originals: Callable[..., None], tmp_path: Path
) -> None:
    originals(ZIP, SUBSET)
    exact = np.load(Path(str(REAL_DATA)) / SUBSET)
    with zipfile.ZipFile(Path(str(REAL_DATA)) / ZIP) as archive:
        test = read_images(archive, "test")
    assert (test.y == exact["y_test_all"]).all()
    error = abs(test.x[exact["i_test"]].astype(int) - exact["x_test"]).mean()
    assert error == pytest.approx(5.8, abs=0.2)
    train = np.zeros((50000, 32, 32, 3), np.uint8)
    train[exact["i_train"]] = exact["x_train"]
    labels = {"y_train": exact["y_train_all"], "y_test": exact["y_test_all"]}
    np.savez(tmp_path / "cifar10.npz", x_train=train, x_test=test.x, **labels)
    with pytest.raises(UserError, match="x_test and y_test are not CIFAR-10's own"):
        read_npz(tmp_path / "cifar10.npz")
    test.x[exact["i_test"]] = exact["x_test"]
    np.savez(tmp_path / "cifar10.npz", x_train=train, x_test=test.x, **labels)
    read_npz(tmp_path / "cifar10.npz")


def test_its_archive_alone_is_not_cifar10(originals: Callable[..., None], cache: Path) -> None:
    originals(ZIP)
    assert Cifar10()._placed(cache) is None
