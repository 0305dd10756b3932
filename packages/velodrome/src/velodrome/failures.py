"""What kind of failure ended a trial, told from an exception, an exit or last words."""

import re
import signal

from velodrome.record import FailureKind

# How frameworks and libraries say that an allocation failed.
_OUT_OF_MEMORY = re.compile(
    r"out of memory|can't allocate memory|cannot allocate memory|std::bad_alloc"
    r"|RESOURCE_EXHAUSTED|OOM when allocating|MemoryError|failed to allocate"
    r"|Unable to allocate|Failed to mmap|failed to map segment|CUDA_ERROR_OUT_OF_MEMORY",
    re.IGNORECASE,
)

# What is said of a thread for whose stack there is no room, or one too many.
_NO_THREAD = "Resource temporarily unavailable"


class Unsupported(Exception):
    """Raised by an engine for what it cannot run; its text is the reason."""


class Diverged(Exception):
    """Raised when a loss is no longer finite."""


def tells_out_of_memory(text: str) -> bool:
    """Whether a message is about memory that was not to be had."""
    return _OUT_OF_MEMORY.search(text) is not None


def of_exception(error: BaseException, limited: bool = False) -> tuple[FailureKind, str]:
    """Kind and one-line reason of an exception that ended a trial.

    Args:
        error: what was raised.
        limited: whether the worker's address space was limited.
    """
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    match error:
        case Unsupported():
            return "unsupported", str(error)
        case Diverged():
            return "diverged", str(error)
        case MemoryError():
            return "out-of-memory", reason
        case _ if tells_out_of_memory(reason) or (limited and _NO_THREAD in reason):
            return "out-of-memory", reason
        case _:
            return "error", reason


def of_exit(status: int, last_words: str, oom_killed: bool) -> tuple[FailureKind, str]:
    """Kind and reason for a worker that ended without saying why.

    Args:
        status: exit status as `os.waitstatus_to_exitcode` gives it (negative: a signal).
        last_words: the end of what it printed.
        oom_killed: whether the kernel killed a process for memory meanwhile.
    """
    if status < 0:
        name = _signal_name(-status)
        if (oom_killed and status == -signal.SIGKILL) or tells_out_of_memory(last_words):
            return "out-of-memory", f"the worker was ended by {name} for lack of memory"
        return "crash", f"the worker was ended by {name}"
    if tells_out_of_memory(last_words):
        return "out-of-memory", f"the worker left with status {status} for lack of memory"
    return "crash", f"the worker left with status {status} and no word"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
