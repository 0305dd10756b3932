"""A study that is killed goes on where it stopped, and ends with the same table."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

from velodrome import store
from velodrome.environment import Environment

STUDY = """
workloads: mlp
dataset: digits
engines: mxnet
batch_sizes: [32, 64, 128]
epochs: 2
repeats: 2
"""


def run(study: Path, out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "velodrome", "run", str(study), "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def measured(out: Path) -> list[tuple[str, ...]]:
    """All that a table tells and that does not depend on the clock."""
    with (out / "results.csv").open(newline="") as file:
        rows = [
            tuple(row[name] for name in ("id", "attempt", "status", "accuracy", "loss"))
            for row in csv.DictReader(file)
        ]
    return sorted(rows)


def test_kill_nine_in_the_middle_loses_nothing_and_runs_nothing_twice(
    mxnet_environment: Environment, tmp_path: Path
) -> None:
    study = tmp_path / "small.yaml"
    study.write_text(STUDY)

    whole = run(study, tmp_path / "whole")
    assert whole.wait(timeout=300) == 0

    out = tmp_path / "broken"
    for _ in range(2):
        harness = run(study, out)
        assert harness.stderr is not None
        done = 0
        while done < 2:
            done += "accuracy" in (line := harness.stderr.readline()) and " in " in line
        os.kill(harness.pid, signal.SIGKILL)
        harness.communicate()
    kept = store.read(out)
    assert 4 <= len(kept) < 6

    last = run(study, out)
    _, progress = last.communicate(timeout=300)
    assert last.returncode == 0
    assert f"{6 - len(kept)} trials to run, {len(kept)} done before" in progress
    assert store.read(out)[: len(kept)] == kept
    assert measured(out) == measured(tmp_path / "whole")

    again = run(study, out)
    _, progress = again.communicate(timeout=300)
    assert "0 trials to run, 6 done before" in progress
