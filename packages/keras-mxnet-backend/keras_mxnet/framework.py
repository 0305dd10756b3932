"""The one place where MXNet is imported, in the versions that this backend stands on."""

import importlib.util
import warnings
from types import ModuleType

from keras_mxnet import settings

MXNET_VERSION = "1.9.1"


def load() -> ModuleType:
    """Import MXNet and return it.

    Raises:
        ImportError: if MXNet is missing or of another version, or NumPy is 2 or later.
    """
    import numpy

    if int(numpy.__version__.split(".")[0]) >= 2:
        raise ImportError(
            f"keras-mxnet needs numpy<2 (MXNet {MXNET_VERSION} was built for it), found "
            f"numpy {numpy.__version__}. Run: pip install 'numpy<2'"
        )
    if importlib.util.find_spec("mxnet") is None:
        raise ImportError(
            f"KERAS_BACKEND=mxnet needs MXNet. Run: pip install mxnet=={MXNET_VERSION}"
        )
    settings.apply()
    # MXNet 1.9 still reads `numpy.bool`, which NumPy removed in 1.24.
    missing = "bool" not in vars(numpy)
    if missing:
        numpy.bool = numpy.bool_  # type: ignore[attr-defined]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import mxnet
    finally:
        if missing:
            del numpy.bool
    if mxnet.__version__ != MXNET_VERSION:
        raise ImportError(
            f"keras-mxnet needs MXNet {MXNET_VERSION}, found {mxnet.__version__}. "
            f"Run: pip install mxnet=={MXNET_VERSION}"
        )
    return mxnet
