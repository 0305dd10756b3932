"""Velodrome from Python, as in a notebook."""

import subprocess
import sys
from pathlib import Path

import pandas
import pytest
from matplotlib.figure import Figure

import velodrome
from velodrome.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run that ended, with a failure in it."""
    out = tmp_path_factory.mktemp("api") / "run"
    velodrome.run(
        "mlp", out=out, dataset="digits", engines=["torch"], devices=["cpu", "gpu@9"], samples=256,
        epochs=2, repeats=2,
    )  # fmt: skip
    return out


def test_it_runs_and_answers(folder: Path) -> None:
    found = velodrome.load(folder)
    assert "torch" in found.answer
    assert repr(found) == found.answer
    assert [row.trial.engine for group in found.groups for row in group.rows] == ["torch"] * 2


def test_results_are_a_frame_with_failures_in_it(folder: Path) -> None:
    frame = velodrome.load(folder).frame()
    assert isinstance(frame, pandas.DataFrame)
    assert sorted(frame["status"]) == ["ok", "ok", "unsupported", "unsupported"]
    done = frame[frame["status"] == "ok"]
    assert (done["samples_sec"] > 0).all()
    assert set(frame["script"]) == {"torch"}


def test_a_notebook_shows_the_table(folder: Path) -> None:
    html = velodrome.load(folder)._repr_html_()
    assert html.startswith("<pre")
    assert "samples/s" in html
    assert "torch" in html


def test_figures_can_be_gone_on_with(folder: Path, tmp_path: Path) -> None:
    figures = velodrome.load(folder).figures
    assert any(name.startswith("time-split") for name in figures)
    for figure in figures.values():
        assert isinstance(figure, Figure)
    next(iter(figures.values())).savefig(tmp_path / "one.png")


def test_bad_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'torch'"):
        velodrome.run("mlp", engines=["torhc"], out=tmp_path)
    with pytest.raises(UserError, match="no results"):
        velodrome.load(tmp_path / "none")


def test_importing_it_loads_nothing_else() -> None:
    code = "import sys, velodrome; print(*(m for m in sys.modules if m.startswith('velodrome')))"
    told = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert told.split() == ["velodrome"]
