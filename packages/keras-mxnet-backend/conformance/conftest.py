"""What Keras's own tests expect of their `conftest.py`, which its wheel does not ship.

Loaded with `-p conftest`, so that tests in the installed package find it by that name.
"""

import ast
import importlib.machinery
import os
import re
import sys
from pathlib import Path

import pytest
from keras.src.backend import backend

from keras_mxnet import bridge

if os.environ.get("KERAS_CONFORMANCE_EAGER"):
    from keras_mxnet.src import trainer

    trainer.GraphFunction = lambda function, name: function


class _TrainerTests(bridge.Loader):
    """Compiles the one module of tests that chooses by the backend's name, as Keras itself does."""

    NAME = "keras.src.trainers.trainer_test"

    def get_code(self, fullname):
        """Compile it with our trainer, and with our backend in tables of backends."""
        path = self.get_filename(fullname)
        module = ast.parse(self.get_data(path), path)
        bridge.add_branch(module, "from keras_mxnet.src.trainer import MXNetTrainer as Trainer")
        for node in ast.walk(module):
            if isinstance(node, ast.Dict):
                keys = [getattr(key, "value", None) for key in node.keys]
                if "tensorflow" in keys and "torch" in keys:
                    node.keys.append(ast.copy_location(ast.Constant("mxnet"), node))
                    node.values.append(node.values[keys.index("torch")])
        return compile(module, path, "exec", dont_inherit=True)

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        """Find that module, and no other."""
        if name != cls.NAME:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        spec.loader = cls(name, spec.loader.path)
        return spec


if backend() == "mxnet":
    sys.meta_path.insert(0, _TrainerTests)

OUTCOMES = "KERAS_CONFORMANCE_OUTCOMES"
_LACKING = re.compile(
    r"No module named '(tensorflow|torch)|requires the tensorflow module|installing TensorFlow"
)


def pytest_configure(config):
    """Declare the markers that Keras's tests use."""
    for marker in ("requires_trainable_backend", "multi_device"):
        config.addinivalue_line("markers", f"{marker}: see Keras's own conftest.py")


def pytest_collection_modifyitems(config, items):
    """Skip what cannot run here; leave out names that are no names."""
    # Names that hold the address of an object differ from process to process.
    items[:] = [item for item in items if not re.search("at ?0x", item.nodeid)]
    for item in items:
        if "multi_device" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="needs several devices"))
        if backend() == "mxnet" and "py_dataset_multiprocessing" in item.name:
            item.add_marker(pytest.mark.skip(reason="processes forked beside MXNet may hang"))


def skip_if_backend(given_backend, reason):
    """Return the marker that Keras's tests import from here."""
    return pytest.mark.skipif(backend() == given_backend, reason=reason)


def pytest_runtest_logreport(report):
    """Append one line, outcome and name, for each test; the process that gathers does it.

    A test that fails for want of a framework that is not installed is `lacking`.
    """
    path = os.environ.get(OUTCOMES)
    if not path or "PYTEST_XDIST_WORKER" in os.environ:
        return
    if report.when == "call" or report.outcome != "passed":
        outcome = "lacking" if _LACKING.search(str(report.longrepr)) else report.outcome
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{outcome}\t{report.when}\t{report.nodeid}\n")
