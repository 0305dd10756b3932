"""Processes that help this one, and end with it."""

from concurrent.futures import ProcessPoolExecutor

from velodrome import lifeline


def helpers(number: int) -> ProcessPoolExecutor:
    """Helpers to be used as any executor; they begin as the platform begins processes."""
    return ProcessPoolExecutor(number, initializer=lifeline.end_with_parent)
