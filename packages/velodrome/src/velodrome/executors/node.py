"""A trial that another machine has sent here: run with what this machine has."""

import platform
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from velodrome import datasets, engines, environment, gpus, workloads
from velodrome.datasets.base import PreparedData
from velodrome.errors import UserError
from velodrome.executors import here, machines
from velodrome.executors.base import AnyHappening, Begun, Ended, Note, Outcome, Task, Tell
from velodrome.job import Job
from velodrome.machine import this_machine
from velodrome.trial import Trial


def run(task: Task, tell: Tell, stops: Sequence[int] = ()) -> None:
    """Run it on this machine's processors, with its data and environment made here if need be.

    Args:
        task: what to run; its log is written here.
        tell: called in this thread for whatever happens, with `Ended` at last.
        stops: as for `local.run`.
    """
    node = platform.node()

    def note(text: str) -> None:
        tell(Note(text=f"{node}: {text}"))

    machine = this_machine()
    job, trial = task.job, task.job.trial
    try:
        _check_environment(task, note)
        data = _data(trial, job.data)
        given = gpus.given(len(job.devices.gpus))
    except UserError as error:
        tell(Begun(trial=task.id))
        outcome = Outcome(kind="import", reason=f"{node}: {error}")
        tell(Ended(trial=task.id, started=here.now(), outcome=outcome, machine=machine))
        return
    placed = msgspec.structs.replace(
        job, threads=machine.cores, cpus=here.cpus(trial), gpus=given, data=data
    )
    here.run([msgspec.structs.replace(task, job=placed)], tell, stops=stops)


def lead(
    task: Task, addresses: Sequence[str], elsewhere: Callable[[Task, int], Outcome], tell: Tell
) -> Ended:
    """Run the first part of a trial over several machines here, and its others elsewhere.

    Args:
        task: the whole trial.
        addresses: of each machine, this one first, as in `Meeting`.
        elsewhere: has another machine run its part, until it ends or a descriptor can be read.
        tell: called, in another thread, for all that happens here but the end.

    Returns:
        The trial's end, which is still to be told.
    """
    ended: list[Ended] = []

    def heard(happening: AnyHappening) -> None:
        if isinstance(happening, Ended):
            ended.append(happening)
        else:
            tell(happening)

    def follow(part: Job, stop: int) -> Outcome:
        own = msgspec.structs.replace(task, job=part)
        if part.meeting != parts[0].meeting:
            return elsewhere(own, stop)
        run(own, heard, (stop,))
        return ended[0].outcome

    parts = machines.parts(task.job, addresses)
    whole = machines.together(parts, follow)
    return msgspec.structs.replace(ended[0], outcome=whole)


def outcome(task: Task, stops: Sequence[int] = ()) -> Outcome:
    """What comes of a part of a trial of which another machine tells."""
    ended: list[Outcome] = []

    def heard(happening: AnyHappening) -> None:
        if isinstance(happening, Ended):
            ended.append(happening.outcome)

    run(task, heard, stops)
    return ended[0]


def _check_environment(task: Task, note: environment.Report) -> None:
    """Have the trial's environment, and it be the one that the trial is named after."""
    trial = task.job.trial
    framework = engines.registry.get(trial.engine).framework
    made = environment.ensure(framework, task.job.devices.kind, task.pins, report=note)
    if made.hash != trial.environment:
        raise UserError(
            f"{framework}'s environment is another here than where the study was planned: "
            "have the same velodrome and the same Python (all three numbers) on both"
        )


def _data(trial: Trial, planned: PreparedData) -> PreparedData:
    """The data where it lies on this machine."""
    if Path(planned.folder).is_dir():
        return planned
    workload = workloads.get(trial.workload)
    if workload.own:
        raise UserError(
            f"the data of {trial.workload} are not on this machine: for a model of one's own, "
            "its files and VELODROME_HOME must lie in folders that all machines share"
        )
    found = datasets.get(trial.dataset).prepare(workload.takes(), trial.samples)
    if found.fingerprint != planned.fingerprint:
        raise UserError(f"{trial.dataset} is not the data here that the study was planned with")
    return found
