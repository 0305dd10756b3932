"""Random numbers, drawn on the host by NumPy's counter generator from Keras's seeds.

Seeding MXNet's own generators costs a millisecond a call, and they have no stateless form.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from keras.src.backend.common import standardize_dtype
from keras.src.backend.config import floatx
from keras.src.random.seed_generator import SeedGenerator, draw_seed, make_default_seed

from keras_mxnet.src import dtypes, tracing
from keras_mxnet.src.convert import convert_to_numpy, convert_to_tensor
from keras_mxnet.src.ops import numpy as ops
from keras_mxnet.src.ops.nn import softmax
from keras_mxnet.src.tensor import Tensor, abstract, from_numpy, inferring

__all__ = ["SeedGenerator", "draw_seed", "make_default_seed"]


def _shape(shape: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in shape)


def _draw(
    sample: Callable[[np.random.Generator], Any], shape: Any, dtype: Any, seed: Any
) -> Tensor:
    """Return what `sample` draws; no more than its shape where shapes are inferred."""
    dtype = standardize_dtype(dtype or floatx())

    def take() -> Tensor:
        state = convert_to_tensor(draw_seed(seed))
        if inferring() or state.is_abstract:
            return abstract(shape, dtype)
        generator = np.random.Generator(np.random.Philox(key=state.numpy().astype("uint64")))
        return from_numpy(np.asarray(sample(generator)), dtype)

    shape = _shape(shape)
    tracer = tracing.current()
    if tracer is None:
        return take()
    # What is drawn may hang on values of the trace: see that it does not.
    sample(np.random.default_rng(0))
    return tracer.draw(take, shape, dtype)


def _host(x: Any) -> Any:
    return x if isinstance(x, (int, float)) else convert_to_numpy(x)


def _floats(generator: np.random.Generator, method: str, dtype: Any, shape: Any) -> np.ndarray:
    """Draw in the dtype's own precision where NumPy can."""
    held = dtypes.storage(standardize_dtype(dtype or floatx()))
    drawn = np.float64 if held == "float64" else np.float32
    return getattr(generator, method)(shape, dtype=drawn)


def normal(
    shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None
) -> Tensor:
    shape = _shape(shape)

    def sample(generator: np.random.Generator) -> Any:
        return _floats(generator, "standard_normal", dtype, shape) * _host(stddev) + _host(mean)

    return _draw(sample, shape, dtype, seed)


def uniform(
    shape: Any, minval: Any = 0.0, maxval: Any = 1.0, dtype: Any = None, seed: Any = None
) -> Tensor:
    shape = _shape(shape)

    def sample(generator: np.random.Generator) -> Any:
        low, high = _host(minval), _host(maxval)
        drawn = _floats(generator, "random", dtype, shape) * (high - low) + low
        # Rounding must not reach the bound that is left out.
        kind = standardize_dtype(dtype or floatx())
        if kind in ("float16", "bfloat16"):
            drawn = drawn.astype(kind)
            drawn = np.where(drawn >= high, np.asarray(low).astype(kind), drawn)
        return drawn

    return _draw(sample, shape, dtype, seed)


def randint(shape: Any, minval: Any, maxval: Any, dtype: Any = "int32", seed: Any = None) -> Tensor:
    shape = _shape(shape)
    return _draw(
        lambda g: g.integers(
            np.int64(_host(minval)), np.int64(_host(maxval)), size=shape, dtype="int64"
        ),
        shape,
        dtype,
        seed,
    )


def truncated_normal(
    shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None
) -> Tensor:
    shape = _shape(shape)
    count = math.prod(shape)

    def sample(generator: np.random.Generator) -> Any:
        drawn = _floats(generator, "standard_normal", dtype, (count,))
        # Draw again what lies more than two deviations out.
        outside = np.flatnonzero(np.abs(drawn) > 2)
        while outside.size:
            drawn[outside] = _floats(generator, "standard_normal", dtype, outside.shape)
            outside = outside[np.abs(drawn[outside]) > 2]
        return drawn.reshape(shape) * _host(stddev) + _host(mean)

    return _draw(sample, shape, dtype, seed)


def categorical(logits: Any, num_samples: int, dtype: Any = "int32", seed: Any = None) -> Tensor:
    logits = convert_to_tensor(logits)

    def sample(generator: np.random.Generator) -> Any:
        chances = softmax(logits).numpy().astype("float64")
        edges = np.cumsum(chances, -1)
        drawn = generator.random((logits.shape[0], num_samples)) * edges[:, -1:]
        found = (drawn[:, :, None] >= edges[:, None, :]).sum(-1)
        return np.minimum(found, logits.shape[-1] - 1)

    return _draw(sample, (logits.shape[0], num_samples), dtype, seed)


def dropout(inputs: Any, rate: float, noise_shape: Any = None, seed: Any = None) -> Tensor:
    inputs = convert_to_tensor(inputs)
    if rate == 0.0:
        return inputs
    if rate == 1.0:
        return ops.zeros_like(inputs)
    shape = (
        inputs.shape
        if noise_shape is None
        else tuple(inputs.shape[i] if n is None else n for i, n in enumerate(noise_shape))
    )
    keep = 1.0 - rate
    kept = _draw(
        lambda g: (g.random(shape, dtype=np.float32) < keep) / keep, shape, inputs.dtype, seed
    )
    return ops.multiply(inputs, kept)


def shuffle(x: Any, axis: int = 0, seed: Any = None) -> Tensor:
    x = convert_to_tensor(x)
    length = x.shape[axis]
    order = _draw(lambda g: g.permutation(length), (length,), "int64", seed)
    return ops.take(x, order, axis)


def gamma(shape: Any, alpha: Any, dtype: Any = None, seed: Any = None) -> Tensor:
    shape = _shape(shape)
    return _draw(lambda g: g.gamma(_host(alpha), size=shape), shape, dtype, seed)


def binomial(
    shape: Any, counts: Any, probabilities: Any, dtype: Any = None, seed: Any = None
) -> Tensor:
    shape = _shape(shape)
    return _draw(
        lambda g: g.binomial(
            np.asarray(_host(counts)).astype("int64"), _host(probabilities), shape
        ),
        shape,
        dtype,
        seed,
    )


def beta(shape: Any, alpha: Any, beta: Any, dtype: Any = None, seed: Any = None) -> Tensor:
    shape = _shape(shape)
    return _draw(lambda g: g.beta(_host(alpha), _host(beta), shape), shape, dtype, seed)
