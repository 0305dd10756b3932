"""On which processors the trial runs."""

import os
from collections.abc import Sequence

import psutil

from velodrome.machine import usable_cpus
from velodrome.record import Placement


def pin(cpus: Sequence[int]) -> None:
    """Keep this process, and the threads and children it will have, on these processors."""
    if cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)


def placement() -> Placement:
    """Where this process may run, and how many threads its process tree has by now."""
    this = psutil.Process()
    tree = [this, *this.children(recursive=True)]
    return Placement(cpus=usable_cpus(), threads=sum(process.num_threads() for process in tree))
