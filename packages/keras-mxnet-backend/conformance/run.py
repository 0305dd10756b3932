"""Run Keras's own tests, those of the installed Keras, against this backend.

A test counts by its name, against the tests that Keras passes on PyTorch
(`yardstick.txt.gz`, written by this script with `--record`). A test that does
not pass has to stand in `excluded_tests.txt` with the reason.

    python run.py                      every folder
    python run.py ops/nn_test.py       a folder or file of keras/src
    python run.py --record             in an environment with PyTorch: the yardstick
"""

import argparse
import gzip
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
YARDSTICK = HERE / "yardstick.txt.gz"
EXCLUDED = HERE / "excluded_tests.txt"


def keras_source():
    """Return the folder of the installed Keras's source, without importing it."""
    return Path(importlib.util.find_spec("keras").origin).parent / "src"


def run(backend, targets, processes, timeout):
    """Run tests in a process of their own.

    Args:
        backend: Keras's name of the backend.
        targets: folders or files, relative to `keras/src`.
        processes: how many to run in.
        timeout: seconds a test may take.

    Returns:
        The outcome of each test, `passed`, `failed` or `skipped`, by its name relative to
        `keras/src`, and what pytest printed.
    """
    source = keras_source()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = Path(folder) / "outcomes"
        outcomes.touch()
        environment = {
            **os.environ,
            "KERAS_BACKEND": backend,
            "KERAS_CONFORMANCE_OUTCOMES": str(outcomes),
            "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            # The processes share the cores; threads that wait for each other would not.
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        }
        command = [
            sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider",
            "-c", str(HERE / "pytest.ini"), "--rootdir", str(source), "-q", "--tb=short",
            "--timeout", str(timeout), "-n", str(processes), "--dist", "worksteal",
            "-o", "python_files=*_test.py",
            *(str(source / target) for target in targets),
        ]  # fmt: skip
        process = subprocess.run(command, env=environment, cwd=folder, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        lines = outcomes.read_text(encoding="utf-8").splitlines()
    results = {}
    for line in lines:
        outcome, _, name = line.split("\t", 2)
        # A failure while a test is torn down is a failure.
        if results.get(name) != "failed":
            results[name] = outcome
    return results, process.stdout


def read_yardstick():
    """Return the names of the tests that Keras passes on PyTorch."""
    if not YARDSTICK.exists():
        return set()
    with gzip.open(YARDSTICK, "rt", encoding="utf-8") as file:
        return set(file.read().splitlines())


def read_excluded():
    """Return the reason by the name of each excluded test."""
    if not EXCLUDED.exists():
        return {}
    lines = (line for line in EXCLUDED.read_text(encoding="utf-8").splitlines() if line.strip())
    return dict(line.split("\t", 1) for line in lines if not line.startswith("#"))


def folder_of(name):
    """Return the folder that a test counts for."""
    parts = name.split("::")[0].split("/")
    return "backend/common" if parts[:2] == ["backend", "common"] else parts[0]


def report(results, yardstick, excluded, targets):
    """Print the counts and what was not expected; return whether all was."""
    if targets:
        prefixes = tuple(targets)
        yardstick = {name for name in yardstick if name.startswith(prefixes)}
    passed = {name for name, outcome in results.items() if outcome == "passed"}
    wanted, got = Counter(map(folder_of, yardstick)), Counter()
    got.update(map(folder_of, yardstick & passed))
    print(f"{'folder':<20}{'yardstick':>10}{'passed':>8}{'share':>9}")
    for folder in sorted(wanted):
        share = got[folder] / wanted[folder]
        print(f"{folder:<20}{wanted[folder]:>10}{got[folder]:>8}{share:>9.2%}")
    total = sum(wanted.values())
    if total:
        share = sum(got.values()) / total
        print(f"{'all':<20}{total:>10}{sum(got.values()):>8}{share:>9.2%}")
    missing = sorted(yardstick - passed - set(excluded))
    surprising = sorted(passed & set(excluded))
    for title, names in (
        ("fail and are not excluded", missing),
        ("pass and are excluded", surprising),
    ):
        if names:
            print(f"\n{len(names)} {title}:", *names, sep="\n  ")
    return not missing and not surprising


def main():
    """Run, then print the counts; exit with 1 where something was not expected."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("targets", nargs="*", help="folders or files of keras/src (all of them)")
    parser.add_argument("--record", action="store_true", help="write the yardstick with PyTorch")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--timeout", type=int, default=300, help="seconds for one test")
    parser.add_argument("--log", type=Path, help="file for what pytest prints")
    options = parser.parse_args()
    targets = options.targets or ["."]
    backend = "torch" if options.record else "mxnet"
    results, log = run(backend, targets, options.processes, options.timeout)
    if options.log:
        options.log.write_text(log, encoding="utf-8")
    if not results:
        sys.exit(f"No test ran:\n{log[-3000:]}")
    if options.record:
        names = {name for name, outcome in results.items() if outcome == "passed"}
        if options.targets:
            names |= {n for n in read_yardstick() if not n.startswith(tuple(options.targets))}
        names = sorted(names)
        with gzip.GzipFile(YARDSTICK, "wb", mtime=0) as file:
            file.write("\n".join(names).encode())
        print(f"{len(names)} tests pass on PyTorch.")
        return
    if not report(results, read_yardstick(), read_excluded(), options.targets):
        sys.exit(1)


if __name__ == "__main__":
    main()
