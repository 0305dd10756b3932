"""Both packages as wheels, installed by pip alone in a clean environment."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds nothing but the wheels and what they ask for."""
    folder = tmp_path_factory.mktemp("clean")
    wheels = folder / "wheels"
    packages = [str(PACKAGES / name) for name in ("velodrome", "keras-mxnet-backend")]
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels]
    subprocess.run([*map(str, pip), *packages], check=True)
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / "bin"
    (own,) = wheels.glob("velodrome-*.whl")
    (backend,) = wheels.glob("keras_mxnet_backend-*.whl")
    for asked in ([str(own)], ["--no-deps", str(backend)]):
        subprocess.run([programs / "pip", "install", "--quiet", *asked], check=True)
    return programs


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
