"""What an executor is: it takes trials, and tells what happens until each has ended."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import msgspec

from velodrome.environment import Pins
from velodrome.job import AnyEvent, Job
from velodrome.machine import Machine
from velodrome.record import Clocks, Epoch, FailureKind, Ledger, Memory, Placement, Steadiness


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A trial to run, and all that its place has to know.

    Attributes:
        job: what to train. Where it runs elsewhere, that place has its own processors and data.
        pins: versions that its environment is asked for.
        timeout: seconds after which its process is killed.
        log: file in the run folder for what the process prints.
    """

    job: Job
    pins: Pins
    timeout: float
    log: str

    @property
    def id(self) -> str:
        """The trial's."""
        return self.job.trial.id


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a trial; the parts as in `Record`."""

    kind: FailureKind | None
    reason: str
    last_lines: tuple[str, ...] = ()
    clocks: Clocks | None = None
    ledger: Ledger | None = None
    epochs: tuple[Epoch, ...] = ()
    memory: Memory | None = None
    placement: Placement | None = None
    waited: float | None = None


class Happening(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Something that an executor tells; JSON, so that it can come from another machine."""


class Note(Happening, frozen=True, kw_only=True):
    """Something worth a line."""

    text: str


class Begun(Happening, frozen=True, kw_only=True):
    """A trial starts, perhaps for the second time: the first place was lost."""

    trial: str


class Told(Happening, frozen=True, kw_only=True):
    """A trial's worker reports."""

    trial: str
    event: AnyEvent


class Ended(Happening, frozen=True, kw_only=True):
    """A trial has ended.

    Attributes:
        trial: its id.
        started: when, UTC, ISO 8601.
        outcome: what came of it.
        machine: what it ran on.
        steadiness: of that machine around it, None if no process was started.
        ceiling: of that machine in the trial's dtype, as in `Record`.
    """

    trial: str
    started: str
    outcome: Outcome
    machine: Machine
    steadiness: Steadiness | None = None
    ceiling: float | None = None


AnyHappening = Note | Begun | Told | Ended
Tell = Callable[[AnyHappening], None]

happenings: msgspec.json.Decoder[AnyHappening] = msgspec.json.Decoder(AnyHappening)
"""Reads what another machine tells."""


class Executor(ABC):
    """Where trials run.

    Attributes:
        name: what users type.
        summary: one line for `velodrome list`.
    """

    name: ClassVar[str]
    summary: ClassVar[str]

    @abstractmethod
    def __init__(self, place: str, jobs: int | None) -> None:
        """Prepare nothing yet.

        Args:
            place: what follows `://` in what the user typed, or nothing.
            jobs: most trials at a time; None for as many as suits the executor.

        Raises:
            UserError: there is no such place, or what it takes is not installed.
        """

    @abstractmethod
    def run(self, tasks: Sequence[Task], tell: Tell, folder: Path) -> None:
        """Run all the tasks, each to its `Ended`; never two trials on one device at a time.

        Whatever ends this call, its own return or an exception in it or in `tell`, leaves no
        trial running.

        Args:
            tasks: what to run, about in this order.
            tell: called in this thread for whatever happens, as it happens.
            folder: for files of the executor's own.
        """
