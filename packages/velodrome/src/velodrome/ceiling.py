"""The matrix-multiply ceiling of this machine, measured once for each dtype and kept."""

import subprocess

import msgspec

from velodrome import environment
from velodrome.environment import Environment
from velodrome.home import home
from velodrome.machine import Machine


def measured(machine: Machine, dtype: str, place: Environment) -> float | None:
    """Operations a second of large matrix products on the CPU; None if it cannot be told.

    Measured in a process of its own in PyTorch's environment if that is made, else in the one
    given, by numpy; then kept for this machine.

    Args:
        machine: the machine we are on.
        dtype: arithmetic, such as float32.
        place: an environment that is ready.
    """
    if environment.survey("torch", "cpu").state == "ready":
        place = environment.describe("torch", "cpu")
    path = home() / "ceilings.json"
    known: dict[str, float] = msgspec.json.decode(path.read_bytes()) if path.exists() else {}
    key = f"{machine.digest()} {dtype} {place.framework}"
    if key not in known:
        arguments = (dtype, str(machine.cores))
        answer = subprocess.run(
            environment.command(place, "velodrome.engines.ceiling", *arguments),
            env=environment.variables(place),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.returncode:
            return None
        known[key] = float(answer.stdout.split()[-1])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.encode(known))
    return known[key]
