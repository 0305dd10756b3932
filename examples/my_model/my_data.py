"""The data of `my_model.py`: scikit-learn's handwritten digits, 8x8 grey, values 0 to 1."""

import numpy as np
from sklearn.datasets import load_digits


def load():
    digits = load_digits()
    x = (digits.images[..., None] / 16).astype("float32")
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], digits.target[order]
    return (x[:1500], y[:1500]), (x[1500:], y[1500:])
