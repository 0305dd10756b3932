import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

from velodrome import datasets
from velodrome.datasets import InputSpec
from velodrome.datasets.digits import enlarged

SPEC = InputSpec("image", (28, 28, 1), 10)


def test_interpolation_is_the_bilinear_one() -> None:
    image = np.random.RandomState(3).randint(0, 17, (8, 8))
    place = (np.arange(28) + 0.5) * 8 / 28 - 0.5
    rows = np.array([np.interp(place, np.arange(8), row) for row in image])
    expected = np.array([np.interp(place, np.arange(8), column) for column in rows.T]).T
    result = enlarged(image[None])
    assert result.shape == (1, 28, 28, 1)
    assert result.dtype == np.uint8
    assert abs(result[0, ..., 0] - expected * 255 / 16).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (16, 255), (8, 128)])
def test_flat_images_stay_flat(value: int, expected: int) -> None:
    assert (enlarged(np.full((1, 8, 8), value)) == expected).all()


def test_split_is_fixed_whole_and_stratified() -> None:
    prepared = datasets.get("digits").prepare(SPEC)
    data = datasets.load(prepared)
    assert (prepared.train, prepared.validation) == (1437, 360)
    assert prepared.fingerprint == (
        "d7b180b451a8e220dfba22974582f02e14e4cefdd8d72033f53341652deaf258"
    )
    bundled = load_digits()
    both = np.concatenate([data.train.x, data.validation.x])
    assert sorted(image.tobytes() for image in both) == sorted(
        image.tobytes() for image in enlarged(bundled.images)
    )
    shares = np.bincount(bundled.target) * 360 / 1797
    assert (abs(np.bincount(data.validation.y) - shares) < 1).all()


def test_labels_belong_to_their_images() -> None:
    data = datasets.load(datasets.get("digits").prepare(SPEC))
    model = SGDClassifier(random_state=0)
    model.fit(data.train.x.reshape(-1, 784) / 255, data.train.y)
    assert model.score(data.validation.x.reshape(-1, 784) / 255, data.validation.y) > 0.9
