"""The jobs that are raced: a file a workload, each with a tuple `WORKLOADS`."""

from velodrome.registry import Registry
from velodrome.workloads.base import Workload

registry: Registry[Workload] = Registry("workload", __name__, "WORKLOADS")
