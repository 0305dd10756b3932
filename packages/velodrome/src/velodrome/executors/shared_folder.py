"""A trial over machines that find each other by files in a folder which all of them see."""

import os
import select
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from velodrome.executors import machines, node
from velodrome.executors.base import Outcome, Task, Tell

_PACE = 1.0  # seconds between two looks at a file: nobody says when it is there
_STOP = "stop"


def run(task: Task, number: int, folder: Path, tell: Tell) -> None:
    """Run one machine's part; the first tells of the whole trial, and ends it.

    Args:
        task: the whole trial.
        number: which of its machines this is.
        folder: of this trial alone, empty before its machines begin.
        tell: of the first machine, as for `node.run`.
    """
    host = socket.gethostbyname(socket.gethostname())
    port = machines.free_ports(host, 1)[0]
    _put(folder / f"{number}.address", f"{host}:{port}".encode())
    all_of_them = range(task.job.devices.machines)
    addresses = [_wait(folder / f"{each}.address").decode() for each in all_of_them]

    def elsewhere(part: Task, stop: int) -> Outcome:
        assert part.job.meeting is not None
        found = _wait(folder / f"{part.job.meeting.number}.outcome", (stop,))
        if not found:
            return Outcome(kind="lost", reason="stopped with the trial's other machines")
        return msgspec.json.decode(found, type=Outcome)

    if number == 0:
        try:
            tell(node.lead(task, addresses, elsewhere, tell))
        finally:
            _put(folder / _STOP, b"stop")
        return
    log = Path(task.log)
    own = msgspec.structs.replace(
        task,
        job=machines.parts(task.job, addresses)[number],
        log=str(log.with_suffix(f".{number}{log.suffix}")),
    )
    stop, stopping = os.pipe()
    threading.Thread(target=_hear, args=(folder / _STOP, stopping), daemon=True).start()
    _put(folder / f"{number}.outcome", msgspec.json.encode(node.outcome(own, (stop,))))


def _put(path: Path, content: bytes) -> None:
    """Never seen half-written."""
    half_written = path.with_suffix(".part")
    half_written.write_bytes(content)
    half_written.replace(path)


def _wait(path: Path, stops: Sequence[int] = ()) -> bytes:
    """What is in a file once it is there; nothing if a descriptor can be read first."""
    while not path.exists():
        if select.select(stops, [], [], _PACE)[0]:
            return b""
    return path.read_bytes()


def _hear(path: Path, stopping: int) -> None:
    """Close the descriptor once the file is there."""
    _wait(path)
    os.close(stopping)
