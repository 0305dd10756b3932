"""Processes that help this one, and end with it."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from velodrome import lifeline


def helpers(number: int) -> ProcessPoolExecutor:
    """Helpers to be used as any executor; fresh ones, so that what they import is all they hold."""
    return ProcessPoolExecutor(
        number, mp_context=get_context("spawn"), initializer=lifeline.end_with_parent
    )
