"""Lets released Keras, which loads no plug-ins, find this backend.

`keras_mxnet.pth`, which the wheel puts beside the package, calls `start` when Python starts, if
Keras's backend can be "mxnet". An import hook then adds our branch to the few modules of Keras
that choose by the backend's name. A Keras that loads plug-ins itself is left alone.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import re
import sys
from collections.abc import Sequence
from types import ModuleType

OLDEST_KERAS = (3, 11)

# What each module of Keras runs when the backend is "mxnet".
_BRANCHES = {
    "keras.src.backend": (
        "    from keras_mxnet.src import *\n"
        "    from keras_mxnet.src.variable import Variable as BackendVariable\n"
        "    from keras_mxnet.src import distribution_lib\n"
    ),
    "keras.src.layers.layer": "    from keras_mxnet.src.layer import MXNetLayer as BackendLayer\n",
    "keras.src.models.model": "    from keras_mxnet.src.trainer import MXNetTrainer as Trainer\n",
    "keras.src.export.saved_model": (
        "    from keras_mxnet.src.export import (\n"
        "        MXNetExportArchive as BackendSavedModelExportArchive,\n"
        "    )\n"
    ),
}
_ANCHOR = re.compile(r'^elif ((?:backend\.)?backend\(\)) == "numpy":\n', re.MULTILINE)
_PLUGINS = re.compile(r"keras_\{|import_module\(f?[\"']keras_")


def start() -> None:
    """Install the hook if Keras will be imported with the backend "mxnet"."""
    if _configured_backend() == "mxnet" and not any(
        isinstance(finder, _Finder) for finder in sys.meta_path
    ):
        sys.meta_path.insert(0, _Finder())


def _configured_backend() -> str | None:
    """Return the backend Keras will choose: the variable, else its configuration file."""
    if "KERAS_BACKEND" in os.environ:
        return os.environ["KERAS_BACKEND"]
    home = os.environ.get("KERAS_HOME", os.path.join(os.path.expanduser("~"), ".keras"))
    try:
        with open(os.path.join(home, "keras.json")) as file:
            import json

            return json.load(file).get("backend")
    except (OSError, ValueError):
        return None


def with_branch(name: str, source: str) -> str:
    """Return a Keras module's source with our branch, unchanged if Keras loads plug-ins.

    Raises:
        ImportError: if the module has no place for a backend where released Keras has it.
    """
    if _PLUGINS.search(source):
        return source
    if _ANCHOR.search(source) is None:
        raise ImportError(
            f"keras-mxnet does not know this Keras ({name} chooses its backend in another way). "
            "Run: pip install --upgrade keras-mxnet-backend"
        )
    return _ANCHOR.sub(
        lambda match: f'elif {match[1]} == "mxnet":\n{_BRANCHES[name]}{match[0]}', source, count=1
    )


class _Loader(importlib.machinery.SourceFileLoader):
    def source_to_code(self, data, path, *, _optimize=-1):  # type: ignore[no-untyped-def]
        text = importlib.util.decode_source(data)
        return super().source_to_code(with_branch(self.name, text), path, _optimize=_optimize)

    def get_code(self, fullname: str):  # type: ignore[no-untyped-def]
        # Never from (or into) the cache of compiled files, which other backends share.
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname == "keras":
            _check_keras()
        if fullname not in _BRANCHES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            return spec
        spec.loader = _Loader(fullname, spec.origin)
        return spec


def _check_keras() -> None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("keras")
    except PackageNotFoundError:
        return
    if tuple(int(part) for part in found.split(".")[:2]) < OLDEST_KERAS:
        raise ImportError(
            f"keras-mxnet needs keras>={'.'.join(map(str, OLDEST_KERAS))}, found keras {found}. "
            "Run: pip install --upgrade keras"
        )
