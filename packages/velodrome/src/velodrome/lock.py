"""One process at a time."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[int]:
    """Hold the lock named by the file `path`, waiting for whoever holds it.

    The system gives the lock back when its holder dies, so a killed process blocks nobody. The
    file stays: removing it would let two processes hold "the" lock at once.

    Args:
        path: the lock's file; its folder is made.
        waiting: called once if someone else holds the lock.

    Yields:
        The lock's file descriptor: a child that inherits it holds the lock too, until it ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()
