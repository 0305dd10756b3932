"""Cutting an epoch's order into batches."""

from collections.abc import Iterator

import numpy as np

from velodrome.engines.base import Order


def batches(order: Order, size: int) -> Iterator[Order]:
    """Consecutive pieces of `size` samples; the last may be smaller."""
    for begin in range(0, len(order), size):
        yield order[begin : begin + size]


def parts(batch: Order, replicas: int) -> list[Order]:
    """A batch shared evenly, in its order; the first replicas take what is over."""
    # Splitting costs as much for one as for many, and one is timed the most.
    return np.array_split(batch, replicas) if replicas > 1 else [batch]


def in_sequence(samples: int) -> Order:
    """The order that changes nothing, for passes that train nothing."""
    return np.arange(samples, dtype=np.int64)
