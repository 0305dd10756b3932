from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from builders import record, trial
from velodrome.drawing.chart import HUES, Chart, Hue
from velodrome.drawing.drawers import Drawers
from velodrome.record import Record, Steadiness
from velodrome.report import figures, summary
from velodrome.report.lines import results


def charts(measured: Sequence[Record], kind: str) -> list[Chart]:
    found = figures.charts(summary.groups(results(measured)))
    return [chart for chart in found if chart.kind == kind]


def values(chart: Chart) -> dict[str, list[tuple[object, float]]]:
    return {each.name: [(point.x, point.y) for point in each.points] for each in chart.series}


def paced(seconds: float, **axes: object) -> Record:
    """A thousand samples an epoch, each epoch in that time."""
    return record(trial(**axes), seconds=(seconds, seconds, seconds))


def test_throughput_has_a_line_an_engine_over_batch_size() -> None:
    (chart,) = charts(
        [
            paced(1 / size * 64, engine=engine, batch_size=size)
            for engine in ("jax", "torch")
            for size in (256, 64)
        ],
        "throughput",
    )
    line = [(64, pytest.approx(1000)), (256, pytest.approx(4000))]
    assert values(chart) == {"jax": line, "torch": line}


def test_a_figure_holds_only_what_may_be_compared() -> None:
    measured = [
        paced(1, settings=settings, epochs=n) for settings in ("stock", "tuned") for n in (3, 4)
    ]
    found = charts(measured, "throughput")
    assert len(found) == 4
    assert len({chart.title for chart in found}) == 4


def test_keras_is_set_against_its_own_framework() -> None:
    (chart,) = charts(
        [
            paced(1, engine="jax"),
            paced(2, engine="keras-jax"),
            paced(4, engine="torch"),
            paced(5, engine="keras-torch"),
            paced(9, engine="keras-mxnet"),
        ],
        "keras-over-native",
    )
    found = values(chart)
    assert found["keras-jax over jax"] == [(64, pytest.approx(0.5))]
    assert found["keras-torch over torch"] == [(64, pytest.approx(0.8))]
    assert not any("mxnet" in name for name in found)


def test_scaling_takes_the_best_batch_size_and_ideal_is_a_multiple_of_the_fewest() -> None:
    (chart,) = charts(
        [
            paced(1, devices="gpu", batch_size=64),
            paced(0.5, devices="gpu", batch_size=256),
            paced(0.2, devices="gpu:4", batch_size=256),
            paced(10, devices="cpu"),
        ],
        "scaling",
    )
    found = values(chart)
    assert found["torch"] == [
        ("cpu", pytest.approx(100)),
        ("gpu", pytest.approx(2000)),
        ("gpu:4", pytest.approx(5000)),
    ]
    assert found["torch, ideal"] == [("gpu", pytest.approx(2000)), ("gpu:4", pytest.approx(8000))]


def test_total_time_has_a_line_an_epoch_count() -> None:
    measured = [paced(1, epochs=n, batch_size=size) for n in (3, 12) for size in (64, 128)]
    (chart,) = charts(measured, "total-time")
    assert list(values(chart)) == ["3 epochs", "12 epochs"]
    assert values(chart)["3 epochs"] == [(64, 9.0), (128, 9.0)]


def test_relu_and_tanh_are_set_side_by_side() -> None:
    measured = [paced(1, workload="lenet"), paced(2, workload="lenet-tanh")]
    (chart,) = charts(measured, "variants")
    assert list(values(chart)) == ["lenet", "lenet-tanh"]


def test_accuracy_is_shown_at_the_end_of_each_epoch() -> None:
    (chart,) = charts([record(seconds=(2.0, 1.0, 1.0))], "accuracy-over-time")
    assert values(chart)["torch"] == [(2.0, 0.9), (3.0, 0.9), (4.0, 0.9)]


def test_the_parts_of_the_time_add_up_to_the_process() -> None:
    (chart,) = charts([record()], "time-split")
    assert sum(series.points[0].y for series in chart.series) == pytest.approx(9.0)


def test_a_machine_that_slows_down_is_seen() -> None:
    measured = [paced(1, repeat=0), paced(1, repeat=1), paced(2, repeat=2)]
    timed = [
        msgspec.structs.replace(
            one,
            started=f"2026-01-01T00:0{minute}:00+00:00",
            steadiness=Steadiness(before=0.01 * pace, after=0.01),
        )
        for minute, (one, pace) in enumerate(zip(measured, (1, 1, 2), strict=True))
    ]
    (chart,) = charts(timed, "drift")
    slower = [(0.0, 1.0), (1.0, 1.0), (2.0, pytest.approx(0.5))]
    assert values(chart) == {"torch": slower, "a fixed kernel": slower}


def test_failures_are_in_no_figure() -> None:
    assert figures.charts(summary.groups(results([record(status="crash")]))) == []


def test_files_are_drawn_and_the_same_again(tmp_path: Path) -> None:
    measured = [
        paced(1, engine=engine, batch_size=size, settings=settings, repeat=repeat)
        for engine in ("jax", "keras-jax")
        for size in (64, 128)
        for settings in ("stock", "tuned")
        for repeat in range(2)
    ]
    found = figures.named(summary.groups(results(measured)))
    kinds = ("throughput", "time-split", "drift")
    wanted = {name: chart for name, chart in found if chart.kind in kinds}
    with Drawers() as drawers:
        first, again = (
            [
                path
                for name, chart in wanted.items()
                for path in drawers.draw(chart, tmp_path / folder, name)
            ]
            for folder in ("first", "again")
        )
    assert len(first) == 2 * len(wanted)
    assert {path.suffix for path in first} == {".svg", ".png"}
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]


def test_a_figure_that_cannot_be_written_is_no_silence(tmp_path: Path) -> None:
    (chart,) = charts([paced(1), paced(2, engine="jax")], "throughput")
    (tmp_path / "speeds.svg").mkdir()
    with pytest.raises(IsADirectoryError), Drawers() as drawers:
        drawers.draw(chart, tmp_path, "speeds")


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.1)."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("hue", HUES)
def test_colours_stand_out_from_the_ground(hue: Hue) -> None:
    assert 1.05 / (luminance(hue.light) + 0.05) >= 3
    assert (luminance(hue.dark) + 0.05) / (luminance("#12151b") + 0.05) >= 3
