"""Processes that help this one, and end with it."""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from typing import ParamSpec

from velodrome import lifeline

Arguments = ParamSpec("Arguments")


def helpers(number: int) -> ProcessPoolExecutor:
    """Helpers to be used as any executor; they begin as the platform begins processes."""
    return ProcessPoolExecutor(number, initializer=lifeline.end_with_parent)


@contextmanager
def aside(
    function: Callable[Arguments, object], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Iterator[None]:
    """Have a helper run a function, which is done at the end of the context.

    Where processes begin as copies of this one, the arguments are not sent. No thread waits
    here meanwhile, so that other helpers may begin.

    Raises:
        Exception: at the end, what the function raised.
        ChildProcessError: at the end, the helper was killed.
    """
    receiver, sender = Pipe(duplex=False)
    helper = Process(target=_run, args=(sender, function, args, kwargs))
    helper.start()
    sender.close()
    try:
        yield
        error = _answer(receiver)
    finally:
        helper.kill()
        helper.join()
        receiver.close()
    if error:
        raise error


def _answer(receiver: Connection) -> Exception | None:
    try:
        error: Exception | None = receiver.recv()
    except EOFError:
        return ChildProcessError("a helper was killed; is there memory enough?")
    return error


def _run(
    sender: Connection,
    function: Callable[..., object],
    args: tuple[object, ...],
    kwargs: dict[str, object],
) -> None:
    lifeline.end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The process that it helps decides.
    try:
        function(*args, **kwargs)
    except Exception as error:
        sender.send(error)
    else:
        sender.send(None)
