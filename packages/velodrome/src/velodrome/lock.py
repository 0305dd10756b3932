"""One process at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock named by the file `path`, waiting for whoever holds it.

    The system gives the lock back when its holder dies, so a killed process blocks nobody. The
    file stays: removing it would let two processes hold "the" lock at once.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
