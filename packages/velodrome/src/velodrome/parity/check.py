"""Run a comparison: references first, then each engine, each in a process of its own."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from velodrome import engines, environment, runner
from velodrome.devices import Devices
from velodrome.errors import UserError
from velodrome.executors import local
from velodrome.executors.local import Outcome
from velodrome.job import Comparison, Job
from velodrome.machine import this_machine
from velodrome.parity import deviation, kernels, verdict
from velodrome.parity.deviation import (
    EPSILON,
    Deviation,
    Quantity,
    deviations,
    differences,
    nearest,
    worst,
)
from velodrome.parity.kernels import Kernels
from velodrome.parity.verdict import Status, Verdict
from velodrome.study import Study

# Two independent implementations in float64: the first is the reference, the second its witness.
REFERENCES = ("torch", "jax")

# Variants from which an engine's noise is told.
_VARIANTS = 3

# Where rounding tips a decision (the sign at a ReLU, the largest in a pool), an engine leaves the
# reference by more than its noise. That is rare and another place each time; a fault is in every
# draw of weights and batches.
DRAWS = 3

Report = Callable[[str], None]


class _Reference(NamedTuple):
    """The reference's quantities, or why there are none."""

    quantities: Mapping[str, Quantity]
    problem: str = ""


class _Answer(NamedTuple):
    outcome: Outcome
    quantities: Mapping[str, Quantity]
    kernels: tuple[Kernels, ...]
    repeatable: bool | None


def check(study: Study, steps: int, folder: Path, report: Report) -> Iterator[Verdict]:
    """Compare every configuration of a study with the reference; keep and give each verdict.

    Only the study's engines, workloads, devices, batch sizes, precisions, settings, recipe,
    data set and seed matter.

    Args:
        study: what to compare.
        steps: training steps of one batch each.
        folder: for verdicts and the workers' logs; verdicts are kept in the cache besides.
        report: takes a line of text at each stage.

    Raises:
        UserError: before anything runs, whatever is wrong with the study.
    """
    for together in _together(study, steps, folder):
        references = _References(together[0], folder, study.timeout, report)
        for job in together:
            made = _verdict(job, references, folder, study.timeout, report)
            for place in (folder, verdict.everywhere()):
                verdict.keep(made, place)
            report(f"  {_told(made)}")
            yield made
    shutil.rmtree(folder / _ANSWERS, ignore_errors=True)


_ANSWERS = "answers"


def _told(made: Verdict) -> str:
    if not made.deviations:
        return f"{made.status}: {made.reason}"
    most = worst(made.deviations)
    return f"{made.status}: {most.quantity} is at {most.excess:.2g} of its tolerance"


def _together(study: Study, steps: int, folder: Path) -> Iterable[list[Job]]:
    """Jobs that share a reference."""
    found: dict[bytes, list[Job]] = {}
    machine = this_machine()
    for workload in study.workloads:
        one = msgspec.structs.replace(study, workloads=(workload,), epochs=(1,), repeats=1)
        for batch_size in study.batch_sizes:
            comparison = Comparison(steps=steps, variants=_VARIANTS, epsilon=0.0, answer="")
            samples = comparison.samples(batch_size)
            whole = msgspec.structs.replace(one, batch_sizes=(batch_size,), samples=samples)
            for job in sorted(runner.plan(whole, machine), key=lambda job: job.trial.engine):
                prepared = _comparing(job, comparison, folder)
                key = msgspec.json.encode(
                    [prepared.trial.recipe, prepared.trial.workload, batch_size]
                )
                found.setdefault(key, []).append(prepared)
    return found.values()


def _comparing(job: Job, comparison: Comparison, folder: Path) -> Job:
    """The job with what it is to compute, and where to write it."""
    answer = (folder / _ANSWERS / f"{job.trial.short_id}.npz").absolute()
    return msgspec.structs.replace(
        job,
        dropout=False,
        comparison=msgspec.structs.replace(
            comparison, epsilon=EPSILON[job.trial.dtype], answer=str(answer)
        ),
    )


def _drawn(job: Job, draw: int, folder: Path) -> Job:
    """The same comparison from other weights and batches; draw 0 is the job itself."""
    assert job.comparison is not None
    trial = msgspec.structs.replace(job.trial, seed=job.trial.seed + draw)
    return _comparing(msgspec.structs.replace(job, trial=trial), job.comparison, folder)


class _References:
    """The reference of each draw, computed when it is first needed."""

    def __init__(self, job: Job, folder: Path, timeout: float, report: Report) -> None:
        self._job = job
        self._folder = folder
        self._timeout = timeout
        self._report = report
        self._found: dict[int, _Reference] = {}

    def get(self, draw: int) -> _Reference:
        """What the first reference finds, if the second finds the same."""
        if draw not in self._found:
            self._found[draw] = self._make(_drawn(self._job, draw, self._folder))
            if problem := self._found[draw].problem:
                self._report(f"no reference: {problem}")
        return self._found[draw]

    def _make(self, job: Job) -> _Reference:
        answers = []
        for name in REFERENCES:
            self._report(f"{job.trial.workload}, batch {job.trial.batch_size}: {name} in float64")
            trial = msgspec.structs.replace(
                job.trial, engine=name, devices="cpu", dtype="float64", settings="tuned"
            )
            assert job.comparison is not None
            asked = msgspec.structs.replace(job, trial=trial)
            asked = _comparing(asked, job.comparison, self._folder)
            try:
                answer = _run(asked, self._folder, self._timeout, self._report)
            except UserError as error:
                return _Reference({}, f"{name} in float64: {error}")
            if answer.outcome.kind is not None:
                return _Reference({}, f"{name} in float64: {answer.outcome.reason}")
            answers.append(answer.quantities)
        first, second = answers
        if different := differences(second, first):
            return _Reference({}, f"{REFERENCES[1]} has {different}")
        most = worst(deviations(second, first, EPSILON["float64"], job.trial.batch_size))
        if not most.excess <= 1.0:
            return _Reference({}, f"{' and '.join(REFERENCES)} disagree in float64: {_off(most)}")
        return _Reference(first)


def _off(most: Deviation) -> str:
    return f"{most.quantity} is {most.error:.1e} off, {most.excess:.2g} times its tolerance"


def _verdict(
    job: Job, references: _References, folder: Path, timeout: float, report: Report
) -> Verdict:
    trial = job.trial
    assert job.comparison is not None
    made = Verdict(
        status="parity",
        made=datetime.now(UTC).isoformat(timespec="microseconds"),
        trial=trial,
        steps=job.comparison.steps,
    )

    def ended(status: Status, reason: str) -> Verdict:
        return msgspec.structs.replace(made, status=status, reason=reason)

    if reason := runner.unsupported(trial, this_machine()):
        return ended("unsupported", reason)
    for draw in range(DRAWS):
        reference = references.get(draw)
        report(f"{trial.workload}, batch {trial.batch_size}: {trial.engine}, {trial.settings}")
        try:
            answer = _run(_drawn(job, draw, folder), folder, timeout, report)
        except UserError as error:
            return ended("import", str(error))
        made = msgspec.structs.replace(
            made,
            draws=draw + 1,
            ledger=answer.outcome.ledger,
            kernels=answer.kernels,
            repeatable=answer.repeatable,
        )
        if answer.outcome.kind is not None:
            return ended(answer.outcome.kind, answer.outcome.reason)
        if reference.problem:
            return ended("no-reference", reference.problem)
        if different := differences(answer.quantities, reference.quantities):
            return ended("deviates", f"it has {different}")
        found = deviations(
            answer.quantities, reference.quantities, EPSILON[trial.dtype], trial.batch_size
        )
        made = msgspec.structs.replace(made, deviations=nearest(made.deviations, found))
        if worst(made.deviations).excess <= 1.0:
            return made
    return ended("deviates", f"in {DRAWS} draws, {_off(worst(made.deviations))} at best")


def _run(job: Job, folder: Path, timeout: float, report: Report) -> _Answer:
    assert job.comparison is not None
    answer = Path(job.comparison.answer)
    answer.parent.mkdir(parents=True, exist_ok=True)
    trial = job.trial
    name = f"{trial.workload}-{trial.engine}-{trial.settings}-{trial.dtype}-{trial.short_id}"
    log = folder / "logs" / f"{name}.log"
    engine = engines.registry.get(trial.engine)
    kind = Devices.parse(trial.devices).kind
    outcome = local.run(
        job,
        environment.ensure(engine.framework, kind, report=report),
        variables=engine.variables(trial.settings, job.threads) | kernels.VARIABLES,
        timeout=timeout,
        log=log,
        on_event=lambda event: None,
    )
    done = outcome.kind is None
    found = deviation.read(answer) if done else {}
    repeatable = deviation.repeatable(answer) if done else None
    answer.unlink(missing_ok=True)
    ran = kernels.read(log) if log.exists() else ()
    return _Answer(outcome, found, ran, repeatable)
