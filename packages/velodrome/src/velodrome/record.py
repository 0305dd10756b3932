"""What is kept of a trial: the line of `results.jsonl`, and its parts.

Times are in seconds, memory in bytes, accuracies between 0 and 1.
"""

from typing import Any, Literal

import msgspec

from velodrome.machine import Machine
from velodrome.trial import Trial

SCHEMA = 1

FailureKind = Literal[
    "unsupported", "import", "out-of-memory", "crash", "timeout", "diverged", "error", "lost"
]
Status = Literal["ok"] | FailureKind


class Epoch(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One pass over the training data and the validation after it.

    Attributes:
        train_seconds: gathering, training and reading loss and accuracy once.
        validation_seconds: the validation pass.
        samples: samples trained on.
        validation_samples: samples validated on; None in records of before it was kept.
        learning_rate: of this epoch.
        loss: mean cross-entropy while training.
        accuracy: share of training samples told right while training; None of a user's own
            model that does not measure it.
        validation_loss: mean cross-entropy over the validation data.
        validation_accuracy: share of validation samples told right, or None.
        joules: spent while training, by meter (`package-0`, `gpu-0`); None where none is read.
    """

    train_seconds: float
    validation_seconds: float
    samples: int
    validation_samples: int | None = None
    learning_rate: float
    loss: float
    accuracy: float | None
    validation_loss: float
    validation_accuracy: float | None
    joules: dict[str, float] | None = None


class Clocks(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where the time of the process went.

    Attributes:
        import_seconds: loading the framework.
        build_seconds: data, model and initial weights.
        first_step_seconds: one training step from cold, compilation included.
        real: the whole process, from its start to its end.
        user: processor time of the process and its children, own code.
        sys: processor time of the process and its children, kernel.
    """

    import_seconds: float | None = None
    build_seconds: float | None = None
    first_step_seconds: float | None = None
    real: float
    user: float
    sys: float


class DeviceMemory(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Memory of one GPU.

    Attributes:
        index: the GPU's number.
        idle: in use before the process began.
        process: most that the process held at the end of an epoch, idle left out.
        framework: most that the framework says it had allocated, None if it does not.
    """

    index: int
    idle: int
    process: int | None
    framework: int | None


class Memory(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Memory of the process tree.

    Attributes:
        imported: resident once the framework was loaded.
        peak: largest resident size, each process at its own peak.
        devices: of each GPU that was trained on.
    """

    imported: int
    peak: int
    devices: tuple[DeviceMemory, ...] = ()


class Placement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where the trial ran.

    Attributes:
        cpus: logical processors that it was kept on.
        threads: operating system threads of the process tree at its end.
    """

    cpus: tuple[int, ...]
    threads: int


class Steadiness(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A fixed kernel's time around a trial.

    Attributes:
        before: seconds right before the trial.
        after: seconds right after it.
        at_start: of nine readings before the run, the slowest over the median, less one; None
            where they were not taken.
    """

    before: float
    after: float
    at_start: float | None = None


class Ledger(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How an engine really ran, so that a reader can judge whether the race was fair.

    Attributes:
        dtype: of weights and arithmetic.
        compile_mode: how the step is compiled, such as `jax.jit, donated state`.
        threads: worker threads of the framework, None if it does not tell.
        memory_format: order of the axes of images in memory.
        data_path: how a batch comes from the arrays to the device.
        variables: environment variables that were set for it.
        versions: of the framework and what it rests on.
        device: what it ran on, in the framework's words.
        tf32: whether products in float32 may be rounded to TF32; None on a device without it.
        determinism: what was asked of the framework, in its words.
        notes: anything else a reader should know.
    """

    dtype: str
    compile_mode: str
    threads: int | None
    memory_format: str
    data_path: str
    variables: dict[str, str]
    versions: dict[str, str]
    device: str
    tf32: bool | None = None
    determinism: str = ""
    notes: tuple[str, ...] = ()


class Failure(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Why a trial has no result.

    Attributes:
        reason: one line.
        last_lines: the end of what the process printed.
        command: the command line that runs this trial by itself.
    """

    reason: str
    last_lines: tuple[str, ...] = ()
    command: str


class Site(msgspec.Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """What the user says of the machine.

    Attributes:
        infrastructure: a label for the machine.
        instance: its type at a cloud provider.
        price_per_hour: what it costs, in any one currency.
    """

    infrastructure: str | None = None
    instance: str | None = None
    price_per_hour: float | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A trial that has ended, well or not.

    Attributes:
        schema: version of this form.
        id: the trial's id.
        attempt: 1 for the first time, 2 for the first retry, ...
        status: `ok`, or the failure's kind.
        started: when, UTC, ISO 8601.
        trial: what was trained.
        environment: framework, kind and whether it was adopted.
        machine: what it ran on.
        site: what the user says of the machine.
        note: what must be said with any result on this data; may be empty.
        ledger: how the engine ran, None if it never came that far.
        clocks: times outside the epochs, None if no process was started.
        epochs: the epochs that were finished.
        memory: None if no process came to its end.
        placement: likewise.
        waited: seconds a step in which devices did nothing but hand gradients to each other, as
            the framework tells; None on one device, and where it does not.
        steadiness: of the machine around the trial, None if no process was started.
        ceiling: operations a second of large matrix products on this machine in the trial's
            dtype, None if that was not measured.
        failure: None if all went well.
    """

    schema: int = SCHEMA
    id: str
    attempt: int
    status: Status
    started: str
    trial: Trial
    environment: dict[str, str]
    machine: Machine
    site: Site
    note: str = ""
    ledger: Ledger | None = None
    clocks: Clocks | None = None
    epochs: tuple[Epoch, ...] = ()
    memory: Memory | None = None
    placement: Placement | None = None
    waited: float | None = None
    steadiness: Steadiness | None = None
    ceiling: float | None = None
    failure: Failure | None = None


def encode(record: Record) -> bytes:
    """The record as one line of JSON, without the newline."""
    return msgspec.json.encode(record)


def decode(line: bytes | memoryview) -> Record:
    """Read a line, of this form or an earlier one.

    Raises:
        msgspec.DecodeError: the line is not a record (`ValidationError` among them).
    """
    try:
        return _decode(line)
    except msgspec.ValidationError:
        return _decode(msgspec.json.encode(_upgrade(msgspec.json.decode(line))))


_decode = msgspec.json.Decoder(Record).decode


def _upgrade(raw: Any) -> Any:
    """Bring a record of an earlier form to this one, one version at a time."""
    if isinstance(raw, dict) and raw.get("schema", SCHEMA) > SCHEMA:
        raise msgspec.ValidationError(
            f"record of schema {raw['schema']}: written by a later version of velodrome"
        )
    trial = raw.get("trial") if isinstance(raw, dict) else None
    if isinstance(trial, dict) and "precision" in trial and "dtype" not in trial:
        # What the first records of schema 1 called it.
        trial["dtype"] = trial.pop("precision")
    return raw
