"""Run a comparison: references first, then each engine, each in a process of its own."""

import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from velodrome import engines, environment, runner, workloads
from velodrome.devices import Devices
from velodrome.environment import Pins
from velodrome.errors import UserError
from velodrome.executors import here, machines
from velodrome.executors.base import Outcome
from velodrome.job import Comparison, Job
from velodrome.machine import this_machine
from velodrome.parity import deviation, dropout, kernels, verdict
from velodrome.parity.deviation import (
    ALLOWANCE,
    EPSILON,
    PATIENCE,
    Deviation,
    Quantity,
    deviations,
    differences,
    nearest,
    unsteadiness,
    vaguest,
    worst,
)
from velodrome.parity.kernels import Kernels
from velodrome.parity.verdict import Status, Verdict
from velodrome.study import Study
from velodrome.trial import DType, Trial
from velodrome.workloads.layers import BatchNorm

# Two independent implementations in float64: the first is the reference, the second its witness.
REFERENCES = ("torch", "jax")
# Of a user's Keras model: the first of Keras's backends that can run it, and the first of the
# others that agrees with it. PyTorch's comes last, and in float32 only: there Keras's rules for
# mixed dtypes make float32 of float64, in `keras.ops.matmul` for one. TensorFlow's is not the
# first: there Keras's Adam trains an embedding by other mathematics (it squares the gradient of
# each place where a word stands before it adds them).
_OWN_REFERENCES = ("keras-jax", "keras-tensorflow", "keras-torch")

# A loss that moves by more than this in float64, relatively, was not moved by rounding.
_RANDOM = 1e-9

_STEPS = 4  # of a comparison before a race

# Variants from which an engine's noise is told.
_VARIANTS = 3

# Where rounding tips a decision (the sign at a ReLU, the largest in a pool), an engine leaves the
# reference by more than its noise. That is rare and another place each time; a fault is in every
# draw of weights and batches.
DRAWS = 3

Report = Callable[[str], None]


# Samples a step; fewer where a layer gives more values than this for each of them.
_SAMPLES, _FEW, _LARGE = 16, 4, 2**18

# The unsteadiness from which steps are made shorter: half of all tolerances would be as large as
# what is compared. How much shorter at a time, and how often at most.
_UNSTEADY = 1.0 / ALLOWANCE
_SHORTER = 16.0
_TIMES = 4


class _Reference(NamedTuple):
    """The reference's quantities in an arithmetic at a learning rate, or why there are none."""

    quantities: Mapping[str, Quantity]
    dtype: DType
    learning_rate: float
    problem: str = ""


class _Answer(NamedTuple):
    outcome: Outcome
    quantities: Mapping[str, Quantity]
    kernels: tuple[Kernels, ...]
    repeatable: bool | None


# What is not told a second time of the same trial; a failure may have been the machine's.
_SETTLED = ("parity", "deviates", "inconclusive", "unsupported")


def check(
    study: Study, steps: int, folder: Path, report: Report, *, again: bool = False
) -> Iterator[Verdict]:
    """Compare every configuration of a study with the reference; keep and give each verdict.

    Only the study's engines, workloads, devices, batch sizes, samples, precisions, settings,
    recipe, data set, pins and seed matter; without batch sizes each workload has one that suits
    it, and the limit on the samples.

    An engine that fails has a verdict that says so, and the next follows. What the folder has
    a verdict on, of the same versions and code, is not compared again, so that a comparison
    that was broken off goes on.

    Args:
        study: what to compare.
        steps: training steps of one batch each.
        folder: for verdicts and the workers' logs; verdicts are kept in the cache besides.
        report: takes a line of text at each stage.
        again: compare anew what has a verdict too.

    Raises:
        UserError: before anything runs, whatever is wrong with the study.
    """
    known = [] if again else [each for each in verdict.read(folder) if each.status in _SETTLED]
    jobs = list(_together(study, steps, folder))
    total, number = sum(map(len, jobs)), 0
    for together in jobs:
        references = _References(together[0], folder, study.timeout, report)
        for job in together:
            number += 1
            trial = job.trial
            report(f"[{number}/{total}] {trial.workload}, batch {trial.batch_size}: {_who(trial)}")
            before = [each for each in known if (each.trial, each.steps) == (trial, steps)]
            if before:
                report(f"  {_told(before[-1])} (as found before; --again compares anew)")
                yield before[-1]
                continue
            made = _verdict(job, study.pins, references, folder, study.timeout, report)
            for place in (folder, verdict.everywhere()):
                verdict.keep(made, place)
            report(f"  {_told(made)}")
            yield made
    shutil.rmtree(folder / _ANSWERS, ignore_errors=True)


def settle(study: Study, folder: Path, report: Report) -> None:
    """Compare the engines that are to race a model of the user's, where no verdict is kept yet.

    Args:
        study: what is to be raced.
        folder: as for `check`.
        report: as for `check`.

    Raises:
        UserError: as `check`.
    """
    own = [name for name in study.workloads if workloads.get(name).own]
    if not own:
        return
    known = verdict.read(verdict.everywhere())
    jobs = [job for job in runner.plan(study, this_machine()) if job.model]
    for name in own:
        unknown = dict.fromkeys(
            job.trial.engine
            for job in jobs
            if job.trial.workload == name
            and not _told_before(verdict.find(known, job.trial), job.trial)
        )
        train = min(job.data.train for job in jobs if job.trial.workload == name)
        if not unknown or not _comparison(_STEPS).batch_size(train):
            continue
        report(f"do {', '.join(unknown)} train the same mathematics of {name}?")
        small = msgspec.structs.replace(
            study,
            workloads=(name,),
            engines=tuple(unknown),
            batch_sizes=(),
            samples=train,
            scaling="strong",
            exclude=(),
        )
        for _ in check(small, _STEPS, folder, report, again=True):
            pass


def _told_before(found: Verdict | None, trial: Trial) -> bool:
    """Whether a kept verdict will do: a failure may have been the fault of the data."""
    return found is not None and (found.status in _SETTLED or found.trial.data == trial.data)


_ANSWERS = "answers"


def _who(trial: Trial) -> str:
    return f"{trial.engine} on {trial.devices}, {trial.settings}"


def _told(made: Verdict) -> str:
    if not made.deviations:
        return f"{made.status}: {made.reason}"
    most = worst(made.deviations)
    return f"{made.status}: {most.quantity} is at {most.excess:.2g} of its tolerance"


def _together(study: Study, steps: int, folder: Path) -> Iterable[list[Job]]:
    """Jobs that share a reference."""
    found: dict[bytes, list[Job]] = {}
    machine = this_machine()
    comparison = _comparison(steps)
    for workload in study.workloads:
        one = msgspec.structs.replace(study, workloads=(workload,), epochs=(1,), repeats=1)
        for batch_size in _batch_sizes(study, workload, comparison):
            samples = comparison.samples(batch_size)
            whole = msgspec.structs.replace(one, batch_sizes=(batch_size,), samples=samples)
            for job in sorted(runner.plan(whole, machine), key=lambda job: job.trial.engine):
                prepared = _comparing(job, comparison, folder)
                key = msgspec.json.encode(
                    [prepared.trial.recipe, prepared.trial.workload, batch_size]
                )
                found.setdefault(key, []).append(prepared)
    return found.values()


def _comparison(steps: int) -> Comparison:
    """One of so many steps; the rest is told when an engine is."""
    return Comparison(steps=steps, variants=_VARIANTS, epsilon=0.0, learning_rate=0.0, answer="")


def _batch_sizes(study: Study, workload: str, comparison: Comparison) -> tuple[int, ...]:
    """Samples enough for batch statistics that rounding does not carry away, but not for long.

    Raises:
        UserError: they take more samples than the study allows.
    """
    shapes = workloads.get(workload).graph.shapes().values()
    usual = _FEW if max(map(math.prod, shapes)) > _LARGE else _SAMPLES
    limit = study.samples
    if limit is None:
        return study.batch_sizes or (usual,)
    sizes = study.batch_sizes or (max(1, min(usual, comparison.batch_size(limit))),)
    for size in sizes:
        if (taken := comparison.samples(size)) > limit:
            raise UserError(
                f"samples: {comparison.steps} steps of {size} and a pass take {taken}, more than "
                f"{limit}"
            )
    return sizes


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


def _at(job: Job, learning_rate: float, epsilon: float | None = None) -> Job:
    """The comparison in steps of that size; with weights off by that, if not by the dtype's."""
    assert job.comparison is not None
    comparison = msgspec.structs.replace(job.comparison, learning_rate=learning_rate)
    if epsilon is not None:
        comparison = msgspec.structs.replace(comparison, epsilon=epsilon)
    return msgspec.structs.replace(job, comparison=comparison)


class _References:
    """The reference of each draw, computed when it is first needed.

    Its versions are velodrome's own, whatever the study pins.
    """

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
                self._report(f"  no reference: {problem}")
        return self._found[draw]

    def _make(self, job: Job) -> _Reference:
        if job.model is None:
            return self._pair(REFERENCES, job, "float64")
        exact = self._pair(_OWN_REFERENCES[:-1], job, "float64")
        if not exact.problem:
            return exact
        # A user's code may know float32 only; then two backends that agree in it must do.
        self._report(f"  {exact.problem}; so in float32")
        return self._pair(_OWN_REFERENCES, job, "float32")

    def _pair(self, names: tuple[str, ...], job: Job, dtype: DType) -> _Reference:
        """Two references agreeing, in steps short enough for rounding to stay small.

        Of a user's model those that cannot run it are passed over, and a third is asked where the
        second disagrees.
        """
        rate = job.trial.recipe.learning_rate
        first: tuple[str, Mapping[str, Quantity]] | None = None
        problems = []
        for name in names:
            try:
                if first is None:
                    found, rate = self._steady(name, job, rate, dtype)
                    first = name, found
                    if job.model and (moved := _moved(found)) > _RANDOM:
                        problems.append(
                            f"the model draws at random by itself: its loss varies by {moved:.0e}"
                        )
                        break
                    continue
                found = self._answer(name, job, rate, dtype, dtype)
                return _agreed(first, (name, found), job, rate, dtype)
            except UserError as error:
                problems.append(str(error))
                if job.model is None:
                    break
        return _Reference({}, dtype, rate, "; ".join(problems))

    def _steady(
        self, name: str, job: Job, rate: float, dtype: DType
    ) -> tuple[Mapping[str, Quantity], float]:
        """The first reference, in steps that an epsilon of float32 does not lead elsewhere.

        Float64 does not show where float32 tips a decision (the sign at a ReLU, the largest of a
        pool), and in a deep network it always tips some. So it is asked what becomes of the
        problem where the weights are off by as much as float32 would have them.

        Raises:
            UserError: it fails.
        """
        for remaining in reversed(range(_TIMES + 1)):
            moved = self._answer(name, job, rate, dtype, "float32")
            coarser = {
                each: Quantity(value, noise, noise) for each, (value, noise, _) in moved.items()
            }
            if unsteadiness(coarser) < _UNSTEADY or not remaining:
                break
            rate /= _SHORTER
        exact = moved if dtype == "float32" else self._answer(name, job, rate, dtype, dtype)
        return {
            each: Quantity(value, noise, coarser[each].noise)
            for each, (value, noise, _) in _finer(exact, dtype).items()
        }, rate

    def _answer(
        self, name: str, job: Job, learning_rate: float, dtype: DType, off: DType
    ) -> Mapping[str, Quantity]:
        """What an engine finds, with its noise where weights are off by an epsilon of `off`.

        Raises:
            UserError: it fails.
        """
        self._report(
            f"  reference: {name} in {dtype}, learning rate {learning_rate:g}, weights off by an "
            f"epsilon of {off}"
        )
        trial = msgspec.structs.replace(
            job.trial, engine=name, devices="cpu", dtype=dtype, settings="tuned"
        )
        assert job.comparison is not None
        asked = _comparing(msgspec.structs.replace(job, trial=trial), job.comparison, self._folder)
        asked = _at(asked, learning_rate, EPSILON[off])
        try:
            answer = _run(asked, (), self._folder, self._timeout, self._report)
        except UserError as error:
            raise UserError(f"{name} in {dtype}: {error}") from None
        if answer.outcome.kind is not None:
            raise UserError(f"{name} in {dtype}: {answer.outcome.reason}")
        return answer.quantities


def _finer(found: Mapping[str, Quantity], dtype: DType) -> dict[str, Quantity]:
    """With the noise that float64 would have."""
    times = EPSILON["float64"] / EPSILON[dtype]
    return {name: Quantity(value, noise * times) for name, (value, noise, _) in found.items()}


def _agreed(
    first: tuple[str, Mapping[str, Quantity]],
    second: tuple[str, Mapping[str, Quantity]],
    job: Job,
    rate: float,
    dtype: DType,
) -> _Reference:
    """The first of two answers, if the second is the same within the noise of its own arithmetic.

    Raises:
        UserError: it is another.
    """
    (name, reference), (other, found) = first, second
    if different := differences(found, reference):
        raise UserError(f"{other} has {different}")
    most = worst(deviations(found, reference, dtype, job.trial.batch_size))
    if not most.excess <= 1.0:
        raise UserError(f"{name} and {other} disagree in {dtype}: {_off(most)}")
    return _Reference(_noisier(reference, _finer(found, dtype)), dtype, rate)


def _moved(quantities: Mapping[str, Quantity]) -> float:
    """How far the loss moves from run to run, relatively, as float64 would move it."""
    loss = quantities["loss"]
    return loss.noise / (float(np.linalg.norm(loss.value)) or 1.0)


def _noisier(first: Mapping[str, Quantity], second: Mapping[str, Quantity]) -> dict[str, Quantity]:
    """The first's quantities, each with the larger of both noises."""
    return {
        name: Quantity(value, max(noise, second[name].noise), coarser)
        for name, (value, noise, coarser) in first.items()
    }


def _off(most: Deviation) -> str:
    return f"{most.quantity} is {most.error:.1e} off, {most.excess:.2g} times its tolerance"


def _parted(job: Job, made: Verdict) -> str:
    """What must make an engine deviate whose ledger says how its devices normalise."""
    notes = made.ledger.notes if made.ledger else ()
    if job.graph.has(BatchNorm) and any("batch normalisation per device" in each for each in notes):
        return "; its batch normalisation is per device, which is other mathematics"
    return ""


def _verdict(
    job: Job, pins: Pins, references: _References, folder: Path, timeout: float, report: Report
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

    if reason := here.unsupported(job, this_machine()):
        return ended("unsupported", reason)
    problems = []
    for draw in range(DRAWS):
        reference, dtype, rate, problem = references.get(draw)
        if problem:
            if job.model is None:
                return ended("no-reference", problem)
            problems.append(problem)
            continue  # in float32, references too may be apart by a decision that tips
        asked = _at(_drawn(job, draw, folder), rate)
        try:
            answer = _run(asked, pins, folder, timeout, report)
        except UserError as error:
            return ended("import", str(error))
        made = msgspec.structs.replace(
            made,
            reference=dtype,
            draws=made.draws + 1,
            learning_rate=rate,
            ledger=answer.outcome.ledger,
            kernels=answer.kernels,
            repeatable=answer.repeatable,
        )
        if answer.outcome.kind is not None:
            return ended(answer.outcome.kind, answer.outcome.reason)
        if different := differences(answer.quantities, reference):
            return ended("deviates", f"it has {different}")
        found = deviations(answer.quantities, reference, trial.dtype, trial.batch_size)
        made = msgspec.structs.replace(made, deviations=nearest(made.deviations, found))
        most = worst(made.deviations)
        if most.excess <= 1.0 and not vaguest(made.deviations).vague:
            return _with_dropout(made, job, pins, folder, timeout, report)
        report(f"  draw {draw + 1} of {DRAWS}: {most.quantity} at {most.excess:.2g} at best")
    if not made.deviations:
        return ended("no-reference", problems[0])
    draws = f"in {made.draws} draws"
    if off := [each for each in made.deviations if each.off]:
        reason = f"{draws}, {_off(worst(off))} at best{_parted(job, made)}"
        return ended("deviates", reason)
    if most.excess > 1.0:
        return ended("inconclusive", f"{draws}, {_explained(most)}")
    return ended("inconclusive", f"{draws}, {_vague(vaguest(made.deviations))}")


def _explained(most: Deviation) -> str:
    return (
        f"the {most.quantity} is {most.error:.1e} off at best, and rounding alone moves it by "
        f"{most.foretold:.1e}: compare with more samples a step"
    )


def _vague(most: Deviation) -> str:
    return (
        f"the engine's own noise in the {most.quantity} is {most.noise:.1e} at best, "
        f"{PATIENCE * most.vagueness:.2g} times what its arithmetic explains: within such a "
        "tolerance a fault could hide"
    )


def _with_dropout(
    made: Verdict, job: Job, pins: Pins, folder: Path, timeout: float, report: Report
) -> Verdict:
    """The verdict on an engine at parity without dropout, with what its dropout does."""
    for rate in dropout.rates(job.graph):
        answer = (folder / _ANSWERS / f"{job.trial.short_id}-dropout.npz").absolute()
        asked = dropout.job(job, rate, answer)
        log = _log(job, folder, f"dropout-{rate:g}")
        outcome = _outcome(asked, pins, {}, folder, timeout, log, report)
        if outcome.kind is not None:
            reason = f"dropout at {rate:g}: {outcome.reason}"
            return msgspec.structs.replace(made, status=outcome.kind, reason=reason)
        seen = dropout.read(answer, rate, job.trial.dtype)
        answer.unlink()
        made = msgspec.structs.replace(made, dropout=(*made.dropout, seen))
        if seen.problem:
            reason = f"dropout at {rate:g} {seen.problem}"
            return msgspec.structs.replace(made, status="deviates", reason=reason)
    return made


def _run(job: Job, pins: Pins, folder: Path, timeout: float, report: Report) -> _Answer:
    assert job.comparison is not None
    answer = Path(job.comparison.answer)
    log = _log(job, folder, job.trial.short_id)
    outcome = _outcome(job, pins, kernels.VARIABLES, folder, timeout, log, report)
    done = outcome.kind is None
    found = deviation.read(answer) if done else {}
    repeatable = deviation.repeatable(answer) if done else None
    answer.unlink(missing_ok=True)
    ran = kernels.read(log) if log.exists() else ()
    return _Answer(outcome, found, ran, repeatable)


def _log(job: Job, folder: Path, what: str) -> Path:
    trial = job.trial
    workload = trial.workload.replace("/", "-")
    name = f"{workload}-{trial.engine}-{trial.settings}-{trial.dtype}-{what}"
    return folder / "logs" / f"{name}.log"


def _outcome(
    job: Job,
    pins: Pins,
    variables: Mapping[str, str],
    folder: Path,
    timeout: float,
    log: Path,
    report: Report,
) -> Outcome:
    """Run a job in its engine's environment, with the engine's variables and these."""
    (folder / _ANSWERS).mkdir(parents=True, exist_ok=True)
    trial = job.trial
    engine = engines.registry.get(trial.engine)
    kind = Devices.parse(trial.devices).kind
    return machines.run(
        job,
        environment.ensure(engine.framework, kind, pins, report=report),
        variables={**engine.variables(trial.settings, job.threads), **variables},
        timeout=timeout,
        log=log,
        on_event=lambda event: None,
    )
