"""The command line as a user meets it: in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Without what steers compute libraries, of which velodrome would give notice.
SHELL = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}


def velodrome(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "velodrome", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=SHELL | variables,
    )


def test_help_names_every_verb() -> None:
    answer = velodrome("--help")
    assert answer.returncode == 0
    for verb in ("run", "report", "list", "doctor", "env", "trial"):
        assert verb in answer.stdout


def test_every_verb_explains_itself() -> None:
    for verb in ("run", "report", "list", "doctor", "env", "trial"):
        answer = velodrome(verb, "--help")
        assert answer.returncode == 0
        assert "Usage" in answer.stdout


def test_list_names_what_users_type() -> None:
    answer = velodrome("list")
    for name in ("keras-jax", "mxnet", "lenet-official", "digits", "quickstart"):
        assert name in answer.stdout
    assert "engines" not in velodrome("list", "workloads").stdout


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["run", "lenet5"], "lenet"),
        (["run", "missing.yaml"], "missing.yaml"),
        (["run", "lenet", "--engine", "pytorch"], "torch"),
        (["run", "lenet", "--batch-size", "many"], "batch_sizes"),
        (["run", "mlp", "--dataset", "digits", "--batch-size", "4096"], "1437"),
        (
            [
                "run",
                "mlp",
                "--data=digits",
                "--devices=cpu:2",
                "--batch-size=999",
                "--scaling=weak",
            ],
            "1998",
        ),
        (["run", "mlp", "--dataset", "digits", "--recipe", "rate=3"], "learning_rate"),
        (["run", "mlp", "--dataset", "digits", "--recipe", "=3"], "KEY=VALUE"),
        (["parity", "mlp", "--samples", "3", "--steps", "2"], "take 4, more than 3"),
        (["report", "nowhere"], "nowhere"),
        (["trial", "nowhere", "abc"], "nowhere"),
    ],
)
def test_wrong_use_is_one_clear_line(arguments: list[str], word: str, tmp_path: Path) -> None:
    answer = velodrome(*arguments, VELODROME_HOME=str(tmp_path))
    assert answer.returncode == 2
    (complaint,) = (line for line in answer.stderr.splitlines() if "converting" not in line)
    assert complaint.startswith("velodrome: ")
    assert word in complaint
    assert "Traceback" not in answer.stderr


def test_a_traceback_only_with_debug(tmp_path: Path) -> None:
    assert "Traceback" in velodrome("run", "lenet5", "--debug").stderr


def test_an_unknown_option_is_named() -> None:
    answer = velodrome("run", "lenet", "--batchsize", "3")
    assert answer.returncode == 2
    assert "--batchsize" in answer.stderr
    assert "Traceback" not in answer.stderr


FRAMEWORKS = "jax keras mxnet tensorflow torch"


def test_the_harness_imports_no_framework(tmp_path: Path) -> None:
    # Planning resolves engines, workloads, data and environments: all that a run needs.
    code = f"""
import sys
from velodrome import runner, study, report, machine
from velodrome.cli import application
application()
runner.plan(study.load("quickstart"), machine.this_machine())
print([name for name in {FRAMEWORKS.split()} if name in sys.modules])
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert answer.stdout.strip().endswith("[]"), answer.stderr
