"""What a user sees while a study runs.

The display changes only when a worker reports, so it takes nothing from a measurement.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from velodrome.job import AnyEvent, Built, EpochDone, FirstStep, Imported, Job
from velodrome.record import Epoch, Record


class Progress:
    """An observer that prints a line a trial, and on a terminal one that changes an epoch."""

    def __init__(self, console: Console, live: Live | None) -> None:
        self._console = console
        self._live = live
        self._began = time.monotonic()
        self._epochs = self._epochs_done = self._trials = 0
        self._numbers: dict[str, int] = {}

    def note(self, text: str) -> None:
        """Print a line."""
        self._console.print(Text(text, style="dim"), soft_wrap=True)

    def planned(self, done: int, jobs: list[Job]) -> None:
        """Say how much there is to do."""
        self._numbers = {}
        self._trials = len(jobs)
        self._epochs = sum(job.trial.epochs for job in jobs)
        before = f", {done} done before" if done else ""
        self.note(f"{len(jobs)} trials to run{before}")

    def begun(self, job: Job) -> None:
        """Count the trial."""
        if not self._numbers:
            self._began = time.monotonic()  # before it, environments may have been made
        self._numbers.setdefault(job.trial.id, len(self._numbers) + 1)
        self._show(job, "starting")

    def event(self, job: Job, event: AnyEvent) -> None:
        """Show how far the worker is."""
        match event:
            case Imported():
                self._show(job, f"framework loaded in {event.seconds:.1f} s")
            case Built():
                self._show(job, f"model built in {event.seconds:.1f} s")
            case FirstStep():
                self._show(job, f"first step took {event.seconds:.1f} s")
            case EpochDone():
                self._epochs_done += 1
                epoch = event.epoch
                speed = epoch.samples / epoch.train_seconds
                self._show(
                    job,
                    f"epoch {event.number}/{job.trial.epochs}  loss {epoch.loss:.4f}  "
                    f"{_accuracy(epoch)}{speed:,.0f} samples/s",
                )

    def ended(self, record: Record) -> None:
        """Leave a line for the trial."""
        trial = record.trial
        text = (
            f"{self._place(record.id)} {_title(trial.engine, trial.workload, trial.batch_size)}  "
        )
        if record.failure:
            text += f"{record.status}: {record.failure.reason}"
            self._epochs_done += trial.epochs - len(record.epochs)
        else:
            last = record.epochs[-1]
            seconds = record.clocks.real if record.clocks else 0.0
            text += f"{_accuracy(last)}in {seconds:.1f} s"
        self._console.print(Text(text, style="red" if record.failure else ""), soft_wrap=True)

    def _show(self, job: Job, text: str) -> None:
        trial = job.trial
        title = _title(trial.engine, trial.workload, trial.batch_size)
        line = f"{self._place(trial.id)} {title}  {text}{self._time_left()}"
        if self._live:
            self._live.update(Text(line, overflow="ellipsis", no_wrap=True), refresh=True)
        elif "epoch" in text:
            self._console.print(Text(line), soft_wrap=True)

    def _place(self, trial: str) -> str:
        return f"[{self._numbers[trial]}/{self._trials}]"

    def _time_left(self) -> str:
        if not self._epochs_done:
            return ""
        elapsed = time.monotonic() - self._began
        left = elapsed / self._epochs_done * (self._epochs - self._epochs_done)
        return f"  about {left / 60:.0f} min left" if left >= 90 else f"  about {left:.0f} s left"


def _accuracy(epoch: Epoch) -> str:
    accuracy = epoch.validation_accuracy
    return "" if accuracy is None else f"accuracy {accuracy:.4f}  "


def _title(engine: str, workload: str, batch_size: int) -> str:
    return f"{workload} {engine:<16} batch {batch_size:<5}"


@contextmanager
def watching() -> Iterator[Progress]:
    """Show progress on standard error for as long as this lasts."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield Progress(console, None)
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield Progress(console, live)
