"""Which tracer, if any, watches what this thread computes."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import local
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from keras_mxnet.src.graph.tracer import Tracer


class Untraceable(Exception):
    """A function cannot become a graph; the message says why."""


_state = local()


def current() -> Optional["Tracer"]:
    """Return the tracer of this thread, None where operators simply run."""
    return getattr(_state, "tracer", None)


@contextmanager
def using(tracer: Optional["Tracer"]) -> Iterator[None]:
    """Let a tracer watch inside the block, or, with None, nobody."""
    previous = current()
    _state.tracer = tracer
    try:
        yield
    finally:
        _state.tracer = previous
