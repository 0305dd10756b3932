"""CIFAR-10: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009."""

import hashlib
import io
import pickle
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velodrome.datasets.base import Data, Dataset, Edition, File, InputSpec, Originals, Split
from velodrome.errors import UserError

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

_ARCHIVE = File(
    "cifar-10-python.tar.gz",
    170498071,
    "c58f30108f718f92721af3b95e74349a",
    "md5",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",),
)
_TRAIN = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
}
_TEST = {"test_batch": "40351d587109b95175f43aff81a1287e"}
_FOLDER = "cifar-10-batches-py"  # in the archive, and where it is unpacked
_NPZ = File("cifar10.npz")

# SHA-256 of what is known of the exact content, to tell it from copies that have lost some of it:
# the number of samples at the beginning, and their pixels and labels.
_TRAIN_CONTENT = (
    4000,
    "bac45b45504ed1289a3f437be4bfbefece248abbc094a428a0b4dfab00e776ae",
    "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
)
_TEST_CONTENT = (
    1017,
    "48bde46fb9080c13770d6a8c4163dc24cff90c2802470aa26c4d6c392faf50f3",
    "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
)


class _ArraysOnly(pickle.Unpickler):
    """Unpickles arrays and Python's own simple types, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """The three names that a pickled array uses; it lives in another module since numpy 2."""
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return np.empty(0).__reduce__()[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a batch of images")


def read_batch(content: bytes) -> Split:
    """Read one batch file: a pickled dictionary, made by Python 2.

    Its `data` is (n, 3072) uint8: the red plane, then the green, then the blue, each by rows.

    Raises:
        UserError: it is something else.
    """
    try:
        batch = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
        images, labels = batch[b"data"], batch[b"labels"]
        x = images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    except (pickle.UnpicklingError, AttributeError, EOFError, LookupError, TypeError, ValueError):
        raise UserError("this is not a batch file of CIFAR-10") from None
    return Split(x, np.array(labels, np.int32))


def read_npz(path: Path) -> Data:
    """Read `x_train`, `y_train`, `x_test`, `y_test` from an npz file, if they are CIFAR-10's.

    Raises:
        UserError: an array is missing or has another shape, or the pixels are not the exact ones.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            x, y, vx, vy = (arrays[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: {error}; put x_train, y_train, x_test, y_test in it") from None
    for name, images, labels, (known, pixels_digest, labels_digest) in (
        ("train", x, y, _TRAIN_CONTENT),
        ("test", vx, vy, _TEST_CONTENT),
    ):
        if images.dtype != np.uint8 or images.shape != (labels.size, 32, 32, 3):
            raise UserError(
                f"{path}: x_{name} is {images.dtype} {images.shape}, not uint8 (n, 32, 32, 3)"
            )
        if (_digest(images[:known]), _digest(labels)) != (pixels_digest, labels_digest):
            raise UserError(
                f"{path}: x_{name} and y_{name} are not CIFAR-10's own pixels and labels in its "
                "own order (re-encoded as JPEG, say)"
            )
    return Data(
        Split(x, y.ravel().astype(np.int32)),
        Split(vx, vy.ravel().astype(np.int32)),
    )


def _digest(array: NDArray[Any]) -> str:
    return hashlib.sha256(array.astype(np.uint8).tobytes()).hexdigest()


def _from_batches(read: Callable[[str], bytes]) -> Data:
    batches = [read_batch(read(name)) for name in _TRAIN]
    train = Split(
        np.concatenate([batch.x for batch in batches]),
        np.concatenate([batch.y for batch in batches]),
    )
    (test,) = (read_batch(read(name)) for name in _TEST)
    return Data(train, test)


def _from_archive(paths: Mapping[str, Path]) -> Data:
    with tarfile.open(paths[_ARCHIVE.name]) as archive:

        def read(name: str) -> bytes:
            member = archive.extractfile(f"{_FOLDER}/{name}")
            assert member is not None
            return member.read()

        return _from_batches(read)


class Cifar10(Dataset):
    """50,000 training and 10,000 validation images, the split it is published with."""

    name = "cifar10"
    summary = "photographs of ten things, 32x32 RGB, 50,000 + 10,000, downloaded (163 MiB)"
    editions = (
        Edition("archive", (_ARCHIVE,)),
        Edition(
            "batches",
            tuple(
                File(name, digest=digest, algorithm="md5")
                for name, digest in (_TRAIN | _TEST).items()
            ),
        ),
        Edition(
            "npz",
            (_NPZ,),
            note="CIFAR-10 from an npz file; only its labels and 5,017 of its images were verified",
        ),
    )
    folders = (_FOLDER, f"cifar10/{_FOLDER}")

    def provides(self, wanted: InputSpec) -> InputSpec:
        """32x32x3 images in 10 classes."""
        return InputSpec("image", (32, 32, 3), 10)

    def arrays(self, spec: InputSpec, samples: int | None, originals: Originals | None) -> Data:
        """Read the edition at hand."""
        assert originals is not None
        paths = originals.paths
        if _ARCHIVE.name in paths:
            return _from_archive(paths)
        if _NPZ.name in paths:
            return read_npz(paths[_NPZ.name])
        return _from_batches(lambda name: paths[name].read_bytes())


DATASETS = (Cifar10(),)
