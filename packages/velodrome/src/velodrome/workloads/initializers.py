"""How the arrays of a model start."""

import math
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

Shape = tuple[int, ...]
Array = npt.NDArray[np.float32]


class Uniform(msgspec.Struct, frozen=True):
    """Evenly between -limit and limit."""

    limit: float


Initializer = (
    Literal["zeros", "ones", "glorot_uniform", "he_normal", "orthogonal", "lstm_bias"] | Uniform
)


def draw(initializer: Initializer, shape: Shape, rng: np.random.Generator) -> Array:
    """A fresh array.

    Kernels end in (in, out); the axes before are the window's. Sources: Glorot and
    Bengio 2010 (uniform), He et al. 2015 (normal, truncated at two sigma), Saxe et
    al. 2014 (orthogonal), Jozefowicz et al. 2015 (a forget gate that starts open).
    """
    match initializer:
        case "zeros":
            return np.zeros(shape, np.float32)
        case "ones":
            return np.ones(shape, np.float32)
        case "lstm_bias":
            return np.repeat(np.array([0, 1, 0, 0], np.float32), shape[0] // 4)
        case "orthogonal":
            return _orthogonal(shape, rng)
        case "he_normal":
            return _he_normal(shape, rng)
        case "glorot_uniform":
            limit = math.sqrt(6.0 / sum(_fans(shape)))
        case Uniform():
            limit = initializer.limit
    return rng.uniform(-limit, limit, shape).astype(np.float32)


def _fans(shape: Shape) -> tuple[int, int]:
    receptive = math.prod(shape[:-2])
    return shape[-2] * receptive, shape[-1] * receptive


def _he_normal(shape: Shape, rng: np.random.Generator) -> Array:
    # 0.8796...: standard deviation of a unit normal cut off at two sigma.
    sigma = math.sqrt(2.0 / _fans(shape)[0]) / 0.87962566103423978
    draws = rng.standard_normal(shape)
    while (outside := np.abs(draws) > 2.0).any():
        draws[outside] = rng.standard_normal(int(outside.sum()))
    return (draws * sigma).astype(np.float32)


def _orthogonal(shape: Shape, rng: np.random.Generator) -> Array:
    rows, columns = shape
    tall = rng.standard_normal((max(shape), min(shape)))
    q, r = np.linalg.qr(tall)
    q *= np.sign(np.diag(r))
    return np.ascontiguousarray(q if rows >= columns else q.T, np.float32)
