"""The data sets: a file a data set, each with a tuple `DATASETS`.

`get(name).prepare` is the harness's side, `load` the worker's.
"""

from velodrome.datasets.base import (
    Data,
    Dataset,
    InputSpec,
    PreparedData,
    Split,
    limited,
    load,
    registry,
)

__all__ = [
    "Data",
    "Dataset",
    "InputSpec",
    "PreparedData",
    "Split",
    "get",
    "limited",
    "load",
    "names",
    "registry",
]


def names() -> list[str]:
    """What `get` accepts, sorted."""
    return list(registry.all())


def get(name: str) -> Dataset:
    """The data set of that name.

    Raises:
        UserError: there is none; lists those there are.
    """
    return registry.get(name)
