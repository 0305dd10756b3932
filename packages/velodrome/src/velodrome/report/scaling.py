"""What several devices bring over one, engine by engine: speed-up and scaling efficiency; pure."""

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from velodrome.devices import Devices
from velodrome.report.summary import Group, Row, configuration, middle
from velodrome.statistics import Estimate, scaling_efficiency
from velodrome.workloads.recipe import Recipe


class Scaling(msgspec.Struct, frozen=True, kw_only=True):
    """One engine on several devices, beside itself on one.

    Attributes:
        many: the row on several devices.
        one: the row on one.
        kind: `strong` for the same samples a step, `weak` for the same samples a device.
        efficiency: the speed-up over the number of devices.
    """

    many: Row
    one: Row
    kind: Literal["strong", "weak"]
    efficiency: Estimate


def scalings(groups: Iterable[Group]) -> Iterator[Scaling]:
    """Every row on several devices that was also measured on one of their kind."""
    rows = [row for group in groups for row in group.rows if row.done and row.by == "engine"]
    for many in rows:
        devices = Devices.parse(many.trial.devices).total
        for one in rows:
            if devices == 1 or not _alike(many, one):
                continue
            weak = many.trial.batch_size == one.trial.batch_size * devices
            if weak or many.trial.batch_size == one.trial.batch_size:
                yield Scaling(
                    many=many,
                    one=one,
                    kind="weak" if weak else "strong",
                    efficiency=scaling_efficiency(
                        one.done.samples_sec, many.done.samples_sec, devices=devices
                    ),
                )


def _alike(many: Row, one: Row) -> bool:
    """Whether they differ in the number of devices, batch size and learning rate alone."""
    on, alone = Devices.parse(many.trial.devices), Devices.parse(one.trial.devices)
    return (
        alone.total == 1
        and alone.kind == on.kind
        and many.pins == one.pins
        and many.machine == one.machine
        and _rest(many) == _rest(one)
    )


def _rest(row: Row) -> object:
    recipe: Recipe = msgspec.structs.replace(
        row.trial.recipe, learning_rate=1.0, rate_rule="constant"
    )
    return msgspec.structs.replace(
        configuration(row.trial), devices="cpu", batch_size=1, recipe=recipe
    )


def markdown(found: Iterable[Scaling]) -> str:
    """The section of the report; empty where nothing ran on several devices."""
    lines = [_line(each) for each in found]
    if not lines:
        return ""
    head = (
        "| workload | engine | devices | batch | scaling | speed-up | efficiency | 99% interval "
        "| waited |"
    )
    return "\n".join(
        [
            "## Several devices\n",
            "Throughput over that on one device; efficiency is that over the number of devices. "
            "Waited: milliseconds a step for gradients between devices, beside computing, where "
            "the framework tells.\n",
            head,
            "| --- | --- | --- | ---: | --- | ---: | ---: | ---: | ---: |",
            *lines,
            "",
        ]
    )


def _line(each: Scaling) -> str:
    trial, estimate = each.many.trial, each.efficiency
    speedup = estimate.value * Devices.parse(trial.devices).total
    interval = (
        "too few runs"
        if estimate.low is None or estimate.high is None
        else f"{estimate.low:.0%} to {estimate.high:.0%}"
    )
    waited = middle(each.many.done.waited)
    cells = (
        trial.workload,
        trial.engine,
        trial.devices,
        str(trial.batch_size),
        each.kind,
        f"{speedup:.2f}",
        f"{estimate.value:.0%}",
        interval,
        "" if waited is None else f"{waited * 1e3:.1f}",
    )
    return f"| {' | '.join(cells)} |"
