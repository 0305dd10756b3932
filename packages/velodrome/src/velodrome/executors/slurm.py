"""Trials as jobs of a Slurm cluster, by submitit; and submitit's own jobs on this machine."""

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from velodrome.devices import Devices
from velodrome.errors import UserError
from velodrome.executors import here, node, shared_folder
from velodrome.executors.base import (
    AnyHappening,
    Ended,
    Executor,
    Note,
    Task,
    Tell,
    happenings,
)
from velodrome.executors.lost import ATTEMPTS, without_result
from velodrome.extras import extra

_PACE = 1.0  # seconds between two looks at the jobs' files: Slurm calls nobody back
_PREPARE = 60  # minutes of a job besides its trial's, in which an environment can be made


class _Sent(NamedTuple):
    """A job that was submitted.

    Attributes:
        task: its trial.
        job: submitit's own.
        told: the file of what happens.
        attempt: 1 for the first place.
    """

    task: Task
    job: Any
    told: Path
    attempt: int


class Slurm(Executor):
    """A Slurm cluster whose nodes share the run folder with this machine.

    A trial on CPUs takes a node by itself, one on GPUs as many as it needs. What a job tells
    it adds to a file of the run folder, which is looked at once a second.
    """

    name = "slurm"
    summary = "a Slurm cluster by submitit: slurm, or slurm://PARTITION"

    def __init__(self, place: str = "", jobs: int | None = None) -> None:
        """As `Executor.__init__`; `place` is a partition."""
        self._submitit = extra("submitit", "slurm")
        self._place = place
        self._jobs = jobs

    def run(self, tasks: Sequence[Task], tell: Tell, folder: Path) -> None:
        """As `Executor.run`."""
        own = (folder / "submitit").absolute()
        executor = self._executor(own)
        waiting = list(tasks)
        sent: list[_Sent] = []
        read: dict[Path, int] = {}
        try:
            while waiting or sent:
                while waiting and len(sent) < (self._jobs or len(tasks)):
                    sent += self._send(waiting.pop(0), 1, executor, tell)
                for each in list(sent):
                    # Before the file is read: a job that is done tells nothing more.
                    done = each.job.done()
                    ended = False
                    for happening in _new(each.told, read):
                        tell(happening)
                        ended = ended or isinstance(happening, Ended)
                    if ended or done:
                        sent.remove(each)
                    if done and not ended:
                        sent += self._again(each, executor, tell)
                if sent:
                    time.sleep(_PACE)
        finally:
            for each in sent:
                each.job.cancel(check=False)

    def _send(self, task: Task, attempt: int, executor: Any, tell: Tell) -> list[_Sent]:
        devices = task.job.devices
        if reason := self._unsupported(devices):
            tell(without_result(task, "unsupported", reason))
            return []
        told = Path(executor.folder) / f"{Path(task.log).stem}-{attempt}.jsonl"
        told.parent.mkdir(parents=True, exist_ok=True)
        told.unlink(missing_ok=True)
        if devices.machines > 1:
            shutil.rmtree(_meeting(told), ignore_errors=True)
            _meeting(told).mkdir()
        minutes = int(task.timeout // 60) + _PREPARE
        executor.update_parameters(**self._parameters(devices, minutes))
        job = executor.submit(_on_node, msgspec.json.encode(task), str(told))
        return [_Sent(task, job, told, attempt)]

    def _executor(self, own: Path) -> Any:
        try:
            return self._submitit.SlurmExecutor(folder=own)
        except RuntimeError as error:
            raise UserError(f"no Slurm here: {error}") from None

    def _unsupported(self, devices: Devices) -> str | None:
        if not devices.indices:
            return None
        return f"{devices} names GPUs by number, which Slurm chooses: write gpu:{devices.count}"

    def _parameters(self, devices: Devices, minutes: int) -> dict[str, Any]:
        wanted: dict[str, Any] = {
            "job_name": "velodrome",
            "time": minutes,
            "nodes": devices.machines,
            "ntasks_per_node": 1,
            # A machine that is lost takes the trial with it.
            "srun_args": ["--kill-on-bad-exit=1"],
        }
        if self._place:
            wanted["partition"] = self._place
        if devices.kind == "cpu":
            return wanted | {"exclusive": True}
        return wanted | {"gpus_per_node": devices.count}

    def _again(self, sent: _Sent, executor: Any, tell: Tell) -> list[_Sent]:
        """Submit it once more, unless too many jobs were lost with it."""
        trial = sent.task.job.trial
        words = (sent.job.stderr() or "").split("\n")
        last = next((line for line in reversed(words) if line.strip()), sent.job.state)
        reason = f"job {sent.job.job_id} ended without a result: {last}"
        if sent.attempt < ATTEMPTS:
            tell(Note(text=f"{trial.engine} {trial.short_id} is submitted again: {reason}"))
            return self._send(sent.task, sent.attempt + 1, executor, tell)
        tell(without_result(sent.task, "lost", f"{ATTEMPTS} jobs lost; {reason}"))
        return []


class Local(Slurm):
    """This machine by submitit's local mode: what Slurm would do, without one."""

    name = "submitit-local"
    summary = "submitit's jobs on this machine, one at a time: to try what slurm does"

    def __init__(self, place: str = "", jobs: int | None = None) -> None:
        """As `Executor.__init__`.

        Raises:
            UserError: a place was given, or jobs, which would share devices.
        """
        if place or jobs not in (None, 1):
            raise UserError("submitit-local is this machine, one trial at a time")
        super().__init__(place, 1)
        # submitit ends a job by SIGINT, which all that a shell's background starts ignores.
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _executor(self, own: Path) -> Any:
        return self._submitit.LocalExecutor(folder=own)

    def _unsupported(self, devices: Devices) -> str | None:
        return super()._unsupported(devices) or here.not_played(devices)

    def _parameters(self, devices: Devices, minutes: int) -> dict[str, Any]:
        return {
            "timeout_min": minutes,
            "gpus_per_node": len(devices.gpus),
            # This machine plays all that the trial has.
            "tasks_per_node": devices.machines,
        }


EXECUTORS = (Slurm, Local)


def _on_node(task: bytes, told: str) -> None:
    """Runs in a job, once on each machine: whatever happens is added to the file, a line each."""
    given = msgspec.json.decode(task, type=Task)
    with open(told, "ab", buffering=0) as file:

        def tell(happening: AnyHappening) -> None:
            file.write(msgspec.json.encode(happening) + b"\n")
            if isinstance(happening, Ended):
                os.fsync(file.fileno())

        if given.job.devices.machines == 1:
            node.run(given, tell)
        else:
            number = extra("submitit", "slurm").JobEnvironment().global_rank
            shared_folder.run(given, number, _meeting(Path(told)), tell)


def _meeting(told: Path) -> Path:
    """The folder in which a trial's machines find each other."""
    return told.with_suffix("")


def _new(path: Path, read: dict[Path, int]) -> list[AnyHappening]:
    """What was added to the file, in whole lines, since it was last looked at."""
    content = b""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(read.get(path, 0))
        content = file.read()
    whole = content[: content.rfind(b"\n") + 1]
    read[path] = read.get(path, 0) + len(whole)
    return happenings.decode_lines(whole) if whole else []
