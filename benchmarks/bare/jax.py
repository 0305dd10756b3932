"""JAX: pure functions and one jitted update, as in its tutorials; the data on the device."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax


def conv(x, w, b):
    dimensions = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=dimensions) + b


def max_pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def predict(params, x):
    x = max_pool(jax.nn.relu(conv(x, *params[0])))
    x = max_pool(jax.nn.relu(conv(x, *params[1])))
    x = x.reshape(x.shape[0], -1)
    x = jax.nn.relu(x @ params[2][0] + params[2][1])
    return x @ params[3][0] + params[3][1]


def loss(params, x, y):
    logits = predict(params, x)
    log_p = jax.nn.log_softmax(logits)
    mean = -jnp.take_along_axis(log_p, y[:, None], axis=1).mean()
    return mean, (logits.argmax(1) == y).sum()


@partial(jax.jit, donate_argnums=(0, 1))
def update(params, totals, images, labels, index, learning_rate):
    x, y = images[index], labels[index]
    (value, right), grads = jax.value_and_grad(loss, has_aux=True)(params, x, y)
    params = jax.tree.map(lambda p, g: p - learning_rate * g, params, grads)
    return params, (totals[0] + value * len(index), totals[1] + right)


def trainer(x, y, batch_size, threads, learning_rate):
    images, labels = jax.device_put(x), jax.device_put(y)
    init = jax.nn.initializers.glorot_uniform()
    shapes = ((5, 5, 1, 20), (5, 5, 20, 50), (7 * 7 * 50, 500), (500, 10))
    keys = jax.random.split(jax.random.key(0), len(shapes))
    state = [
        (init(key, shape), jnp.zeros(shape[-1])) for key, shape in zip(keys, shapes, strict=True)
    ]

    def epoch(order):
        nonlocal state
        totals = jnp.zeros(()), jnp.zeros((), jnp.int32)
        for begin in range(0, len(order), batch_size):
            index = order[begin : begin + batch_size]
            state, totals = update(state, totals, images, labels, index, learning_rate)
        jax.block_until_ready(state)
        return float(totals[0]) / len(order), int(totals[1]) / len(order)

    return epoch
