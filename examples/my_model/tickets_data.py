"""The data of `tickets.py`, made up: what tickets say, and where they went."""

import numpy as np

WORDS, LENGTH, TAGS, DEPARTMENTS = 200, 12, 6, 4


def load():
    rng = np.random.default_rng(0)
    department = rng.integers(0, DEPARTMENTS, 1000)
    # Each department has words of its own, a quarter of them, and half of each title is of these.
    share = WORDS // DEPARTMENTS
    own = department[:, None] * share + rng.integers(0, share, (1000, LENGTH))
    any_word = rng.integers(0, WORDS, (1000, LENGTH))
    title = np.where(rng.random((1000, LENGTH)) < 0.5, own, any_word)
    tags = (rng.random((1000, TAGS)) < 0.3).astype("float32")
    urgency = tags @ rng.normal(0, 1, TAGS) + 0.5 * (department == 0)
    priority = 1 / (1 + np.exp(-urgency))

    x = {"title": title, "tags": tags}
    y = {"priority": priority.astype("float32"), "department": department}
    return x, y
