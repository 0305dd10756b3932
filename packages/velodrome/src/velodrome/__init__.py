"""Velodrome: the same training job, raced on every engine, on your machine."""

import importlib
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`run` and `load`, loaded when they are asked for: a worker has this module and no more."""
    if name in ("load", "run"):
        return getattr(importlib.import_module("velodrome.api"), name)
    raise AttributeError(f"module 'velodrome' has no attribute '{name}'")
