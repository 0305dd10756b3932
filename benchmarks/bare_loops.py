"""What velodrome costs: an engine as it is timed, against a loop written by hand.

    python benchmarks/bare_loops.py [--engine torch,jax] [--batch-size 64,512]

Epochs of the two alternate in one process, so that the machine's drift falls on both; which
comes first changes from round to round. A round gives one ratio: throughput of the engine over
that of the bare loop. Printed are the median over the rounds and its 99% interval.

How the two lie in memory differs from process to process, and with it their pace. With
`--processes 9` each process gives one number, the median of its rounds, and printed are the median
over the processes and its interval.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from velodrome.job import Job

HERE = Path(__file__).resolve()


def outside(options: argparse.Namespace) -> None:
    """Start a process for each engine and batch size, in the engine's own environment."""
    from velodrome import engines, environment, runner, study
    from velodrome.machine import this_machine
    from velodrome.statistics import median, median_interval

    machine = this_machine()
    many = options.processes > 1
    print(
        f"| engine | batch | engine / bare | 99% interval | {'processes' if many else 'rounds'} |"
    )
    print("|---|---:|---:|---:|---:|")
    for name in options.engine.split(","):
        engine = engines.registry.get(name)
        place = environment.ensure(engine.framework, "cpu", report=print)
        for batch_size in map(int, options.batch_size.split(",")):
            (job,) = runner.plan(
                study.parse(
                    {
                        "name": "bare",
                        "workloads": "lenet",
                        "dataset": options.dataset,
                        "engines": name,
                        "batch_sizes": batch_size,
                        "samples": options.samples,
                    }
                ),
                machine,
            )

            command = [place.python, HERE, "--inside", "--rounds", str(options.rounds)]
            variables = environment.variables(place) | engine.variables(
                job.trial.settings, job.threads
            )
            ask = partial(measured, command, job, variables, options.verbose)
            found = [median(ask()) for _ in range(options.processes)] if many else ask()
            held = median_interval(found)
            between = f"{held[0]:.3f} to {held[1]:.3f}" if held else ""
            cells = [name, batch_size, f"{median(found):.3f}", between, len(found)]
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


def measured(
    command: list[str | Path], job: Job, variables: dict[str, str], verbose: bool
) -> list[float]:
    """The ratios of one process."""
    answer = subprocess.run(
        command,
        input=msgspec.json.encode(job),
        env=variables,
        stdout=subprocess.PIPE,
        stderr=None if verbose else subprocess.DEVNULL,
        check=True,
    )
    return json.loads(answer.stdout.splitlines()[-1])


def inside(rounds: int) -> None:
    """Alternate epochs of the engine and of the bare loop; print the ratios as JSON."""
    from velodrome import engines
    from velodrome.job import Job
    from velodrome.worker import placement, randomness
    from velodrome.worker.start import start

    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    placement.pin(job.cpus)
    started = start(job, lambda event: None)
    engine = started.engine
    trial = job.trial
    rate = trial.recipe.learning_rate
    module = (
        "keras"
        if trial.engine.startswith("keras-")
        else engines.registry.get(trial.engine).framework
    )
    bare = importlib.import_module(f"bare.{module}").trainer(
        started.x, started.y, trial.batch_size, job.threads, rate
    )

    def seconds(what: str, order: np.ndarray) -> float:
        begin = time.perf_counter()
        loss, accuracy = engine.train(order, rate) if what == "engine" else bare(order)
        taken = time.perf_counter() - begin
        assert np.isfinite(loss)
        assert 0 <= accuracy <= 1
        return taken

    ratios = []
    for number in range(rounds + 2):
        order = randomness.order(trial, number + 1, len(started.y))
        pair = ("engine", "bare") if number % 2 else ("bare", "engine")
        taken = {what: seconds(what, order) for what in pair}
        if number > 1:  # the first two rounds compile and warm up
            ratios.append(taken["bare"] / taken["engine"])
    print(json.dumps(ratios), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = "torch,jax,tensorflow,mxnet,keras-torch,keras-jax,keras-tensorflow,keras-mxnet"
    parser.add_argument("--engine", default=every)
    parser.add_argument("--batch-size", default="64,512")
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--samples", type=int, default=2048, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--verbose", action="store_true", help="show what the frameworks print")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    inside(options.rounds) if options.inside else outside(options)


if __name__ == "__main__":
    main()
