"""MXNet over several machines: a scheduler on the first, a server and a worker on each.

Run as a module, this is a scheduler or a server, as `DMLC_ROLE` says.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from velodrome import lifeline
from velodrome.engines.mxnet_import import import_mxnet
from velodrome.job import Meeting


def join(meeting: Meeting) -> None:
    """Start this machine's servers and make this process a worker, before MXNet is imported."""
    host, _, port = meeting.addresses[0].rpartition(":")
    machines = str(len(meeting.addresses))
    os.environ |= {
        "DMLC_PS_ROOT_URI": host,
        "DMLC_PS_ROOT_PORT": port,
        "DMLC_NODE_HOST": meeting.hosts[meeting.number],
        "DMLC_NUM_WORKER": machines,
        "DMLC_NUM_SERVER": machines,
    }
    for role in ("scheduler", "server") if meeting.number == 0 else ("server",):
        process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            env=os.environ | {"DMLC_ROLE": role},
        )
        threading.Thread(target=_watch, args=(role, process), daemon=True).start()
    os.environ["DMLC_ROLE"] = "worker"


def _watch(role: str, process: "subprocess.Popen[bytes]") -> None:
    """A worker without its servers waits for ever: it ends with them."""
    status = process.wait()
    print(f"MXNet's {role} ended with status {status}", file=sys.stderr, flush=True)
    os._exit(1)


class Sums:
    """Arrays that are added up over the machines' workers by the kvstore `dist_sync`."""

    def __init__(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Meet the other workers; they give the same names and shapes.

        Args:
            shapes: of each array, by its name.
        """
        import mxnet as mx

        self._store = mx.kvstore.create("dist_sync")
        for name, shape in shapes.items():
            self._store.init(name, mx.nd.zeros(shape))

    def add(self, name: str, arrays: Iterable[Any], priority: int = 0) -> None:
        """Put the sum of every worker's arrays in place of each; all workers call this.

        Args:
            name: what they are parts of.
            arrays: NDArrays, one a context.
            priority: the higher, the sooner it is sent.
        """
        own = list(arrays)
        self._store.push(name, own, priority)
        self._store.pull(name, out=own, priority=priority)


def _serve() -> None:
    """Until the worker that started this ends: importing MXNet is all it takes to serve."""
    lifeline.hold(sys.stdin.fileno())
    import_mxnet()


if __name__ == "__main__":
    _serve()
