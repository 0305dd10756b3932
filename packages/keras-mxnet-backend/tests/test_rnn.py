"""LSTM and GRU: MXNet's fused operator where it fits, the loop elsewhere, the same numbers."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_mxnet.src.graph.nodes import ordered
from keras_mxnet.src.graph.tracer import Tracer, using

GENERATOR = np.random.default_rng(0)
SHAPE = (4, 6, 3)
CELLS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}
# The same mathematics as without, in a form that MXNet's operator does not have.
LOOPED = {
    "masked": lambda layer, x: layer(x, mask=ops.ones(SHAPE[:2], "bool")),
    "activation": lambda layer, x: layer(x),
    "recurrent activation": lambda layer, x: layer(x),
}
DIFFERENT = {
    "activation": {"activation": lambda x: ops.tanh(x)},
    "recurrent activation": {"recurrent_activation": lambda x: ops.sigmoid(x)},
}


def call(layer, x):
    return layer(x)


def traced(layer, x, run=call):
    """Return the names of the operators of a layer's graph."""
    tracer = Tracer(lambda: False)
    with using(tracer):
        outputs = run(layer, tracer.input(x.shape, "float32"))
    return [node.operator for node in ordered([tracer.entry(o) for o in outputs])]


def made(cell, **options):
    keras.utils.set_random_seed(2)
    layer = CELLS[cell](
        5, bias_initializer="normal", return_sequences=True, return_state=True, **options
    )
    layer.build(SHAPE)
    return layer


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("loop", LOOPED)
@pytest.mark.parametrize("cell", CELLS)
def test_the_fused_operator_gives_what_the_loop_does(cell, loop, backwards):
    x = ops.convert_to_tensor(GENERATOR.normal(size=SHAPE).astype("float32"))
    fused = made(cell, go_backwards=backwards)
    looped = made(cell, go_backwards=backwards, **DIFFERENT.get(loop, {}))
    assert traced(fused, x).count("_npx_rnn") == 1
    assert "_npx_rnn" not in traced(looped, x, LOOPED[loop])
    for a, b in zip(fused(x), LOOPED[loop](looped, x), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)


def test_a_gru_that_resets_before_the_product_is_a_loop():
    layer = made("gru", reset_after=False)
    assert "_npx_rnn" not in traced(layer, ops.zeros(SHAPE))
