"""Each pass over a recorded graph does its work, and changes neither results nor gradients."""

from collections import Counter

import numpy as np
import pytest
from keras import ops

from keras_mxnet.src import arrays, autograd
from keras_mxnet.src.graph.cached import CachedGraph
from keras_mxnet.src.graph.nodes import Entry, number, ordered
from keras_mxnet.src.graph.passes.activations import use_onednn
from keras_mxnet.src.graph.passes.batch_norm import fuse_batch_norms
from keras_mxnet.src.graph.passes.bias import fuse_biases
from keras_mxnet.src.graph.passes.blocks import remove_blocks
from keras_mxnet.src.graph.passes.channels import pad_channels
from keras_mxnet.src.graph.passes.common import share
from keras_mxnet.src.graph.passes.onednn_transposes import transpose_by_onednn
from keras_mxnet.src.graph.passes.scalars import use_scalars
from keras_mxnet.src.graph.passes.totals import sum_rows_by_product
from keras_mxnet.src.graph.passes.transposes import cancel_transposes
from keras_mxnet.src.graph.program import extract
from keras_mxnet.src.graph.tracer import Tracer, using
from keras_mxnet.src.tensor import context

GENERATOR = np.random.default_rng(0)


def traced(function, *values):
    """Trace a function; return its graph and an array for each of the graph's inputs."""
    tracer = Tracer(lambda: True)
    inputs = [tracer.input(v.shape, v.dtype.name) for v in values]
    with using(tracer):
        result = function(*inputs)
    outputs = [tracer.entry(r) for r in (result if isinstance(result, tuple) else (result,))]
    graph, sources = extract(outputs, lambda e: e.node.operator is None)
    known = {t.node: v for t, v in zip(inputs, values, strict=True)}
    known |= {entry: tensor.numpy() for entry, tensor in tracer.constants.items()}
    wanted = frozenset(e for e in graph.inputs if number(e) is None)
    return graph._replace(wanted=wanted), [known[source] for source in sources]


def run(graph, values):
    """Return a graph's outputs, and the wanted gradients of the sum of the first."""
    made = [
        Entry(node, 0)
        for node in ordered(graph.outputs)
        if node.operator is None and Entry(node, 0) not in set(graph.inputs)
    ]
    given = [
        arrays.from_numpy(v, v.dtype.name, context())
        for v in (*values, *(np.full(e.shape, number(e), e.dtype) for e in made))
    ]
    buffers = [
        autograd.mark(array)
        for entry, array in zip(graph.inputs, given, strict=False)
        if entry in graph.wanted
    ]
    cached = CachedGraph(graph._replace(inputs=(*graph.inputs, *made)))
    with autograd.recording():
        outputs = cached(given)
    autograd.differentiate([outputs[0]], [None], retain=False)
    return [arrays.to_numpy(a) for a in (*outputs, *buffers)]


def operators(graph):
    return Counter(n.operator for n in ordered(graph.outputs) if n.operator)


def floats(*shape):
    return GENERATOR.normal(size=shape).astype("float32")


def same(before, after, values, tolerance=2e-5):
    for a, b in zip(run(before, values), run(after, values), strict=True):
        np.testing.assert_allclose(b, a, rtol=tolerance, atol=tolerance * (1 + np.abs(a).max()))


def convolved(x, kernel, bias):
    return ops.tanh(ops.conv(x, kernel, 1, "same") + bias)


@pytest.fixture
def convolution():
    return traced(convolved, floats(2, 6, 6, 3), floats(3, 3, 3, 12), floats(12))


def test_channels_last_needs_no_transposes_of_images(convolution):
    graph, values = convolution
    after = cancel_transposes(graph)

    # One in, one out, one of the kernel; before also one after the convolution.
    def images(g):
        return [
            n
            for n in ordered(g.outputs)
            if n.operator == "_np_transpose" and n.outputs[0][0][0] == 2
        ]

    twice = traced(
        lambda x, k, b, last: ops.max_pool(ops.conv(convolved(x, k, b), last, 1, "valid"), 2),
        floats(2, 8, 8, 3),
        floats(3, 3, 3, 12),
        floats(12),
        floats(3, 3, 12, 4),
    )
    assert len(images(twice[0])) > 2
    assert len(images(cancel_transposes(twice[0]))) == 2
    same(*(g for g in (twice[0], cancel_transposes(twice[0]))), twice[1])
    same(graph, after, values)


def test_transposes_sink_through_sums_pads_and_concatenations():
    def function(x, y):
        a, b = (ops.transpose(v, (0, 3, 1, 2)) for v in (x, y))
        joined = ops.concatenate([ops.pad(a, [(0, 0), (1, 0), (0, 2), (0, 0)]) * 2.0, b], 1)
        return ops.transpose(joined, (0, 2, 3, 1)), ops.sum(joined, (0, 2)), ops.mean(a, 1, True)

    graph, values = traced(function, floats(2, 3, 4, 5), floats(2, 5, 4, 5))
    after = cancel_transposes(graph)
    same(graph, after, values)
    assert operators(after)["_np_transpose"] < operators(graph)["_np_transpose"]


def test_a_transpose_of_lengths_of_one_is_a_reshape():
    graph, values = traced(lambda x: ops.transpose(x, (0, 3, 1, 2)), floats(2, 4, 4, 1))
    after = cancel_transposes(graph)
    assert operators(after) == {"_np_reshape": 1}
    same(graph, after, values)


def test_a_bias_becomes_the_convolutions(convolution):
    graph, values = convolution
    before = cancel_transposes(graph)
    after = fuse_biases(before)
    assert operators(before)["_npi_add"] == 1
    assert operators(after)["_npi_add"] == 0
    same(before, after, values)


@pytest.mark.parametrize("again", [False, True])
def test_the_bias_of_an_image_of_one_pixel_too(again):
    def function(x, kernel, bias):
        y = ops.conv(x, kernel, 1, "valid")
        return ops.relu(y + bias) + (y if again else 0)

    graph, values = traced(function, floats(4, 3, 3, 2), floats(3, 3, 2, 5), floats(5))
    before = cancel_transposes(graph)
    after = fuse_biases(before)
    assert operators(after)["_npi_add"] == operators(before)["_npi_add"] - (not again)
    same(before, after, values)


def test_a_convolution_that_is_used_without_its_bias_keeps_it_apart():
    def function(x, kernel, bias):
        y = ops.conv(x, kernel, 1, "same", "channels_first")
        return y + ops.reshape(bias, (1, 4, 1, 1)), y * 2.0

    graph, values = traced(function, floats(2, 3, 5, 5), floats(3, 3, 3, 4), floats(4))
    after = fuse_biases(graph)
    assert operators(after) == operators(graph)
    same(graph, after, values)


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_batch_normalisation_becomes_one_operator(trained, affine):
    def function(x, gamma, beta, mean, variance):
        if trained:
            mean, variance = ops.moments(x, (0, 1, 2))
        options = {"offset": beta, "scale": gamma} if affine else {}
        y = ops.batch_normalization(x, mean, variance, -1, epsilon=1e-3, **options)
        return ops.transpose(y, (0, 3, 1, 2)), ops.stop_gradient(mean), ops.stop_gradient(variance)

    gamma, beta = floats(3), floats(3)
    graph, values = traced(
        lambda x, *rest: function(ops.transpose(x, (0, 2, 3, 1)), *rest),
        *(floats(4, 3, 5, 5) * 2 + 1, gamma, beta, floats(3), floats(3) ** 2 + 0.1),
    )
    before = cancel_transposes(graph)
    if not trained:
        # The operator gives no gradient of running averages: where one is wanted it is not used.
        assert operators(fuse_batch_norms(before))["_npx_batch_norm"] == 0
        averages = {e for e in graph.inputs if e.shape == (3,)} - {
            graph.inputs[i] for i, v in enumerate(values) if v is gamma or v is beta
        }
        before = before._replace(wanted=before.wanted - averages)
    after = fuse_batch_norms(before)
    assert operators(after)["_npx_batch_norm"] == 1
    assert operators(after)["_npi_multiply"] == 0
    same(before, after, values, 2e-4)


def test_batch_normalisation_of_images_of_one_pixel_becomes_one_operator(convolution):
    """Where it is between two convolutions, as at the end of a deep network for small images."""

    def function(x, first, gamma, beta, second):
        x = ops.conv(x, first, 1, "valid")
        mean, variance = ops.moments(x, (0, 1, 2))
        x = ops.batch_normalization(x, mean, variance, -1, beta, gamma, epsilon=1e-3)
        return ops.conv(ops.relu(x), second, 1, "valid"), ops.stop_gradient(variance)

    values = floats(5, 3, 3, 2), floats(3, 3, 2, 4), floats(4), floats(4), floats(1, 1, 4, 6)
    graph, values = traced(function, *values)
    before = cancel_transposes(graph)
    after = fuse_batch_norms(before)
    assert operators(after)["_npx_batch_norm"] == 1
    assert operators(after)["rsqrt"] == 0
    same(before, after, values, 2e-4)


def test_what_only_looks_like_batch_normalisation_is_left():
    def function(x, gamma):
        mean = ops.mean(x, (2, 3), keepdims=True)
        variance = ops.mean(ops.square(x - mean), (0, 2, 3))
        mean = ops.mean(mean, (0, 2, 3)) * 2.0
        return ops.batch_normalization(x, mean, variance, 1, scale=gamma)

    graph, values = traced(function, floats(3, 4, 5, 5), floats(4))
    after = fuse_batch_norms(graph)
    assert operators(after)["_npx_batch_norm"] == 0
    same(graph, after, values)


def test_channels_are_padded_and_never_seen(convolution):
    def function(x, first, bias, second):
        x = ops.relu(ops.conv(x, first, 1, "same") + bias)
        return ops.conv(ops.max_pool(x, 2), second, 1, "valid")

    values = [floats(2, 8, 8, 3), floats(3, 3, 3, 12), floats(12), floats(3, 3, 12, 20)]
    graph, values = traced(function, *values)
    before = fuse_biases(cancel_transposes(graph))
    after = pad_channels(before)
    widths = [
        n.outputs[0][0][1] for n in ordered(after.outputs) if n.operator == "_npx_convolution"
    ]
    assert widths == [16, 32]
    assert operators(after)["slice_axis"] == 1
    same(before, after, values)


def test_numbers_take_the_place_of_tensors_without_dimensions():
    graph, values = traced(
        lambda x, rate: (x * np.float32(0.9) - x * rate) / ops.convert_to_tensor(3.0),
        floats(4, 5),
        floats(),
    )
    after = use_scalars(graph)
    found = operators(after)
    assert found["_npi_multiply"] == 0
    assert found["_np_dot"] == 1
    same(graph, after, values)


def test_equal_computations_are_shared():
    graph, values = traced(lambda x: ops.exp(x) + ops.exp(x) * ops.log(ops.exp(x)), floats(3))
    after = share(graph)
    assert operators(after)["_npi_exp"] == 1
    same(graph, after, values)


def test_blocks_vanish_where_there_are_no_gradients():
    graph, values = traced(lambda x: ops.stop_gradient(x * 2.0) + 1.0, floats(3))
    after = remove_blocks(graph)
    assert "BlockGrad" not in operators(after)
    given = [arrays.from_numpy(values[0], "float32", context())]
    np.testing.assert_array_equal(
        arrays.to_numpy(CachedGraph(after)(given)[0]), values[0] * 2.0 + 1.0
    )


def test_activations_of_images_are_onednns():
    graph, values = traced(
        lambda x, y: ops.tanh(x) * ops.sigmoid(x) + ops.sum(ops.tanh(y)),
        floats(2, 3, 4, 5) * 4,
        floats(2, 3),
    )
    after = use_onednn(graph)
    found = operators(after)
    assert found["_npx_activation"] == 2
    # Vectors stay.
    assert found["_npi_tanh"] == 1
    same(graph, after, values)


def test_transposes_that_are_left_are_onednns():
    def function(x, y):
        return ops.sum(ops.transpose(x, (3, 2, 0, 1)) * y), ops.transpose(ops.cast(x, "int32"))

    graph, values = traced(function, floats(3, 3, 5, 7), floats(7, 5, 3, 3))
    after = transpose_by_onednn(graph)
    assert operators(after)["transpose"] == 1
    assert operators(after)["_np_transpose"] == 1
    same(graph, after, values, 0)


@pytest.mark.parametrize(
    ("shape", "products"),
    [((3, 3, 40, 96), 1), ((100, 8, 9), 1), ((64, 64), 1), ((9000,), 0), ((5000, 1), 0)],
)
def test_sums_of_many_elements_are_products(shape, products):
    graph, values = traced(lambda x: ops.sum(ops.square(x)), floats(*shape))
    after = sum_rows_by_product(graph)
    assert operators(after)["_np_dot"] == products
    same(graph, after, values, 1e-6)
    exact = np.sum(values[0].astype("float64") ** 2)
    np.testing.assert_allclose(run(after, values)[0], exact, rtol=3e-7)


def test_other_sums_are_left():
    def function(x):
        return ops.sum(x, 0), ops.sum(x[:8, :8]), ops.sum(ops.cast(x, "int32"))

    graph, values = traced(function, floats(80, 80))
    after = sum_rows_by_product(graph)
    assert operators(after)["_np_dot"] == 0
    same(graph, after, values)


def test_what_no_output_needs_is_left_out_with_what_it_alone_needs():
    def function(x, y):
        ops.sum(ops.exp(y) * 3.0)
        return ops.tanh(x + 2.0)

    graph, values = traced(function, floats(2, 3), floats(4))
    assert operators(graph) == {"_npi_add_scalar": 1, "_npi_tanh": 1}
    assert [value.shape for value in values] == [(2, 3)]
