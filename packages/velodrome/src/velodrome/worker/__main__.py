"""Read a job from standard input, do it, answer on a pipe of its own.

Run as `python -m velodrome.worker DESCRIPTOR [NUMBER]`, with a number from 1 on for the further
processes of a trial that has several on this machine. Standard output and error belong to
the framework; they cannot corrupt the events.
"""

import os
import resource
import sys
import traceback
from collections.abc import Callable

import msgspec

from velodrome import engines, failures, lifeline, user_code
from velodrome.errors import UserError
from velodrome.job import AnyEvent, Failed, Imported, Job, to_json
from velodrome.record import FailureKind
from velodrome.worker import dropout, placement
from velodrome.worker.compare import compare
from velodrome.worker.measure import measure
from velodrome.worker.ranks import Ranks, World
from velodrome.worker.rehearse import rehearse
from velodrome.worker.start import Emit


def main() -> int:
    """Do the job; exit status 0 if it came to its end, else 1."""
    events, number = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    os.set_inheritable(events, False)
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    lifeline.hold(sys.stdin.fileno())
    placement.pin(job.cpus)
    if job.memory_limit is not None:
        resource.setrlimit(resource.RLIMIT_AS, (job.memory_limit, job.memory_limit))

    imported = False
    processes = engines.registry.get(job.trial.engine).processes(job.trial)
    world = World(job, processes)

    def emit(event: AnyEvent) -> None:
        nonlocal imported
        imported = imported or isinstance(event, Imported)
        # A machine's first process tells of the progress of all there, each of its own failure.
        if number == 0 or isinstance(event, Failed):
            stamped = msgspec.structs.replace(
                event, rank=world.first + number, world_size=world.size
            )
            os.write(events, to_json(stamped))

    def lost(failure: Failed) -> None:
        os.write(events, to_json(failure))
        _leave(1)

    ranks = None
    if processes > 1 and number == 0:
        ranks = Ranks(job, world, events, lost)
    try:
        _task(job)(job, emit)
    except (Exception, SystemExit) as error:  # a user's file may leave
        traceback.print_exc()
        kind, reason = _told(error, job)
        if kind == "error" and not imported:
            kind = "import"
        if ranks:
            ranks.settle()
        emit(Failed(kind=kind, reason=reason))
        return 1
    if ranks:
        ranks.wait()
    return 0


def _task(job: Job) -> Callable[[Job, Emit], None]:
    if job.model and job.model.rehearsal:
        return rehearse
    if job.dropped:
        return dropout.look
    return compare if job.comparison else measure


def _told(error: BaseException, job: Job) -> tuple[FailureKind, str]:
    """Kind and reason of a failure; of one in the user's own file, with its line."""
    error = user_code.original(error)
    kind, reason = failures.of_exception(error, limited=job.memory_limit is not None)
    if isinstance(error, UserError):
        return kind, str(error)
    if job.model is None or kind not in ("error", "unsupported"):
        return kind, reason
    if isinstance(error, NotImplementedError):
        kind = "unsupported"
    if isinstance(error, failures.Unsupported):
        return kind, reason
    at = user_code.place(error, user_code.parse(job.model.reference).path)
    return kind, f"{at}: {user_code.message(error)}" if at else user_code.message(error)


def _leave(status: int) -> None:
    """Frameworks' own exit handlers can hang or crash; the measurement is already over."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _leave(main())
