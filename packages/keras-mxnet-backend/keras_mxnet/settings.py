"""Process settings that MXNet reads once, when it is loaded.

MXNet's default of one OpenMP thread per team and OpenBLAS's guess at unknown CPUs both cost a
factor of two on common machines. What the user has set is never touched.
"""

import os
from pathlib import Path


def cpu_flags() -> frozenset[str]:
    """Return the instruction-set flags of the first CPU, empty where the system tells none."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return frozenset(line.split(":", 1)[1].split())
    except OSError:
        pass
    return frozenset()


def openblas_core(flags: frozenset[str]) -> str | None:
    """Return the OpenBLAS core type whose kernels these CPU flags can run, or None."""
    if "avx512f" in flags and "avx512vl" in flags and "avx512bw" in flags:
        return "SkylakeX"
    if "avx2" in flags and "fma" in flags:
        return "Haswell"
    if "avx" in flags:
        return "Sandybridge"
    return None


def usable_cpus() -> int:
    """Return how many CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def apply() -> None:
    """Set the environment variables that MXNet and its BLAS read, unless they are set."""
    os.environ.setdefault("OMP_NUM_THREADS", str(usable_cpus()))
    core = openblas_core(cpu_flags())
    if core is not None:
        os.environ.setdefault("OPENBLAS_CORETYPE", core)
