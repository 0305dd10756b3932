"""Sentences are computed: the right rows divided, and no surer than the runs allow."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import record, trial
from velodrome import workloads
from velodrome.parity.verdict import Verdict
from velodrome.record import Memory, Record
from velodrome.report import summary
from velodrome.report.findings import RULES, Finding, findings, markdown
from velodrome.report.lines import results
from velodrome.workloads.recipe import Recipe


def ran(samples_sec: float, repeats: int = 1, peak: int = 2**21, **changes: Any) -> list[Record]:
    """Runs of 1000 samples an epoch."""
    return [
        msgspec.structs.replace(
            record(trial(repeat=n, **changes), seconds=(1000 / samples_sec * (1 + n / 1e4),) * 4),
            memory=Memory(imported=2**20, peak=peak),
        )
        for n in range(repeats)
    ]


def found(*runs: list[Record]) -> list[Finding]:
    return findings(summary.groups(results([one for run in runs for one in run])))


def only(*runs: list[Record], kind: str) -> Finding:
    (one,) = (each for each in found(*runs) if each.kind == kind)
    return one


def test_devices_are_compared_at_the_best_batch_of_each_as_in_2017() -> None:
    """The published scaling of LeNet: 63,616 at 2048 over 19,564 at 2048."""
    rates = {"gpu": {64: 13_000, 2048: 19_564}, "gpu:4": {64: 13_700, 2048: 63_616}}
    runs = [
        ran(
            rate,
            engine="keras-mxnet",
            devices=devices,
            batch_size=batch,
            recipe=Recipe(learning_rate=0.01 if devices == "gpu:4" else 0.05),
        )
        for devices, by_batch in rates.items()
        for batch, rate in by_batch.items()
    ]
    finding = only(*runs, kind="devices")
    assert finding.ratio == pytest.approx(63_616 / 19_564)
    assert "x3.25 throughput with 4 GPUs over 1 GPU" in finding.sentence
    assert dict(finding.same_batch)[64] == pytest.approx(13_700 / 13_000)
    assert "1.05 (64) to 3.25 (2048)" in finding.sentence


def test_a_gpu_over_the_cpu() -> None:
    finding = only(ran(36_000, devices="gpu"), ran(1_800, devices="cpu"), kind="GPU over CPU")
    assert "a GPU has 20.00 times the throughput of the CPU" in finding.sentence


def test_backends_and_what_keras_costs() -> None:
    runs = [
        ran(rate, engine=engine)
        for engine, rate in {
            "keras-mxnet": 800,
            "keras-torch": 900,
            "mxnet": 1000,
            "torch": 1800,
        }.items()
    ]
    assert "keras-torch has 1.12 times the throughput of keras-mxnet" in (
        only(*runs, kind="backends").sentence
    )
    costs = {
        each.dividend.label: each.ratio for each in found(*runs) if each.kind == "Keras over native"
    }
    assert costs == {"keras-mxnet": pytest.approx(0.8), "keras-torch": pytest.approx(0.5)}


def test_memory_is_the_hungriest_over_the_leanest() -> None:
    runs = [
        ran(100, peak=peak, engine=engine)
        for engine, peak in {"torch": 2**28, "jax": 2**30, "mxnet": 2**29}.items()
    ]
    finding = only(*runs, kind="memory")
    assert "jax takes 4.00 times the memory of torch" in finding.sentence
    assert "1,024 MiB at batch 64 over 256 MiB at batch 64" in finding.sentence


def test_networks_that_differ_in_activation_alone_are_compared() -> None:
    recipe = workloads.registry.get("lenet").recipe
    runs = [
        ran(rate, workload=workload, recipe=recipe)
        for workload, rate in {"lenet": 120, "lenet-tanh": 100, "lenet-official": 90}.items()
    ]
    finding = only(*runs, kind="activation")
    assert "lenet has 1.20 times the throughput of lenet-tanh" in finding.sentence


def test_what_differs_in_more_is_not_compared() -> None:
    assert not found(ran(1, engine="mxnet"), ran(2, engine="keras-mxnet", settings="stock"))
    assert not found(ran(1, devices="cpu"), ran(2, devices="gpu", epochs=9))
    assert not found(ran(1, devices="cpu"), ran(2, devices="gpu", engine="jax"))


def test_an_interval_needs_enough_runs() -> None:
    def native(repeats: int) -> Finding:
        return only(
            ran(500, repeats, engine="keras-torch"),
            ran(1000, repeats, engine="torch"),
            kind="Keras over native",
        )

    few, many = native(3), native(6)
    assert few.low is None
    assert few.verdict == "undecided"
    assert "3 runs each, 5 can show a difference" in few.sentence
    assert many.low is not None
    assert many.high is not None
    assert many.low < 0.5 < many.high
    assert many.verdict == "less"
    assert f"{many.low:.2f} to {many.high:.2f} at 99%" in many.sentence


@given(st.lists(st.floats(1, 1e6), min_size=2, max_size=4), st.integers(1, 6))
def test_a_ratio_is_that_of_its_rows_and_every_kind_has_its_rule(
    rates: list[float], repeats: int
) -> None:
    engines = ("keras-mxnet", "mxnet", "keras-torch", "torch")
    runs = [ran(rate, repeats, engine=engine) for engine, rate in zip(engines, rates, strict=False)]
    all_of_them = found(*runs)
    for each in all_of_them:
        if each.kind != "memory":
            assert each.ratio == pytest.approx(
                (each.dividend.samples_sec or 0) / (each.divisor.samples_sec or 0)
            )
        assert each.rule == RULES[each.kind]
        assert each.sentence in markdown(all_of_them)
        if each.kind == "backends":
            assert each.ratio >= 1


def test_failures_have_no_part() -> None:
    broken = [record(trial(engine="torch"), status="crash")]
    assert not found(ran(1, engine="keras-torch"), broken)
    assert markdown([]) == ""


def test_whatever_the_report_compares_findings_are_of_engines() -> None:
    runs = results(
        [*ran(36_000, devices="gpu"), *ran(1_800, devices="cpu"), *ran(900, engine="keras-torch")]
    )
    by_devices = summary.groups(runs, None, "devices")
    assert {each.sentence for each in findings(by_devices)} == {
        each.sentence for each in findings(summary.groups(runs))
    }


def test_what_trains_something_else_is_not_compared() -> None:
    runs = [*ran(500, engine="keras-torch"), *ran(1000, engine="torch")]
    (group,) = summary.groups(results(runs))
    verdict = Verdict(status="deviates", made="2026-01-01T00:00:00+00:00", trial=trial(), steps=9)
    rows = tuple(
        msgspec.structs.replace(row, verdict=verdict) if row.trial.engine == "torch" else row
        for row in group.rows
    )
    assert findings([group])
    assert not findings([msgspec.structs.replace(group, rows=rows)])
