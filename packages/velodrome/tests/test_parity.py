"""Real comparisons of real engines, and of engines with planted faults."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from builders import LEDGER, record, trial
from velodrome import engines, environment
from velodrome.errors import UserError
from velodrome.home import home
from velodrome.parity import check, kernels, verdict
from velodrome.parity.deviation import (
    ALLOWANCE,
    EPSILON,
    Deviation,
    Quantity,
    deviations,
    differences,
    nearest,
    worst,
)
from velodrome.parity.verdict import Verdict
from velodrome.report import ledger, table
from velodrome.report.findings import findings
from velodrome.report.lines import results
from velodrome.report.parity import overview_table, reference
from velodrome.report.summary import answer, groups, notes
from velodrome.trial import DType
from velodrome.workloads import registry
from velodrome.workloads.recipe import Recipe

FAULTS = Path(__file__).parent / "faults"


def compare(
    arguments: list[str], out: Path, variables: Mapping[str, str] | None = None
) -> tuple[int, dict[str, Verdict]]:
    """Run `velodrome parity` with a cache whose verdicts are its own."""
    status, _ = parity(arguments, out, variables)
    found = {each.trial.engine: each for each in verdict.read(out)}
    assert verdict.read(out / "home") == list(found.values())
    return status, found


def parity(
    arguments: list[str], out: Path, variables: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Exit status and output of `velodrome parity`."""
    cache = out / "home"
    cache.mkdir(parents=True, exist_ok=True)
    for shared in ("environments", "datasets"):
        (home() / shared).mkdir(parents=True, exist_ok=True)
        if not (cache / shared).exists():
            (cache / shared).symlink_to(home() / shared)
    done = subprocess.run(
        [sys.executable, "-m", "velodrome", "parity", *arguments, "--out", str(out)],
        env={**os.environ, "VELODROME_HOME": str(cache), **(variables or {})},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlp")


@pytest.fixture(scope="module")
def mlp(folder: Path) -> tuple[int, dict[str, Verdict]]:
    return compare(["mlp", "--steps", "2"], folder)


def test_every_engine_has_a_verdict_and_a_reason_if_it_is_not_at_parity(
    mlp: tuple[int, dict[str, Verdict]],
) -> None:
    status, found = mlp
    at_hand = environment.frameworks("cpu")
    assert all(each.reference == "float64" for each in found.values())
    every = engines.registry.all().values()
    assert set(found) == {each.name for each in every if each.framework in at_hand}
    assert all(bool(each.reason) == (each.status != "parity") for each in found.values())
    assert status == (0 if all(each.status == "parity" for each in found.values()) else 1)


@pytest.mark.parametrize("framework", ["mxnet", "tensorflow"])
def test_the_ledger_tells_the_version_of_onednn_that_ran(
    framework: str, mlp: tuple[int, dict[str, Verdict]]
) -> None:
    for engine in (framework, f"keras-{framework}"):
        found = mlp[1][engine]
        assert found.ledger is not None, found.reason
        (ran,) = found.kernels
        assert ran.library == f"oneDNN {found.ledger.versions['oneDNN']}"
        assert ran.calls


def test_what_has_a_verdict_is_not_compared_again(
    mlp: tuple[int, dict[str, Verdict]], folder: Path
) -> None:
    status, text = parity(["mlp", "--steps", "2"], folder)
    assert verdict.read(folder) == list(mlp[1].values())
    settled = [each for each in mlp[1].values() if each.status == "parity"]
    assert text.count("as found before") >= len(settled)
    assert status == mlp[0]


@pytest.mark.parametrize(
    "engine",
    ["jax", "keras-jax", "keras-tensorflow", "keras-torch", "mxnet", "tensorflow", "torch"],
)
def test_engines_train_the_same_mathematics(
    engine: str, mlp: tuple[int, dict[str, Verdict]]
) -> None:
    found = mlp[1][engine]
    assert found.status == "parity", found.reason
    of_layers = {each.quantity for each in found.deviations if each.kind == "gradient"}
    parameters = registry.get("mlp").graph.parameters()
    assert of_layers == {f"gradient of {name}" for name in parameters}


MLP_FAULTS = [
    "fault-weights-ignored",
    "fault-bias-forgotten",
    "fault-momentum-off-by-one",
    "fault-sum-for-mean",
    "fault-mean-for-sum",
    "fault-mean-of-last-batch",
    "fault-l2-left-out",
]
NOISE = "fault-noise"


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Verdict]:
    names = ",".join(["torch", NOISE, *MLP_FAULTS])
    arguments = ["mlp", "--steps", "2", "--engine", names]
    status, found = compare(
        arguments, tmp_path_factory.mktemp("faulty"), {engines.OWN: str(FAULTS)}
    )
    assert status == 1
    return found


@pytest.mark.parametrize("fault", MLP_FAULTS)
def test_a_planted_fault_is_caught(fault: str, faulty: dict[str, Verdict]) -> None:
    assert faulty["torch"].status == "parity"
    assert faulty[fault].status == "deviates", faulty[fault].reason
    # Not by a hair: the tolerance could be much wider.
    assert worst(faulty[fault].deviations).excess > 2


def test_noise_does_not_buy_its_own_tolerance(faulty: dict[str, Verdict]) -> None:
    found = faulty[NOISE]
    assert found.status == "inconclusive", found.reason
    assert "noise" in found.reason
    # By noise alone it would be at parity.
    assert worst(found.deviations).excess < 1.0


def test_batch_normalisation_on_several_devices_is_told_by_its_verdict(tmp_path: Path) -> None:
    """JAX normalises the whole batch as one device does, PyTorch each device's part."""
    arguments = ["cifar10-conv", "--engine", "jax,torch", "--devices", "cpu:2"]
    _, found = compare([*arguments, "--steps", "1", "--batch-size", "8"], tmp_path)
    assert found["jax"].status == "parity", found["jax"].reason
    assert found["torch"].status == "deviates"
    assert found["torch"].reason.endswith(
        "its batch normalisation is per device, which is other mathematics"
    )


def test_another_epsilon_is_caught(tmp_path: Path) -> None:
    limits = ["--steps", "1", "--samples", "20"]
    arguments = ["cifar10-conv", *limits, "--engine", "torch,fault-epsilon"]
    _, found = compare(arguments, tmp_path, {engines.OWN: str(FAULTS)})
    assert {each.trial.batch_size for each in found.values()} == {8}
    assert found["torch"].status == "parity", found["torch"].reason
    assert found["fault-epsilon"].status == "deviates", found["fault-epsilon"].reason
    assert worst(found["fault-epsilon"].deviations).excess > 2


VECTORS = arrays(np.float64, 5, elements=st.floats(-1e3, 1e3).filter(lambda x: abs(x) > 1e-3))


@given(VECTORS, st.floats(0.0, 1e-9), st.sampled_from(sorted(EPSILON)))
def test_the_reference_is_at_parity_with_itself(
    value: np.ndarray, noise: float, dtype: DType
) -> None:
    same = {"loss": Quantity(value, noise)}
    (found,) = deviations(same, same, dtype, 16)
    assert found.error == 0.0
    assert found.excess == 0.0
    assert found.tolerance >= ALLOWANCE * EPSILON[dtype]
    assert not found.vague


def test_noise_that_arithmetic_does_not_explain_is_vague() -> None:
    value = np.ones(4)

    def vague(
        noise: float, of_reference: float, size: float = 1.0, coarser: float = 0.0, off: float = 1.0
    ) -> bool:
        error = np.array([off * noise, 0.0, 0.0, 0.0])
        found = {"gradient of a/bias": Quantity(value * size + error, noise)}
        reference = {"gradient of a/bias": Quantity(value * size, of_reference, coarser)}
        return worst(deviations(found, reference, "float32", 16)).vague

    assert not vague(1e-5, 1e-16)
    assert vague(1e-3, 1e-16)
    # A problem may be as ill-conditioned in float64, or tip decisions where weights are a little
    # off; then noise is as large as it must be.
    assert not vague(1e-3, 1e-13)
    assert not vague(1e-3, 1e-16, coarser=1e-5)
    assert vague(0.1, 1e-13)
    # Noise does no harm where the error is small without.
    assert not vague(1e-3, 1e-16, off=0.1)
    # What is zero in exact arithmetic is all noise, in the reference too.
    assert not vague(1e-8, 1e-17, size=1e-17)
    assert vague(1e-3, 1e-17, size=1e-17)


def test_nothing_but_zero_may_be_off_by_a_quarter_of_its_size() -> None:
    def excess(error: float, of_reference: float) -> float:
        found = {"update of a/bias": Quantity(np.full(4, 1.0 + error), 0.1)}
        reference = {"update of a/bias": Quantity(np.ones(4), of_reference, 1.0)}
        return worst(deviations(found, reference, "float32", 16)).excess

    assert excess(0.2, 1e-12) < 1.0 < excess(0.3, 1e-12)
    assert excess(0.3, 0.1) < 1.0


def test_what_rounding_alone_explains_is_no_deviation() -> None:
    def off(error: float, coarser: float) -> bool:
        found = {"update of a/kernel": Quantity(np.full(4, 1.0 + error), 0.1)}
        reference = {"update of a/kernel": Quantity(np.ones(4), 1e-12, coarser)}
        return worst(deviations(found, reference, "float32", 16)).off

    assert off(1.0, 0.01)
    assert not off(1.0, 2.0)
    assert not off(0.1, 0.01)


@given(VECTORS, st.floats(1e-4, 3e-3), st.floats(0.01, 100.0))
def test_the_tolerance_grows_with_the_noise_and_ignores_the_scale(
    value: np.ndarray, noise: float, scale: float
) -> None:
    length = float(np.linalg.norm(value))
    off = value * (1.0 + noise)

    def excess(noise_of_engine: float, by: float) -> float:
        found = {"update of a/kernel": Quantity(off * by, noise_of_engine * length * by)}
        reference = {"update of a/kernel": Quantity(value * by, 0.0)}
        return worst(deviations(found, reference, "float32", 16)).excess

    assert excess(noise, 1.0) == pytest.approx(1.0 / ALLOWANCE, rel=1e-6)
    assert excess(noise, scale) == pytest.approx(excess(noise, 1.0), rel=1e-6)
    assert excess(noise / (2 * ALLOWANCE), 1.0) > 1.0


def test_a_quantity_that_is_zero_is_compared_absolutely() -> None:
    reference = {"gradient of a/bias": Quantity(np.zeros(3), 0.0)}
    found = {"gradient of a/bias": Quantity(np.full(3, 1e-3), 1e-9)}
    assert worst(deviations(found, reference, "float32", 16)).excess > 1.0


def test_an_accuracy_may_be_off_by_a_sample() -> None:
    reference = {"accuracy": Quantity(np.array([0.5]), 0.0)}
    one_off = {"accuracy": Quantity(np.array([0.5 + 1 / 16]), 0.0)}
    two_off = {"accuracy": Quantity(np.array([0.5 + 2 / 16]), 0.0)}
    assert worst(deviations(one_off, reference, "float32", 16)).excess <= 1.0
    assert worst(deviations(two_off, reference, "float32", 16)).excess > 1.0


def test_what_is_missing_or_misshapen_is_named() -> None:
    reference = {"loss": Quantity(np.zeros(2), 0.0), "gradient of a/bias": Quantity(np.zeros(3), 0)}
    assert differences(reference, reference) == ""
    text = differences({"loss": Quantity(np.zeros(3), 0.0)}, reference)
    assert "no gradient of a/bias" in text
    assert "(3,)" in text


def a_deviation(error: float) -> Deviation:
    return Deviation(quantity="loss", error=error, noise=1e-8, tolerance=1e-6, limit=1e-3)


def test_of_two_draws_the_nearer_counts() -> None:
    near, far = (a_deviation(1e-7),), (a_deviation(1e-3),)
    assert nearest((), far) == far
    assert nearest(near, far) == nearest(far, near) == near
    vague = (Deviation(quantity="loss", error=0.1, noise=0.5, tolerance=0.25, limit=1e-3),)
    assert nearest(vague, far) == nearest(far, vague) == far


def a_verdict(**changes: object) -> Verdict:
    return Verdict(
        status="parity", made="2026-01-01T00:00:00+00:00", trial=trial(**changes), steps=4
    )


def test_a_verdict_holds_for_other_batches_and_rates_but_not_for_other_mathematics() -> None:
    kept = [a_verdict()]
    assert verdict.find(kept, trial(batch_size=512, data="x", epochs=9, seed=3)) == kept[0]
    assert verdict.find(kept, trial(recipe=Recipe(learning_rate=0.5))) == kept[0]
    for other in (
        trial(engine="jax"),
        trial(environment="newer"),
        trial(settings="stock"),
        trial(devices="gpu"),
        trial(recipe=Recipe(learning_rate=0.05, momentum=0.9)),
    ):
        assert verdict.find(kept, other) is None


def test_a_failure_to_compare_speaks_of_its_own_data_alone() -> None:
    failed = msgspec.structs.replace(a_verdict(data="with a fault"), status="no-reference")
    assert check._told_before(failed, trial(data="with a fault"))
    assert not check._told_before(failed, trial(data="mended"))
    assert check._told_before(a_verdict(data="with a fault"), trial(data="mended"))
    assert not check._told_before(None, trial())


def test_verdicts_are_kept_and_the_newest_counts(tmp_path: Path) -> None:
    old = a_verdict()
    new = Verdict(
        status="deviates", reason="off", made="2026-01-02T00:00:00+00:00", trial=trial(), steps=4
    )
    for each in (new, old):
        verdict.keep(each, tmp_path)
    with (tmp_path / verdict.FILE).open("ab") as file:
        file.write(b'{"status": "of another version"}\n')
        file.write(b'{"cut off')
    assert verdict.read(tmp_path) == [new, old]
    assert verdict.find(verdict.read(tmp_path), trial()) == new
    (tmp_path / verdict.FILE).write_bytes(b"no JSON\n")
    with pytest.raises(UserError, match="remove the line"):
        verdict.read(tmp_path)


def test_what_really_ran_is_read_from_the_libraries_own_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "onednn_verbose,v1,info,oneDNN v3.7.3 (commit N/A)\n"
        "noise\n"
        "onednn_verbose,v1,primitive,exec,cpu,convolution,brgconv:avx512_core,forward,,,,,1\n"
        "onednn_verbose,v1,primitive,exec,cpu,convolution,brgconv:avx512_core,backward,,,,,1\n"
    )
    (found,) = kernels.read(log)
    assert str(found) == "oneDNN 3.7.3 (convolution x2)"
    log.write_text("dnnl_verbose,info,oneDNN v2.4.4 (commit 5818c40)\n")
    (found,) = kernels.read(log)
    assert found.calls == {}
    log.write_text("nothing of the kind\n")
    assert kernels.read(log) == ()


def test_the_ledger_shows_what_differs_and_what_really_ran() -> None:
    ran = kernels.Kernels(library="oneDNN 3.7.3", calls={"convolution": 2})
    known = msgspec.structs.replace(
        a_verdict(), deviations=(a_deviation(0.0),), kernels=(ran,), repeatable=True
    )
    results_of = [
        msgspec.structs.replace(record(trial(engine=name)), ledger=LEDGER)
        for name in ("torch", "jax")
    ]
    text = ledger.markdown(groups(results(results_of), verdicts=[known]))
    assert "| dtype | float32 | float32 |" in text
    assert "**oneDNN 3.7.3 (convolution x2)**" in text
    assert "**unknown**" in text


def test_the_ledger_shows_every_way_in_which_an_engine_ran_once() -> None:
    results_of = [
        msgspec.structs.replace(
            record(trial(dtype=dtype, devices=device, batch_size=size)),
            ledger=msgspec.structs.replace(LEDGER, dtype=dtype, device=device),
        )
        for dtype in ("float32", "bfloat16")
        for device in ("cpu", "gpu")
        for size in (32, 64)
    ]
    text = ledger.markdown(groups(results(results_of)))
    assert "| | torch, tuned | torch, tuned | torch, tuned | torch, tuned |" in text
    assert "| dtype | **float32** | **float32** | **bfloat16** | **bfloat16** |" in text
    assert "| device | **cpu** | **gpu** | **cpu** | **gpu** |" in text
    assert "| memory format | channels last | channels last |" in text


def test_the_references_arithmetic_is_told() -> None:
    usual = msgspec.structs.replace(a_verdict(workload="mlp"), reference="float64")
    own = msgspec.structs.replace(a_verdict(workload="m.py:build"), reference="float32")
    never = a_verdict(workload="lenet")
    assert reference([usual, never]) == "a reference in float64"
    assert reference([usual, own]) == (
        "a reference in float64 (m.py:build in float32: it cannot be computed in float64)"
    )


def test_the_overview_has_a_row_a_workload_and_a_column_an_engine() -> None:
    known = [
        a_verdict(workload="mlp", engine="jax"),
        msgspec.structs.replace(a_verdict(workload="mlp", engine="torch"), status="inconclusive"),
        msgspec.structs.replace(a_verdict(workload="lenet", engine="torch"), status="deviates"),
    ]
    assert overview_table(known).splitlines() == [
        "|  | jax | torch |",
        "| --- | --- | --- |",
        "| mlp | at parity | inconclusive |",
        "| lenet |  | DEVIATES |",
    ]


@pytest.mark.parametrize("status", ["deviates", "inconclusive", "no-reference", "crash"])
def test_only_engines_at_parity_are_ranked(status: verdict.Status) -> None:
    fast, slow = trial(engine="jax"), trial(engine="torch")
    off = msgspec.structs.replace(a_verdict(engine="jax"), status=status, reason="a is off")
    (group,) = groups(
        results([record(fast, (1.0, 1.0, 1.0)), record(slow, (2.0, 2.0, 2.0))]),
        verdicts=[off, a_verdict()],
    )
    first, last = group.rows
    assert (first.trial.engine, first.relative) == ("torch", 1.0)
    assert last.samples_sec is not None
    assert last.relative is None
    assert any("not ranked: a is off" in note for note in notes(group))
    assert table.parity(last) == ("NO" if status == "deviates" else status)
    assert table.verdict(last, group) == "not ranked"
    assert "torch trained" in answer([group])
    assert "unknown" not in answer([group])
    assert not findings([group])
