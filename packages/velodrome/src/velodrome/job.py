"""What a worker is told, and what it answers: JSON in, one JSON event a line out."""

from typing import Any

import msgspec

from velodrome.datasets.base import PreparedData
from velodrome.devices import Devices
from velodrome.record import Epoch, FailureKind, Ledger, Memory, Placement
from velodrome.trial import Trial
from velodrome.workloads.graph import Graph


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker computes when it is asked for its mathematics instead of its speed.

    Attributes:
        steps: training steps of one whole batch each, before a last pass of one and a half.
        variants: repetitions with every weight moved by `epsilon` and batches in other orders.
        epsilon: relative distance of neighbouring numbers in the trial's dtype.
        learning_rate: of the steps; the last pass has the recipe's decay of it.
        answer: the `.npz` file to write.
    """

    steps: int
    variants: int
    epsilon: float
    learning_rate: float
    answer: str

    def samples(self, batch_size: int) -> int:
        """Training samples that this takes."""
        return (self.steps + 1) * batch_size + max(1, batch_size // 2)

    def batch_size(self, samples: int) -> int:
        """A batch size that so many training samples are enough for; zero if there is none."""
        return 2 * samples // (2 * self.steps + 3)


class OwnModel(msgspec.Struct, frozen=True, kw_only=True):
    """A Keras model of the user's, in place of a graph.

    Attributes:
        reference: `FILE.py:FUNCTION`; the function builds the model.
        digest: of the file and what it imports from its folder, as `user_code.digest` gives it.
        weights: the `.npz` file of the initial weights, an array a weight in the model's order.
        rehearsal: whether to make that file and try a step, instead of reading it.
    """

    reference: str
    digest: str
    weights: str
    rehearsal: bool = False


class Meeting(msgspec.Struct, frozen=True, kw_only=True):
    """Where the machines of a trial meet, and which of them this is.

    Attributes:
        number: 0 for the machine whose worker the trial's record is of.
        addresses: `host:port` of each machine, in their order; the ports are free there.
    """

    number: int
    addresses: tuple[str, ...]

    @property
    def hosts(self) -> tuple[str, ...]:
        """The addresses without their ports."""
        return tuple(address.rpartition(":")[0] for address in self.addresses)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a worker needs.

    Attributes:
        trial: what to train.
        graph: the model.
        data: where the prepared data set lies.
        threads: processor cores that the trial may use.
        cpus: logical processors it is kept on; empty for wherever the system puts it.
        gpus: numbers of the GPUs it gets; empty for those that the trial's devices name.
        memory_limit: address space of the worker in bytes, None for no limit.
        dropout: whether dropout layers drop; without, training repeats to the last digit.
        comparison: what to compute for a comparison; None to measure.
        dropped: the `.npz` file to write what dropout does to; None not to look at it.
        model: a model of the user's, where the graph is empty.
        meeting: with the trial's other machines; None if it has one, or none is placed yet.
    """

    trial: Trial
    graph: Graph
    data: PreparedData
    threads: int
    cpus: tuple[int, ...] = ()
    gpus: tuple[int, ...] = ()
    memory_limit: int | None = None
    dropout: bool = True
    comparison: Comparison | None = None
    dropped: str | None = None
    model: OwnModel | None = None
    meeting: Meeting | None = None

    @property
    def devices(self) -> Devices:
        """What it trains on, by the numbers of the machine it runs on."""
        devices = Devices.parse(self.trial.devices)
        return msgspec.structs.replace(devices, indices=self.gpus or devices.indices)


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Something that a worker reports.

    Attributes:
        rank: which process of the trial reports.
        world_size: how many processes the trial has.
    """

    rank: int = 0
    world_size: int = 1


class Imported(Event, frozen=True, kw_only=True):
    """The framework is loaded."""

    seconds: float


class Built(Event, frozen=True, kw_only=True):
    """Data and model are in place."""

    seconds: float
    ledger: Ledger


class FirstStep(Event, frozen=True, kw_only=True):
    """One training step from cold; the initial weights are back in place."""

    seconds: float


class EpochDone(Event, frozen=True, kw_only=True):
    """An epoch has been trained and validated."""

    number: int
    epoch: Epoch


class Answered(Event, frozen=True, kw_only=True):
    """The file that the job's comparison, or rehearsal, asked for is written."""


class Finished(Event, frozen=True, kw_only=True):
    """All epochs are done.

    Attributes:
        memory: that was held.
        placement: where it ran.
        ledger: what the engine says of itself now that it has run.
        waited: as `Engine.waited` gives it.
    """

    memory: Memory
    placement: Placement
    ledger: Ledger
    waited: float | None = None


class Failed(Event, frozen=True, kw_only=True):
    """The worker gives up, knowing why.

    Attributes:
        kind: of failure.
        reason: in one line.
        lost: how another process of the trial ended, if that is why, as
            `os.waitstatus_to_exitcode` gives it.
    """

    kind: FailureKind
    reason: str
    lost: int | None = None


AnyEvent = Imported | Built | FirstStep | EpochDone | Answered | Finished | Failed

_events: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def decode_event(line: bytes) -> AnyEvent:
    """Read one line of a worker's pipe."""
    return _events.decode(line)


def to_json(message: Any) -> bytes:
    """A job or an event as one line, newline included."""
    return msgspec.json.encode(message) + b"\n"
