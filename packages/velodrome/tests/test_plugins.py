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
    asked = ("mlp,softmax", "--engine", "numpy", "--batch-size", "16", "--out", str(tmp_path))
    answer = velodrome(packages, "parity", *asked)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    found = [(each.trial.workload, each.status) for each in verdict.read(tmp_path)]
    assert found == [("mlp", "parity"), ("softmax", "parity")]


def test_a_race_of_pinned_versions_is_held_to_parity_in_them(
    packages: Path, tmp_path: Path
) -> None:
    asked = ("mlp", "--engine", "numpy", "--pin", "numpy==2.3.5")
    answer = velodrome(packages, "parity", *asked, "--steps", "1", "--out", str(tmp_path / "same"))
    assert answer.returncode == 0, answer.stdout + answer.stderr
    (found,) = verdict.read(tmp_path / "same")
    assert found.ledger is not None
    assert found.ledger.versions["numpy"] == "2.3.5"

    limits = ("--dataset", "digits", "--samples", "256", "--epochs", "1")
    velodrome(packages, "run", *asked, *limits, "--out", str(tmp_path / "run"))
    (record,) = read(tmp_path / "run")
    assert verdict.settles(found, record.trial)


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


def module(folder: Path, name: str, group: str, content: str) -> None:
    """A distribution of one file, as pip leaves it."""
    metadata = f"{name}-1.0.dist-info"
    written = {
        f"{name}.py": content,
        f"{metadata}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{metadata}/entry_points.txt": f"[velodrome.{group}]\n{name} = {name}\n",
    }
    (folder / metadata).mkdir()
    for path, text in written.items():
        (folder / path).write_text(text)
    (folder / metadata / "RECORD").write_text("".join(f"{path},,\n" for path in written))


ENGINE = """
from velodrome.engines.mxnet import ENGINES as OURS

class Alias(OURS[0]):
    name = "alias"

ENGINES = (Alias,)
"""

DATASET = """
import numpy as np
from velodrome.datasets.base import Data, Dataset, InputSpec, Split

class Stripes(Dataset):
    name = "stripes"
    summary = "images of ten grey levels"

    def provides(self, wanted):
        return InputSpec(kind="image", shape=(28, 28, 1), classes=10)

    def arrays(self, spec, samples, originals):
        y = np.arange(200, dtype=np.int32) % 10
        x = np.repeat(y.astype(np.uint8) * 25, 784).reshape(200, 28, 28, 1)
        return Data(Split(x, y), Split(x[:50], y[:50]))

DATASETS = (Stripes(),)
"""


def test_an_engine_and_a_data_set_may_be_modules_of_one_file(tmp_path: Path) -> None:
    module(tmp_path, "alias", "engines", ENGINE)
    module(tmp_path, "stripes", "datasets", DATASET)
    out = tmp_path / "run"
    asked = ("mlp", "--dataset", "stripes", "--engine", "alias", "--epochs", "1")
    answer = velodrome(tmp_path, "run", *asked, "--out", str(out))
    assert answer.returncode == 0, answer.stderr
    (record,) = read(out)
    assert (record.status, record.trial.engine, record.trial.dataset) == ("ok", "alias", "stripes")
    assert record.epochs[0].samples == 200


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("raise RuntimeError('no legs')", "RuntimeError: no legs"),
        ("raise SystemExit('no licence')", "SystemExit: no licence"),
        ("", "AttributeError: module 'lame' has no attribute 'ENGINES'"),
        ("ENGINES = 3", "TypeError: 'int' object is not iterable"),
        ("ENGINES = (3,)", "AttributeError: 'int' object has no attribute 'name'"),
    ],
)
def test_a_broken_one_takes_nothing_else_with_it(tmp_path: Path, content: str, why: str) -> None:
    module(tmp_path, "lame", "engines", content)
    assert "keras-jax" in velodrome(tmp_path, "list", "engines").stdout
    answer = velodrome(tmp_path, "run", "lenet", "--engine", "lame")
    assert answer.returncode != 0
    assert f"plug-in 'lame' is broken: {why}" in answer.stderr


def test_the_doctor_names_a_broken_one(tmp_path: Path) -> None:
    module(tmp_path, "lame", "engines", "raise RuntimeError('no legs')")
    assert "broken: RuntimeError: no legs" in velodrome(tmp_path, "doctor").stdout
