"""Counts, statuses, flags and corrections, each from a rule of its own."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from itertools import pairwise
from statistics import median

import msgspec
import pytest

from velodrome.published import PublishedRow, load, select
from velodrome.published.flags import FLAGS

Rows = list[PublishedRow]


def flagged(rows: Iterable[PublishedRow], flag: str) -> set[str]:
    return {row.row_id for row in rows if flag in row.flags}


def ids(rows: Iterable[PublishedRow]) -> set[str]:
    return {row.row_id for row in rows}


def test_counts(rows: Rows) -> None:
    assert len(rows) == len(ids(rows)) == 310
    assert Counter(row.seed for row in rows) == {
        "000": 151, "001": 81, "002": 29, "003": 41, "004": 8,
    }  # fmt: skip
    assert Counter(row.status for row in rows) == {
        "ok": 232, "placeholder": 70, "duplicate": 4, "partial": 2, "error": 1, "crashed": 1,
    }  # fmt: skip
    real = [row for row in rows if row.status != "placeholder"]
    assert len(real) == 240
    assert len([row for row in real if row.status != "duplicate"]) == 236


def test_counts_of_seed_000(rows: Rows) -> None:
    counts = Counter(
        (row.infrastructure_id, row.framework, row.workload) for row in rows if row.seed == "000"
    )
    assert counts == {
        ("0", "mxnet", "lenet"): 4,
        **{
            (infrastructure, "mxnet", workload): 21
            for infrastructure in "12"
            for workload in ("lenet", "lenet-tanh", "lenet-official")
        },
        ("2", "tensorflow", "lenet-tanh"): 21,
    }


def test_ids_follow_the_documents(rows: Rows) -> None:
    position: Counter[str] = Counter()
    for row in rows:
        position[row.seed] += 1
        assert row.row_id == f"{row.seed}-{position[row.seed]:03d}"


def test_load_hands_out_a_list_of_ones_own() -> None:
    load().clear()
    assert len(load()) == 310


def test_rows_cannot_be_changed(rows: Rows) -> None:
    with pytest.raises(AttributeError):
        rows[0].gpus = 3  # type: ignore[misc]


def test_select(rows: Rows) -> None:
    chosen = select(rows, seed=["000", "003"], workload=["lenet-official"], gpus=[1, 4])
    assert {(row.seed, row.gpus) for row in chosen} == {
        ("000", 1),
        ("000", 4),
        ("003", 1),
        ("003", 4),
    }
    assert ids(chosen) == {
        row.row_id
        for row in rows
        if row.seed in ("000", "003") and row.workload == "lenet-official" and row.gpus in (1, 4)
    }
    assert select(rows) == rows
    assert select(rows, seed=[]) == []
    assert len(select(rows, status=["placeholder"])) == 70


def test_every_flag_is_explained_and_used(rows: Rows) -> None:
    assert {flag for row in rows for flag in row.flags} == set(FLAGS)


def test_corrections_name_fields_and_differ(rows: Rows) -> None:
    for row in rows:
        for field, value in row.corrected_value.items():
            assert getattr(row, field) is not None
            assert getattr(row, field) != value
            assert row.flags


def test_placeholders_and_duplicates_repeat_the_rows_they_name(
    rows: Rows, by_id: dict[str, PublishedRow]
) -> None:
    for row in rows:
        assert (row.duplicate_of is not None) == (row.status in ("placeholder", "duplicate"))
        if row.duplicate_of is None:
            continue
        original = by_id[row.duplicate_of]
        assert original.epoch_time_s == row.epoch_time_s
        assert original.throughput_per_s == row.throughput_per_s
        assert original.val_accuracy is not None
        assert row.val_accuracy is not None
        assert 0 <= original.val_accuracy - row.val_accuracy < 1e-3
        assert original.epochs == row.epochs
        if row.status == "placeholder":
            assert original.val_accuracy == row.val_accuracy
            assert original.total_time_s == row.total_time_s
        else:
            assert (original.batch_total, original.gpus) == (row.batch_total, row.gpus)
    blocks = [
        [row.duplicate_of for row in rows if row.status == "placeholder"][start : start + 7]
        for start in range(0, 70, 7)
    ]
    assert (
        blocks
        == [["003-001", "003-002", "003-003", "003-004", "003-005", "003-006", "003-006"]] * 10
    )


def test_slower_at_larger_batch(rows: Rows) -> None:
    series = defaultdict(list)
    for row in rows:
        if row.status in ("ok", "duplicate") and row.seed in ("000", "001", "003"):
            series[
                row.seed, row.infrastructure_id, row.framework, row.workload, row.gpus,
                row.lr, row.lr_step_epochs,
            ].append(row)  # fmt: skip
    slower = set()
    for members in series.values():
        members.sort(key=lambda row: row.batch_total or 0)
        for smaller, larger in pairwise(members):
            assert smaller.epoch_time_s is not None
            assert larger.epoch_time_s is not None
            if larger.epoch_time_s > smaller.epoch_time_s:
                slower.add(larger.row_id)
    assert flagged(rows, "slower-at-larger-batch") == slower
    tensorflow = {
        (row.gpus, row.batch_total)
        for row in rows
        if row.row_id in slower and row.framework == "tensorflow"
    }
    assert tensorflow == {
        (1, 512), (1, 1024), (1, 2048), (1, 4096), (4, 2048), (4, 4096), (8, 4096),
    }  # fmt: skip
    keras_mxnet = Counter(
        (row.gpus, row.batch_total)
        for row in rows
        if row.row_id in slower and row.framework == "mxnet" and row.gpus
    )
    assert keras_mxnet == {(4, 4096): 4, (8, 2048): 2}


def test_slower_with_more_gpus(rows: Rows) -> None:
    """In seeds 002 and 004 a table is a series; elsewhere the same batch size is one."""

    def time(row: PublishedRow) -> float | None:
        return row.total_time_s if row.seed in ("002", "004") else row.epoch_time_s

    series = defaultdict(list)
    for row in rows:
        if row.status == "ok" and row.gpus and time(row) is not None:
            batch = None if row.seed in ("002", "004") else row.batch_total
            series[
                row.seed,
                row.source_table,
                row.infrastructure_id,
                row.framework,
                row.workload,
                batch,
            ].append(row)
    slower = {
        row.row_id
        for members in series.values()
        for row in members
        if any((time(row) or 0) > (time(o) or 0) for o in members if o.gpus < row.gpus)
    }
    assert flagged(rows, "slower-with-more-gpus") == slower
    assert {i for i in slower if i[:3] in ("002", "004")} == {"002-029", "004-002", "004-005"}


def test_float_noise(rows: Rows) -> None:
    for row in select(rows, seed=["000"]):
        if row.accuracy_denominator != 10_000 or row.workload == "lenet-official":
            assert "float-noise" not in row.flags
            continue
        assert row.val_accuracy is not None
        clean = round(row.val_accuracy, 4)
        assert ("float-noise" in row.flags) == (clean != row.val_accuracy)
        assert row.corrected_value.get("val_accuracy", row.val_accuracy) == clean
        assert abs(clean - row.val_accuracy) < 2e-8


def test_averages_of_seed_002(rows: Rows) -> None:
    truncated: set[str] = set()
    misprinted: set[str] = set()
    for row in select(rows, seed=["002"]):
        printed = Decimal(row.raw_text.split("\n")[2].split(" | ")[1])
        exact = Decimal(row.raw_text.split("\n")[1].split(" | ")[1]) / row.epochs
        places = Decimal(1).scaleb(printed.as_tuple().exponent)  # type: ignore[arg-type]
        rounded = exact.quantize(places, ROUND_HALF_UP)
        if printed == rounded:
            assert "epoch_time_s" not in row.corrected_value
            continue
        is_cut = printed == exact.quantize(places, ROUND_DOWN)
        (truncated if is_cut else misprinted).add(row.row_id)
        assert row.corrected_value["epoch_time_s"] == float(rounded)
    assert flagged(rows, "average-truncated") == truncated
    assert flagged(rows, "average-misprinted") == misprinted == {"002-010"}


def test_the_slipped_digit(by_id: dict[str, PublishedRow]) -> None:
    row = by_id["002-010"]
    assert (row.workload, row.framework, row.gpus, row.epochs) == ("resnet50", "mxnet", 16, 100)
    assert row.epoch_time_s == 304.02
    assert row.corrected_value == {"epoch_time_s": 30.4}


def test_headline_and_setup_of_seed_003(rows: Rows) -> None:
    mismatch, misfit = set(), set()
    for row in select(rows, seed=["003"]):
        if row.epoch_time_s is None:
            continue
        if row.throughput_per_s is not None:
            headline = Decimal(str(row.epoch_time_s)) * int(row.throughput_per_s) / 60_000
            if abs(headline - 1) > Decimal("0.05"):
                mismatch.add(row.row_id)
        if row.total_time_s is not None:
            derived = (row.total_time_s - 6) / row.epochs
            if abs(derived / row.epoch_time_s - 1) > 0.1:
                misfit.add(row.row_id)
    assert flagged(rows, "headline-throughput-mismatch") == mismatch
    assert len(mismatch) == 4
    assert flagged(rows, "setup-misfit") == misfit
    assert flagged(rows, "no-headline") == ids(select(rows, status=["partial"]))


def test_cudnn_makes_no_difference(rows: Rows) -> None:
    """Why the flag is there: the machine said to lack cuDNN is as fast as the one with it."""

    def series(infrastructure: str) -> dict[tuple[object, ...], float]:
        return {
            (row.script, row.gpus, row.batch_total): row.throughput_per_s or 0
            for row in rows
            if row.seed == "000"
            and row.infrastructure_id == infrastructure
            and row.framework == "mxnet"
        }

    without, with_cudnn = series("1"), series("2")
    assert without.keys() == with_cudnn.keys()
    assert median(without[key] / with_cudnn[key] for key in without) == pytest.approx(1, abs=0.005)
    assert flagged(rows, "cudnn-doubtful") == ids(r for r in rows if r.cudnn == "none")
    assert len(flagged(rows, "cudnn-doubtful")) == 63


FLAGGED: list[tuple[str, Callable[[PublishedRow], bool]]] = [
    ("memory-preallocated", lambda r: r.seed == "002" and r.framework == "tensorflow"),
    ("more-gpus-than-machine", lambda r: r.workload == "inception-v3" and r.gpus == 16),
    ("batch-scope-unstated", lambda r: r.workload == "inception-v3"),
    ("differs-from-keras", lambda r: r.seed == "000" and r.workload == "lenet-official"),
    ("lr-differs-tenfold", lambda r: r.seed == "004"),
    ("memory-unit-disputed", lambda r: r.seed == "004" and r.status == "ok"),
    ("memory-summary-differs", lambda r: r.mem_per_device == (185, 190)),
    ("command-disputed", lambda r: "-m 3" in r.raw_text and r.gpus == 2),
    ("accuracy-truncated", lambda r: r.seed == "001" and r.status != "placeholder"),
    ("instance-disputed", lambda r: r.script == "keras_mxnet_lenet" and r.gpus == 0),
    ("settings-in-batch-cell", lambda r: "(lr=" in r.raw_text),
    ("version-disputed", lambda r: r.seed == "003" and r.infrastructure_id in ("4", "5")),
    ("implausible", lambda r: "(9.2-6)" in r.raw_text),
    ("accuracy-outlier", lambda r: r.val_accuracy == 0.9495),
    ("time-outlier", lambda r: r.epoch_time_s == 1.537 and r.gpus == 4),
]  # fmt: skip


@pytest.mark.parametrize(("flag", "rule"), FLAGGED, ids=[flag for flag, _ in FLAGGED])
def test_flagged(rows: Rows, flag: str, rule: Callable[[PublishedRow], bool]) -> None:
    expected = {row.row_id for row in rows if rule(row)}
    assert expected
    assert flagged(rows, flag) == expected


def test_preallocated_memory_is_whole_gpus(rows: Rows) -> None:
    for row in rows:
        if "memory-preallocated" in row.flags:
            assert row.mem_peak_mib is not None
            assert 10_943 <= row.mem_peak_mib / row.gpus <= 10_946


def test_throughput_counts_the_samples_named(rows: Rows) -> None:
    """Throughput times time is the count, as far as the printed digits of both carry."""
    for row in select(rows, seed=["000", "001", "002"], status=["ok", "duplicate"]):
        if row.throughput_per_s is None or row.throughput_count is None:
            continue
        time = row.corrected_value.get("epoch_time_s", row.epoch_time_s)
        assert isinstance(time, float)
        loose = 3e-3 if row.gpus == 0 else 1e-4 if row.seed != "000" else 1e-12
        if "average-truncated" in row.flags or row.seed == "002":
            loose = 3e-4
        assert row.throughput_per_s * time == pytest.approx(row.throughput_count, rel=loose)


def test_a_misspelt_field_in_the_data_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.json.decode(b'{"row_id": "x", "thoughput_per_s": 1}', type=PublishedRow)
