"""Processes of the machine, found by their command."""

import contextlib
from collections.abc import Iterable

import psutil


def running(word: str, among: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those of `among` with `word` in their command; one may end while it is looked at."""
    found = []
    for process in among:
        with contextlib.suppress(psutil.NoSuchProcess):
            if word in " ".join(process.cmdline()):
                found.append(process)
    return found
