"""A trial over several machines: a part for each, which end together.

Where no executor has placed them this machine plays all: a worker for each, in a process group of
its own, meets the others on loopback as it would on a network, and processors are shared out
evenly. What is told of the trial is what the first machine's worker tells.
"""

import contextlib
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from pathlib import Path

import msgspec

from velodrome import engines
from velodrome.environment import Environment
from velodrome.executors import local
from velodrome.executors.base import Outcome
from velodrome.job import AnyEvent, Job, Meeting

_LOOPBACK = "127.0.0.1"
_PATIENCE = 3.0  # seconds that the others have once one has failed, or the first is done


def run(
    job: Job,
    environment: Environment,
    *,
    variables: dict[str, str],
    timeout: float,
    log: Path,
    on_event: Callable[[AnyEvent], None],
    stops: Sequence[int] = (),
) -> Outcome:
    """As `local.run`, of which there is one a machine where the job's devices name several.

    A job that has its meeting already is one machine's part of a trial: that alone is run.
    """
    if job.devices.machines == 1 or job.meeting:
        return local.run(
            job,
            environment,
            variables=variables,
            timeout=timeout,
            log=log,
            on_event=on_event,
            stops=stops,
        )
    engine = engines.registry.get(job.trial.engine)

    def follow(part: Job, stop: int) -> Outcome:
        assert part.meeting is not None
        number = part.meeting.number
        own = engine.variables(part.trial.settings, part.threads)
        return local.run(
            part,
            environment,
            variables=variables | own,
            timeout=timeout,
            log=log.with_suffix(f".{number}{log.suffix}") if number else log,
            on_event=on_event if number == 0 else lambda event: None,
            stops=(stop, *stops),
        )

    return together(_played(job), follow)


def free_ports(host: str, count: int) -> list[int]:
    """Numbers of so many ports of that address which nobody listens on."""
    with contextlib.ExitStack() as stack:
        bound = [stack.enter_context(socket.create_server((host, 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in bound]


def parts(job: Job, addresses: Sequence[str]) -> list[Job]:
    """What each machine's worker is told, given where each can be met."""
    meetings = [Meeting(number=n, addresses=tuple(addresses)) for n in range(len(addresses))]
    return [msgspec.structs.replace(job, meeting=each) for each in meetings]


def _played(job: Job) -> list[Job]:
    """The parts of a trial on machines that this one plays."""
    machines = job.devices.machines
    share = len(job.cpus) // machines
    return [
        msgspec.structs.replace(
            part,
            threads=max(1, job.threads // machines),
            # Where there are fewer processors than machines, all have all.
            cpus=job.cpus[number * share : (number + 1) * share] or job.cpus,
        )
        for number, part in enumerate(
            parts(job, [f"{_LOOPBACK}:{port}" for port in free_ports(_LOOPBACK, machines)])
        )
    ]


def together(parts: Sequence[Job], follow: Callable[[Job, int], Outcome]) -> Outcome:
    """Run the parts of a trial, which end together.

    Args:
        parts: one a machine.
        follow: runs a part, in a thread of its own, until it ends or a descriptor can be read.

    Returns:
        The first part's outcome, with the reason of whatever failure ended them all.
    """
    stop, stopping = os.pipe()
    try:
        with ThreadPoolExecutor(len(parts)) as pool:
            running = [pool.submit(follow, part, stop) for part in parts]
            try:
                for end in as_completed(running):
                    if end.result().kind or end is running[0]:
                        break
                # What ends now ends by itself: a failure's cause, or after success the others.
                wait(running, timeout=_PATIENCE)
                ended = [end, *(each for each in running if each.done() and each is not end)]
                outcomes = {running.index(each): each.result() for each in ended}
            finally:
                os.close(stopping)
        first = running[0].result()
        return _failed(first, outcomes, len(parts)) if end.result().kind else first
    finally:
        os.close(stop)


def _failed(first: Outcome, ended: Mapping[int, Outcome], machines: int) -> Outcome:
    """The first part's outcome with the failures, that which knows most in front.

    A worker that lost its connection to another raises an error, and knows least. `ended` are
    the parts that ended by themselves, by the machine's number, the first to end first.
    """
    failed = [(number, each) for number, each in ended.items() if each.kind]
    failed.sort(key=lambda each: each[1].kind == "error")
    (number, cause), *others = failed
    reasons = [f"machine {number} of the trial's {machines}: {cause.reason}"]
    reasons += [f"machine {n}: {each.reason}" for n, each in others if each.reason != cause.reason]
    return msgspec.structs.replace(
        first, kind=cause.kind, reason="; ".join(reasons), last_lines=cause.last_lines
    )
