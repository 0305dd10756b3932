"""Both packages as wheels, installed by pip alone in a clean environment."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels of both packages."""
    folder = tmp_path_factory.mktemp("wheels")
    packages = [str(PACKAGES / name) for name in ("velodrome", "keras-mxnet-backend")]
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder]
    subprocess.run([*map(str, pip), *packages], check=True)
    return folder


def install(folder: Path, *asked: list[str]) -> Path:
    """Make an environment by these calls of pip and return where its programs are."""
    venv.create(folder, with_pip=True)
    for arguments in asked:
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", *arguments], check=True)
    return folder / "bin"


@pytest.fixture(scope="module")
def installed(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds nothing but the wheels and what they ask for."""
    (own,) = wheels.glob("velodrome-*.whl")
    (backend,) = wheels.glob("keras_mxnet_backend-*.whl")
    folder = tmp_path_factory.mktemp("clean")
    return install(folder, [str(own)], ["--no-deps", str(backend)])


TRAINING = """
import keras, numpy as np
model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
model.compile(keras.optimizers.SGD(0.1), "mse")
x = np.eye(2, dtype="float32").repeat(8, 0)
losses = model.fit(x, x @ [[1.0], [2.0]], epochs=30, verbose=0).history["loss"]
print(keras.backend.backend(), type(model.weights[0].value).__module__, losses[-1] < losses[0] / 2)
"""


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="MXNet runs on Python 3.11")
def test_the_backend_trains_as_its_readme_says(wheels: Path, tmp_path: Path) -> None:
    (backend,) = wheels.glob("keras_mxnet_backend-*.whl")
    programs = install(tmp_path / "venv", [str(backend)])
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    answer = subprocess.run(
        [programs / "python", "-c", TRAINING],
        cwd=tmp_path,
        env={**variables, "KERAS_BACKEND": "mxnet"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == ["mxnet", "keras_mxnet.src.tensor", "True"]


def test_it_lists_checks_and_trains(installed: Path, tmp_path: Path) -> None:
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def velodrome(*arguments: str) -> str:
        answer = subprocess.run(
            [installed / "velodrome", *arguments],
            cwd=tmp_path,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    assert "quickstart" in velodrome("list")
    assert "engines can run here" in velodrome("doctor")
    asked = ("--dataset", "digits", "--samples", "256", "--epochs", "1", "--out", "run")
    told = velodrome("run", "mlp", "--engine", "keras-mxnet,torch", *asked)
    assert "report: run/report.html" in told
    assert (tmp_path / "run" / "figures").is_dir()
