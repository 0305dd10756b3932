"""RAPL's counters, as the kernel lays them out."""

from pathlib import Path

import pytest

from velodrome.worker.energy import Meters


def domain(folder: Path, name: str, microjoules: int, wraps_at: int = 10**12) -> Path:
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{wraps_at}\n")
    return folder / "energy_uj"


def test_packages_are_read_and_their_parts_not_counted_twice(tmp_path: Path) -> None:
    counter = domain(tmp_path / "intel-rapl:0", "package-0", 5_000_000)
    domain(tmp_path / "intel-rapl:0:0", "core", 4_000_000)
    domain(tmp_path / "intel-rapl:1", "package-1", 1_000_000)
    meters = Meters((), rapl=tmp_path)
    before = meters.read()
    assert before == {"package-0": 5.0, "package-1": 1.0}
    counter.write_text("7500000\n")
    assert meters.since(before) == {"package-0": 2.5, "package-1": 0.0}


def test_a_counter_that_began_anew_is_put_right(tmp_path: Path) -> None:
    counter = domain(tmp_path / "intel-rapl:0", "package-0", 9_000_000, wraps_at=10_000_000)
    meters = Meters((), rapl=tmp_path)
    before = meters.read()
    counter.write_text("2000000\n")
    assert meters.since(before) == {"package-0": pytest.approx(3.0)}


def test_where_nothing_can_be_read_nothing_is_made_up(tmp_path: Path) -> None:
    (tmp_path / "intel-rapl:0").mkdir()
    assert Meters((0,), rapl=tmp_path / "none").read() == {}
    assert Meters((), rapl=tmp_path).read() == {}
