"""The further processes of a trial whose engine has one a device.

Each runs the whole job, which every random draw being the harness's makes the same in all, and
the engine sees to its part of each batch. Only the first reports on its progress.
"""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

from velodrome import failures
from velodrome.job import Failed, Job, to_json

_PATIENCE = 5.0  # seconds in which one process's end must have shown in the others


def rank() -> int:
    """Which of the trial's processes this is."""
    return int(os.environ.get("RANK", "0"))


class Ranks:
    """The processes that the first one starts; they end with it, and it with them."""

    def __init__(self, job: Job, processes: int, events: int, lost: Callable[[Failed], None]):
        """Start all but the first, which is this one.

        Args:
            job: what each is to run.
            processes: how many there are, this one included.
            events: descriptor to which a process writes why it failed.
            lost: called, in a thread, when a process has ended badly.
        """
        # Bound before anyone is told its number, so that nobody else can take it.
        self._master = socket.create_server(("127.0.0.1", 0), backlog=processes)
        common = {
            "WORLD_SIZE": str(processes),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(self._master.getsockname()[1]),
        }
        os.environ.update(common, RANK="0", MASTER_LISTENS=str(self._master.fileno()))
        self._lost = lost
        self._started = [_start(job, each, events) for each in range(1, processes)]
        self._watches = [
            threading.Thread(target=self._watch, args=(number, process), daemon=True)
            for number, process in enumerate(self._started, 1)
        ]
        for watch in self._watches:
            watch.start()

    def _watch(self, number: int, process: "subprocess.Popen[bytes]") -> None:
        status = process.wait()
        if status:
            kind, reason = failures.of_exit(status, "", oom_killed=False)
            who = f"process {number} of the trial's {len(self._started) + 1}"
            self._lost(Failed(kind=kind, reason=reason.replace("the worker", who), rank=number))

    def wait(self, timeout: float | None = None) -> None:
        """Until all have ended, which they do by themselves."""
        for watch in self._watches:
            watch.join(timeout)

    def settle(self) -> None:
        """After a failure of this process: leave the cause a while to show, if it is another."""
        self.wait(_PATIENCE / len(self._watches))


def _start(job: Job, number: int, events: int) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-m", "velodrome.worker", str(events)],
        stdin=subprocess.PIPE,
        env=os.environ | {"RANK": str(number)},
        pass_fds=(events,),
    )
    assert process.stdin is not None
    # Left open: the process ends when this closes with our own end.
    process.stdin.write(to_json(job))
    process.stdin.flush()
    return process
