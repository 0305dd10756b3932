"""A package of its own adds an engine and a workload: listed, raced, held to parity."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from velodrome.parity import verdict
from velodrome.store import read

EXAMPLE = Path(__file__).parents[3] / "examples" / "velodrome-numpy"


def velodrome(packages: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    paths = [str(packages), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, "-m", "velodrome", *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the example is installed, as pip does it."""
    folder = tmp_path_factory.mktemp("packages")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
    subprocess.run([*map(str, pip), str(EXAMPLE)], check=True)
    return folder


def test_it_is_listed(packages: Path) -> None:
    found = velodrome(packages, "list").stdout
    assert "numpy                      NumPy, backpropagation written out" in found
    assert "softmax " in found
    assert "engine, by velodrome-numpy 0.1.0" in velodrome(packages, "doctor").stdout


def test_it_is_raced_and_learns(packages: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    asked = ("softmax", "--dataset", "digits", "--engine", "numpy", "--epochs", "4")
    answer = velodrome(packages, "run", *asked, "--out", str(out))
    assert answer.returncode == 0, answer.stderr
    (record,) = read(out)
    assert record.status == "ok"
    assert record.environment["framework"] == "numpy"
    assert record.epochs[-1].validation_accuracy > 0.9


def test_it_is_held_to_parity_like_ours(packages: Path, tmp_path: Path) -> None:
    asked = ("mlp", "--engine", "numpy", "--batch-size", "16", "--out", str(tmp_path))
    answer = velodrome(packages, "parity", *asked)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    (found,) = verdict.read(tmp_path)
    assert (found.trial.engine, found.status) == ("numpy", "parity")


def test_what_it_cannot_train_is_a_row_with_the_reason(packages: Path, tmp_path: Path) -> None:
    asked = ("lenet", "--dataset", "digits", "--samples", "128", "--engine", "numpy")
    velodrome(packages, "run", *asked, "--epochs", "1", "--out", str(tmp_path))
    (record,) = read(tmp_path)
    assert record.status == "unsupported"
    assert record.failure is not None
    assert "numpy has no Conv" in record.failure.reason


def test_a_change_of_its_source_is_another_environment(packages: Path, tmp_path: Path) -> None:
    def environment() -> str:
        code = "from velodrome import environment; print(environment.describe('numpy', 'cpu').hash)"
        paths = [str(packages), *filter(None, [os.environ.get("PYTHONPATH")])]
        answer = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            check=True,
        )
        return answer.stdout

    engine = packages / "velodrome_numpy" / "engine.py"
    content, before = engine.read_text(), environment()
    engine.write_text(content + "\n# Changed.\n")
    assert environment() != before
    engine.write_text(content)
    assert environment() == before


def test_a_broken_one_takes_nothing_else_with_it(tmp_path: Path) -> None:
    (tmp_path / "lame.py").write_text("raise RuntimeError('no legs')\n")
    metadata = tmp_path / "lame-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: lame\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[velodrome.engines]\nlame = lame\n")
    assert "keras-jax" in velodrome(tmp_path, "list").stdout
    assert "broken: RuntimeError: no legs" in velodrome(tmp_path, "doctor").stdout
    answer = velodrome(tmp_path, "run", "lenet", "--engine", "lame")
    assert answer.returncode != 0
    assert "plug-in 'lame' is broken: RuntimeError: no legs" in answer.stderr
