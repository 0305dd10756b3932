"""MNIST: LeCun, Cortes, Burges; "Gradient-based learning applied to document recognition", 1998."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velodrome.datasets.base import Data, Dataset, Edition, File, InputSpec, Originals, Split
from velodrome.errors import UserError

_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
_FILES = (
    ("train-images", 9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
    ("train-labels", 28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    ("t10k-images", 1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
    ("t10k-labels", 4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
)


def _file_name(part: str) -> str:
    dimensions = 3 if part.endswith("images") else 1
    return f"{part}-idx{dimensions}-ubyte.gz"


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read a gzipped IDX file of unsigned bytes, of any number of dimensions.

    The format: two zero bytes, the type (8: unsigned byte), the number of dimensions, each
    dimension as a big-endian 32-bit integer, then the values, the last index fastest.

    Raises:
        UserError: it is another format, or its length contradicts its header.
    """
    content = gzip.decompress(path.read_bytes())
    if content[:3] != b"\0\0\x08":
        raise UserError(f"{path} is no IDX file of unsigned bytes")
    header = 4 + 4 * content[3]
    shape = np.frombuffer(content[4:header], ">u4").astype(np.int64)
    values = np.frombuffer(content, np.uint8, offset=header)
    if values.size != shape.prod():
        raise UserError(f"{path} has {values.size} values, its header says {shape.prod()}")
    return values.reshape(shape)


class Mnist(Dataset):
    """60,000 training and 10,000 validation images, the split it is published with."""

    name = "mnist"
    summary = "handwritten digits, 28x28 grey, 60,000 + 10,000, downloaded (11 MiB)"
    editions = (
        Edition(
            "idx",
            tuple(
                File(
                    _file_name(part),
                    size,
                    digest,
                    urls=tuple(mirror + _file_name(part) for mirror in _MIRRORS),
                )
                for part, size, digest in _FILES
            ),
        ),
    )

    def provides(self, wanted: InputSpec) -> InputSpec:
        """28x28x1 images in 10 classes."""
        return InputSpec("image", (28, 28, 1), 10)

    def arrays(self, spec: InputSpec, samples: int | None, originals: Originals | None) -> Data:
        """Read the four IDX files."""
        assert originals is not None

        def read(part: str) -> NDArray[Any]:
            return read_idx(originals.paths[_file_name(part)])

        return Data(
            Split(read("train-images")[..., None], read("train-labels").astype(np.int32)),
            Split(read("t10k-images")[..., None], read("t10k-labels").astype(np.int32)),
        )


DATASETS = (Mnist(),)
