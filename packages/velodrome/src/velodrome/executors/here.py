"""Trials on this machine: one after the other, or side by side where they share no device."""

import os
import queue
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from velodrome import ceiling, engines, environment, gpus, steadiness
from velodrome.devices import Devices
from velodrome.environment import Environment, Kind, Pins
from velodrome.errors import UserError
from velodrome.executors import machines
from velodrome.executors.base import Begun, Ended, Executor, Note, Outcome, Task, Tell, Told
from velodrome.job import Job
from velodrome.machine import Machine, one_cpu_a_core, this_machine, usable_cpus
from velodrome.record import Steadiness
from velodrome.trial import Trial

_Place = tuple[str, Kind, Pins]


class Here(Executor):
    """This machine."""

    name = "local"
    summary = "this machine, one trial at a time unless --jobs allows more"

    def __init__(self, place: str = "", jobs: int | None = None) -> None:
        """Take `jobs` trials at a time, one unless given.

        Raises:
            UserError: a place was given; it is always here.
        """
        if place:
            raise UserError(f"local is this machine and takes no place; '{place}' was given")
        self._jobs = jobs or 1

    def run(self, tasks: Sequence[Task], tell: Tell, folder: Path) -> None:
        """As `Executor.run`."""
        spread = steadiness.at_start() if tasks else 0.0
        if spread > steadiness.UNSTEADY:
            tell(
                Note(
                    text=f"the machine is not steady: a fixed kernel took up to {spread:.0%} "
                    "longer than its median; close what else runs"
                )
            )
        if self._jobs > 1 and any(task.job.devices.kind == "cpu" for task in tasks):
            tell(
                Note(
                    text="trials on cpu train on all processors, so they run one at a time "
                    f"whatever --jobs; of those on GPUs, up to {self._jobs} side by side"
                )
            )
        run(tasks, tell, self._jobs, spread=spread)


EXECUTORS = (Here,)


class _Ready(NamedTuple):
    """A task and the environment it runs in."""

    task: Task
    place: Environment

    @property
    def devices(self) -> Devices:
        """What it trains on."""
        return self.task.job.devices


class _Ran(NamedTuple):
    """A process that has ended."""

    task: Task
    outcome: Outcome | BaseException


class _Running(NamedTuple):
    """A process that runs."""

    ready: _Ready
    thread: threading.Thread
    started: str
    before: float


def run(
    tasks: Sequence[Task],
    tell: Tell,
    jobs: int = 1,
    stops: Sequence[int] = (),
    spread: float | None = None,
) -> None:
    """Run tasks that are meant for this machine's processors and data.

    Each trial is followed by a thread of its own that blocks until its worker reports; this
    one blocks until a thread does. Nothing polls.

    Args:
        tasks: what to run.
        tell: called in this thread.
        jobs: most trials at a time.
        stops: as for `local.run`.
        spread: of the readings before the run, for `Steadiness.at_start`.
    """
    machine = this_machine()
    able = [task for task in tasks if not unsupported(task.job, machine)]
    places = _environments(able, tell)
    waiting: list[_Ready] = []
    for task in tasks:
        if reason := unsupported(task.job, machine):
            outcome = Outcome(kind="unsupported", reason=reason)
        elif isinstance(place := places[_place(task)], UserError):
            outcome = Outcome(kind="import", reason=str(place))
        else:
            waiting.append(_Ready(task, place))
            continue
        tell(Begun(trial=task.id))
        tell(Ended(trial=task.id, started=now(), outcome=outcome, machine=machine))
    running: dict[str, _Running] = {}
    happened: queue.SimpleQueue[Told | _Ran] = queue.SimpleQueue()
    stop, stopping = os.pipe()
    try:
        reading = steadiness.probe() if waiting else 0.0
        while waiting or running:
            in_use = [each.ready.devices for each in running.values()]
            for ready in _free(waiting, in_use)[: jobs - len(running)]:
                waiting.remove(ready)
                tell(Begun(trial=ready.task.id))
                thread = threading.Thread(target=_follow, args=(*ready, happened, (stop, *stops)))
                running[ready.task.id] = _Running(ready, thread, now(), reading)
                thread.start()
            news = happened.get()
            if isinstance(news, Told):
                tell(news)
                continue
            if isinstance(news.outcome, BaseException):
                raise news.outcome
            ran = running.pop(news.task.id)
            ran.thread.join()
            reading = steadiness.probe()
            tell(
                Ended(
                    trial=news.task.id,
                    started=ran.started,
                    outcome=news.outcome,
                    machine=machine,
                    steadiness=Steadiness(before=ran.before, after=reading, at_start=spread),
                    ceiling=_ceiling(ran.ready, machine),
                )
            )
    finally:
        os.close(stopping)
        for each in running.values():
            each.thread.join()
        os.close(stop)


def _free(waiting: Iterable[_Ready], in_use: list[Devices]) -> list[_Ready]:
    """Those that can start together, none before an earlier one that wants the same device."""
    found = []
    wanted = list(in_use)
    for ready in waiting:
        if not any(_share(ready.devices, other) for other in wanted):
            found.append(ready)
        wanted.append(ready.devices)
    return found


def _share(one: Devices, other: Devices) -> bool:
    """Whether two trials would disturb each other: on a CPU, one takes all processors."""
    return "cpu" in (one.kind, other.kind) or not set(one.gpus).isdisjoint(other.gpus)


def _follow(
    task: Task,
    place: Environment,
    happened: "queue.SimpleQueue[Told | _Ran]",
    stops: Sequence[int],
) -> None:
    trial = task.job.trial
    try:
        outcome = machines.run(
            task.job,
            place,
            variables=engines.registry.get(trial.engine).variables(
                trial.settings, task.job.threads
            ),
            timeout=task.timeout,
            log=Path(task.log),
            on_event=lambda event: happened.put(Told(trial=task.id, event=event)),
            stops=stops,
        )
    except BaseException as error:
        happened.put(_Ran(task, error))
    else:
        happened.put(_Ran(task, outcome))


def unsupported(job: Job, machine: Machine) -> str | None:
    """Why the job's engine cannot run it on that machine, or None."""
    engine, devices = engines.registry.get(job.trial.engine), job.devices
    if reason := engine.unsupported(job.trial):
        return reason
    if not job.meeting and (reason := not_played(devices)):
        return reason
    return gpus.missing(engine.framework, devices, machine.gpus)


def not_played(devices: Devices) -> str | None:
    """Why this machine cannot play all that a trial has, or None."""
    if devices.machines > 1 and devices.kind == "gpu":
        return f"{devices} is {devices.machines} machines: one can play several on its CPU only"
    return None


def cpus(trial: Trial) -> tuple[int, ...]:
    """A processor of each core when tuned; a framework left alone gets all there are."""
    return one_cpu_a_core() if trial.settings == "tuned" else usable_cpus()


def now() -> str:
    """As `Record.started` has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _place(task: Task) -> _Place:
    framework = engines.registry.get(task.job.trial.engine).framework
    return framework, task.job.devices.kind, task.pins


def _environments(tasks: Iterable[Task], tell: Tell) -> dict[_Place, Environment | UserError]:
    """Have every environment that the tasks need; the error in place of one not to be had."""
    made: dict[_Place, Environment | UserError] = {}
    for task in tasks:
        place = _place(task)
        if place not in made:
            try:
                made[place] = environment.ensure(*place, report=lambda text: tell(Note(text=text)))
            except UserError as error:
                tell(Note(text=str(error)))
                made[place] = error
    return made


def _ceiling(ready: _Ready, machine: Machine) -> float | None:
    """Of the trial's devices in its dtype; its other machines count as this one does."""
    job = ready.task.job
    own = ceiling.measured(machine, job.trial.dtype, ready.devices, ready.place)
    return own and own * (len(job.meeting.addresses) if job.meeting else 1)
