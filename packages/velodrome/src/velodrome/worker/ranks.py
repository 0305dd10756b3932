"""The further processes of a trial whose engine has one a device.

Each runs the whole job, which every random draw being the harness's makes the same in all, and
the engine sees to its part of each batch. Only the first on each machine reports on its progress.
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


class World:
    """How many processes a trial has, and which of them are here.

    Attributes:
        size: on all machines.
        here: on this one.
        first: rank of the first on this one.
    """

    def __init__(self, job: Job, processes: int) -> None:
        """Count them.

        Args:
            job: what each is to run.
            processes: as `Engine.processes` gives them.
        """
        machines = job.devices.machines
        self.size = max(processes, machines)
        self.here = self.size // machines
        self.first = job.meeting.number * self.here if job.meeting else 0


class Ranks:
    """The processes that the first one on a machine starts; they end with it, and it with them."""

    def __init__(self, job: Job, world: World, events: int, lost: Callable[[Failed], None]):
        """Start all of this machine's but the first, which is this one.

        Args:
            job: what each is to run.
            world: how many there are.
            events: descriptor to which a process writes why it failed.
            lost: called, in a thread, when a process has ended badly.
        """
        self._world = world
        address = job.meeting.addresses[0] if job.meeting else "127.0.0.1:0"
        host, _, port = address.rpartition(":")
        if world.first == 0:
            # Bound before a process here is told its number, so that nobody else can take it.
            self._master = socket.create_server((host, int(port)), backlog=world.size)
            port = str(self._master.getsockname()[1])
            os.environ["MASTER_LISTENS"] = str(self._master.fileno())
        os.environ |= {
            "WORLD_SIZE": str(world.size),
            "RANK": str(world.first),
            "MASTER_ADDR": host,
            "MASTER_PORT": port,
        }
        self._lost = lost
        self._started = [self._start(job, each, events) for each in range(1, world.here)]
        self._watches = [
            threading.Thread(target=self._watch, args=(number, process), daemon=True)
            for number, process in enumerate(self._started, 1)
        ]
        for watch in self._watches:
            watch.start()

    def _start(self, job: Job, number: int, events: int) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [sys.executable, "-m", "velodrome.worker", str(events), str(number)],
            stdin=subprocess.PIPE,
            env=os.environ | {"RANK": str(self._world.first + number)},
            pass_fds=(events,),
        )
        assert process.stdin is not None
        # Left open: the process ends when this closes with our own end.
        process.stdin.write(to_json(job))
        process.stdin.flush()
        return process

    def _watch(self, number: int, process: "subprocess.Popen[bytes]") -> None:
        status = process.wait()
        if status:
            kind, reason = failures.of_exit(status, "", oom_killed=False)
            rank, size = self._world.first + number, self._world.size
            who = f"process {rank} of the trial's {size}"
            reason = reason.replace("the worker", who)
            self._lost(Failed(kind=kind, reason=reason, lost=status, rank=rank, world_size=size))

    def wait(self, timeout: float | None = None) -> None:
        """Until all have ended, which they do by themselves."""
        for watch in self._watches:
            watch.join(timeout)

    def settle(self) -> None:
        """After a failure of this process: leave the cause a while to show, if it is another."""
        self.wait(_PATIENCE / max(1, len(self._watches)))
