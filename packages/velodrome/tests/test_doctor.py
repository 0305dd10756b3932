"""What `velodrome doctor` says of machines good and poor."""

import pytest
from typer.testing import CliRunner

from velodrome import environment, gpus, machine
from velodrome.cli import application
from velodrome.machine import Gpu


@pytest.mark.parametrize("capability", ["5.2", "6.1", "7.0", "7.5", "8.0", "8.6", "8.9"])
def test_mxnet_runs_on_maxwell_to_ada(capability):
    assert gpus.obstacle("mxnet", capability) is None


@pytest.mark.parametrize("capability", ["3.7", "9.0", "10.0", "12.0"])
def test_mxnet_runs_on_nothing_older_or_newer(capability):
    assert f"nothing that runs on {capability}" in (gpus.obstacle("mxnet", capability) or "")


def test_others_run_from_their_lowest_capability_on():
    assert gpus.obstacle("torch", "7.5") is None
    assert gpus.obstacle("torch", "10.0") is None
    assert "7.5 and later" in (gpus.obstacle("torch", "7.0") or "")
    assert "6.0 and later" in (gpus.obstacle("tensorflow", "5.2") or "")


@pytest.fixture
def doctor(tmp_path, monkeypatch):
    """Runs it in an empty home; answers exit status and text."""
    monkeypatch.setenv("VELODROME_HOME", str(tmp_path))
    monkeypatch.delenv("VELODROME_DATA", raising=False)

    def run():
        result = CliRunner().invoke(application(), ["doctor"], standalone_mode=False)
        assert result.exception is None
        return result.return_value, result.output

    return run


def test_with_nothing_made_all_that_can_be_made_can_run(doctor, tmp_path):
    status, text = doctor()
    assert status == 0
    assert "missing: Python" in text
    assert "velodrome env create torch" in text
    assert "\n  torch              can run\n" in text
    assert list(tmp_path.iterdir()) == []


def test_with_nothing_that_can_run_it_says_so(doctor, tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "PINNED", tmp_path / "none")
    status, text = doctor()
    assert status == 1
    assert "velodrome env adopt torch PATH" in text
    assert "\n0 of " in text


def test_a_gpu_and_what_has_code_for_it(doctor, monkeypatch):
    hopper = Gpu(index=0, name="H", memory=80 * 2**30, capability="9.0", driver="570.1")
    monkeypatch.setattr(machine, "_gpus", lambda: (hopper,))
    _, text = doctor()
    assert "H, 80.0 GiB, compute capability 9.0, driver 570.1" in text
    assert "0 jax              has code for it" in text
    assert "0 mxnet            cannot use it: its last release has machine code for" in text
    assert "jax (gpu)          missing" in text


def test_data_sets_that_are_here_and_not(doctor, tmp_path, monkeypatch):
    assert "mnist              downloaded when first needed" in doctor()[1]
    monkeypatch.setenv("VELODROME_DATA", str(tmp_path / "absent"))
    assert "mnist              cannot be used: VELODROME_DATA names" in doctor()[1]


def test_a_data_set_that_no_workload_names_is_told_of_too(doctor):
    assert "cifar10-jpeg       not on this machine: put cifar10_jpeg.zip into" in doctor()[1]
