"""The figures of a run, each described once; `drawing` and the page draw them."""

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Literal, TypeVar

import msgspec

from velodrome.devices import Devices
from velodrome.drawing.chart import HUES, Axis, Chart, Mark, Point, Scale, Series
from velodrome.record import Clocks, Record
from velodrome.report.process import Process
from velodrome.report.summary import Group, Row
from velodrome.report.words import RECIPE, differing, line, words
from velodrome.statistics import compare, median

_MIB = 2**20

# More points of an engine than these are not drawn one by one.
_POINTS = 500


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One sort of figure.

    Attributes:
        name: begins the names of its files.
        title: what it shows.
        caption: how to read it, and by what rule its values are had.
        build: makes the figures of rows, one for each set of rows that belong together;
            none where the rows have nothing to show of it.
    """

    name: str
    title: str
    caption: str
    build: Callable[[Sequence[Row]], list[Chart]]


def charts(groups: Iterable[Group]) -> list[Chart]:
    """Every figure of a ranking, in the order of `KINDS`."""
    return [chart for _, chart in named(groups)]


def named(groups: Iterable[Group]) -> Iterator[tuple[str, Chart]]:
    """The same, each as soon as it is made, with the name of its files.

    A name has the kind, the workload, and what tells the figure from its like.
    """
    rows = [row for group in groups for row in group.rows if row.processes]
    for kind in KINDS:
        alike = kind.build(rows)
        for chart, own in zip(alike, differing(each.shared for each in alike), strict=True):
            parts = {"workload": chart.shared.get("workload", ""), **own}
            name = "-".join([kind.name, *filter(None, parts.values())])
            yield re.sub(r"[^a-z0-9.]+", "-", name.lower()), chart


def _throughput(rows: Sequence[Row]) -> list[Chart]:
    return [
        _lines("throughput", facet, "throughput (samples/s)", lambda row: row.samples_sec)
        for facet in _facets(rows, "batch_size")
    ]


def _backends(rows: Sequence[Row]) -> list[Chart]:
    keras = [row for row in rows if row.trial.engine.startswith("keras-")]
    return [
        _lines("backends", facet, "throughput (samples/s)", lambda row: row.samples_sec)
        for facet in _facets(keras, "batch_size")
        if len(_by_label(facet.rows)) > 1
    ]


def _keras_over_native(rows: Sequence[Row]) -> list[Chart]:
    found = []
    for facet in _facets(rows, "batch_size"):
        native = {(row.trial.engine, row.trial.batch_size): row for row in facet.rows}
        series = []
        for (label, engine), own in _by_label(facet.rows).items():
            framework = engine.removeprefix("keras-")
            pairs = [
                (row, below)
                for row in own
                if framework != engine and (below := native.get((framework, row.trial.batch_size)))
            ]
            if pairs:
                points = tuple(_ratio(row, below) for row, below in pairs)
                series.append(
                    Series(
                        name=f"{label} over {framework}",
                        points=points,
                        hue=_hue(engine),
                        engine=engine,
                    )
                )
        if series:
            sizes = [point.x for each in series for point in each.points]
            even = tuple(Point(x=x, y=1.0) for x in sorted({min(sizes), max(sizes)}))
            guide = Series(name="as fast", points=even, hue=_GREY, guide=True)
            found.append(
                _chart(
                    "keras-over-native",
                    facet,
                    x=_BATCH_SIZE,
                    y=Axis(title="throughput, Keras over native", from_zero=True),
                    series=(*series, guide),
                )
            )
    return found


def _ratio(row: Row, below: Row) -> Point:
    ratio = compare(_speeds(row), _speeds(below), of="throughput")
    text = (
        f"{_name(row)} reaches {ratio.ratio:.2f} of {_name(below)} at batch {row.trial.batch_size}"
    )
    if ratio.low is not None:
        text += f" ({ratio.low:.2f} to {ratio.high:.2f} at {ratio.level:.0%})"
    return Point(x=row.trial.batch_size, y=ratio.ratio, low=ratio.low, high=ratio.high, text=text)


def _variants(rows: Sequence[Row]) -> list[Chart]:
    """The same engine on workloads that share a data set, such as relu and tanh."""
    found = []
    for facet in _facets(rows, "batch_size", "workload", each_engine=True):
        names = sorted({row.trial.workload for row in facet.rows})
        if len(names) < 2:
            continue
        series = tuple(
            Series(
                name=name,
                points=_over_batch_size(
                    [row for row in facet.rows if row.trial.workload == name],
                    lambda row: row.samples_sec,
                    "samples/s",
                ),
                hue=number % len(HUES),
                engine=facet.rows[0].trial.engine,
            )
            for number, name in enumerate(names)
        )
        y = _upright("throughput (samples/s)", series)
        found.append(_chart("variants", facet, x=_BATCH_SIZE, y=y, series=series))
    return found


def _total_time(rows: Sequence[Row]) -> list[Chart]:
    """A line an epoch count for each engine; a line an engine where there is but one count."""
    several = len({row.trial.epochs for row in rows}) > 1
    title = "total time (s)"
    if not several:
        return [
            _lines("total-time", facet, title, lambda row: row.real)
            for facet in _facets(rows, "batch_size")
        ]
    found = []
    for facet in _facets(rows, "batch_size", "epochs", each_engine=True):
        series = tuple(
            Series(
                name=f"{epochs} epochs",
                points=_over_batch_size(
                    [row for row in facet.rows if row.trial.epochs == epochs],
                    lambda row: row.real,
                    "s",
                ),
                hue=number % len(HUES),
                engine=facet.rows[0].trial.engine,
            )
            for number, epochs in enumerate(sorted({row.trial.epochs for row in facet.rows}))
        )
        found.append(
            _chart("total-time", facet, x=_BATCH_SIZE, y=_upright(title, series), series=series)
        )
    return found


def _scaling(rows: Sequence[Row]) -> list[Chart]:
    found = []
    for facet in _facets(rows, "batch_size", "devices"):
        classes = sorted({row.trial.devices for row in facet.rows}, key=_device_order)
        if len(classes) < 2:
            continue
        series: list[Series] = []
        for (label, engine), own in _by_label(facet.rows).items():
            best = {
                devices: max(of_class, key=lambda row: row.samples_sec or 0.0)
                for devices in classes
                if (of_class := [row for row in own if row.trial.devices == devices])
            }
            points = tuple(
                Point(
                    x=devices,
                    y=row.samples_sec or 0.0,
                    text=f"{label} on {devices}: {row.samples_sec:,.0f} samples/s, "
                    f"best at batch {row.trial.batch_size}",
                )
                for devices, row in best.items()
            )
            series.append(_of_engine(label, engine, points))
            series += _ideal(label, engine, best)
        found.append(
            _chart(
                "scaling",
                facet,
                x=Axis(title="devices", scale="category"),
                y=Axis(title="best throughput (samples/s)", from_zero=True),
                series=tuple(series),
            )
        )
    return found


def _ideal(label: str, engine: str, best: dict[str, Row]) -> list[Series]:
    """For each kind of device, the throughput of the fewest times the number of them."""
    found = []
    for kind in ("cpu", "gpu"):
        of_kind = [each for each in best if Devices.parse(each).kind == kind]
        if len(of_kind) < 2:
            continue
        first = of_kind[0]
        one = (best[first].samples_sec or 0.0) / Devices.parse(first).total
        points = tuple(
            Point(x=each, y=one * Devices.parse(each).total, text=f"{label}: ideal from {first}")
            for each in of_kind
        )
        found.append(
            Series(
                name=f"{label}, ideal", points=points, hue=_hue(engine), engine=engine, guide=True
            )
        )
    return found


def _device_order(devices: str) -> tuple[str, int, str]:
    parsed = Devices.parse(devices)
    return parsed.kind, parsed.total, devices


def _accuracy_over_time(rows: Sequence[Row]) -> list[Chart]:
    found = []
    for facet in _facets([row for row in rows if row.accuracy is not None]):
        series = tuple(
            _of_engine(_name(row), row.trial.engine, _learning(row)) for row in facet.rows
        )
        found.append(
            _chart(
                "accuracy-over-time",
                facet,
                x=Axis(title="time spent training (s)", scale=_spread(series, "x")),
                y=Axis(title="validation accuracy"),
                series=series,
            )
        )
    return found


def _learning(row: Row) -> tuple[Point, ...]:
    """Accuracy after each epoch of the process whose training took the median time."""
    runs = sorted(_runs(row), key=lambda run: run[1].trained)
    record, _ = runs[(len(runs) - 1) // 2]
    points, seconds = [], 0.0
    for number, epoch in enumerate(record.epochs, 1):
        seconds += epoch.train_seconds
        accuracy = epoch.validation_accuracy
        if accuracy is not None:
            text = f"{_name(row)}, epoch {number}: {accuracy:.4f} after {seconds:.2f} s"
            points.append(Point(x=seconds, y=accuracy, text=text))
    return tuple(points)


def _accuracy_against_throughput(rows: Sequence[Row]) -> list[Chart]:
    found = []
    for facet in _facets([row for row in rows if row.accuracy is not None], "batch_size"):
        series = tuple(
            _of_engine(
                label,
                engine,
                tuple(
                    Point(
                        x=row.samples_sec or 0.0,
                        y=row.accuracy or 0.0,
                        text=f"{label}, batch {row.trial.batch_size}: accuracy {row.accuracy:.4f} "
                        f"at {row.samples_sec:,.0f} samples/s",
                    )
                    for row in own
                ),
            )
            for (label, engine), own in _by_label(facet.rows).items()
        )
        found.append(
            _chart(
                "accuracy-against-throughput",
                facet,
                mark="points",
                x=Axis(title="throughput (samples/s)", scale=_spread(series, "x")),
                y=Axis(title="validation accuracy"),
                series=series,
            )
        )
    return found


def _memory(rows: Sequence[Row]) -> list[Chart]:
    def parts(row: Row) -> dict[str, float]:
        used = [record.memory for record in row.done if record.memory]
        if not used:
            return {}
        peak = max(used, key=lambda memory: memory.peak)
        return {
            "framework loaded": peak.imported / _MIB,
            "data, model and training": (peak.peak - peak.imported) / _MIB,
        }

    return _bars("memory", rows, "peak resident memory (MiB)", parts)


def _time_split(rows: Sequence[Row]) -> list[Chart]:
    def parts(row: Row) -> dict[str, float]:
        timed = [(record.clocks, process) for record, process in _runs(row) if record.clocks]
        split: dict[str, Sequence[float | None]] = {
            "import": [clocks.import_seconds for clocks, _ in timed],
            "build": [clocks.build_seconds for clocks, _ in timed],
            "first step, compiling": [clocks.first_step_seconds for clocks, _ in timed],
            "train": [process.trained for _, process in timed],
            "evaluate": [process.evaluated for _, process in timed],
            "start and end": [_rest(clocks, process) for clocks, process in timed],
        }
        return {
            name: median(known)
            for name, seconds in split.items()
            if (known := [each for each in seconds if each is not None])
        }

    return _bars("time-split", rows, "time of the process (s)", parts)


def _rest(clocks: Clocks, process: Process) -> float:
    """Seconds of the process that belong to none of its parts."""
    begun = (
        (clocks.import_seconds or 0.0)
        + (clocks.build_seconds or 0.0)
        + (clocks.first_step_seconds or 0.0)
    )
    return max(clocks.real - begun - process.trained - process.evaluated, 0.0)


def _drift(rows: Sequence[Row]) -> list[Chart]:
    found = []
    for machine in dict.fromkeys(row.records[0].machine for row in rows):
        here = [row for row in rows if row.records[0].machine == machine]
        runs = {
            key: [(_started(record), row, record, one) for row in own for record, one in _runs(row)]
            for key, own in _by_label(here).items()
        }
        began = min(started for own in runs.values() for started, *_ in own)
        series = [
            _of_engine(label, engine, _paces(own, began)) for (label, engine), own in runs.items()
        ]
        series.append(_kernel([each for own in runs.values() for each in own], began))
        if kept := tuple(each for each in series if each.points):
            found.append(
                _chart(
                    "drift",
                    _Facet({"machine": f"{machine.cpu}, {machine.cores} cores"}, here),
                    mark="points",
                    x=Axis(title="started after (minutes)"),
                    y=Axis(title="pace over the median"),
                    series=kept,
                )
            )
    return found


def _runs(row: Row) -> Iterator[tuple[Record, Process]]:
    """The runs that came to their end."""
    return zip(row.done, row.processes, strict=True)


_Started = tuple[float, Row, Record, Process]


def _paces(runs: Sequence[_Started], began: float) -> tuple[Point, ...]:
    """The throughput of each run over the median of its repeats, where there are several."""
    repeated = [each for each in runs if len(each[1].processes) > 1]
    return tuple(
        Point(
            x=(started - began) / 60,
            y=one.samples_sec / (row.samples_sec or 1.0),
            text=f"{_name(row)}, batch {row.trial.batch_size}, run {record.trial.repeat + 1}: "
            f"{one.samples_sec:,.0f} samples/s",
        )
        for started, row, record, one in _thinned(sorted(repeated, key=lambda each: each[0]))
    )


Many = TypeVar("Many")


def _thinned(many: Sequence[Many]) -> Sequence[Many]:
    """Every n-th, where there are more than an eye can tell apart; the caption says so."""
    return many[:: 1 + len(many) // _POINTS]


def _kernel(runs: Sequence[_Started], began: float) -> Series:
    """The pace of a fixed kernel before each run, over its median."""
    readings = sorted(
        (started, record.steadiness.before)
        for started, _, record, _ in runs
        if record.steadiness is not None
    )
    middle = median([seconds for _, seconds in readings]) if readings else 0.0
    points = tuple(
        Point(
            x=(started - began) / 60,
            y=middle / seconds,
            text=f"a fixed kernel took {seconds * 1e3:.1f} ms",
        )
        for started, seconds in _thinned(readings)
    )
    return Series(name="a fixed kernel", points=points, hue=_GREY)


def _started(record: Record) -> float:
    return datetime.fromisoformat(record.started).timestamp()


KINDS: tuple[Kind, ...] = (
    Kind(
        name="throughput",
        title="Throughput over batch size",
        caption="Trained samples a second, the median over the runs; whiskers reach from the "
        "slowest run to the fastest. Higher is better. Broken lines are Keras on that framework.",
        build=_throughput,
    ),
    Kind(
        name="accuracy-over-time",
        title="Accuracy over time",
        caption="Validation accuracy after each epoch, over the seconds spent training until "
        "then, in the run whose training took the median time. Further up and to the left is "
        "better.",
        build=_accuracy_over_time,
    ),
    Kind(
        name="accuracy-against-throughput",
        title="Accuracy against throughput",
        caption="Each point is an engine at one batch size. Further up and to the right is "
        "better; engines that train the same mathematics stand at one height.",
        build=_accuracy_against_throughput,
    ),
    Kind(
        name="keras-over-native",
        title="Keras against native",
        caption="Throughput of Keras on a framework over that of the framework used directly: "
        "1 is no loss. Whiskers are the 99% interval, where there are runs enough for one.",
        build=_keras_over_native,
    ),
    Kind(
        name="backends",
        title="Backend against backend",
        caption="Keras alone: the same program on each of its backends, samples a second.",
        build=_backends,
    ),
    Kind(
        name="variants",
        title="Workload against workload",
        caption="One engine on the networks that it trained on the same data, such as relu and "
        "tanh.",
        build=_variants,
    ),
    Kind(
        name="scaling",
        title="Best throughput a class of hardware",
        caption="The best throughput over all batch sizes on each set of devices; thin lines are "
        "ideal scaling from the fewest devices of the kind.",
        build=_scaling,
    ),
    Kind(
        name="total-time",
        title="Total time over batch size",
        caption="Seconds of the whole process, from its start to its end: a line an epoch count, "
        "or an engine where all trained as many epochs. Lower is better.",
        build=_total_time,
    ),
    Kind(
        name="time-split",
        title="Where the time goes",
        caption="The whole process, parted: loading the framework; reading data and building the "
        "model; the first step, compilation included; training; evaluation; and the rest, the "
        "process's own start and end. Medians over the runs.",
        build=_time_split,
    ),
    Kind(
        name="memory",
        title="Memory",
        caption="Largest resident memory of the process tree, parted into what was held once the "
        "framework was loaded and what came on top. Lower is better.",
        build=_memory,
    ),
    Kind(
        name="drift",
        title="Drift of the machine",
        caption="Each run's throughput over the median of its configuration, by when it "
        "started; and the pace of a fixed kernel that is timed between the runs. A machine that "
        "keeps its pace scatters about 1; a slope or a step is drift. Of more than "
        f"{_POINTS} runs of an engine, every n-th is shown; the CSV has all.",
        build=_drift,
    ),
)


class _Facet(msgspec.Struct, frozen=True):
    """Rows that belong in one figure, and what they share."""

    shared: dict[str, str]
    rows: list[Row]


def _facets(rows: Sequence[Row], *free: str, each_engine: bool = False) -> list[_Facet]:
    """Rows that differ by nothing but the engine and the fields that are free."""
    together: dict[Hashable, list[Row]] = {}
    shared: dict[Hashable, dict[str, str]] = {}
    machines = {row.records[0].machine for row in rows}
    # A workload brings its recipe, so what differs by workload differs by recipe.
    hidden = {*free, *(RECIPE if "workload" in free else ())}
    for row in rows:
        common = words(row.trial)
        common = {field: text for field, text in common.items() if field not in hidden}
        if each_engine:
            common = {"engine": _name(row), **common}
        machine = row.records[0].machine
        if len(machines) > 1:
            common["machine"] = f"{machine.cpu}, {machine.cores} cores"
        key = (tuple(common.items()), machine)
        together.setdefault(key, []).append(row)
        shared[key] = common
    return [_Facet(shared[key], each) for key, each in together.items()]


def _chart(
    kind: str,
    facet: _Facet,
    *,
    x: Axis,
    y: Axis,
    series: tuple[Series, ...],
    mark: Mark = "lines",
) -> Chart:
    return Chart(
        kind=kind,
        shared=facet.shared,
        title=line(facet.shared),
        mark=mark,
        x=x,
        y=y,
        series=series,
    )


def _lines(kind: str, facet: _Facet, title: str, value: Callable[[Row], float | None]) -> Chart:
    """A line an engine over batch size; `title` ends with the unit in brackets."""
    unit = title.rpartition("(")[2].rstrip(")")
    series = tuple(
        _of_engine(label, engine, _over_batch_size(own, value, unit))
        for (label, engine), own in _by_label(facet.rows).items()
    )
    return _chart(kind, facet, x=_BATCH_SIZE, y=_upright(title, series), series=series)


def _over_batch_size(
    rows: Sequence[Row], value: Callable[[Row], float | None], unit: str
) -> tuple[Point, ...]:
    points = []
    for row in sorted(rows, key=lambda row: row.trial.batch_size):
        middle = value(row)
        if middle is None:
            continue
        text = f"{_name(row)}, batch {row.trial.batch_size}: {_short(middle)} {unit}"
        low, high = _span(row) if unit == "samples/s" else (None, None)
        if low is not None and high is not None:
            text += f", {len(row.processes)} runs from {_short(low)} to {_short(high)}"
        points.append(Point(x=row.trial.batch_size, y=middle, low=low, high=high, text=text))
    return tuple(points)


def _span(row: Row) -> tuple[float | None, float | None]:
    """The slowest and the fastest run, where there are several."""
    speeds = _speeds(row)
    return (min(speeds), max(speeds)) if len(speeds) > 1 else (None, None)


def _speeds(row: Row) -> list[float]:
    return [one.samples_sec for one in row.processes]


def _bars(
    kind: str, rows: Sequence[Row], title: str, parts: Callable[[Row], dict[str, float]]
) -> list[Chart]:
    """A bar an engine, put together from parts."""
    found = []
    unit = title.rpartition("(")[2].rstrip(")")
    for facet in _facets(rows):
        split = {_name(row): parts(row) for row in facet.rows}
        names = list(dict.fromkeys(name for each in split.values() for name in each))
        series = tuple(
            Series(
                name=name,
                hue=number,
                points=tuple(
                    Point(
                        x=label,
                        y=each[name],
                        text=f"{label}, {name}: {_short(each[name])} "
                        f"of {_short(sum(each.values()))} {unit}",
                    )
                    for label, each in split.items()
                    if name in each
                ),
            )
            for number, name in enumerate(names)
        )
        if series:
            found.append(
                _chart(
                    kind,
                    facet,
                    mark="bars",
                    x=Axis(title="engine", scale="category"),
                    y=Axis(title=title, from_zero=True),
                    series=series,
                )
            )
    return found


def _by_label(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows by label and engine, the labels in order."""
    together: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: _name(row)):
        together.setdefault((_name(row), row.trial.engine), []).append(row)
    return together


def _name(row: Row) -> str:
    return f"{row.label} ({row.flag})" if row.flag else row.label


def _of_engine(label: str, engine: str, points: tuple[Point, ...]) -> Series:
    return Series(
        name=label,
        points=points,
        hue=_hue(engine),
        engine=engine,
        dashed=engine.startswith("keras-"),
    )


_FRAMEWORKS = ("mxnet", "tensorflow", "torch", "jax", "neon")
_GREY = 5
_BATCH_SIZE = Axis(title="batch size", scale="log2")


def _hue(engine: str) -> int:
    """The framework's colour, the same in every figure."""
    framework = engine.removeprefix("keras-")
    return _FRAMEWORKS.index(framework) if framework in _FRAMEWORKS else len(HUES) - 1


def _upright(title: str, series: Sequence[Series]) -> Axis:
    return Axis(title=title, scale=_spread(series, "y"), from_zero=True)


def _spread(series: Sequence[Series], axis: Literal["x", "y"]) -> Scale:
    """Logarithmic where a linear axis would press the small values flat."""
    values = [float(getattr(point, axis)) for each in series for point in each.points]
    return "log" if values and max(values) > 30 * min(values) > 0 else "linear"


def _short(value: float) -> str:
    """Three or four digits."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
