"""What an engine must do.

An engine knows one framework and nothing of sweeps, files or reports. Its module
is imported by the harness too, for its name and its framework's, so the framework
itself is imported only inside the engine's methods.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from velodrome import user_code
from velodrome.devices import Devices
from velodrome.engines import device_memory
from velodrome.job import Job
from velodrome.record import Ledger
from velodrome.trial import DType, Settings, Trial
from velodrome.workloads.graph import Weights

Inputs = npt.NDArray[np.generic]
Labels = npt.NDArray[np.int32]
Order = npt.NDArray[np.int64]


LOSS_SCALE = 1024.0
"""What the loss is multiplied by in float16 before its gradient is taken, and the gradient divided
by after: else small gradients of activations round to zero (Micikevicius et al., "Mixed Precision
Training", ICLR 2018). A fixed one, so that all engines train the same."""


def dtype_in_use(compute: Iterable[str], variables: Iterable[str], *, tf32: bool) -> str:
    """The ledger's word for how a built model computes, whatever was asked for.

    Args:
        compute: dtypes that products and convolutions take.
        variables: dtypes of the model's arrays; named where they are not those of `Engine.dtypes`.
        tf32: whether products of float32 are rounded to TF32.
    """
    word = " and ".join(sorted(set(compute)))
    held = " and ".join(sorted(set(variables)))
    usual = "float64" if word == "float64" else "float32"
    if word == "float32" and tf32:
        word = "tf32"
    return word if held == usual else f"{word} (variables {held})"


class Totals(NamedTuple):
    """Means over the samples of a pass.

    Attributes:
        loss: cross-entropy (no weight penalty); of a user's model its whole loss.
        accuracy: share of samples told right; None of a user's model that does not measure it.
    """

    loss: float
    accuracy: float | None


class Engine(ABC):
    """One framework training one workload.

    The worker calls, in this order: the constructor, `build`, `load_training`,
    `load_validation`, `set_weights`, then
    `train` and `evaluate` once an epoch. Each call returns only when the device has
    finished its work, so that the worker may read the clock.

    Attributes:
        name: what users type.
        framework: the environment it runs in.
        summary: one line for `velodrome list`.
        dtypes: those that it can train in. In `bfloat16` and `float16` weights stay float32;
            products and convolutions take the narrow one.
        no_gpu: why it trains on no GPU; empty if it can.
        own_models: whether it trains Keras models of the user's.
        one_device: why it trains on one device only; empty if several can share each batch.
        one_machine: why these must be on one machine; empty if several machines can.
        replicas: devices that share each batch, on all machines.
        own: those of them that are this process's machine's.
        gpus: whether they are GPUs, of which the process sees its own alone.
    """

    name: ClassVar[str]
    framework: ClassVar[str]
    summary: ClassVar[str]
    dtypes: ClassVar[tuple[DType, ...]] = ("float32",)
    no_gpu: ClassVar[str] = ""
    own_models: ClassVar[bool] = False
    one_device: ClassVar[str] = ""
    one_machine: ClassVar[str] = "it has no way of its own to share a batch with other machines"

    @classmethod
    def unsupported(cls, trial: Trial) -> str | None:
        """Why this engine cannot run that trial at all, or None."""
        if user_code.is_reference(trial.workload) and not cls.own_models:
            return f"{cls.name} trains velodrome's workloads, not a Keras model of one's own"
        devices = Devices.parse(trial.devices)
        if devices.kind == "gpu" and cls.no_gpu:
            return f"{cls.name} runs on a CPU only: {cls.no_gpu}"
        if devices.total > 1 and cls.one_device:
            return f"{cls.name} trains on one device: {cls.one_device}"
        if devices.machines > 1 and cls.one_machine:
            return f"{cls.name} trains on one machine: {cls.one_machine}"
        if devices.total > trial.batch_size:
            return f"a batch of {trial.batch_size} cannot be shared by {devices.total} devices"
        if trial.dtype == "tf32" and devices.kind == "cpu":
            return "tf32 is how NVIDIA GPUs multiply; a CPU has float32 and bfloat16"
        if trial.dtype not in cls.dtypes:
            return f"{cls.name} trains in {' or '.join(cls.dtypes)}, not in {trial.dtype}"
        return None

    @classmethod
    def processes(cls, trial: Trial) -> int:
        """Processes that the trial takes; each runs the whole job on its part of each batch.

        They find their rank and each other by torchrun's variables `RANK`, `WORLD_SIZE`,
        `MASTER_ADDR` and `MASTER_PORT`; the first finds its end of that port, which listens
        already, in the descriptor `MASTER_LISTENS`. An engine that says 1 has a process a
        machine, and meets those of other machines by the job's `meeting`.
        """
        return 1

    @classmethod
    def variables(cls, settings: Settings, threads: int) -> dict[str, str]:
        """Environment variables of the process, set before the framework loads."""
        return {}

    @abstractmethod
    def __init__(self, job: Job) -> None:
        """Import the framework and apply the settings; build nothing yet."""
        self.job = job
        devices = Devices.parse(job.trial.devices)
        self.replicas, self.gpus = devices.total, devices.kind == "gpu"
        first = job.meeting.number * devices.count if job.meeting else 0
        self.own = range(first, first + devices.count)
        self.graph = job.graph if job.dropout else job.graph.without_dropout()

    @abstractmethod
    def build(self) -> None:
        """Make the model and the training step of the job."""

    @abstractmethod
    def load_training(self, x: Inputs, y: Labels) -> None:
        """Take the training data, in the form that training reads it from.

        Called again before each epoch in which augmentation has changed the images.

        Args:
            x: images (samples, height, width, channels) float32 between 0 and 1, or
                tokens (samples, length) int32.
            y: (samples,) int32.
        """

    @abstractmethod
    def load_validation(self, x: Inputs, y: Labels) -> None:
        """Take the validation data, of the same form."""

    @abstractmethod
    def set_weights(self, weights: Weights) -> None:
        """Start afresh from these arrays: the optimizer's state is cleared too."""

    @abstractmethod
    def weights(self) -> Weights:
        """All arrays as they are now, in the graph's names and layouts."""

    @abstractmethod
    def train(self, order: Order, learning_rate: float) -> Totals:
        """Train over the samples in that order, in batches of the trial's size.

        The last batch may be smaller. Several devices share each batch, the last too, and
        step along the gradient of its mean loss, however many samples each has of it. Loss
        and accuracy are those of each step before its update, added up on the device and
        read once.
        """

    def learning_rate(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 1."""
        return self.job.trial.recipe.learning_rate_in(epoch, self.replicas)

    @abstractmethod
    def evaluate(self) -> Totals:
        """Loss and accuracy over the validation data, nothing trained."""

    @abstractmethod
    def gradients(self, order: Order) -> tuple[float, Weights]:
        """Loss and gradients of one batch at the present weights; nothing is changed.

        Computed as in training (batch statistics, the job's dropout), but of the
        cross-entropy alone: a recipe's weight decay has no part in them.

        Args:
            order: the training samples that make up the batch.

        Returns:
            The mean cross-entropy over the batch, and its gradient by every trained
            array, in the graph's names and layouts.
        """

    @property
    def arithmetic(self) -> str:
        """The dtype that the framework is told; TF32 is a way to multiply float32."""
        return "float32" if self.job.trial.dtype == "tf32" else self.job.trial.dtype

    @property
    def scales_loss(self) -> bool:
        """Whether gradients are taken of `LOSS_SCALE` times the loss."""
        return self.job.trial.dtype == "float16"

    @property
    def scaling(self) -> tuple[str, ...]:
        """The same for the ledger."""
        return (f"loss scaled by {LOSS_SCALE:g}",) if self.scales_loss else ()

    def device_memory(self) -> list[int]:
        """Most bytes the framework had allocated on each GPU; empty where it does not tell."""
        peaks = device_memory.PEAKS.get(self.framework)
        return peaks() if peaks else []

    def waited(self) -> float | None:
        """Seconds a step that its devices spent on nothing but handing gradients to each other.

        None where the framework does not tell.
        """
        return None

    @abstractmethod
    def ledger(self) -> Ledger:
        """How this engine really runs; asked once the model is built, and again at the end."""
