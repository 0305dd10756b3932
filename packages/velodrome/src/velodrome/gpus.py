"""NVIDIA GPUs: which of them a trial gets, and which the frameworks' packages have code for."""

import os

from velodrome.devices import Devices
from velodrome.errors import UserError
from velodrome.machine import Gpu

# Compute capabilities that mxnet-cu112 1.9.1 has machine code for; it carries no PTX, which a
# driver could compile for a later one.
_MXNET = ((5, 0), (6, 0), (7, 0), (8, 0), (8, 6))

# The lowest capability that these releases are built for: the notes of TensorFlow 2.18, JAX's
# installation page for CUDA 12, the architecture list of PyTorch's builds for CUDA 13. They
# carry PTX for what is later.
_LOWEST = {"tensorflow": (6, 0), "jax": (5, 2), "torch": (7, 5)}


def obstacle(framework: str, capability: str) -> str | None:
    """Why a framework's packages cannot use a GPU, or None if they can.

    Args:
        framework: such as `mxnet`.
        capability: the GPU's CUDA compute capability, such as `9.0`.
    """
    major, minor = (int(part) for part in capability.split("."))
    if framework == "mxnet":
        # Machine code runs on its own major version, from its minor version up.
        if any(major == code and minor >= lowest for code, lowest in _MXNET):
            return None
        return (
            "its last release has machine code for compute capability "
            f"{', '.join(f'{code}.{lowest}' for code, lowest in _MXNET)} and no PTX, "
            f"so nothing that runs on {capability}"
        )
    if framework not in _LOWEST:
        return None
    if (major, minor) >= _LOWEST[framework]:
        return None
    lowest_major, lowest_minor = _LOWEST[framework]
    return f"it is built for compute capability {lowest_major}.{lowest_minor} and later"


def missing(framework: str, devices: Devices, present: tuple[Gpu, ...]) -> str | None:
    """Why a machine cannot give a framework those devices, or None if it can.

    Args:
        framework: such as `mxnet`.
        devices: what is asked for, on each machine.
        present: the GPUs there are.
    """
    by_index = {gpu.index: gpu for gpu in present}
    for index in devices.gpus:
        if index not in by_index:
            have = f"it has {len(present)}" if present else "NVIDIA's driver tells of none"
            return f"{devices}: there is no GPU {index} on this machine ({have})"
        if reason := obstacle(framework, by_index[index].capability):
            return f"{framework} cannot use GPU {index}, {by_index[index].name}: {reason}"
    return None


def visible(devices: Devices) -> dict[str, str]:
    """Environment variables by which a worker sees its own GPUs alone, numbered from 0.

    The order is that of NVML, which tells their memory. On a CPU a worker sees none: some
    frameworks would take one unasked.
    """
    return {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": ",".join(map(str, devices.gpus)) or "-1",
    }


def given(count: int) -> tuple[int, ...]:
    """Numbers of the first so many GPUs that this process was given.

    Ray and Slurm say in CUDA_VISIBLE_DEVICES which they keep for a task.

    Raises:
        UserError: there are fewer, or they are not named by number.
    """
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    if said is None or not count:
        return tuple(range(count))
    numbers = [each.strip() for each in said.split(",") if each.strip()]
    if len(numbers) < count or not all(each.isdigit() for each in numbers):
        raise UserError(
            f"CUDA_VISIBLE_DEVICES is '{said}', where {count} GPUs are wanted, by their numbers"
        )
    return tuple(map(int, numbers[:count]))
