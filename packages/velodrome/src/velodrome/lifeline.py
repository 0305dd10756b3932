"""A worker ends with its parent: an orphan would train on and spoil the next trial."""

import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Have the kernel end this process when the parent dies, where it can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def hold(descriptor: int) -> None:
    """End this process when the parent dies or closes the other end of `descriptor`."""
    end_with_parent()
    threading.Thread(target=_watch, args=(descriptor,), daemon=True).start()


def _watch(descriptor: int) -> None:
    while os.read(descriptor, 4096):
        pass
    os.killpg(os.getpgid(0), signal.SIGKILL)
