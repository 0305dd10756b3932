"""What Keras costs on MXNet: `fit` against hybridized Gluon, the same model.

    python benchmarks/keras_mxnet_speed.py [--workload lenet,imdb-rnn] [--batch-size 64,256]
    python benchmarks/keras_mxnet_speed.py --operators      where the time goes, from the profiler
    python benchmarks/keras_mxnet_speed.py --memory         over 20 epochs, then over 50 shapes

Epochs of `fit` in graph mode, of `fit` in eager mode and of Gluon (static allocation) alternate in
one process with the same settings, so that the machine's drift falls on all. A round gives two
ratios of throughputs; printed are their medians over the rounds and the 99% intervals.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np

HERE = Path(__file__).resolve()
DEFAULTS = {
    "lenet": (64, 256, 1024),
    "cifar10-conv": (64, 256),
    "imdb-rnn": (32,),
    "resnet14": (32,),
}
WARM_UP = 2


def resnet14():
    """Return a small batch-normalised ResNet: three stages of two basic blocks, for CIFAR10."""
    from velodrome.workloads.graph import Builder
    from velodrome.workloads.layers import (
        Activation,
        Add,
        BatchNorm,
        Conv,
        Dense,
        GlobalAveragePool,
    )

    net = Builder((32, 32, 3))

    def convolved(value, filters, stride, window=3):
        net.add(Conv(filters=filters, window=(window, window), stride=(stride, stride)), value)
        return net.add(BatchNorm())

    convolved("input", 16, 1)
    value = net.add(Activation(function="relu"))
    for stage, filters in enumerate((16, 32, 64)):
        for block in range(2):
            stride = 2 if stage and not block else 1
            convolved(value, filters, stride)
            inner = convolved(net.add(Activation(function="relu")), filters, 1)
            if stride > 1:
                value = convolved(value, filters, stride, window=1)
            net.add(Add(), value, inner)
            value = net.add(Activation(function="relu"))
    net.add(GlobalAveragePool())
    net.add(Dense(units=10))
    return net.graph()


def outside(options: argparse.Namespace) -> None:
    """Start a process for each workload and batch size, in MXNet's environment."""
    from velodrome import engines, environment, runner, study
    from velodrome.machine import this_machine
    from velodrome.statistics import median, median_interval

    machine = this_machine()
    place = environment.ensure("mxnet", "cpu", report=print)
    if not options.operators:
        print(
            "| workload | batch | over Gluon | 99% interval | over eager | 99% interval | rounds |"
        )
        print("|---|---:|---:|---:|---:|---:|---:|")
    for workload in options.workload.split(","):
        sizes = (
            map(int, options.batch_size.split(",")) if options.batch_size else DEFAULTS[workload]
        )
        for batch_size in sizes:
            (job,) = runner.plan(
                study.parse(
                    {
                        "name": "speed",
                        "workloads": "cifar10-conv" if workload == "resnet14" else workload,
                        "dataset": "synthetic",
                        "engines": "keras-mxnet",
                        "batch_sizes": batch_size,
                        "samples": max(options.samples, 4 * batch_size),
                        "settings": "tuned",
                    }
                ),
                machine,
            )
            if workload == "resnet14":
                job = msgspec.structs.replace(job, graph=resnet14())
            variables = {}
            for name in ("mxnet", "keras-mxnet"):
                variables |= engines.registry.get(name).variables("tuned", job.threads)
            answer = subprocess.run(
                [place.python, HERE, "--inside", "--rounds", str(options.rounds)]
                + [f"--{way}" for way in ("operators", "memory") if getattr(options, way)],
                input=msgspec.json.encode(job),
                env=environment.variables(place) | variables,
                stdout=subprocess.PIPE,
                stderr=None if options.verbose else subprocess.DEVNULL,
                check=True,
            )
            if options.operators or options.memory:
                print(f"\n{workload}, batch {batch_size}\n\n{answer.stdout.decode()}", flush=True)
                continue
            ratios = json.loads(answer.stdout.splitlines()[-1])
            cells = [workload, batch_size]
            for each in ratios.values():
                held = median_interval(each)
                cells += [
                    f"{median(each):.2f}" if each else "",
                    f"{held[0]:.2f} to {held[1]:.2f}" if held else "",
                ]
            print(f"| {' | '.join(map(str, cells))} | {options.rounds} |", flush=True)


def inside(rounds: int, operators: bool, memory: bool) -> None:
    """Alternate epochs of the three; print the ratios as JSON, or where time or memory goes."""
    from velodrome.job import Job
    from velodrome.worker import randomness
    from velodrome.worker.start import start

    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    trial = job.trial
    native = msgspec.structs.replace(job, trial=msgspec.structs.replace(trial, engine="mxnet"))
    ways = {
        "graph": start(job, lambda event: None),
        "eager": start(job, lambda event: None),
        "gluon": start(native, lambda event: None),
    }
    ways["eager"].engine._model.run_eagerly = True
    samples = len(ways["graph"].y)

    def seconds(way: str, number: int) -> float:
        order = randomness.order(trial, number, samples)
        begin = time.perf_counter()
        totals = ways[way].engine.train(order, trial.recipe.learning_rate)
        assert np.isfinite(totals.loss)
        return time.perf_counter() - begin

    if operators:
        for way in ("graph", "gluon"):
            profile(way, lambda number, way=way: seconds(way, number))
        return
    if memory:
        grow(ways["graph"].engine, trial, samples)
        return
    ratios = {"gluon": [], "eager": []}
    names = list(ways)
    for number in range(rounds + WARM_UP):
        turned = names[number % 3 :] + names[: number % 3]
        taken = {way: seconds(way, number + 1) for way in turned}
        if number >= WARM_UP:
            for other, each in ratios.items():
                each.append(taken[other] / taken["graph"])
    print(json.dumps(ratios), flush=True)


def grow(engine, trial, samples: int) -> None:
    """Print the peak of the resident memory after epochs, then after batches of other sizes."""
    from velodrome.worker import randomness

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

    for epoch in range(1, 21):
        engine.train(randomness.order(trial, epoch, samples), trial.recipe.learning_rate)
        if epoch in (1, 2, 5, 10, 20):
            print(f"epoch {epoch}: {peak()} MiB")
    x, y = (array[: trial.batch_size] for array in engine._train)
    # From the largest down: what the ones before left behind would show as growth.
    for count in range(1, 51):
        size = trial.batch_size - count
        engine._model.train_on_batch(x[:size], y[:size])
        if count % 10 == 0:
            print(f"{count} batch sizes: {peak()} MiB")


def profile(way: str, epoch) -> None:
    """Print the operators that one epoch spends its time in, by MXNet's profiler."""
    import mxnet as mx

    epoch(1)
    mx.profiler.set_config(
        profile_imperative=True, profile_symbolic=True, aggregate_stats=True, filename=os.devnull
    )
    mx.profiler.set_state("run")
    taken = epoch(2)
    mx.profiler.set_state("stop")
    print(f"{way}: {taken * 1e3:.0f} ms an epoch\n\n| operator | calls | ms |\n|---|---:|---:|")
    rows = []
    for line in mx.profiler.dumps(reset=True).splitlines():
        match line.split():
            case [name, count, total, *_] if count.isdigit() and "MX" not in name:
                rows.append((float(total), name, count))
    for total, name, count in sorted(rows, reverse=True)[:12]:
        print(f"| `{name[:80]}` | {count} | {total:.1f} |")
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workload", default=",".join(DEFAULTS))
    parser.add_argument("--batch-size", help="instead of each workload's own")
    parser.add_argument("--samples", type=int, default=1024, help="of an epoch, at least")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--operators", action="store_true", help="print where the time goes")
    parser.add_argument("--memory", action="store_true", help="print how memory grows")
    parser.add_argument("--verbose", action="store_true", help="show what MXNet prints")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        inside(options.rounds, options.operators, options.memory)
    else:
        outside(options)


if __name__ == "__main__":
    main()
