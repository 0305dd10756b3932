"""Data for the examples: the real thing where it lies on this machine, a stand-in where not.

It is looked for in the folder that the environment variable VELODROME_DATA names, then where
`keras.datasets` keeps its downloads. Nothing is downloaded.
"""

import argparse
import gzip
import os
from pathlib import Path

import keras
import numpy as np


def options(samples: int, epochs: int, **more: int) -> argparse.Namespace:
    """Read the command line: `--samples`, `--epochs`, `--batch-size` and more numbers."""
    parser = argparse.ArgumentParser()
    for name, value in {"samples": samples, "epochs": epochs, "batch_size": 32, **more}.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    return parser.parse_args()


def find(name: str) -> Path | None:
    """Return where a file lies, None where it does not."""
    cache = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "datasets"
    places = [
        cache,
        *([Path(os.environ["VELODROME_DATA"])] if "VELODROME_DATA" in os.environ else []),
    ]
    for place in reversed(places):
        for path in (place / name, *sorted(place.glob(f"*/{name}"))):
            if path.is_file():
                return path
    print(f"No {name} here: training on a stand-in.")
    return None


def images(samples: int, size: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noise with a stripe whose place is the class: (n, size, size, 3) and labels (n,)."""
    generator = np.random.default_rng(0)
    y = generator.integers(0, classes, samples)
    x = generator.normal(0, 0.3, (samples, size, size, 3)).astype("float32")
    for image, label in zip(x, y, strict=True):
        image[label * size // classes : (label + 1) * size // classes] += 1.0
    return x, y


def reviews(samples: int, words: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return film reviews as numbers of words (n, length), 0 before the first, and 0 or 1 (n,)."""
    path = find("imdb.npz")
    if path is None:
        generator = np.random.default_rng(0)
        y = generator.integers(0, 2, samples)
        x = generator.integers(4, words, (samples, length))
        # A positive review has more of the words in the upper half.
        x = np.where((generator.random(x.shape) < 0.3) & (y[:, None] == 1), words - 1 - x // 2, x)
        return x, y
    with np.load(path, allow_pickle=True) as file:
        x, y = file["x_train"], file["y_train"]
    chosen = np.random.default_rng(0).permutation(len(x))[:samples]
    # Keras's encoding: 1 starts a review, 2 stands for a rare word, others are moved up by 3.
    coded = [[1, *(w + 3 if w + 3 < words else 2 for w in x[i])] for i in chosen]
    return keras.utils.pad_sequences(coded, length), y[chosen]


def digits(samples: int) -> np.ndarray:
    """Return handwritten digits, (n, 28, 28, 1) between 0 and 1."""
    path = find("train-images-idx3-ubyte.gz")
    if path is not None:
        with gzip.open(path) as file:
            x = np.frombuffer(file.read(16 + samples * 784)[16:], "uint8")
        return x.reshape(-1, 28, 28, 1).astype("float32") / 255
    x, _ = images(samples, 28, 7)
    return np.clip(x[..., :1], 0, 1)
