"""Two run folders against each other."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from builders import LEDGER, record, trial
from velodrome import record as records
from velodrome.parity.verdict import Verdict, keep
from velodrome.record import Record
from velodrome.report import compare
from velodrome.report.lines import results


def run(seconds: float, count: int = 8, **axes: object) -> list[Record]:
    return [
        msgspec.structs.replace(
            record(trial(repeat=n, **axes), seconds=(seconds * (1 + n / 1000),) * 4), ledger=LEDGER
        )
        for n in range(count)
    ]


def match(a: list[Record], b: list[Record]) -> compare.Match:
    return compare.match(compare.run(results(a)), compare.run(results(b)))


def test_a_slowdown_is_told_with_its_size_and_its_interval() -> None:
    (pair,) = match(run(1.0), run(1.1)).pairs
    assert pair.comparison is not None
    assert pair.comparison.ratio == pytest.approx(1 / 1.1)
    assert pair.comparison.verdict == "slower"
    assert compare.slower(pair, 0.05)
    assert not compare.slower(pair, 0.15)
    assert "0.909 times the throughput" in compare.line(pair)


def test_a_run_against_itself_is_a_tie() -> None:
    (pair,) = match(run(1.0), run(1.0)).pairs
    assert pair.comparison is not None
    assert pair.comparison.verdict == "tie"


def test_what_is_known_not_to_be_at_parity_is_marked(tmp_path: Path) -> None:
    before = folder(tmp_path / "before", run(1.0) + run(1.0, settings="stock"))
    after = folder(tmp_path / "after", run(0.5) + run(1.0, settings="stock"))
    keep(
        Verdict(
            status="deviates",
            reason="a is off",
            made="2026-01-01T00:00:00+00:00",
            trial=trial(),
            steps=4,
        ),
        after,
    )
    comment = tmp_path / "comment.md"
    answer = velodrome("compare", before, after, "--markdown", comment)
    for text in (answer.stdout, comment.read_text()):
        (marked,) = (line for line in text.splitlines() if "not at parity" in line)
        assert "tuned settings" in marked
        assert "faster (not at parity: deviates in the second run)" in marked.replace("| ", "")


def test_too_few_runs_never_fail_anything() -> None:
    (pair,) = match(run(1.0, count=2), run(9.0, count=2)).pairs
    assert not compare.slower(pair, 0.05)
    assert "undecided: 2 runs a side, 5 needed" in compare.line(pair)


def test_another_model_or_other_data_is_refused_with_the_reason() -> None:
    (pair,) = match(run(1.0), run(2.0, graph="h")).pairs
    assert pair.comparison is None
    assert "the model is another one" in compare.line(pair)
    (pair,) = match(run(1.0), run(2.0, data="f")).pairs
    assert "the data is not the same" in compare.line(pair)


def test_of_several_versions_in_a_run_the_newest_alone_is_compared() -> None:
    older = run(9.0, environment="old", graph="old")
    newer = [msgspec.structs.replace(each, started="2026-01-02") for each in run(1.0, count=6)]
    (pair,) = match(newer + older, run(1.0)).pairs
    assert not pair.refused
    assert len(pair.a.speeds) == 6
    assert pair.a.speed == pytest.approx(1000, rel=0.01)


def test_another_arithmetic_in_use_is_refused() -> None:
    tf32 = msgspec.structs.replace(LEDGER, dtype="tf32")
    other = [msgspec.structs.replace(each, ledger=tf32) for each in run(0.5)]
    (pair,) = match(run(1.0), other).pairs
    assert "arithmetic differs: float32 and tf32" in compare.line(pair)


def test_what_only_one_has_is_named() -> None:
    found = match(run(1.0) + run(1.0, batch_size=8), run(1.0) + run(1.0, engine="jax"))
    assert len(found.pairs) == 1
    assert "batch 8" in found.only_a[0]
    assert "jax" in found.only_b[0]


def test_a_line_names_what_tells_configurations_apart() -> None:
    several = run(1.0) + run(1.0, settings="stock") + run(1.0, dtype="tf32", epochs=9)
    titles = [pair.title for pair in match(several, several).pairs]
    assert len(set(titles)) == 3
    assert "lenet on digits, torch, cpu, batch 64, 9 epochs, tf32, tuned settings" in titles
    (pair,) = match(run(1.0), run(1.0)).pairs
    assert pair.title == "lenet on digits, torch, cpu, batch 64"
    apart = match(run(1.0), run(1.0, epochs=9))
    assert apart.only_a != apart.only_b
    assert "9 epochs" in apart.only_b[0]


def test_two_machines_and_two_versions_are_said_clearly() -> None:
    newer = msgspec.structs.replace(LEDGER, versions={"torch": "2.14.0"})
    there = [
        msgspec.structs.replace(
            each,
            machine=msgspec.structs.replace(each.machine, cpu="Another processor"),
            ledger=newer,
        )
        for each in run(1.0)
    ]
    found = match(run(1.0), there)
    assert len(found.pairs) == 1
    machines, versions = found.differences
    assert "two machines" in machines
    assert "Another processor" in machines
    assert versions == "torch: torch 2.13.0 against 2.14.0"


def test_an_engine_that_ran_in_another_way_is_said_to_have() -> None:
    several = run(1.0) + run(1.0, batch_size=8) + run(1.0, engine="jax")
    other = msgspec.structs.replace(LEDGER, threads=4, compile_mode="torch.compile")
    changed = [
        msgspec.structs.replace(each, ledger=other) if each.trial.engine == "torch" else each
        for each in several
    ]
    found = match(several, changed)
    assert all(pair.comparison for pair in found.pairs)
    assert found.differences[1:] == (
        "torch: compile mode eager against torch.compile, threads 2 against 4",
    )
    assert len(match(several, several).differences) == 1


def elsewhere(runs: list[Record]) -> list[Record]:
    machine = msgspec.structs.replace(runs[0].machine, cpu="Another processor")
    return [msgspec.structs.replace(each, machine=machine) for each in runs]


def pinned(runs: list[Record]) -> list[Record]:
    return [
        msgspec.structs.replace(each, environment={**each.environment, "pins": "keras==3.14.1"})
        for each in runs
    ]


def test_one_configuration_on_several_machines_is_refused() -> None:
    mixed = run(1.0) + elsewhere(run(2.0))
    other = run(1.0, batch_size=8)
    for a, b, which in ((mixed, run(1.0), "first"), (run(1.0), mixed, "second")):
        refused, compared = sorted(match(a + other, b + other).pairs, key=lambda pair: pair.title)
        assert refused.comparison is None
        assert f"the {which} run has it on 2 machines (A processor" in compare.line(refused)
        assert compared.comparison is not None
        assert compared.comparison.family == 1


def test_pinned_and_unpinned_of_one_run_are_told_apart() -> None:
    both = run(1.0) + pinned(run(2.0))
    assert [pair.a.speed for pair in match(both, both).pairs] == pytest.approx(
        [1000, 500], rel=0.01
    )
    for a, b in ((both, run(1.1)), (both[::-1], run(1.1))):
        found = match(a, b)
        (pair,) = found.pairs
        assert not pair.a.pins
        assert len(found.only_a) == 1
        assert "keras==3.14.1" in found.only_a[0]
    found = match(pinned(run(1.1)), both)
    (pair,) = found.pairs
    assert pair.b.pins == "keras==3.14.1"
    assert len(found.only_b) == 1
    # A run of each is the question what the pinned version brings.
    found = match(run(1.0), pinned(run(1.1)))
    assert len(found.pairs) == 1
    assert not found.only_a
    assert not found.only_b


def test_one_level_holds_for_all_lines_together() -> None:
    several = [run(1.0, batch_size=size) for size in (8, 16, 32)]
    flat = [each for one in several for each in one]
    for pair in match(flat, flat).pairs:
        assert pair.comparison is not None
        assert pair.comparison.family == 3


def folder(path: Path, content: list[Record]) -> Path:
    path.mkdir()
    lines = b"".join(records.encode(each) + b"\n" for each in content)
    (path / "results.jsonl").write_bytes(lines)
    return path


def velodrome(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "velodrome", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_exit_status_and_the_comment_are_for_a_ci(tmp_path: Path) -> None:
    before = folder(tmp_path / "before", run(1.0) + run(1.0, batch_size=128))
    after = folder(tmp_path / "after", run(1.1) + run(1.0, batch_size=128))
    comment = tmp_path / "comment.md"
    answer = velodrome("compare", before, after, "--fail-if-slower", "5%", "--markdown", comment)
    assert answer.returncode == 1
    lost = [line for line in answer.stdout.splitlines() if "FAILED" in line]
    assert len(lost) == 1
    assert "batch 64" in lost[0]
    assert comment.read_text().startswith("**Slower by more than 5%: lenet on digits, torch")
    assert velodrome("compare", before, after).returncode == 0
    assert velodrome("compare", before, after, "--fail-if-slower", "20%").returncode == 0


def test_what_no_longer_comes_to_its_end_fails_a_build(tmp_path: Path) -> None:
    before = folder(tmp_path / "before", run(1.0))
    crashed = [record(each.trial, status="crash") for each in run(1.0)]
    after = folder(tmp_path / "after", crashed)
    comment = tmp_path / "comment.md"
    answer = velodrome("compare", before, after, "--fail-if-slower", "5%", "--markdown", comment)
    assert answer.returncode == 1
    assert "nothing measured in the second run (FAILED)" in answer.stdout
    assert comment.read_text().startswith("**No longer comes to its end: lenet on digits, torch")
    assert velodrome("compare", before, after).returncode == 0
    assert velodrome("compare", after, before, "--fail-if-slower", "5%").returncode == 0


def test_nothing_in_common_is_one_clear_line(tmp_path: Path) -> None:
    before = folder(tmp_path / "before", run(1.0))
    after = folder(tmp_path / "after", run(1.0, workload="mlp"))
    answer = velodrome("compare", before, after)
    assert answer.returncode == 2
    assert "no configuration in common" in answer.stderr
    answer = velodrome("compare", before, after, "--fail-if-slower", "much")
    assert "--fail-if-slower: much is no share" in answer.stderr
    answer = velodrome("compare", folder(tmp_path / "a", []), folder(tmp_path / "b", []))
    assert answer.returncode == 2
    assert "nothing against nothing" in answer.stderr
    answer = velodrome("compare", before, tmp_path / "nowhere")
    assert answer.returncode == 2
    assert answer.stderr.startswith("velodrome: no results in")
