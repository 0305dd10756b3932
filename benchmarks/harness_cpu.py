"""How much processor time the harness takes while a worker measures.

    python benchmarks/harness_cpu.py [--engine jax] [--epochs 30]

Runs `velodrome run` in a process of its own and reads that process's processor time, its
children left out, from the second epoch of the worker to its last but one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import psutil


class Reading(NamedTuple):
    """Wall clock and the harness's own processor time, in seconds."""

    wall: float
    cpu: float


def read(process: psutil.Process) -> Reading:
    times = process.cpu_times()
    return Reading(time.perf_counter(), times.user + times.system)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="jax")
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        harness = subprocess.Popen(
            [
                *(sys.executable, "-m", "velodrome", "run", "lenet", "--dataset", "digits"),
                *("--engine", options.engine, "--epochs", str(options.epochs), "--out", folder),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert harness.stderr is not None
        process = psutil.Process(harness.pid)
        readings = [read(process) for line in harness.stderr if " epoch " in line]
        harness.wait()
    if len(readings) < 4:
        raise SystemExit("the run did not come to its end; try it by itself")
    first, last = readings[1], readings[-2]
    cpu, wall, epochs = last.cpu - first.cpu, last.wall - first.wall, len(readings) - 3
    print(
        f"{cpu / wall:.2%} of a core: {cpu * 1e3:.0f} ms in {wall:.1f} s, "
        f"{cpu / epochs * 1e3:.1f} ms an epoch of {wall / epochs:.2f} s"
    )


if __name__ == "__main__":
    main()
