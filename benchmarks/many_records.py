"""How long `velodrome report` and `compare` take with many records.

    python benchmarks/many_records.py [--records 100000]

Two run folders of records as a worker would leave them, 8 engines at 5 batch sizes, each
with as many repeats as it takes; then the commands themselves, in processes of their own.
Printed are the time that passed and that of the processors, all processes together.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from velodrome import engines, record, store
from velodrome.machine import this_machine
from velodrome.record import (
    Clocks,
    Epoch,
    Ledger,
    Memory,
    Placement,
    Record,
    Site,
    Steadiness,
)
from velodrome.trial import Trial
from velodrome.workloads.recipe import Recipe

SEED = 20170619
BATCH_SIZES = (32, 64, 128, 256, 512)
EPOCHS = 12


def write(folder: Path, count: int, seed: int) -> None:
    """A run folder with that many records."""
    rng = np.random.default_rng(seed)
    names = [name for name in engines.registry.all() if name != "neon"]
    machine = this_machine()
    ledger = Ledger(
        dtype="float32",
        compile_mode="eager",
        threads=2,
        memory_format="channels last",
        data_path="arrays in memory",
        variables={},
        versions={"torch": "2.13.0", "numpy": "2.4.0"},
        device="cpu",
    )
    began = datetime(2026, 1, 1, tzinfo=UTC)
    folder.mkdir(parents=True)
    with (folder / store.RESULTS).open("wb") as file:
        for number in range(count):
            engine = names[number % len(names)]
            batch_size = BATCH_SIZES[number // len(names) % len(BATCH_SIZES)]
            trial = Trial(
                engine=engine,
                workload="lenet",
                graph="0" * 64,
                recipe=Recipe(learning_rate=0.05),
                dataset="mnist",
                data="0" * 64,
                samples=None,
                devices="cpu",
                batch_size=batch_size,
                epochs=EPOCHS,
                drop_last=False,
                dtype="float32",
                settings="tuned",
                seed=0,
                repeat=number // len(names) // len(BATCH_SIZES),
                environment="0" * 64,
            )
            level = (1 + names.index(engine) / 10) * rng.lognormal(0, 0.02)
            epochs = tuple(
                Epoch(
                    train_seconds=float(seconds),
                    validation_seconds=float(seconds) / 10,
                    samples=60_000,
                    learning_rate=0.05,
                    loss=0.1,
                    accuracy=0.97,
                    validation_loss=0.1,
                    validation_accuracy=0.97,
                )
                for seconds in level * rng.lognormal(0, 0.01, EPOCHS)
            )
            one = Record(
                id=trial.id,
                attempt=1,
                status="ok",
                started=(began + timedelta(seconds=31.25 * number)).isoformat(),
                trial=trial,
                environment={"framework": "torch", "kind": "cpu"},
                machine=machine,
                site=Site(),
                ledger=ledger,
                clocks=Clocks(
                    import_seconds=rng.lognormal(0, 0.02),
                    build_seconds=rng.lognormal(-1, 0.02),
                    first_step_seconds=rng.lognormal(-2, 0.02),
                    real=30 * rng.lognormal(0, 0.02),
                    user=50 * rng.lognormal(0, 0.02),
                    sys=rng.lognormal(0, 0.02),
                ),
                epochs=epochs,
                memory=Memory(imported=2**28, peak=2**29 + int(rng.integers(2**20))),
                placement=Placement(cpus=(0, 1), threads=12),
                steadiness=Steadiness(
                    before=0.05 * rng.lognormal(0, 0.01), after=0.05 * rng.lognormal(0, 0.01)
                ),
                ceiling=1e11,
            )
            file.write(record.encode(one) + b"\n")


def timed(*arguments: str) -> None:
    """Run velodrome and say how long it took."""
    begin, used = time.perf_counter(), _used()
    answer = subprocess.run(
        [sys.executable, "-m", "velodrome", *arguments], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - begin
    if answer.returncode:
        raise SystemExit(answer.stderr or answer.stdout)
    print(
        f"velodrome {arguments[0]}: {seconds:.2f} s, processors {_used() - used:.2f} s", flush=True
    )


def _used() -> float:
    """Seconds of processors, own code and kernel, of processes that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=100_000, help="records in each folder")
    parser.add_argument("--runs", type=int, default=3, help="how often each command is run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        a, b = Path(scratch) / "a", Path(scratch) / "b"
        for folder, seed in ((a, SEED), (b, SEED + 1)):
            write(folder, options.records, seed)
        size = (a / store.RESULTS).stat().st_size
        print(f"{options.records} records, {size / 2**20:.0f} MiB a folder")
        for _ in range(options.runs):
            timed("report", str(a))
            timed("compare", str(a), str(b))


if __name__ == "__main__":
    main()
