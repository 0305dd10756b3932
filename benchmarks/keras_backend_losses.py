"""Whether Keras on MXNet trains as Keras does elsewhere: the loss over 50 steps.

    python benchmarks/keras_backend_losses.py [--backend mxnet,torch,jax]

Four small networks, each from the same weights on the same batches, in one process a backend in
velodrome's environments. The distance of two backends is the root mean square, over the steps, of
the difference of their losses. Rounding differs and grows from step to step, so two right
backends differ too: the first backend passes if its distance to each of the others is at most
FACTOR times the largest distance among these. The table is Markdown; the exit status is 1 if a
network fails.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve()
STEPS, BATCH, CLASSES = 50, 32, 10
FACTOR = 3.0


def lenet(layers: Any) -> list[Any]:
    return [
        layers.Input((28, 28, 1)),
        layers.Conv2D(20, 5, activation="tanh"),
        layers.MaxPooling2D(),
        layers.Conv2D(50, 5, activation="tanh"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(500, activation="tanh"),
        layers.Dense(CLASSES),
    ]


def normalised(layers: Any) -> list[Any]:
    stages = [
        (
            layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
        )
        for width in (16, 32)
    ]
    return [
        layers.Input((28, 28, 1)),
        *itertools.chain(*stages),
        layers.GlobalAveragePooling2D(),
        layers.Dense(CLASSES),
    ]


def lstm(layers: Any) -> list[Any]:
    return [
        layers.Input((20,)),
        layers.Embedding(100, 16, mask_zero=True),
        layers.LSTM(32, return_sequences=True),
        layers.LSTM(32),
        layers.Dense(CLASSES),
    ]


def transformer(layers: Any) -> list[Any]:
    import keras

    tokens = keras.Input((20,), dtype="int32")
    x = layers.Embedding(100, 32)(tokens)
    for _ in range(2):
        x = layers.LayerNormalization()(x + layers.MultiHeadAttention(4, 8)(x, x))
        hidden = layers.Dense(64, activation="gelu")(x)
        x = layers.LayerNormalization()(x + layers.Dense(32)(hidden))
    x = layers.GlobalAveragePooling1D()(x)
    return [keras.Model(tokens, layers.Dense(CLASSES)(x))]


def images(random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    y = random.randint(0, CLASSES, STEPS * BATCH)
    prototypes = random.normal(size=(CLASSES, 28, 28, 1))
    x = prototypes[y] + random.normal(size=(len(y), 28, 28, 1))
    return x.astype("float32"), y


def texts(random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    y = random.randint(0, CLASSES, STEPS * BATCH)
    x = np.where(random.uniform(size=(len(y), 20)) < 0.3, 10 + y[:, None], 0)
    x = np.where(x == 0, random.randint(1, 100, x.shape), x)
    x[np.arange(20) < random.randint(0, 5, (len(y), 1))] = 0
    return x, y


NETWORKS: dict[str, tuple[Callable[..., Any], Callable[..., Any], str]] = {
    "LeNet": (lenet, images, "sgd"),
    "convolutions with batch normalisation": (normalised, images, "sgd"),
    "LSTM": (lstm, texts, "adam"),
    "transformer": (transformer, texts, "adam"),
}


def inside() -> None:
    """Train every network on this process's backend; print the losses as JSON."""
    import keras

    losses = {}
    for name, (build, draw, optimizer) in NETWORKS.items():
        model = keras.Sequential(build(keras.layers))
        # RandomState's numbers are the same in every version of NumPy.
        random = np.random.RandomState(0)
        x, y = draw(random)
        for weight in model.trainable_weights:
            shape = weight.shape
            if len(shape) > 1:
                fan = np.prod(shape[:-1])
                weight.assign(random.normal(0, fan**-0.5, shape).astype("float32"))
        model.compile(
            keras.optimizers.SGD(0.01, momentum=0.9)
            if optimizer == "sgd"
            else keras.optimizers.Adam(3e-3),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        losses[name] = []
        for step in range(STEPS):
            model.reset_metrics()
            batch = slice(step * BATCH, (step + 1) * BATCH)
            losses[name].append(float(model.train_on_batch(x[batch], y[batch])))
    print("\n" + json.dumps(losses), flush=True)


def outside(backends: list[str]) -> int:
    """Run each backend, print the table, return the exit status."""
    from velodrome import environment

    runs = {}
    for name in backends:
        place = environment.ensure(name, "cpu", report=print)
        answer = subprocess.run(
            [place.python, HERE, "--inside"],
            env=environment.variables(place) | {"KERAS_BACKEND": name},
            stdout=subprocess.PIPE,
            check=True,
        )
        runs[name] = json.loads(answer.stdout.splitlines()[-1])
    ours, *others = backends
    pairs = list(itertools.combinations(others, 2))
    columns = [f"{ours} to {name}" for name in others] + [f"{a} to {b}" for a, b in pairs]
    header = ["network", "first loss", "last loss", *columns, "ratio"]
    print(f"| {' | '.join(header)} |\n|---|" + "---:|" * (len(header) - 1))
    failed = False
    for network in NETWORKS:
        losses = {name: np.array(run[network]) for name, run in runs.items()}

        def distance(a: str, b: str, losses: dict[str, np.ndarray] = losses) -> float:
            return float(np.sqrt(np.mean((losses[a] - losses[b]) ** 2)))

        deviations = [distance(ours, name) for name in others]
        spread = [distance(a, b) for a, b in pairs]
        ratio = max(deviations) / max(spread)
        failed |= ratio > FACTOR
        cells = [f"{losses[ours][0]:.4f}", f"{losses[ours][-1]:.4f}"]
        cells += [f"{d:.1e}" for d in (*deviations, *spread)]
        print(f"| {network} | {' | '.join(cells)} | {ratio:.2f} |", flush=True)
    return int(failed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--backend", default="mxnet,torch,jax", help="the one to test, two others or more"
    )
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        inside()
    else:
        sys.exit(outside(options.backend.split(",")))


if __name__ == "__main__":
    main()
