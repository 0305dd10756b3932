"""Whether an engine loads: `python -m velodrome.tryout ENGINE`, in its environment.

Exit status 0 if it does; else the last line on standard error says why not.
"""

import sys

from velodrome import engines, workloads
from velodrome.datasets.base import PreparedData
from velodrome.job import Job
from velodrome.trial import Trial


def main() -> None:
    """Construct the engine, which imports its framework."""
    name = sys.argv[1]
    workload = workloads.registry.get("lenet")
    trial = Trial(
        engine=name,
        workload=workload.name,
        graph=workload.digest(),
        recipe=workload.recipe,
        dataset="none",
        data="",
        samples=None,
        devices="cpu",
        batch_size=1,
        epochs=1,
        drop_last=False,
        dtype="float32",
        settings="tuned",
        seed=0,
        repeat=0,
        environment="",
    )
    takes = workload.takes()
    data = PreparedData(
        name="none",
        folder="",
        fingerprint="",
        kind=takes.kind,
        shape=takes.shape,
        classes=takes.classes,
        train=0,
        validation=0,
    )
    engines.registry.get(name)(Job(trial=trial, graph=workload.graph, data=data, threads=1))


if __name__ == "__main__":
    main()
