"""Memory of this process and its children."""

from pathlib import Path

import psutil


def resident() -> int:
    """Resident bytes of the process tree now."""
    return sum(process.memory_info().rss for process in _tree())


def peak() -> int:
    """Sum over the process tree of each process's largest resident size, in bytes.

    The kernel keeps it, so nothing has to sample while the trial trains.
    """
    return sum(_high_water(process) for process in _tree())


def _tree() -> list[psutil.Process]:
    this = psutil.Process()
    return [this, *this.children(recursive=True)]


def _high_water(process: psutil.Process) -> int:
    status = Path(f"/proc/{process.pid}/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return int(process.memory_info().rss)
