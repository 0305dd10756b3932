"""What the machine is: facts for the record, none that names its owner."""

import hashlib
import os
import platform
from pathlib import Path

import msgspec
import psutil
import pynvml

# Instruction sets that decide which kernels the frameworks' libraries choose.
_FLAGS = (
    "avx",
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_bf16",
    "asimd",
    "sve",
)


class Gpu(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One GPU, as NVML tells it.

    Attributes:
        index: its number.
        name: the product's name.
        memory: total device memory in bytes.
        capability: CUDA compute capability, such as `9.0`.
        driver: version of the driver.
    """

    index: int
    name: str
    memory: int
    capability: str
    driver: str


class Machine(msgspec.Struct, frozen=True, kw_only=True, gc=False, cache_hash=True):
    """One machine.

    Attributes:
        system: operating system and kernel.
        cpu: processor model.
        flags: instruction sets that matter here.
        cores: physical cores this process may use.
        threads: logical processors this process may use.
        memory: main memory in bytes.
        gpus: the GPUs that NVML sees.
    """

    system: str
    cpu: str
    flags: tuple[str, ...]
    cores: int
    threads: int
    memory: int
    gpus: tuple[Gpu, ...] = ()

    def digest(self) -> str:
        """SHA-256 that tells machines apart."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


def usable_cpus() -> tuple[int, ...]:
    """Numbers of the logical processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def usable_threads() -> int:
    """How many logical processors this process may run on."""
    return len(usable_cpus())


def one_cpu_a_core() -> tuple[int, ...]:
    """The first logical processor of each physical core this process may run on."""
    taken: set[str] = set()
    first = []
    for cpu in usable_cpus():
        path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        core = path.read_text().strip() if path.exists() else str(cpu)
        if core not in taken:
            taken.add(core)
            first.append(cpu)
    return tuple(first)


def openblas_core_type() -> str | None:
    """Name of the OpenBLAS kernels for this processor (its `DYNAMIC_ARCH` list), if known."""
    _, flags = _processor()
    if "avx512f" in flags:
        return "SKYLAKEX"
    if "avx2" in flags:
        return "HASWELL"
    return None


def this_machine() -> Machine:
    """The machine this process runs on."""
    cpu, flags = _processor()
    threads = usable_threads()
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=cpu,
        flags=flags,
        cores=min(psutil.cpu_count(logical=False) or threads, len(one_cpu_a_core())),
        threads=threads,
        memory=psutil.virtual_memory().total,
        gpus=_gpus(),
    )


def _processor() -> tuple[str, tuple[str, ...]]:
    cpuinfo = Path("/proc/cpuinfo")
    fields: dict[str, str] = {}
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            key, _, value = line.partition(":")
            fields.setdefault(key.strip(), value.strip())
    present = set((fields.get("flags") or fields.get("Features") or "").split())
    name = fields.get("model name") or platform.processor() or platform.machine()
    return name, tuple(flag for flag in _FLAGS if flag in present)


def _gpus() -> tuple[Gpu, ...]:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        driver = pynvml.nvmlSystemGetDriverVersion()
        return tuple(_gpu(index, driver) for index in range(pynvml.nvmlDeviceGetCount()))
    finally:
        pynvml.nvmlShutdown()


def _gpu(index: int, driver: str) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        index=index,
        name=pynvml.nvmlDeviceGetName(handle),
        memory=pynvml.nvmlDeviceGetMemoryInfo(handle).total,
        capability=f"{major}.{minor}",
        driver=driver,
    )
