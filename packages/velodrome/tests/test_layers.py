"""Every layer and optimizer on every engine, against plain numpy in float64."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

import reference
from builders import trial
from velodrome import engines, environment
from velodrome.datasets.base import PreparedData
from velodrome.job import Job
from velodrome.trial import DType
from velodrome.workloads.graph import Builder, Graph, Weights
from velodrome.workloads.layers import (
    LSTM,
    Activation,
    Add,
    AveragePool,
    BatchNorm,
    Concatenate,
    Conv,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePool,
    LayerNorm,
    MaxPool,
    PositionEmbedding,
    SelfAttention,
    Upsample,
    ZeroPad,
)
from velodrome.workloads.recipe import BETA_1, BETA_2, EPSILON, Recipe, decays

BATCH, SAMPLES, STEPS = 6, 18, 3
RATES = np.array([0.05, 0.05, 0.01])
ORDER = np.arange(SAMPLES).reshape(STEPS, BATCH)[::-1].copy()


def image_graph() -> Graph:
    net = Builder((9, 8, 2))
    net.add(Conv(filters=4, window=(3, 2)))
    net.add(BatchNorm(momentum=0.9))
    whole = net.add(Activation(function="tanh"))
    largest = net.add(MaxPool(window=(3, 3), padding="same"))
    mean = net.add(AveragePool(window=(3, 3), stride=(2, 1), padding="same"), whole)
    mean = net.add(Conv(filters=3, window=(1, 1), stride=(1, 2)), mean)
    strided = net.add(Conv(filters=4, window=(3, 3), stride=(2, 2)), whole)
    # A convolution that its activation does not have to itself.
    bent = net.add(Activation(function="relu"), strided)
    added = net.add(Add(), largest, strided, bent)
    net.add(Concatenate(), added, mean)
    net.add(ZeroPad(pads=((1, 0), (0, 2))))
    net.add(Conv(filters=5, window=(3, 3), padding="valid", bias=False, initializer="he_normal"))
    net.add(BatchNorm(scale=False))
    net.add(Activation(function="sigmoid"))
    net.add(AveragePool())
    net.add(Upsample(factor=2))
    net.add(MaxPool(window=(3, 3), stride=(1, 1)))
    net.add(Flatten())
    net.add(Dense(units=6, bias=False))
    net.add(BatchNorm(momentum=0.8, epsilon=1e-2))
    dense = net.add(Activation(function="relu"))
    pooled = net.add(GlobalAveragePool(), added)
    net.add(Concatenate(), dense, pooled)
    net.add(Dense(units=3))
    return net.graph()


def sequence_graph() -> Graph:
    net = Builder((13,))
    net.add(Embedding(vocabulary=7, units=6))
    net.add(PositionEmbedding())
    net.add(Conv(filters=6, window=(3,), stride=(1,)))
    net.add(Activation(function="relu"))
    net.add(MaxPool(window=(2,), stride=(2,)))
    before = net.add(BatchNorm())
    net.add(LayerNorm())
    net.add(SelfAttention(heads=2))
    net.add(Dropout(rate=0.5))
    added = net.add(Add(), before, "dropout1")
    net.add(Dense(units=4))
    last = net.add(LSTM(units=5))
    pooled = net.add(AveragePool(window=(3,), stride=(1,), padding="same"), added)
    mean = net.add(GlobalAveragePool(), pooled)
    net.add(Concatenate(), last, mean)
    net.add(Dense(units=1))
    return net.graph()


def wide_graph() -> Graph:
    """Channels enough for a compute library to keep kernels in a layout of its own."""
    net = Builder((13,))
    net.add(Embedding(vocabulary=7, units=16))
    net.add(Conv(filters=16, window=(3,), stride=(1,)))
    net.add(BatchNorm())
    net.add(GlobalAveragePool())
    net.add(Dense(units=1))
    return net.graph()


class Case(NamedTuple):
    graph: Graph
    recipe: Recipe
    x: npt.NDArray[Any]
    y: npt.NDArray[np.int32]
    weights: Weights


def telling(graph: Graph) -> Weights:
    """Weights of which none is constant: what is forgotten would go unnoticed else."""
    rng = np.random.default_rng(5)
    return {
        name: (array + rng.uniform(0.1, 0.5, array.shape)).astype(np.float32)
        if array.ndim == 1
        else array
        for name, array in graph.initial_weights(rng).items()
    }


def cases() -> dict[str, Case]:
    rng = np.random.default_rng(4)
    images, words, wide = image_graph(), sequence_graph(), wide_graph()
    return {
        "images": Case(
            images,
            Recipe(learning_rate=0.05, momentum=0.9, weight_decay=0.02),
            rng.random((SAMPLES, 9, 8, 2)).astype(np.float32),
            (np.arange(SAMPLES) % 3).astype(np.int32),
            telling(images),
        ),
        "sequences": Case(
            words,
            Recipe(optimizer="adam", learning_rate=0.05, weight_decay=0.02),
            rng.integers(0, 6, (SAMPLES, 13)).astype(np.int32),
            (np.arange(SAMPLES) % 2).astype(np.int32),
            telling(words),
        ),
        "wide": Case(
            wide,
            Recipe(learning_rate=0.05, momentum=0.9),
            rng.integers(0, 6, (SAMPLES, 13)).astype(np.int32),
            (np.arange(SAMPLES) % 2).astype(np.int32),
            telling(wide),
        ),
    }


CASES = cases()


def asked(engine: str, dtype: DType) -> dict[str, Case]:
    """The cases that an engine is given in an arithmetic."""
    if dtype == "float32":
        return CASES
    # JAX's own attention, which Keras takes, refuses float16 on a CPU.
    refused = engine == "keras-jax" and dtype == "float16"
    return {name: CASES[name] for name in (("wide",) if refused else ("wide", "sequences"))}


Found = dict[str, npt.NDArray[Any]]


def probe(engine: str, dtype: DType, folder: Path) -> dict[str, Found]:
    """What an engine computes for every case, from one process."""
    kind = engines.registry.get(engine)
    place = environment.ensure(kind.framework, "cpu", report=print)
    requests = []
    cases = asked(engine, dtype)
    for name, case in cases.items():
        job = Job(
            trial=trial(
                engine=engine, workload=name, recipe=case.recipe, batch_size=BATCH, dtype=dtype
            ),
            graph=case.graph,
            data=PreparedData(name, "", "", "image", case.graph.input_shape, 2, 1, 1),
            threads=2,
            dropout=False,
        )
        arrays = {f"w:{each}": array for each, array in case.weights.items()}
        np.savez(folder / f"{name}.npz", x=case.x, y=case.y, order=ORDER, rates=RATES, **arrays)
        requests.append((job, str(folder / f"{name}.npz")))
    (folder / "request.json").write_bytes(msgspec.json.encode(requests))
    ended = subprocess.run(
        [place.python, Path(__file__).with_name("probe.py"), folder / "request.json", folder],
        env=environment.variables(place)
        | kind.variables("tuned", 2)
        | {"PYTHONPATH": str(place.code)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    answers = {}
    for number, name in enumerate(cases):
        with np.load(folder / f"{number}.npz") as found:
            answers[name] = dict(found)
    return answers


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> "Of":
    known: dict[tuple[str, DType], dict[str, Found]] = {}

    def of(engine: str, dtype: DType = "float32") -> dict[str, Found]:
        if (engine, dtype) not in known:
            known[engine, dtype] = probe(engine, dtype, tmp_path_factory.mktemp(engine))
        return known[engine, dtype]

    return of


# Neon has the layers of three workloads only; it is compared with the others on those.
ENGINES = [name for name in sorted(engines.registry.all()) if name != "neon"]
each_engine = pytest.mark.parametrize("engine", ENGINES)
each_case = pytest.mark.parametrize("name", CASES)
Of = Callable[..., dict[str, Found]]


def part(answer: Found, prefix: str) -> dict[str, npt.NDArray[np.float64]]:
    return {
        name.removeprefix(prefix): array.astype(np.float64)
        for name, array in answer.items()
        if name.startswith(prefix)
    }


def batch(case: Case, step: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int32]]:
    return case.x[ORDER[step]].astype(np.float64), case.y[ORDER[step]]


@each_engine
@each_case
def test_losses_are_those_of_numpy(engine: str, name: str, found: Of) -> None:
    case, answer = CASES[name], found(engine)[name]
    for step in range(STEPS):
        arrays = part(answer, f"before:{step}:")
        expected, _ = reference.loss(case.graph, arrays, *batch(case, step), training=True)
        np.testing.assert_allclose(answer[f"loss:{step}"], expected, rtol=2e-5)
        np.testing.assert_allclose(answer[f"trained:{step}"], expected, rtol=2e-5)
    x, after = case.x.astype(np.float64), part(answer, "after:")
    expected, _ = reference.loss(case.graph, after, x, case.y, training=False)
    np.testing.assert_allclose(answer["evaluated"], expected, rtol=2e-5)


@each_engine
@each_case
def test_gradients_are_slopes_of_the_loss(engine: str, name: str, found: Of) -> None:
    case, answer = CASES[name], found(engine)[name]
    arrays = {each: array.astype(np.float64) for each, array in case.weights.items()}
    gradients = part(answer, "gradient:0:")
    assert gradients.keys() == case.graph.parameters().keys()
    whole = np.sqrt(sum((gradient**2).sum() for gradient in gradients.values()))
    rng = np.random.default_rng(6)
    for each, gradient in gradients.items():
        for _ in range(3):
            direction = rng.standard_normal(gradient.shape)
            direction /= np.linalg.norm(direction)
            ahead, behind = (
                reference.loss(
                    case.graph,
                    arrays | {each: arrays[each] + step * direction},
                    *batch(case, 0),
                    training=True,
                )[0]
                for step in (1e-6, -1e-6)
            )
            slope = (ahead - behind) / 2e-6
            np.testing.assert_allclose(
                (gradient * direction).sum(), slope, rtol=1e-4, atol=3e-6 * whole, err_msg=each
            )


@pytest.mark.parametrize(("dtype", "rounding"), [("bfloat16", 2**-8), ("float16", 2**-11)])
@each_engine
def test_narrow_arithmetic_rounds_and_nothing_else(
    engine: str, dtype: DType, rounding: float, found: Of
) -> None:
    if reason := engines.registry.get(engine).unsupported(trial(dtype=dtype)):
        pytest.skip(reason)
    for name, narrow in found(engine, dtype).items():
        wide = found(engine)[name]
        assert narrow["loss:0"] != wide["loss:0"]
        # Adam's steps are as long, whatever the gradient's scale.
        descent = CASES[name].recipe.optimizer == "sgd"
        for prefix in ("gradient:0:", "after:") if descent else ("gradient:0:",):
            own, others = part(narrow, prefix), part(wide, prefix)
            error = sum(((own[each] - others[each]) ** 2).sum() for each in others)
            size = sum((array**2).sum() for array in others.values())
            assert np.sqrt(error / size) < 32 * rounding, (name, prefix)


@each_engine
@each_case
def test_moving_statistics_divide_by_the_number_of_values(
    engine: str, name: str, found: Of
) -> None:
    case, answer = CASES[name], found(engine)[name]
    _, moved = reference.loss(case.graph, part(answer, "before:0:"), *batch(case, 0), training=True)
    after = part(answer, "before:1:")
    assert moved
    for each, expected in moved.items():
        np.testing.assert_allclose(after[each], expected, rtol=2e-5, atol=1e-6, err_msg=each)


@each_engine
@each_case
def test_steps_follow_the_recipe(engine: str, name: str, found: Of) -> None:
    case, answer = CASES[name], found(engine)[name]
    weights = {each: case.weights[each].astype(np.float64) for each in case.graph.parameters()}
    moments: dict[str, list[Any]] = {each: [0.0, 0.0] for each in weights}
    for step, rate in enumerate(RATES):
        for each, gradient in part(answer, f"gradient:{step}:").items():
            if decays(each):
                gradient = gradient + case.recipe.weight_decay * weights[each]
            first, second = moments[each]
            if case.recipe.optimizer == "adam":
                first = BETA_1 * first + (1 - BETA_1) * gradient
                second = BETA_2 * second + (1 - BETA_2) * gradient**2
                scale = rate * np.sqrt(1 - BETA_2 ** (step + 1)) / (1 - BETA_1 ** (step + 1))
                change = -scale * first / (np.sqrt(second) + EPSILON)
            else:
                first = change = case.recipe.momentum * first - rate * gradient
            moments[each] = [first, second]
            weights[each] = weights[each] + change
    after = part(answer, "after:")
    for each, expected in weights.items():
        # Adam makes full steps of what is rounding noise: a bias before normalisation.
        noisy = case.recipe.optimizer == "adam" and each == "conv1/bias"
        if not noisy:
            np.testing.assert_allclose(after[each], expected, rtol=1e-4, atol=2e-5, err_msg=each)


@each_engine
@each_case
def test_setting_weights_starts_afresh(engine: str, name: str, found: Of) -> None:
    answer = found(engine)[name]
    for each, expected in part(answer, "before:1:").items():
        again = answer[f"again:{each}"]
        np.testing.assert_allclose(again, expected, rtol=1e-4, atol=1e-4, err_msg=each)
