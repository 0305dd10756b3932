"""What becomes of a trial whose machine was lost."""

from velodrome.executors import here
from velodrome.executors.base import Ended, Outcome, Task
from velodrome.machine import this_machine
from velodrome.record import FailureKind

ATTEMPTS = 3
"""Places that a trial is given before its row says that all of them were lost."""


def without_result(task: Task, kind: FailureKind, reason: str) -> Ended:
    """The end of a trial of which no worker told; the machine is the one that sent it."""
    outcome = Outcome(kind=kind, reason=" ".join(reason.split()))
    return Ended(trial=task.id, started=here.now(), outcome=outcome, machine=this_machine())
