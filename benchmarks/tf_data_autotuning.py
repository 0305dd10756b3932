"""How late an epoch of Keras on TensorFlow ends, since tf.data's autotuning has to stop with it.

    python benchmarks/tf_data_autotuning.py [--steps 100,200,400] [--epochs 20]

An epoch has an iterator of its own, and ends when that is gone. A thread of it looks for better
settings after 10 ms, 30 ms, 70 ms, 150 ms and so on, each period twice the last, and sleeps in
between (`Model::OptimizeLoop` in tensorflow/core/framework/model.cc). It is woken to be stopped,
but may look whether it is to stop before that is set, and then sleeps its period out. Epochs with
and without autotuning alternate in one process; printed are seconds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve()
BATCH_SIZE = 64
LATE = 1.2  # times the median of the epochs without autotuning


def outside() -> None:
    """Run in TensorFlow's environment."""
    from velodrome import environment

    place = environment.ensure("tensorflow", "cpu", report=print)
    variables = environment.variables(place) | {
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    subprocess.run([place.python, HERE, *sys.argv[1:], "--inside"], env=variables, check=True)


def inside(lengths: list[int], epochs: int) -> None:
    """Train, and print the table."""
    import keras
    import tensorflow as tf

    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(500, activation="relu"),
            keras.layers.Dense(10),
        ]
    )
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    random = np.random.default_rng(0)

    def dataset(steps: int, autotuning: bool) -> tf.data.Dataset:
        samples = steps * BATCH_SIZE
        x = random.random((samples, 28, 28, 1), np.float32)
        y = random.integers(10, size=samples)
        options = tf.data.Options()
        options.autotune.enabled = autotuning
        return tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH_SIZE).with_options(options)

    def seconds(data: tf.data.Dataset) -> float:
        begin = time.perf_counter()
        model.fit(data, shuffle=False, verbose=0)
        return time.perf_counter() - begin

    print("| steps | without, median | with, median | with, longest | late |")
    print("|---:|---:|---:|---:|---:|")
    for steps in lengths:
        data = {autotuning: dataset(steps, autotuning) for autotuning in (False, True)}
        taken = [{key: seconds(each) for key, each in data.items()} for _ in range(epochs + 1)][1:]
        without, found = (np.array([each[key] for each in taken]) for key in data)
        late = (found > LATE * np.median(without)).sum()
        cells = [f"{each:.2f}" for each in (np.median(without), np.median(found), found.max())]
        print(f"| {steps} | {' | '.join(cells)} | {late} of {epochs} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", default="100,200,400", help="of an epoch")
    parser.add_argument("--epochs", type=int, default=20, help="of each kind")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        inside([int(each) for each in options.steps.split(",")], options.epochs)
    else:
        outside()


if __name__ == "__main__":
    main()
