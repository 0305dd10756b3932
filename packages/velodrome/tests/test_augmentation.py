"""What augmentation does to images, which engines cannot be compared on step by step."""

import numpy as np

from velodrome.worker.augmentation import augmented
from velodrome.workloads.recipe import Recipe

SHIFTED = Recipe(learning_rate=0.1, shift=0.1)
FLIPPED = Recipe(learning_rate=0.1, flip=True)


def numbered(count: int, side: int = 20) -> np.ndarray:
    """Images whose pixels tell where they were."""
    image = np.arange(side * side, dtype=np.float32).reshape(1, side, side, 1)
    return np.repeat(image, count, 0)


def test_shifts_are_even_within_a_tenth_and_repeat_edges() -> None:
    images = augmented(numbered(6000), SHIFTED, np.random.default_rng(0))
    assert images.shape == (6000, 20, 20, 1)
    rows, columns = np.divmod(images[:, 10, 10, 0], 20)
    for shifts in (rows - 10, columns - 10):
        found, counts = np.unique(shifts, return_counts=True)
        np.testing.assert_array_equal(found, [-2, -1, 0, 1, 2])
        # Rounding gives the outermost shifts half a share.
        np.testing.assert_allclose(counts / 6000, [0.125, 0.25, 0.25, 0.25, 0.125], atol=0.02)
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 0.04
    down = images[rows == 12][0, :, :, 0]
    np.testing.assert_array_equal(down[-1], down[-2])
    np.testing.assert_array_equal(down[-1], down[-3])


def test_half_of_the_images_are_mirrored() -> None:
    images = numbered(4000)
    flipped = augmented(images, FLIPPED, np.random.default_rng(1))
    mirrored = (flipped == images[:, :, ::-1]).all((1, 2, 3))
    same = (flipped == images).all((1, 2, 3))
    assert (mirrored ^ same).all()
    assert abs(mirrored.mean() - 0.5) < 0.03


def test_the_same_draws_give_the_same_images() -> None:
    images = numbered(50)
    both = Recipe(learning_rate=0.1, shift=0.1, flip=True)
    once, again = (augmented(images, both, np.random.default_rng(2)) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert (once != images).any()
    np.testing.assert_array_equal(images, numbered(50))
