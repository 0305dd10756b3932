"""Trials and records for the tests, with every field filled in."""

from typing import Any

import msgspec

from velodrome.machine import Machine
from velodrome.record import Clocks, Epoch, Failure, Ledger, Memory, Record, Site, Status
from velodrome.trial import Trial
from velodrome.workloads.recipe import Recipe

MACHINE = Machine(
    system="Linux", cpu="A processor", flags=("avx2",), cores=2, threads=2, memory=2**34
)

LEDGER = Ledger(
    dtype="float32",
    compile_mode="eager",
    threads=2,
    memory_format="channels last",
    data_path="in memory",
    variables={},
    versions={"torch": "2.13.0"},
    device="cpu",
)


def trial(**changes: Any) -> Trial:
    whole = Trial(
        engine="torch",
        workload="lenet",
        graph="g",
        recipe=Recipe(learning_rate=0.05),
        dataset="digits",
        data="d",
        samples=None,
        devices="cpu",
        batch_size=64,
        epochs=3,
        drop_last=False,
        dtype="float32",
        settings="tuned",
        seed=0,
        repeat=0,
        environment="e",
    )
    return msgspec.structs.replace(whole, **changes)


def epoch(seconds: float, samples: int = 1000, accuracy: float = 0.9) -> Epoch:
    return Epoch(
        train_seconds=seconds,
        validation_seconds=seconds / 10,
        samples=samples,
        learning_rate=0.05,
        loss=0.5,
        accuracy=accuracy,
        validation_loss=0.6,
        validation_accuracy=accuracy,
    )


def record(
    of: Trial | None = None,
    seconds: tuple[float, ...] = (2.0, 1.0, 1.0),
    status: Status = "ok",
    attempt: int = 1,
) -> Record:
    of = of or trial()
    ok = status == "ok"
    return Record(
        id=of.id,
        attempt=attempt,
        status=status,
        started="2026-01-01T00:00:00+00:00",
        trial=of,
        environment={"framework": "torch", "kind": "cpu"},
        machine=MACHINE,
        site=Site(),
        clocks=Clocks(first_step_seconds=0.5, real=9.0, user=8.0, sys=1.0),
        epochs=tuple(epoch(each) for each in seconds) if ok else (),
        memory=Memory(imported=2**20, peak=2**21) if ok else None,
        failure=None if ok else Failure(reason="it broke", command="velodrome trial x y"),
    )
