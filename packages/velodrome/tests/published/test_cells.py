"""Every cell of the published tables against the rows made from it."""

import math
import re

import pytest

from velodrome.published import PublishedRow

from . import source

Rows = list[PublishedRow]


def of(rows: Rows, seed: str) -> Rows:
    return [row for row in rows if row.seed == seed]


def shown(value: float | None, cell: str) -> None:
    """The value is the cell's number, digit for digit."""
    assert value is not None
    assert value == float(cell)


def test_seed_000(rows: Rows) -> None:
    for row, (number, line, cell) in zip(of(rows, "000"), source.records("000"), strict=True):
        assert (row.source_line, row.raw_text) == (number, line)
        assert row.infrastructure_id == cell["infrastructure"]
        assert cell["model"] == "lenet"
        assert row.script == cell["script"]
        assert str(row.batch_total) == cell["batch_size"]
        assert str(row.gpus) == cell["gpus"]
        assert str(row.epochs) == cell["epochs"]
        shown(row.val_accuracy, cell["accuracy"])
        shown(row.epoch_time_s, cell["time"])
        shown(row.throughput_per_s, cell["samples_sec"])


TIME = re.compile(
    r"((?P<epoch>[\d.]+) )?"
    r"(\((?P<total>[\d.]+)(?P<doubt>\?)?-(?P<setup>\d+)\)/12 )?"
    r"\(((?P<rate>\d+)|\?) samples/s\)"
)


def check_time_cell(row: PublishedRow, text: str) -> None:
    found = TIME.fullmatch(text)
    assert found, text
    for value, group in (
        (row.epoch_time_s, "epoch"),
        (row.total_time_s, "total"),
        (row.setup_subtracted_s, "setup"),
        (row.throughput_per_s, "rate"),
    ):
        printed = found[group]
        assert value == (None if printed is None else float(printed))
    assert ("total-uncertain" in row.flags) == (found["doubt"] is not None)


def test_seed_001(rows: Rows) -> None:
    for row, (number, line, cell) in zip(of(rows, "001"), source.records("001"), strict=True):
        assert (row.source_line, row.raw_text) == (number, line)
        assert row.infrastructure_id == cell["infrastructure"]
        assert cell["model"] == "lenet"
        assert row.script == cell["script"]
        assert str(row.batch_total) == cell["batch size"]
        assert str(row.gpus) == cell["gpus"]
        assert str(row.epochs) == cell["Epochs"]
        shown(row.val_accuracy, cell["Accuracy (validation)"])
        check_time_cell(row, cell["Training time (s/epoch)"])


def test_seed_002(rows: Rows) -> None:
    runs = [
        (first, heading, cell)
        for first, table in source.blocks("002")
        for heading, cell in source.columns(table)
    ]
    compared = 0
    for row, (first, heading, cell) in zip(of(rows, "002"), runs, strict=True):
        assert row.source_line == first
        assert row.raw_text.split("\n") == [heading, *map(" | ".join, cell.items())]
        assert str(row.gpus) == heading.removeprefix("GPU").strip(" ()")
        fields = {
            "Training time (secs)": row.total_time_s,
            "Average time per epoch (secs)": row.epoch_time_s,
            "Images processed per sec": row.throughput_per_s,
            "Training accuracy": row.train_accuracy,
            "Test accuracy": row.val_accuracy,
            "Maximum Memory Consumption": row.mem_peak_mib,
        }
        for label, printed in cell.items():
            shown(fields.pop(label), printed)
            compared += 1
        assert set(fields.values()) <= {None}
    assert compared == 160


def test_seed_003(rows: Rows) -> None:
    for row, (number, line, cell) in zip(of(rows, "003"), source.records("003"), strict=True):
        assert (row.source_line, row.raw_text) == (number, line)
        assert row.infrastructure_id == cell["infrastructure"]
        assert row.workload == {"lenet": "lenet-official", "mlp": "mlp"}[cell["model"]]
        batch, *settings = cell["batch size"].split(" ", 1)
        assert str(row.batch_total) == batch
        assert (f"(lr={row.lr}" in cell["batch size"]) == bool(settings)
        assert (f"lr-step-epochs={row.lr_step_epochs})" in cell["batch size"]) == (
            row.row_id == "003-041"
        )
        assert str(row.gpus) == cell["gpus"]
        assert str(row.epochs) == cell["Epochs"]
        if row.status == "error":
            assert cell["Accuracy (validation)"] == cell["Training time (s/epoch)"] == "error"
            assert (row.val_accuracy, row.epoch_time_s, row.throughput_per_s) == (None, None, None)
        else:
            shown(row.val_accuracy, cell["Accuracy (validation)"])
            check_time_cell(row, cell["Training time (s/epoch)"])


def seconds(text: str) -> float:
    minutes, rest = text.removesuffix("s").split("m")
    return int(minutes) * 60 + float(rest)


def test_seed_004(rows: Rows) -> None:
    (_, times), (_, memories), *logs = source.blocks("004")
    heads = [heading for heading, _ in source.columns(times)]
    assert heads == [heading for heading, _ in source.columns(memories)]
    summary = {
        (name.lower(), heading): (time[name], memory[name])
        for name in ("Neon", "MXNet")
        for (heading, time), (_, memory) in zip(
            source.columns(times), source.columns(memories), strict=True
        )
    }
    order = [(row.framework, heads[place % 4]) for place, row in enumerate(of(rows, "004"))]
    for row, key, (first, log) in zip(of(rows, "004"), order, logs, strict=True):
        time, memory = summary[key]
        assert row.source_line == first
        assert row.raw_text.split("\n") == [*log, f"Time | {time}", f"Memory | {memory}"]
        assert row.devices == key[1].replace("Titan", "Titan X").replace("980", "GTX 980")
        assert row.gpus == key[1].count("+") + 1
        assert row.batch_total == int(re.findall(r"(?:-z|--batch-size) (\d+)", log[0])[0])
        assert row.epochs == int(re.findall(r"(?:-e|--num-epoch) (\d+)", log[0])[0])
        assert row.script is not None
        assert row.script in log[0]
        if row.status == "crashed":
            assert (time, memory) == ("N/A", "N/A")
            assert (row.total_time_s, row.mem_peak_mib, row.mem_per_device) == (None, None, None)
            continue
        clock = dict(line.split() for line in log[1:4])
        shown(row.total_time_s, time.removesuffix("s"))
        assert row.total_time_s == pytest.approx(seconds(clock["real"]), abs=1e-9)
        assert row.user_s == pytest.approx(seconds(clock["user"]), abs=1e-9)
        assert row.sys_s == pytest.approx(seconds(clock["sys"]), abs=1e-9)
        assert row.mem_per_device == tuple(map(float, memory.removesuffix(" MB").split(" + ")))
        peaks, idles = zip(*re.findall(r"\((\d+) - (\d+)\)MiB", log[4]), strict=True)
        assert row.mem_peak_mib == sum(map(float, peaks))
        assert row.mem_idle_mib == sum(map(float, idles))
        above_idle = tuple(float(p) - float(i) for p, i in zip(peaks, idles, strict=True))
        assert row.corrected_value.get("mem_per_device", row.mem_per_device) == above_idle


def test_accuracies_of_seed_000_count_whole_samples(rows: Rows) -> None:
    """Shows that the denominators are right: padded batches, and the old split on the CPU."""
    for row in of(rows, "000"):
        assert row.val_accuracy is not None
        assert row.accuracy_denominator is not None
        right = row.val_accuracy * row.accuracy_denominator
        printed_to = 1e-6 if row.workload == "lenet-official" else 2e-8
        assert math.isclose(right, round(right), abs_tol=printed_to * row.accuracy_denominator)
