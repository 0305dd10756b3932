"""scikit-learn's bundled digits, brought to the shape of MNIST.

The test part of E. Alpaydin and C. Kaynak's "Optical Recognition of Handwritten Digits" (UCI,
1998): 1,797 images of 8x8, values 0 to 16.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from velodrome.datasets.base import (
    Data,
    Dataset,
    InputSpec,
    Originals,
    Split,
    mixed_order,
)

_VALIDATION = 360


def enlarged(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring 8x8 images of 0 to 16 to 28x28 of 0 to 255 by bilinear interpolation.

    Pixels are areas (half-pixel centres: output i lies at (i + 1/2) * 8/28 - 1/2) and the border
    is repeated. All in integers, so that every machine makes the same bytes.

    Args:
        images: (n, 8, 8), whole numbers.

    Returns:
        (n, 28, 28, 1)
    """
    place = 4 * np.arange(28) - 5  # in fourteenths of an input pixel
    left, share = place // 14, place % 14
    weights = np.zeros((28, 8), np.int64)
    np.add.at(weights, (np.arange(28), np.clip(left, 0, 7)), 14 - share)
    np.add.at(weights, (np.arange(28), np.clip(left + 1, 0, 7)), share)
    sums = weights @ images.astype(np.int64) @ weights.T
    whole = 16 * 14 * 14
    return ((sums * 255 + whole // 2) // whole).astype(np.uint8)[..., None]


class Digits(Dataset):
    """1,437 training and 360 validation images, each class in its share in both."""

    name = "digits"
    summary = "scikit-learn's handwritten digits at 28x28 grey, 1,437 + 360, needs no network"

    def provides(self, wanted: InputSpec) -> InputSpec:
        """28x28x1 images in 10 classes, as MNIST."""
        return InputSpec("image", (28, 28, 1), 10)

    def arrays(self, spec: InputSpec, samples: int | None, originals: Originals | None) -> Data:
        """Enlarge the images; the first 360 in mixed order are for validation."""
        from sklearn.datasets import load_digits

        bundled = load_digits()
        x, y = enlarged(bundled.images), bundled.target.astype(np.int32)
        order = mixed_order(y)
        validation, train = order[:_VALIDATION], order[_VALIDATION:]
        return Data(Split(x[train], y[train]), Split(x[validation], y[validation]))


DATASETS = (Digits(),)
