"""The lighter of the repository's examples, at a small size, on stand-in data."""

import importlib
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"

SMALL = {
    "lstm_imdb": ["--words", "50", "--length", "12"],
    "transformer_imdb": ["--words", "50", "--length", "12"],
    "vae": ["--batch-size", "16"],
}


@pytest.mark.parametrize("name", SMALL)
def test_example_trains(name, monkeypatch, tmp_path, caplog):
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.delenv("VELODROME_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [name, "--samples", "160", "--epochs", "4", *SMALL[name]])
    losses = importlib.import_module(name).main().history["loss"]
    assert losses[-1] < 0.97 * losses[0]
    assert "runs eagerly" not in caplog.text
