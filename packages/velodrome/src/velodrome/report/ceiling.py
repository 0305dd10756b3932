"""The share of the machine's ceiling that a row reaches: pure."""

from functools import cache

from velodrome import workloads
from velodrome.report.results import known
from velodrome.report.summary import Row
from velodrome.workloads import operations


def share_of_ceiling(row: Row) -> float | None:
    """Operations a second in training over those of large matrix products.

    None where the ceiling was not measured or the workload's graph is no longer what it was.
    """
    ceilings = known(row.done.ceiling)
    found = _operations(row.trial.workload, row.trial.graph)
    if not len(ceilings) or row.samples_sec is None or found is None:
        return None
    return float(found * row.samples_sec / ceilings.max())


@cache
def _operations(name: str, digest: str) -> int | None:
    """To train on one sample of a workload, if its graph is still that one."""
    workload = workloads.registry.all().get(name)
    if workload is None or workload.digest() != digest:
        return None
    return operations.training(workload.graph)
