from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from velodrome import environment
from velodrome.datasets.base import PreparedData
from velodrome.environment import Environment

# No timing is asserted in a test: on a busy machine a single example may take long.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


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
