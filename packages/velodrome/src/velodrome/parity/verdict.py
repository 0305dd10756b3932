"""Verdicts, kept a line each in `parity.jsonl`, and found again for a trial."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from velodrome.errors import UserError
from velodrome.home import home
from velodrome.parity.deviation import Deviation
from velodrome.parity.dropout import Dropped
from velodrome.parity.kernels import Kernels
from velodrome.record import FailureKind, Ledger
from velodrome.trial import DType, Trial

SCHEMA = 1
FILE = "parity.jsonl"

Status = Literal["parity", "deviates", "inconclusive", "no-reference"] | FailureKind


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether one engine trains a workload as the reference does.

    Attributes:
        schema: version of this form.
        status: `parity`; `deviates`; `inconclusive` where the engine's own noise is too large
            to tell; `no-reference` where the references failed or disagree; or how the engine
            failed.
        reason: why it is not at parity, in a line.
        made: when, UTC, ISO 8601.
        trial: what was compared; its environment's hash names code and versions.
        steps: training steps of one batch each.
        reference: the arithmetic of the reference, None if it never came that far: `float64`, or
            `float32` for a user's model that cannot be computed in it.
        draws: of weights and batches, that were compared.
        learning_rate: of the steps, None if it never came that far: the recipe's, or less where
            steps of that size go wherever rounding takes them.
        deviations: every quantity's distance from the reference, in the draw where it was
            nearest; empty if there is none.
        dropout: what its dropout was seen to do, at each of the workload's rates; empty if it has
            none, or the engine is not at parity without it.
        ledger: how the engine ran, None if it never came that far.
        kernels: the compute libraries that really ran.
        repeatable: whether the same process found the same to the last bit when it computed
            it again; None if it never came that far.
    """

    schema: int = SCHEMA
    status: Status
    reason: str = ""
    made: str
    trial: Trial
    steps: int
    reference: DType | None = None
    draws: int = 0
    learning_rate: float | None = None
    deviations: tuple[Deviation, ...] = ()
    dropout: tuple[Dropped, ...] = ()
    ledger: Ledger | None = None
    kernels: tuple[Kernels, ...] = ()
    repeatable: bool | None = None


def settles(verdict: Verdict, trial: Trial) -> bool:
    """Whether a verdict speaks of that trial.

    Batch size, data, learning rate and the epochs at which it falls reach every engine from
    outside, as numbers; what is done with them is what the verdict is about.
    """
    return _key(verdict.trial) == _key(trial)


def _key(trial: Trial) -> tuple[object, ...]:
    recipe = msgspec.structs.replace(
        trial.recipe, learning_rate=1.0, decay_epochs=(), decay_factor=1.0
    )
    return (
        trial.workload,
        trial.graph,
        trial.engine,
        trial.devices,
        trial.dtype,
        trial.environment,
        trial.settings,
        recipe,
    )


def find(verdicts: Iterable[Verdict], trial: Trial) -> Verdict | None:
    """The newest verdict that speaks of that trial."""
    found = [verdict for verdict in verdicts if settles(verdict, trial)]
    return max(found, key=lambda verdict: verdict.made, default=None)


def flag(verdict: Verdict | None) -> str:
    """What was found instead of parity, such as `deviates`; empty if nothing was."""
    status = verdict.status if verdict else "parity"
    return "" if status == "parity" else status


def known(folders: Iterable[Path]) -> list[Verdict]:
    """The verdicts of this machine, then those kept in folders.

    Raises:
        UserError: as `read`.
    """
    return [verdict for folder in (everywhere(), *folders) for verdict in read(folder)]


def everywhere() -> Path:
    """The folder of the verdicts of this machine."""
    return home()


def read(folder: Path) -> list[Verdict]:
    """The verdicts kept in a folder, oldest first; none if there is no file.

    Left out are a line that was cut off while it was written, and those of another version of
    velodrome: they speak of other code.

    Raises:
        UserError: a line is no JSON.
    """
    path = folder / FILE
    if not path.exists():
        return []
    content = path.read_bytes()
    lines = content[: content.rfind(b"\n") + 1].splitlines()
    decoded = [_decoded(line, path, number) for number, line in enumerate(lines, 1)]
    return [verdict for verdict in decoded if verdict is not None]


def _decoded(line: bytes, path: Path, number: int) -> Verdict | None:
    try:
        return msgspec.json.decode(line, type=Verdict)
    except msgspec.ValidationError:
        return None
    except msgspec.DecodeError as error:
        raise UserError(
            f"{path}, line {number}: {error}; remove the line or the file, and compare again"
        ) from None


def keep(verdict: Verdict, folder: Path) -> None:
    """Add a verdict to a folder; it is on the disk when this returns."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FILE).open("ab") as file:
        file.write(msgspec.json.encode(verdict) + b"\n")
        file.flush()
        os.fsync(file.fileno())
