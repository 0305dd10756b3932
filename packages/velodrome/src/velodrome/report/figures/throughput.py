"""Throughput: over batch size, Keras against native, network against network, scaling."""

from collections.abc import Sequence

from velodrome.devices import Devices
from velodrome.drawing.chart import HUES, Axis, Chart, Point, Series
from velodrome.report.figures.parts import (
    BATCH_SIZE,
    GREY,
    Kind,
    by_label,
    chart,
    facets,
    hue,
    lines,
    name_of,
    of_engine,
    over_batch_size,
    upright,
)
from velodrome.report.summary import Row
from velodrome.statistics import compare


def _throughput(rows: Sequence[Row]) -> list[Chart]:
    return [
        lines("throughput", facet, "throughput (samples/s)", lambda row: row.samples_sec)
        for facet in facets(rows, "batch_size")
    ]


def _backends(rows: Sequence[Row]) -> list[Chart]:
    keras = [row for row in rows if row.trial.engine.startswith("keras-")]
    return [
        lines("backends", facet, "throughput (samples/s)", lambda row: row.samples_sec)
        for facet in facets(keras, "batch_size")
        if len(by_label(facet.rows)) > 1
    ]


def _keras_over_native(rows: Sequence[Row]) -> list[Chart]:
    found = []
    for facet in facets(rows, "batch_size"):
        native = {(row.trial.engine, row.trial.batch_size): row for row in facet.rows}
        series = []
        for (label, engine), own in by_label(facet.rows).items():
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
                        hue=hue(engine),
                        engine=engine,
                    )
                )
        if series:
            sizes = [point.x for each in series for point in each.points]
            even = tuple(Point(x=x, y=1.0) for x in sorted({min(sizes), max(sizes)}))
            guide = Series(name="as fast", points=even, hue=GREY, guide=True)
            found.append(
                chart(
                    "keras-over-native",
                    facet,
                    x=BATCH_SIZE,
                    y=Axis(title="throughput, Keras over native", from_zero=True),
                    series=(*series, guide),
                )
            )
    return found


def _ratio(row: Row, below: Row) -> Point:
    ratio = compare(row.done.samples_sec, below.done.samples_sec, of="throughput")
    names = f"{name_of(row)} reaches {ratio.ratio:.2f} of {name_of(below)}"
    text = f"{names} at batch {row.trial.batch_size}"
    if ratio.low is not None:
        text += f" ({ratio.low:.2f} to {ratio.high:.2f} at {ratio.level:.0%})"
    return Point(x=row.trial.batch_size, y=ratio.ratio, low=ratio.low, high=ratio.high, text=text)


def _variants(rows: Sequence[Row]) -> list[Chart]:
    """The same engine on workloads that share a data set, such as relu and tanh."""
    found = []
    for facet in facets(rows, "batch_size", "workload", each_engine=True):
        names = sorted({row.trial.workload for row in facet.rows})
        if len(names) < 2:
            continue
        series = tuple(
            Series(
                name=name,
                points=over_batch_size(
                    [row for row in facet.rows if row.trial.workload == name],
                    lambda row: row.samples_sec,
                    "samples/s",
                ),
                hue=number % len(HUES),
                engine=facet.rows[0].trial.engine,
            )
            for number, name in enumerate(names)
        )
        y = upright("throughput (samples/s)", series)
        found.append(chart("variants", facet, x=BATCH_SIZE, y=y, series=series))
    return found


def _scaling(rows: Sequence[Row]) -> list[Chart]:
    found = []
    for facet in facets(rows, "batch_size", "devices"):
        classes = sorted({row.trial.devices for row in facet.rows}, key=_device_order)
        if len(classes) < 2:
            continue
        series: list[Series] = []
        for (label, engine), own in by_label(facet.rows).items():
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
            series.append(of_engine(label, engine, points))
            series += _ideal(label, engine, best)
        found.append(
            chart(
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
                name=f"{label}, ideal", points=points, hue=hue(engine), engine=engine, guide=True
            )
        )
    return found


def _device_order(devices: str) -> tuple[str, int, str]:
    parsed = Devices.parse(devices)
    return parsed.kind, parsed.total, devices


THROUGHPUT = Kind(
    name="throughput",
    title="Throughput over batch size",
    caption="Trained samples a second, the median over the runs; whiskers reach from the "
    "slowest run to the fastest. Higher is better. Broken lines are Keras on that framework.",
    build=_throughput,
)

BACKENDS = Kind(
    name="backends",
    title="Backend against backend",
    caption="Keras alone: the same program on each of its backends, samples a second.",
    build=_backends,
)

KERAS_OVER_NATIVE = Kind(
    name="keras-over-native",
    title="Keras against native",
    caption="Throughput of Keras on a framework over that of the framework used directly: "
    "1 is no loss. Whiskers are the 99% interval, where there are runs enough for one.",
    build=_keras_over_native,
)

VARIANTS = Kind(
    name="variants",
    title="Workload against workload",
    caption="One engine on the networks that it trained on the same data, such as relu and tanh.",
    build=_variants,
)

SCALING = Kind(
    name="scaling",
    title="Best throughput a class of hardware",
    caption="The best throughput over all batch sizes on each set of devices; thin lines are "
    "ideal scaling from the fewest devices of the kind.",
    build=_scaling,
)
