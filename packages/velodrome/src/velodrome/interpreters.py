"""Python interpreters that environments can be made with."""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from velodrome.errors import UserError

# First and last minor version of Python 3 that a framework's pinned file can be installed on.
# Keras 3.15 needs 3.11; MXNet 1.9.1 needs distutils, which left Python after 3.11.
_MINORS = {"mxnet": (11, 11), "tensorflow": (11, 13), "jax": (11, 14), "torch": (11, 14)}
_ANY = (11, 14)

_PROBE = """
import ensurepip, platform, sys, venv
print(platform.python_version(), sys._base_executable, sep="\\n")
"""


class Interpreter(NamedTuple):
    """A Python that runs and can make environments.

    Attributes:
        path: the executable, outside of any virtual environment.
        version: such as `3.11.7`.
    """

    path: Path
    version: str

    @property
    def minor(self) -> int:
        """The 11 of 3.11.7."""
        return int(self.version.split(".")[1])


@cache
def probe(path: Path) -> Interpreter | None:
    """The interpreter there, or None if it does not run or cannot make environments."""
    try:
        answer = subprocess.run(
            [path, "-I", "-c", _PROBE], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    version, base = answer.stdout.splitlines()
    return Interpreter(Path(base), version)


def check(framework: str, path: Path) -> Interpreter:
    """The interpreter that the user chose for a framework.

    Raises:
        UserError: it does not run, or the framework does not run on its version.
    """
    found = probe(path)
    if found is None:
        raise UserError(f"{path} is no Python 3 with venv and ensurepip that runs here")
    if not _suits(framework, found):
        raise UserError(f"{framework} needs {_needs(framework)}; {path} is {found.version}")
    return found


def find(framework: str) -> Interpreter:
    """One for a framework: that of this process if it suits, else from PATH, newest first.

    Raises:
        UserError: there is none.
    """
    for path in _candidates(framework):
        found = probe(path)
        if found is not None and _suits(framework, found):
            return found
    raise UserError(
        f"{framework} needs {_needs(framework)} and none that runs is on PATH; "
        f"give one: velodrome env create {framework} --python PATH"
    )


def _candidates(framework: str) -> Iterator[Path]:
    yield Path(sys.executable)
    first, last = _MINORS.get(framework, _ANY)
    for minor in range(last, first - 1, -1):
        # Not shutil.which: the first of that name may be a shim that fails.
        for folder in os.get_exec_path():
            path = Path(folder, f"python3.{minor}")
            if path.is_file():
                yield path


def _suits(framework: str, interpreter: Interpreter) -> bool:
    first, last = _MINORS.get(framework, _ANY)
    return interpreter.version.startswith("3.") and first <= interpreter.minor <= last


def _needs(framework: str) -> str:
    first, last = _MINORS.get(framework, _ANY)
    return f"Python 3.{first}" + (f" to 3.{last}" if last > first else "")
