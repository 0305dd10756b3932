"""Lets released Keras, which loads no plug-ins, find this backend.

`keras_mxnet.pth`, which the wheel puts beside the package, makes Python call `on_keras_import`
when `keras` is about to be imported, and do nothing else. If its backend will be "mxnet", the few
modules of Keras that choose by the backend's name get one more branch when they are imported. A
Keras that loads plug-ins has no such choice and is left alone.
"""

import ast
import importlib.machinery
import os
import sys
from collections.abc import Sequence
from types import CodeType, ModuleType

OLDEST_KERAS = (3, 11)

# What each module of Keras runs when the backend is "mxnet".
BRANCHES = {
    "keras.src.backend": (
        "from keras_mxnet.src import *\n"
        "from keras_mxnet.src.variable import Variable as BackendVariable\n"
        "from keras_mxnet.src import distribution_lib"
    ),
    "keras.src.layers.layer": "from keras_mxnet.src.layer import MXNetLayer as BackendLayer",
    "keras.src.models.model": "from keras_mxnet.src.trainer import MXNetTrainer as Trainer",
    "keras.src.export.saved_model": (
        "from keras_mxnet.src.export import MXNetExportArchive as BackendSavedModelExportArchive\n"
        "from keras_mxnet.src.export import MXNetExportArchive as BackendExportArchive"
    ),
}
DYNAMIC_BACKEND = "keras.src.utils.backend_utils"
MODEL = "keras.src.models.model"


def on_keras_import() -> None:
    """Prepare for Keras if it will be imported with the backend "mxnet".

    Raises:
        ImportError: if this Keras is too old.
    """
    # Keras may be imported once more, after `keras.config.set_backend`.
    sys.meta_path[:] = [f for f in sys.meta_path if type(f).__name__ != Finder.__name__]
    if chosen_backend() == "mxnet":
        check_keras()
        sys.meta_path.insert(0, Finder())


def chosen_backend() -> str | None:
    """Return the backend Keras will choose: the variable, else its configuration file."""
    if "KERAS_BACKEND" in os.environ:
        return os.environ["KERAS_BACKEND"]
    home = os.environ.get("KERAS_HOME", os.path.join(os.path.expanduser("~"), ".keras"))
    try:
        with open(os.path.join(home, "keras.json"), encoding="utf-8") as file:
            import json

            return json.load(file).get("backend")
    except (OSError, ValueError):
        return None


def check_keras() -> None:
    """Raise `ImportError` with the way out if the installed Keras is too old."""
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


class Finder:
    """Finds the modules of Keras that need our branch, and those only."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find as Python does, with our loader for the modules that choose a backend."""
        if name not in BRANCHES and name != DYNAMIC_BACKEND:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = Loader(name, spec.loader.path)
        return spec


class Loader(importlib.machinery.SourceFileLoader):
    """Compiles a module of Keras with our branch.

    Never from, or into, the cache of compiled files, which other backends share.
    """

    def get_code(self, fullname: str) -> CodeType:
        """Compile the module with our branch."""
        path = self.get_filename(fullname)
        module = ast.parse(self.get_data(path), path)
        if fullname == DYNAMIC_BACKEND:
            extend_dynamic_backend(module)
        else:
            add_branch(module, BRANCHES[fullname])
        if fullname == MODEL:
            extend_export(module)
        return compile(module, path, "exec", dont_inherit=True)


def add_branch(module: ast.Module, statements: str) -> bool:
    """Put `if backend() == "mxnet"` before the choice of backends that ends in an error.

    Args:
        module: the syntax tree, changed in place.
        statements: the source of the branch.

    Returns:
        Whether there was such a choice.
    """
    for i, node in enumerate(module.body):
        if isinstance(node, ast.If) and _asks_backend(node.test) and _ends_in_error(node):
            test = ast.Compare(node.test.left, [ast.Eq()], [ast.Constant("mxnet")])
            branch = ast.If(test, ast.parse(statements).body, [node])
            module.body[i] = ast.fix_missing_locations(ast.copy_location(branch, node))
            return True
    return False


def _asks_backend(test: ast.expr) -> bool:
    if not isinstance(test, ast.Compare) or not isinstance(test.left, ast.Call):
        return False
    called = test.left.func
    return getattr(called, "id", getattr(called, "attr", None)) == "backend"


def _ends_in_error(node: ast.If) -> bool:
    while len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
        node = node.orelse[0]
    return bool(node.orelse) and isinstance(node.orelse[-1], ast.Raise)


def extend_dynamic_backend(module: ast.Module) -> None:
    """Teach `DynamicBackend`, which preprocessing layers switch by, the name of this backend."""
    for node in ast.walk(module):
        if isinstance(node, ast.Tuple) and any(
            isinstance(e, ast.Constant) and e.value == "numpy" for e in node.elts
        ):
            node.elts.append(ast.copy_location(ast.Constant("mxnet"), node))
        if isinstance(node, ast.FunctionDef) and node.name == "__getattr__":
            ours = 'if self._backend == "mxnet":\n    return getattr(backend_module, name)'
            node.body.insert(0, ast.parse(ours).body[0])


def extend_export(module: ast.Module) -> None:
    """Teach `Model.export` the format "mxnet"."""
    ours = (
        'if format == "mxnet":\n'
        "    from keras_mxnet.src.graph.export import export\n"
        "    return export(self, filepath, input_signature, verbose, **kwargs)"
    )
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef) and node.name == "export":
            # After the docstring.
            node.body.insert(1, ast.fix_missing_locations(ast.parse(ours).body[0]))
