import numpy as np
import pytest

from velodrome.engines import channels_first
from velodrome.workloads import initializers, registry
from velodrome.workloads.graph import sequential
from velodrome.workloads.layers import Conv, Dense, Dropout, Flatten


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("lenet", 1_256_080),
        ("lenet-tanh", 1_256_080),
        ("lenet-official", 431_080),
        ("mlp", 109_386),
        # Two convolutions, two dense layers, a gamma and a beta for each of 548 channels.
        ("cifar10-conv", 75 * 16 + 400 * 32 + 800 * 500 + 500 * 10 + 2 * 548),
        # As Keras counts its example of these layers.
        ("imdb-rnn", 216_405),
        # keras.applications.InceptionV3 less its top and its moving statistics, plus ours.
        ("inception-v3", 21_802_784 - 34_432 + 20_490),
        ("resnet50", 23_547_402),
    ],
)
def test_parameter_counts_are_those_of_2017(name: str, parameters: int) -> None:
    graph = registry.get(name).graph
    assert graph.parameter_count() == parameters
    weights = graph.initial_weights(np.random.default_rng(0))
    trained = graph.parameters()
    assert sum(array.size for each, array in weights.items() if each in trained) == parameters


def test_the_official_recipe_decays_its_rate_after_epoch_ten() -> None:
    recipe = registry.get("lenet-official").recipe
    assert recipe.learning_rate_in(10) == pytest.approx(0.05)
    assert recipe.learning_rate_in(11) == pytest.approx(0.005)
    assert (recipe.momentum, recipe.weight_decay) == (0.9, 1e-4)


def test_glorot_uniform_fills_its_range() -> None:
    graph = sequential((400,), Dense(units=200))
    kernel = graph.initial_weights(np.random.default_rng(1))["dense1/kernel"]
    limit = np.sqrt(6 / 600)
    assert np.abs(kernel).max() <= limit
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.01)


def test_he_normal_has_its_deviation_and_no_tail() -> None:
    graph = sequential((400,), Dense(units=500, initializer="he_normal"))
    kernel = graph.initial_weights(np.random.default_rng(1))["dense1/kernel"]
    sigma = np.sqrt(2 / 400)
    assert kernel.std() == pytest.approx(sigma, rel=0.01)
    assert np.abs(kernel).max() <= 2 * sigma / 0.8796 + 1e-6


def test_channels_first_and_back_changes_nothing() -> None:
    graph = registry.get("lenet").graph
    weights = graph.initial_weights(np.random.default_rng(2))
    back = channels_first.to_graph(graph, channels_first.from_graph(graph, weights))
    assert weights.keys() == back.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(array, back[name])


def test_channels_first_computes_the_same_dense_layer() -> None:
    graph = sequential((3, 4, 2), Flatten(), Dense(units=5))
    rng = np.random.default_rng(3)
    weights = graph.initial_weights(rng)
    image = rng.random((3, 4, 2), np.float32)
    kernel = channels_first.from_graph(graph, weights)["dense1/kernel"]
    np.testing.assert_allclose(
        kernel @ image.transpose(2, 0, 1).ravel(),
        image.ravel() @ weights["dense1/kernel"],
        rtol=1e-5,
    )


def test_valid_convolution_shrinks_the_image() -> None:
    graph = sequential((28, 28, 1), Conv(filters=3, window=(5, 5), padding="valid"))
    assert graph.shapes()["conv1"] == (24, 24, 3)


def test_workloads_say_what_data_they_take() -> None:
    assert str(registry.get("inception-v3").takes()) == "32x32x3 image in 10 classes"
    assert str(registry.get("imdb-rnn").takes()) == "500 tokens of 5000 words in 2 classes"


def test_inception_sees_images_of_299_and_ends_at_8() -> None:
    graph = registry.get("inception-v3").graph
    shapes = graph.shapes()
    assert shapes["zeropad1"] == (299, 299, 3)
    assert shapes[graph.nodes[-3].name] == (8, 8, 2048)


@pytest.mark.parametrize("length", range(1, 12))
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_padding_gives_as_many_values_as_it_says(length: int, stride: int) -> None:
    conv = Conv(filters=1, window=(3, 4), stride=(stride, stride))
    for pads, window, moved in zip(
        conv.pads((length, length, 1)), conv.window, conv.moved((length, length, 1)), strict=True
    ):
        assert pads[1] - pads[0] in (0, 1)
        assert moved == -(-length // stride)
        if sum(pads):
            assert (length + sum(pads) - window) // stride + 1 == moved


def test_orthogonal_kernels_are_orthogonal() -> None:
    rng = np.random.default_rng(0)
    wide = initializers.draw("orthogonal", (5, 20), rng).astype(np.float64)
    np.testing.assert_allclose(wide @ wide.T, np.eye(5), atol=1e-6)


def test_dropout_can_be_left_out() -> None:
    graph = registry.get("transformer-imdb").graph.without_dropout()
    rates = [node.layer.rate for node in graph.nodes if isinstance(node.layer, Dropout)]
    assert rates == [0.0] * 5
