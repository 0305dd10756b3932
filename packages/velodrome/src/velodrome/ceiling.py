"""The matrix-multiply ceiling of this machine, measured once for each dtype and kept."""

import subprocess

import msgspec

from velodrome import environment, gpus
from velodrome.devices import Devices
from velodrome.environment import Environment
from velodrome.home import home
from velodrome.lock import locked
from velodrome.machine import Machine


def measured(machine: Machine, dtype: str, devices: Devices, place: Environment) -> float | None:
    """Operations a second of large matrix products; None if it cannot be told.

    Measured in a process of its own in PyTorch's environment if that is made, else in the one
    given; then kept for this machine. Of several GPUs the first is measured, and counts as
    often as there are GPUs; the replicas of a CPU share one.

    Args:
        machine: the machine we are on.
        dtype: arithmetic, such as float32.
        devices: what is trained on.
        place: an environment that is ready.
    """
    if environment.survey("torch", devices.kind).state == "ready":
        place = environment.describe("torch", devices.kind)
    first = Devices(devices.kind, indices=devices.gpus[:1] or None)
    path = home() / "ceilings.json"
    key = " ".join((machine.digest(), dtype, *_model(machine, first), place.framework))
    # Trials of another study, or of another node that shares the folder, may end just now.
    with locked(path.with_suffix(".lock")):
        known: dict[str, float] = msgspec.json.decode(path.read_bytes()) if path.exists() else {}
        if key not in known:
            arguments = (dtype, devices.kind, str(machine.cores))
            answer = subprocess.run(
                environment.command(place, "velodrome.engines.ceiling", *arguments),
                env=environment.variables(place) | gpus.visible(first),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            if answer.returncode:
                return None
            known[key] = float(answer.stdout.split()[-1])
            path.write_bytes(msgspec.json.encode(known))
    return known[key] * max(1, len(devices.gpus))


def _model(machine: Machine, device: Devices) -> tuple[str, ...]:
    """What the GPU is called, if it is one."""
    return tuple(gpu.name for gpu in machine.gpus if gpu.index in device.gpus)
