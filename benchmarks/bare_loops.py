"""What velodrome costs: an engine as it is timed, against a loop written by hand.

    python benchmarks/bare_loops.py [--engine torch,jax] [--batch-size 64,512] [--processes 13]

Epochs of the two alternate in one process, so that the machine's drift falls on both; which
comes first changes from round to round. A round gives one ratio: throughput of the engine over
that of the bare loop. How the two lie in memory differs from process to process, and with it their
pace: the unit is the process, its number the median of its rounds. Printed are the median over the
processes and its 99% interval. Processes take turns: one of every engine and batch size, then the
next of each.

The C library gives memory back to the system and takes it anew, page by page, where what lies at
the end of its heap is free. Which of the two loops meets that is chance, and was up to a tenth of
an epoch. So both run in a process that keeps its memory (`KEEPS_MEMORY`).
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

if TYPE_CHECKING:
    from velodrome.job import Job

HERE = Path(__file__).resolve()
ENGINES = "torch,jax,tensorflow,mxnet,keras-torch,keras-jax,keras-tensorflow,keras-mxnet"

# Of glibc's allocator (mallopt(3)): one heap for all threads, from which blocks of any size come
# and of which nothing is given back.
KEEPS_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
}
WARM_UP = 2  # rounds in which frameworks compile
FEWEST = 4  # rounds of a process, however slow; even, so that each comes first as often


class Contest(NamedTuple):
    """An engine at a batch size: how to start a process of it, and the ratios of those that ran."""

    engine: str
    job: Job
    python: Path
    variables: dict[str, str]
    ratios: list[float]


def outside(options: argparse.Namespace) -> None:
    """Start the processes, each in its engine's own environment; print the table."""
    contests = [
        contest(name, batch_size, options)
        for name in options.engine.split(",")
        for batch_size in map(int, options.batch_size.split(","))
    ]
    try:
        for _ in range(options.processes):
            for each in contests:
                each.ratios.append(measured(each, options))
                print(each.engine, each.job.trial.batch_size, each.ratios[-1], file=sys.stderr)
    finally:
        print_table(contests)


def contest(name: str, batch_size: int, options: argparse.Namespace) -> Contest:
    from velodrome import engines, environment, runner, study
    from velodrome.machine import this_machine

    engine = engines.registry.get(name)
    place = environment.ensure(engine.framework, "cpu", report=print)
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
        this_machine(),
    )
    own = engine.variables(job.trial.settings, job.threads)
    variables = environment.variables(place) | own | KEEPS_MEMORY
    return Contest(name, job, place.python, variables, [])


def print_table(contests: list[Contest]) -> None:
    from velodrome.statistics import median, median_interval

    print("| engine | batch | engine / bare | 99% interval | processes |")
    print("|---|---:|---:|---:|---:|")
    for each in contests:
        if each.ratios:
            held = median_interval(each.ratios)
            between = f"{held[0]:.3f} to {held[1]:.3f}" if held else "too few"
            found = f"{median(each.ratios):.3f}"
            cells = each.engine, each.job.trial.batch_size, found, between, len(each.ratios)
            print(f"| {' | '.join(map(str, cells))} |")


def measured(contest: Contest, options: argparse.Namespace) -> float:
    """The ratio of one more process."""
    answer = subprocess.run(
        [contest.python, HERE, "--inside", "--seconds", str(options.seconds)],
        input=msgspec.json.encode(contest.job),
        env=contest.variables,
        stdout=subprocess.PIPE,
        stderr=None if options.verbose else subprocess.DEVNULL,
        check=True,
    )
    return float(answer.stdout.splitlines()[-1])


def inside(enough: float) -> None:
    """Alternate epochs of the engine and of the bare loop for so long; print the median ratio."""
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

    ratios: list[float] = []
    spent = 0.0
    for number in count():
        order = randomness.order(trial, number + 1, len(started.y))
        pair = ("engine", "bare") if number % 2 else ("bare", "engine")
        taken = {what: seconds(what, order) for what in pair}
        if number >= WARM_UP:
            ratios.append(taken["bare"] / taken["engine"])
            spent += sum(taken.values())
        if len(ratios) >= FEWEST and spent >= enough:
            break
    print(np.median(ratios), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default=ENGINES)
    parser.add_argument("--batch-size", default="64,512")
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--samples", type=int, default=2048, help="of an epoch")
    parser.add_argument("--seconds", type=float, default=12.0, help="of rounds in a process")
    parser.add_argument("--processes", type=int, default=13)
    parser.add_argument("--verbose", action="store_true", help="show what the frameworks print")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    inside(options.seconds) if options.inside else outside(options)


if __name__ == "__main__":
    main()
