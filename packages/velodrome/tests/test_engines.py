"""Every engine really trains, in its own environment, and all of them train the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from builders import trial
from velodrome import datasets, engines, environment, store
from velodrome.datasets.base import PreparedData
from velodrome.executors import local
from velodrome.executors.base import Outcome
from velodrome.job import Job
from velodrome.machine import usable_cpus
from velodrome.trial import DType, Settings
from velodrome.workloads import registry
from velodrome.workloads.recipe import Recipe

# Without Neon, unless someone has adopted a Python that has it.
ENGINES = sorted(
    name
    for name, engine in engines.registry.all().items()
    if engine.framework in environment.frameworks("cpu")
)

THREADS = 2


def train(
    engine: str,
    workload: str,
    data: PreparedData,
    folder: Path,
    recipe: Recipe,
    epochs: int,
    settings: Settings = "tuned",
    samples: int | None = None,
    dtype: DType = "float32",
) -> Outcome:
    kind = engines.registry.get(engine)
    job = Job(
        trial=trial(
            engine=engine,
            workload=workload,
            recipe=recipe,
            epochs=epochs,
            samples=samples,
            settings=settings,
            dtype=dtype,
        ),
        graph=registry.get(workload).graph,
        data=data,
        threads=THREADS,
    )
    return local.run(
        job,
        environment.ensure(kind.framework, "cpu", report=print),
        variables=kind.variables(settings, THREADS),
        timeout=300,
        log=folder / f"{engine}.log",
        on_event=lambda event: None,
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_lenet_learns_digits(engine: str, digits: PreparedData, tmp_path: Path) -> None:
    outcome = train(engine, "lenet", digits, tmp_path, Recipe(learning_rate=0.015, momentum=0.9), 3)
    assert outcome.kind is None, outcome.last_lines
    assert outcome.epochs[-1].validation_accuracy > 0.8
    assert outcome.ledger is not None
    assert outcome.ledger.dtype == "float32"
    assert outcome.ledger.variables == engines.registry.get(engine).variables("tuned", THREADS)
    # XLA makes a thread for each processor that it finds, Neon leaves it to numpy.
    threads = {"jax": len(usable_cpus()), "neon": None}
    framework = engines.registry.get(engine).framework
    assert outcome.ledger.threads == threads.get(framework, THREADS)


@pytest.mark.parametrize("engine", ["jax", "keras-jax"])
def test_jax_takes_no_memory_of_a_gpu_before_it_needs_it(engine: str) -> None:
    variables = engines.registry.get(engine).variables("stock", THREADS)
    assert variables["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"


@pytest.mark.parametrize("engine", ["mxnet", "keras-mxnet"])
def test_mxnet_says_of_a_gpu_nothing_that_holds_on_a_cpu_alone(engine: str) -> None:
    known = engines.registry.get(engine)
    on_cpu, on_gpu = (
        known.unsupported(trial(engine=engine, devices=devices, dtype="float16"))
        for devices in ("cpu", "gpu")
    )
    assert on_cpu is not None
    assert on_gpu is not None
    assert "on a CPU" in on_cpu
    assert "CPU" not in on_gpu
    assert known.unsupported(trial(engine=engine, devices="gpu", dtype="bfloat16")) is not None


@pytest.mark.parametrize(
    ("workload", "why"),
    [
        ("transformer-imdb", "Neon has neither attention nor layer normalisation"),
        ("imdb-rnn", "embeddings, an LSTM and Adam"),
        ("resnet50", "no branches"),
        ("inception-v3", "no branches"),
    ],
)
def test_neon_says_what_it_lacks(workload: str, why: str) -> None:
    reason = engines.registry.get("neon").unsupported(trial(workload=workload))
    assert reason is not None
    assert why in reason


# Momentum, weight decay and a falling rate: where frameworks' optimizers differ most.
RECIPE = Recipe(learning_rate=0.02, momentum=0.9, weight_decay=0.01, decay_epochs=(1,))


@pytest.fixture(scope="module")
def curves(
    digits: PreparedData, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[tuple[float, float]]]:
    """Training and validation loss of each engine, epoch by epoch, on a smooth network."""
    folder = tmp_path_factory.mktemp("curves")
    found = {}
    for engine in ENGINES:
        outcome = train(engine, "lenet-official", digits, folder, RECIPE, 3, "stock", 400)
        assert outcome.kind is None, (engine, outcome.last_lines)
        found[engine] = [(each.loss, each.validation_loss) for each in outcome.epochs]
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_train_the_same(engine: str, curves: dict[str, list[tuple[float, float]]]) -> None:
    # Twenty-one float32 steps apart from the others by rounding alone.
    middle = np.median([curves[other] for other in ENGINES], axis=0)
    np.testing.assert_allclose(curves[engine], middle, rtol=2e-3)


def test_bfloat16_on_mxnet_is_pytorchs(digits: PreparedData, tmp_path: Path) -> None:
    if reason := engines.registry.get("mxnet").unsupported(trial(dtype="bfloat16")):
        pytest.skip(reason)
    recipe = Recipe(learning_rate=0.05)
    losses = {}
    for engine, dtype in (("mxnet", "bfloat16"), ("torch", "bfloat16"), ("torch", "float32")):
        outcome = train(engine, "mlp", digits, tmp_path, recipe, 1, samples=320, dtype=dtype)
        assert outcome.ledger is not None, outcome.last_lines
        assert outcome.ledger.dtype == dtype
        losses[engine, dtype] = outcome.epochs[0].loss
    mxnet, torch, wide = losses.values()
    # Nearer to each other than either is to float32.
    assert abs(mxnet - torch) < abs(torch - wide)


def test_the_users_keras_json_changes_nothing(
    digits: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes = {"floatx": "float16", "image_data_format": "channels_first", "epsilon": 0.1}
    losses = []
    for content in ({}, wishes):
        (tmp_path / "keras.json").write_text(json.dumps(content))
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        recipe = Recipe(learning_rate=0.05)
        outcome = train("keras-torch", "lenet", digits, tmp_path, recipe, 1, samples=320)
        assert outcome.ledger is not None, outcome.last_lines
        assert outcome.ledger.dtype == "float32"
        assert outcome.ledger.memory_format == "channels last"
        losses.append(outcome.epochs[0].loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


NARROWED = """\
import numpy as np
from velodrome.engines.jax import Jax
from velodrome.engines.torch import Torch

class NarrowJax(Jax):
    name = "narrow-jax"

    def __init__(self, job):
        super().__init__(job)
        self._dtype = np.dtype("float16")

class NarrowTorch(Torch):
    name = "narrow-torch"

    def __init__(self, job):
        import torch

        super().__init__(job)
        self._dtype = torch.bfloat16

ENGINES = (NarrowJax, NarrowTorch)
"""


def test_the_ledger_has_the_dtype_of_what_was_built(tmp_path: Path) -> None:
    (tmp_path / "narrowed.py").write_text(NARROWED)
    subprocess.run(
        [
            *(sys.executable, "-m", "velodrome", "run", "mlp", "--dataset", "digits"),
            *("--engine", "narrow-jax,narrow-torch", "--epochs", "1", "--repeats", "1"),
            *("--samples", "64", "--out", str(tmp_path / "out")),
        ],
        env={**os.environ, "VELODROME_ENGINES": str(tmp_path)},
        check=False,
    )
    told = {
        each.trial.engine: each.ledger.dtype
        for each in store.read(tmp_path / "out")
        if each.ledger is not None
    }
    assert told == {
        "narrow-jax": "float32 (variables float16)",
        "narrow-torch": "bfloat16 (variables bfloat16)",
    }


@pytest.mark.parametrize(
    ("engine", "dtype", "workload", "wide"),
    [
        ("torch", "float16", "imdb-rnn", "LSTM in float32"),
        ("torch", "bfloat16", "imdb-rnn", None),
        ("mxnet", "bfloat16", "imdb-rnn", "LSTM in float32"),
        ("mxnet", "bfloat16", "transformer-imdb", "attention in float32"),
    ],
)
def test_the_ledger_notes_what_stays_wide(
    engine: str, dtype: DType, workload: str, wide: str | None, tmp_path: Path
) -> None:
    if reason := engines.registry.get(engine).unsupported(trial(dtype=dtype)):
        pytest.skip(reason)
    data = datasets.get("synthetic").prepare(registry.get(workload).takes())
    recipe = registry.get(workload).recipe
    outcome = train(engine, workload, data, tmp_path, recipe, 1, samples=8, dtype=dtype)
    assert outcome.ledger is not None, outcome.last_lines
    assert outcome.ledger.dtype == dtype
    found = [note for note in outcome.ledger.notes if "in float32" in note]
    assert found == [] if wide is None else found[0].startswith(wide)
