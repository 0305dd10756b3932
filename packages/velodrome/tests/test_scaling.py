import msgspec
import pytest

from builders import epoch, record, trial
from velodrome.record import Record
from velodrome.report import scaling, summary
from velodrome.report.lines import results


def runs(devices: str, batch_size: int, seconds: float) -> list[Record]:
    return [
        msgspec.structs.replace(
            record(trial(devices=devices, batch_size=batch_size, repeat=repeat)),
            epochs=tuple(epoch(seconds) for _ in range(8)),
            waited=0.0032 if devices == "cpu:2" else None,
        )
        for repeat in range(2)
    ]


def test_several_devices_stand_beside_one_by_strong_and_by_weak_scaling() -> None:
    records = [*runs("cpu", 64, 4.0), *runs("cpu:2", 64, 2.5), *runs("cpu:2", 128, 2.0)]
    found = list(scaling.scalings(summary.groups(results(records))))
    told = {each.kind: each.efficiency.value for each in found}
    assert told == {"strong": pytest.approx(0.8), "weak": pytest.approx(1.0)}
    text = scaling.markdown(found)
    assert "| cpu:2 | 64 | strong | 1.60 | 80% | too few runs | 3.2 |" in text


def test_one_device_alone_has_no_section() -> None:
    assert scaling.markdown(scaling.scalings(summary.groups(results(runs("cpu", 64, 4.0))))) == ""
