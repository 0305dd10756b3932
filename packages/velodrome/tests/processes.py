"""Processes of the machine, found by their command."""

import contextlib
import os
from collections.abc import Iterable

import psutil

# Which test runs, as pytest tells; processes that it starts inherit it.
_TEST = "PYTEST_CURRENT_TEST"


def running(word: str, among: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those of `among` with `word` in their command; one may end while it is looked at."""
    found = []
    for process in among:
        with contextlib.suppress(psutil.NoSuchProcess):
            if word in " ".join(process.cmdline()):
                found.append(process)
    return found


def of_this_test() -> list[psutil.Process]:
    """All that the running test has started, directly or not; other tests may run beside it."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(_TEST) == os.environ[_TEST]:
                found.append(process)
    return found
