"""Run a trial on this machine, in a process of its own.

The caller blocks until the worker reports or ends: nothing polls while it measures.
"""

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from velodrome import environment as environments
from velodrome import failures, gpus
from velodrome.environment import Environment
from velodrome.executors.base import Outcome
from velodrome.job import (
    AnyEvent,
    Built,
    EpochDone,
    Failed,
    Finished,
    FirstStep,
    Imported,
    Job,
    decode_event,
    to_json,
)
from velodrome.record import Clocks, FailureKind

_LAST_LINES = 20
_LAST_BYTES = 16_384


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
    """Train the job in a fresh process and wait for its end.

    Args:
        job: what to train.
        environment: whose interpreter trains it.
        variables: set for the worker, besides the environment's own.
        timeout: seconds after which the worker and all its children are killed.
        log: where the worker's standard output and error go.
        on_event: called for every event as it comes.
        stops: descriptors; when one can be read, the worker is killed as at its timeout.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    oom_kills = _oom_kills()
    begin = time.monotonic()
    with log.open("wb") as output:
        worker = _Worker(job, environment, variables, output.fileno())
        events: list[AnyEvent] = []
        try:
            timed_out = not worker.follow(begin + timeout, events, on_event, stops)
        finally:
            worker.end()
    last_words = _end_of(log)
    kind, reason = _verdict(
        events, worker.status, timed_out, timeout, last_words, _oom_kills() > oom_kills
    )
    finished = next((event for event in events if isinstance(event, Finished)), None)
    ledgers = [event.ledger for event in events if isinstance(event, Built | Finished)]
    return Outcome(
        kind=kind,
        reason=reason,
        last_lines=tuple(last_words.splitlines()[-_LAST_LINES:]) if kind else (),
        clocks=_clocks(events, worker, time.monotonic() - begin),
        ledger=ledgers[-1] if ledgers else None,
        epochs=tuple(event.epoch for event in events if isinstance(event, EpochDone)),
        memory=finished.memory if finished else None,
        placement=finished.placement if finished else None,
        waited=finished.waited if finished else None,
    )


class _Worker:
    """A worker process, leader of a process group that ends with it."""

    def __init__(
        self, job: Job, environment: Environment, variables: dict[str, str], output: int
    ) -> None:
        self._events, theirs = os.pipe()
        visible = gpus.visible(job.devices)
        self._process = subprocess.Popen(
            environments.command(environment, "velodrome.worker", str(theirs)),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=environments.variables(environment) | visible | variables,
            pass_fds=(theirs,),
            start_new_session=True,
        )
        os.close(theirs)
        assert self._process.stdin is not None
        try:
            # Left open: the worker ends when this closes with our own end.
            self._process.stdin.write(to_json(job))
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # It ended at once; its exit status says more.
        self._ended, self._at_end = os.pipe()
        self._reaper = threading.Thread(target=self._reap)
        self._reaper.start()

    def _reap(self) -> None:
        """Wait for the process; its processor times come with its exit status."""
        _, status, self.usage = os.wait4(self._process.pid, 0)
        self.status = os.waitstatus_to_exitcode(status)
        self._process.returncode = self.status
        os.close(self._at_end)

    def follow(
        self,
        deadline: float,
        events: list[AnyEvent],
        on_event: Callable[[AnyEvent], None],
        stops: Sequence[int],
    ) -> bool:
        """Take in events until the worker ends; False if it was to stop or was late first."""
        unread = b""
        while True:
            readable, _, _ = select.select(
                [self._events, self._ended, *stops], [], [], max(0.0, deadline - time.monotonic())
            )
            if not readable or not set(stops).isdisjoint(readable):
                return False
            if self._events not in readable:
                return True
            chunk = os.read(self._events, 65_536)
            if not chunk:
                # Closed, but the process may still be on its way out.
                remaining = max(0.0, deadline - time.monotonic())
                return self._ended in select.select([self._ended, *stops], [], [], remaining)[0]
            *lines, unread = (unread + chunk).split(b"\n")
            for line in lines:
                events.append(decode_event(line))
                on_event(events[-1])

    def end(self) -> None:
        """Kill whatever is left of the process group, and let go of the pipes."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._reaper.join()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        os.close(self._events)
        os.close(self._ended)


def _verdict(
    events: list[AnyEvent],
    status: int,
    timed_out: bool,
    timeout: float,
    last_words: str,
    oom_killed: bool,
) -> tuple[FailureKind | None, str]:
    if any(isinstance(event, Finished) for event in events):
        return None, ""
    failed = [event for event in events if isinstance(event, Failed)]
    if failed:
        # Of several processes, one that lost its connection to another knows least.
        event = min(failed, key=lambda event: event.kind == "error")
        if oom_killed and event.lost == -signal.SIGKILL:
            return "out-of-memory", f"{event.reason} for lack of memory"
        return event.kind, event.reason
    if timed_out:
        return "timeout", f"not done after {timeout:g} s"
    return failures.of_exit(status, last_words, oom_killed)


def _clocks(events: list[AnyEvent], worker: _Worker, real: float) -> Clocks:
    def seconds(kind: type[Imported] | type[Built] | type[FirstStep]) -> float | None:
        return next((event.seconds for event in events if isinstance(event, kind)), None)

    return Clocks(
        import_seconds=seconds(Imported),
        build_seconds=seconds(Built),
        first_step_seconds=seconds(FirstStep),
        real=real,
        user=worker.usage.ru_utime,
        sys=worker.usage.ru_stime,
    )


def _end_of(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _LAST_BYTES))
        return file.read().decode(errors="replace")


def _oom_kills() -> int:
    """How many processes the kernel has killed for memory since it started."""
    counters = Path("/proc/vmstat")
    if counters.exists():
        for line in counters.read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
