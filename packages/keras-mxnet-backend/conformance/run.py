"""Run Keras's own tests, those of the installed Keras, against this backend.

A test counts by its name, against the tests that Keras passes on PyTorch
(`yardstick.txt.gz`, written by this script with `--record`). A test that does
not pass has to stand in `excluded_tests.txt` with the reason.

    python run.py                      every folder
    python run.py ops/nn_test.py       a folder or file of keras/src
    python run.py --quick              what every change has to pass, in two to three minutes
    python run.py --eager trainers     with steps that run eagerly instead of as cached graphs
    python run.py --record             in an environment with PyTorch: the yardstick

It runs part after part and counts, or records, each when it ends: one that is cut off loses one
part, and memory that a part took is free for the next. The quick sample is small enough to be one
part, which saves starting Keras anew a dozen times.
"""

import argparse
import gzip
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
YARDSTICK = HERE / "yardstick.txt.gz"
EXCLUDED = HERE / "excluded_tests.txt"

# Folders whose parts are what they hold, since they are large.
_DIVIDED = ("backend", "layers", "ops")
# The tests of Keras's other backends.
_FOREIGN = ("backend/jax", "backend/tensorflow", "backend/torch")

# A sample across the folders that is fast and needs neither TensorFlow nor PyTorch.
_QUICK = (
    "layers/attention",
    "layers/convolutional",
    "layers/core",
    "layers/normalization",
    "layers/rnn",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "ops/core_test.py",
    "ops/linalg_test.py",
    "ops/math_test.py",
    "random",
    "saving",
)


def keras_source():
    """Return the folder of the installed Keras's source, without importing it."""
    return Path(importlib.util.find_spec("keras").origin).parent / "src"


def parts(targets):
    """Return what is run in a process each: files and folders, relative to `keras/src`."""
    source = keras_source()
    folders = [source / target for target in targets] or _holding_tests(source)
    found = []
    for folder in folders:
        divided = folder.relative_to(source).as_posix() in _DIVIDED
        found += _holding_tests(folder) if divided else [folder]
    names = [path.relative_to(source).as_posix() for path in found]
    return [name for name in names if name not in _FOREIGN]


def _holding_tests(folder):
    return sorted(
        path
        for path in folder.iterdir()
        if path.name.endswith("_test.py") or any(path.glob("**/*_test.py"))
    )


def within(name, part):
    """Tell whether a test is one of a part."""
    return name == part or name.startswith((part + "/", part + "::"))


def run(backend, together, processes, timeout, eager=False):
    """Run parts of the tests in processes of their own.

    Args:
        backend: Keras's name of the backend.
        together: folders, files or tests, relative to `keras/src`.
        processes: how many to run in.
        timeout: seconds a test may take.
        eager: whether MXNet's cached graphs are left out.

    Returns:
        The outcome of each test, `passed`, `failed`, `skipped` or `lacking`, by its name relative
        to `keras/src`, and what pytest printed.
    """
    source = keras_source()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = Path(folder) / "outcomes"
        outcomes.touch()
        environment = {
            **os.environ,
            "KERAS_BACKEND": backend,
            "KERAS_CONFORMANCE_OUTCOMES": str(outcomes),
            "KERAS_CONFORMANCE_EAGER": "1" if eager else "",
            "PYTHONPATH": os.pathsep.join(
                [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
            ),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            # The processes share the cores; threads that wait for each other would not.
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        }
        command = [
            sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider",
            "-c", str(HERE / "pytest.ini"), "--rootdir", str(source), "-q", "--tb=short",
            "--timeout", str(timeout), "-n", str(processes), "--dist", "worksteal",
            "-o", "python_files=*_test.py",
            *(str(source / part) for part in together),
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
    names = name.split("::")[0].split("/")
    return "/".join(names[:2]) if names[0] == "backend" else names[0]


def record(part, passed):
    """Put the tests of a part that pass into the yardstick, in place of those it had."""
    names = sorted({n for n in read_yardstick() if not within(n, part)} | passed)
    with gzip.GzipFile(YARDSTICK, "wb", mtime=0) as file:
        file.write("\n".join(names).encode())
    print(f"{part:<40}{len(passed):>6} pass on PyTorch", flush=True)


def count(names, wanted, passed):
    """Print one line: how many of the yardstick's tests pass."""
    got = len(wanted & passed)
    share = got / len(wanted) if wanted else 1
    print(f"{names:<40}{len(wanted):>8}{got:>8}{share:>9.2%}", flush=True)


def unexpected(yardstick, excluded, passed):
    """Print the names of the tests that went otherwise than was said; tell whether any did."""
    groups = {
        "fail and are not excluded": yardstick - passed - excluded,
        "pass and are excluded": passed & excluded,
        "are excluded and do not pass on PyTorch": excluded - yardstick,
    }
    for title, names in groups.items():
        if names:
            print(f"\n{len(names)} {title}:", *sorted(names), sep="\n  ")
    return any(groups.values())


def main():
    """Run, then print the counts; exit with 1 where something was not expected."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("targets", nargs="*", help="folders or files of keras/src (all of them)")
    parser.add_argument("--quick", action="store_true", help="a sample that takes minutes")
    parser.add_argument("--eager", action="store_true", help="without cached graphs")
    parser.add_argument("--record", action="store_true", help="write the yardstick with PyTorch")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--timeout", type=int, default=300, help="seconds for one test")
    parser.add_argument("--log", type=Path, help="file to which what pytest prints is added")
    options = parser.parse_args()
    backend = "torch" if options.record else "mxnet"
    yardstick, passed, excluded = set(), set(), set()
    if not options.record:
        print(f"{'':<40}{'yardstick':>8}{'passed':>8}{'share':>9}")
    found = parts(_QUICK if options.quick else options.targets)
    for together in [found] if options.quick else [[part] for part in found]:
        results, log = run(backend, together, options.processes, options.timeout, options.eager)
        if options.log:
            with options.log.open("a", encoding="utf-8") as file:
                file.write(log)
        if not results and "no tests ran" not in log:
            sys.exit(f"The tests of {', '.join(together)} did not run:\n{log[-3000:]}")
        passing = {name for name, outcome in results.items() if outcome == "passed"}
        lacking = {name for name, outcome in results.items() if outcome == "lacking"}
        for part in together:
            own = {name for name in passing if within(name, part)}
            if options.record:
                record(part, own)
                continue
            left_out = {name for name in lacking if within(name, part)}
            if left_out:
                print(f"{part}: {len(left_out)} left out, for want of TensorFlow or PyTorch")
            wanted = {name for name in read_yardstick() if within(name, part)} - lacking
            count(part, wanted, own)
            yardstick |= wanted
            passed |= own
            excluded |= {name for name in read_excluded() if within(name, part)} - lacking
    if options.record:
        return
    print()
    for folder in sorted(set(map(folder_of, yardstick))):
        wanted = {name for name in yardstick if folder_of(name) == folder}
        count(folder, wanted, passed)
    count("all", yardstick, passed)
    if unexpected(yardstick, excluded, passed):
        sys.exit(1)


if __name__ == "__main__":
    main()
