"""Read a job from standard input, do it, answer on a pipe of its own.

Run as `python -m velodrome.worker DESCRIPTOR`. Standard output and error belong to
the framework; they cannot corrupt the events.
"""

import os
import resource
import sys
import traceback

import msgspec

from velodrome import failures
from velodrome.job import AnyEvent, Failed, Imported, Job, to_json
from velodrome.worker import lifeline, placement
from velodrome.worker.compare import compare
from velodrome.worker.measure import measure


def main() -> int:
    """Do the job; exit status 0 if it came to its end, else 1."""
    events = int(sys.argv[1])
    os.set_inheritable(events, False)
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    lifeline.hold(sys.stdin.fileno())
    placement.pin(job.cpus)
    if job.memory_limit is not None:
        resource.setrlimit(resource.RLIMIT_AS, (job.memory_limit, job.memory_limit))

    imported = False

    def emit(event: AnyEvent) -> None:
        nonlocal imported
        imported = imported or isinstance(event, Imported)
        os.write(events, to_json(event))

    try:
        (compare if job.comparison else measure)(job, emit)
    except Exception as error:
        traceback.print_exc()
        kind, reason = failures.of_exception(error)
        if kind == "error" and not imported:
            kind = "import"
        emit(Failed(kind=kind, reason=reason))
        return 1
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Frameworks' own exit handlers can hang or crash; the measurement is already over.
    os._exit(status)
