"""Memory of the GPUs that a trial trains on, each by itself, as NVML tells it."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import pynvml

from velodrome.record import DeviceMemory


class DeviceWatch:
    """The largest device memory seen; look between epochs, outside every clock.

    Frameworks keep what they once allocated, so that the end of an epoch shows its peak.
    """

    def __init__(self, gpus: Iterable[int]) -> None:
        """Take what each GPU holds now, before this process uses it, for idle."""
        self._handles: dict[int, Any] = {}
        self._most: dict[int, int] = {}
        for index in gpus:
            try:
                pynvml.nvmlInit()
                self._handles[index] = pynvml.nvmlDeviceGetHandleByIndex(index)
            except pynvml.NVMLError:
                continue
        self._idle = {index: _used(handle) for index, handle in self._handles.items()}

    def look(self) -> None:
        """Take a reading of every device."""
        for index, handle in self._handles.items():
            own = _of_this_process(handle)
            # In a container NVML knows no process: what came on top of idle is ours then.
            now = own if own is not None else _used(handle) - self._idle[index]
            self._most[index] = max(self._most.get(index, 0), now)

    def found(self, framework: Mapping[int, int]) -> tuple[DeviceMemory, ...]:
        """Each device's figures.

        Args:
            framework: bytes that the framework says it had allocated at most, by device.
        """
        return tuple(
            DeviceMemory(
                index=index,
                idle=self._idle[index],
                process=self._most.get(index),
                framework=framework.get(index),
            )
            for index in self._handles
        )


def _used(handle: Any) -> int:
    return int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)


def _of_this_process(handle: Any) -> int | None:
    for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle):
        if process.pid == os.getpid() and process.usedGpuMemory is not None:
            return int(process.usedGpuMemory)
    return None
