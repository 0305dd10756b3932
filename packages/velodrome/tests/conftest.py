from pathlib import Path

import pytest

from velodrome import environment
from velodrome.datasets.base import PreparedData
from velodrome.environment import Environment


@pytest.fixture(scope="session")
def mxnet_environment() -> Environment:
    """A real environment, the quickest to start; made if it is missing."""
    return environment.ensure("mxnet", "cpu", report=print)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture(scope="session")
def digits() -> PreparedData:
    from velodrome import datasets
    from velodrome.workloads import registry

    return datasets.get("digits").prepare(registry.get("mlp").takes())
