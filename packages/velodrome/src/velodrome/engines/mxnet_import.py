"""MXNet loaded beside a numpy that is younger."""

from typing import Any

import numpy as np


def import_mxnet() -> Any:
    """Import MXNet 1.9, which still asks for the `numpy.bool` that numpy 1.24 dropped."""
    if "bool" not in vars(np):
        setattr(np, "bool", bool)  # noqa: B010
    import mxnet

    return mxnet
