"""Every engine's dropout, seen in the steps that it takes in a process of its own."""

from pathlib import Path

import numpy as np
import pytest

from builders import trial
from velodrome import engines, environment
from velodrome.datasets.base import PreparedData
from velodrome.engines.base import Engine
from velodrome.engines.torch import Torch
from velodrome.executors import local
from velodrome.job import Job
from velodrome.parity import dropout
from velodrome.parity.dropout import Dropped
from velodrome.workloads import registry

FAULTS = Path(__file__).parent / "faults"
RATE = 0.3


def seen(name: str, kind: type[Engine], folder: Path, digits: PreparedData) -> Dropped:
    whole = trial(engine=name, workload="transformer-imdb")
    like = Job(trial=whole, graph=registry.get("mlp").graph, data=digits, threads=2)
    answer = folder / "dropout.npz"
    outcome = local.run(
        dropout.job(like, RATE, answer),
        environment.ensure(kind.framework, "cpu", report=print),
        variables=kind.variables("tuned", 2),
        timeout=300,
        log=folder / "log",
        on_event=lambda event: None,
    )
    assert outcome.kind is None, outcome.last_lines
    return dropout.read(answer, RATE, "float32")


@pytest.mark.parametrize("engine", [name for name in engines.registry.all() if name != "neon"])
def test_engines_drop_what_they_are_asked_to(
    engine: str, digits: PreparedData, tmp_path: Path
) -> None:
    found = seen(engine, engines.registry.get(engine), tmp_path, digits)
    assert found.problem == ""
    assert found.dropped == pytest.approx(RATE, abs=0.03)
    assert found.scale == pytest.approx(1 / (1 - RATE), rel=1e-3)


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("kept", "drops 0.7"),
        ("left-out", "drops 0.000"),
        ("not-scaled", "multiplies what it keeps by 1.000"),
        ("repeated", "repeats masks"),
        ("in-inference", "drops in inference"),
    ],
)
def test_a_planted_fault_is_caught(
    fault: str,
    problem: str,
    digits: PreparedData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(engines.OWN, str(FAULTS))
    found = seen(f"fault-dropout-{fault}", Torch, tmp_path, digits)
    assert found.problem.startswith(problem), found.problem


def test_one_mask_for_all_samples_of_a_batch_is_a_repeat() -> None:
    rng = np.random.default_rng(0)
    once = (rng.random((2, 2, 1, 1000)) > RATE) / (1 - RATE)
    masks = np.broadcast_to(once, (2, 2, 4, 1000)).reshape(2, 8, 1000)
    found = dropout.judged(masks, np.ones(2), RATE, "float32")
    assert found.problem.startswith("repeats masks")
