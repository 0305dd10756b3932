import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import SGDClassifier

from velodrome import datasets
from velodrome.datasets import InputSpec
from velodrome.datasets.synthetic import images, tokens
from velodrome.errors import UserError

DIGITS = InputSpec("image", (28, 28, 1), 10)
REVIEWS = InputSpec("tokens", (500,), 2, 5000)
SIDE = st.integers(1, 40)


@given(
    st.builds(
        lambda height, width, channels, classes: InputSpec(
            "image", (height, width, channels), classes
        ),
        SIDE,
        SIDE,
        st.integers(1, 4),
        st.integers(2, 30),
    ),
    st.integers(1, 50),
)
def test_images_of_any_shape(spec: InputSpec, count: int) -> None:
    labels = np.arange(count, dtype=np.int32) % spec.classes
    result = images(spec, labels, seed=1)
    assert result.shape == (count, *spec.shape)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, images(spec, labels, seed=1))


@given(
    st.builds(
        lambda length, classes, more: InputSpec("tokens", (length,), classes, classes + more),
        SIDE,
        st.integers(2, 30),
        st.integers(1, 1000),
    ),
    st.integers(1, 50),
)
def test_tokens_of_any_length(spec: InputSpec, count: int) -> None:
    result = tokens(spec, np.arange(count, dtype=np.int32) % spec.classes, seed=1)
    assert result.shape == (count, *spec.shape)
    assert result.dtype == np.int32
    assert result.min() >= 0
    assert result.max() < spec.vocabulary
    padding = result == 0
    assert (padding == (np.cumsum(~padding, axis=1) == 0)).all(), "padding comes first, once"
    assert (padding.sum(axis=1) <= spec.shape[0] // 2).all()


def test_as_many_as_asked_for_with_all_classes() -> None:
    prepared = datasets.get("synthetic").prepare(DIGITS, samples=130)
    data = datasets.load(prepared, 130)
    assert (prepared.train, prepared.validation) == (130, 26)
    assert np.bincount(data.train.y).tolist() == [13] * 10
    assert set(data.validation.y) == set(range(10))


def test_default_count() -> None:
    prepared = datasets.get("synthetic").prepare(DIGITS)
    assert (prepared.train, prepared.validation) == (10_000, 2_000)


def test_the_same_on_every_machine() -> None:
    assert [
        datasets.get("synthetic").prepare(spec, samples=50).fingerprint
        for spec in (DIGITS, REVIEWS)
    ] == [
        "34626307f6a1f0d2d88cf980838024911b38680f22d8f7629269288d270c2941",
        "0f9b37d2faf92c7f90a77b08cd0490b34c7f1d4bd7f7a1d1168b062658316ca5",
    ]


def test_training_and_validation_samples_differ() -> None:
    data = datasets.load(datasets.get("synthetic").prepare(DIGITS, samples=100))
    train = {image.tobytes() for image in data.train.x}
    assert len(train) == 100
    assert train.isdisjoint(image.tobytes() for image in data.validation.x)


def test_images_can_be_learned_but_not_by_heart() -> None:
    data = datasets.load(datasets.get("synthetic").prepare(DIGITS, samples=3000))
    model = SGDClassifier(random_state=0)
    model.fit(data.train.x.reshape(-1, 784) / 255, data.train.y)
    assert model.score(data.validation.x.reshape(-1, 784) / 255, data.validation.y) > 0.8


def test_tokens_can_be_learned_from_the_words() -> None:
    data = datasets.load(datasets.get("synthetic").prepare(REVIEWS, samples=1000))

    def counts(x: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(text, minlength=5000) for text in x])

    model = SGDClassifier(random_state=0).fit(counts(data.train.x), data.train.y)
    assert model.score(counts(data.validation.x), data.validation.y) > 0.95


def test_too_small_a_vocabulary_is_refused() -> None:
    with pytest.raises(UserError, match=r"of 11 words in 10 classes.* of 5 words"):
        datasets.get("synthetic").prepare(InputSpec("tokens", (20,), 10, 5))
