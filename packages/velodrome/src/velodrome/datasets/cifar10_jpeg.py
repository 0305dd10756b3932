"""CIFAR-10 re-encoded as JPEG: another data set than CIFAR-10, under a name of its own."""

import re
import zipfile

import numpy as np

from velodrome.datasets.base import Data, Dataset, Edition, File, InputSpec, Originals, Split
from velodrome.datasets.cifar10 import CLASSES
from velodrome.errors import UserError

_ZIP = File(
    "cifar10_jpeg.zip",
    62310935,
    "d87da4d10e6bcaeda03243d8f6a4e537db5d8eea03deb641c6cd1745bcdf04fd",
)


def read_images(archive: zipfile.ZipFile, part: str) -> Split:
    """Decode the images `<part>/<number>_<class>.jpg`, in the order of their numbers.

    Raises:
        UserError: an image is not 32x32 RGB.
    """
    from PIL import Image

    members = sorted(name for name in archive.namelist() if name.startswith(f"{part}/"))
    x = np.empty((len(members), 32, 32, 3), np.uint8)
    y = np.empty(len(members), np.int32)
    for index, member in enumerate(members):
        with archive.open(member) as file, Image.open(file) as image:
            if (image.size, image.mode) != ((32, 32), "RGB"):
                raise UserError(f"{member}: {image.mode} {image.size}, not RGB (32, 32)")
            x[index] = np.asarray(image)
        y[index] = CLASSES.index(re.split(r"[_.]", member)[-2])
    return Split(x, y)


class Cifar10Jpeg(Dataset):
    """All 60,000 images of CIFAR-10, lossy: about 6 of 255 off, on average.

    What the pixels are also rests on the JPEG decoder; the fingerprint is that of libjpeg-turbo,
    which Pillow's wheels carry.
    """

    name = "cifar10-jpeg"
    summary = "CIFAR-10 re-encoded as JPEG (lossy), from cifar10_jpeg.zip in VELODROME_DATA"
    editions = (
        Edition(
            "zip",
            (_ZIP,),
            note="CIFAR-10 re-encoded as JPEG: not comparable with published accuracies",
        ),
    )
    folders = ("cifar10",)

    def provides(self, wanted: InputSpec) -> InputSpec:
        """32x32x3 images in 10 classes, as CIFAR-10."""
        return InputSpec("image", (32, 32, 3), 10)

    def arrays(self, spec: InputSpec, samples: int | None, originals: Originals | None) -> Data:
        """Decode the images in the archive."""
        assert originals is not None
        with zipfile.ZipFile(originals.paths[_ZIP.name]) as archive:
            return Data(read_images(archive, "train"), read_images(archive, "test"))


DATASETS = (Cifar10Jpeg(),)
