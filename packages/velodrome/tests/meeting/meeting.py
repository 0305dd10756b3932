"""An engine that says it trains on GPUs, holds their numbers, and waits for its like.

It trains on the CPU. `VELODROME_MEETING` names a folder of locks,
`VELODROME_PATIENCE` the seconds that it waits.
"""

import fcntl
import os
import time
from pathlib import Path

import msgspec

from velodrome.devices import Devices
from velodrome.engines.mxnet import MXNet
from velodrome.job import Job
from velodrome.trial import Trial

_PATIENCE = float(os.environ.get("VELODROME_PATIENCE", "60"))


class Meeting(MXNet):
    """Fails if a device of its is in use, or if the trial on the other GPU never comes."""

    name = "meeting"

    @classmethod
    def unsupported(cls, trial: Trial) -> str | None:
        return None

    def __init__(self, job: Job) -> None:
        devices = Devices.parse(job.trial.devices)
        self._held = [_held(index) for index in devices.gpus or (0, 1)]
        if devices.gpus in ((0,), (1,)):
            _meet(job.trial.repeat, devices.gpus[0])
        trial = msgspec.structs.replace(job.trial, devices="cpu")
        super().__init__(msgspec.structs.replace(job, trial=trial))


def _folder() -> Path:
    return Path(os.environ["VELODROME_MEETING"])


def _held(index: int) -> int:
    """Taken until this process ends."""
    descriptor = os.open(_folder() / f"gpu-{index}", os.O_CREAT | os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def _meet(repeat: int, index: int) -> None:
    (_folder() / f"{repeat}-{index}").touch()
    other = _folder() / f"{repeat}-{1 - index}"
    deadline = time.monotonic() + _PATIENCE
    while not other.exists():
        if time.monotonic() > deadline:
            raise RuntimeError("the trial on the other GPU does not run")
        time.sleep(0.1)


ENGINES = (Meeting,)
