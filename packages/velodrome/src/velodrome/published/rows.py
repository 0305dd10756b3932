"""The schema of a published row, and the rows."""

import functools
from collections.abc import Collection, Iterable
from importlib import resources
from typing import Literal

import msgspec

Status = Literal["ok", "error", "crashed", "partial", "placeholder", "duplicate"]


class PublishedRow(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """One run of a published table; None stands for what its document does not give.

    Attributes:
        row_id: seed and position in it, as `000-001`.
        seed: the document, `000` to `004`.
        source_table: the table within the document.
        source_line: line of the document where the row starts, from 1.
        raw_text: the row as printed. Where a run is a column, its heading and then
            `label | value` lines; where it also has a console log, the log comes first.
        infrastructure_id: the document's number of the machine; means nothing in another seed.
        instance: the machine's name or cloud instance type.
        device_kind: what trained.
        devices: how many of which device.
        gpus: their number; 0 is the CPU.
        framework: what computed.
        framework_version: its version or commit.
        frontend: Keras and its version, where the framework was not used directly.
        cudnn: the version claimed; `none` where the document sets the machine apart as having none.
        workload: Velodrome's name of network and data.
        variant: activation of the Keras LeNet.
        script: the script's printed name.
        dataset: Velodrome's name of the data set.
        n_train: training samples an epoch.
        n_val: validation samples.
        batch_total: samples a step over all devices.
        batch_per_gpu: samples a step and GPU, where they divide evenly.
        epochs: epochs trained.
        lr: initial learning rate.
        momentum: of SGD.
        lr_step_epochs: epoch at which the learning rate fell to a tenth.
        seed_value: the random seed.
        epoch_time_s: seconds an epoch.
        epoch_time_stat: how `epoch_time_s` came from the epochs.
        includes_validation: whether `epoch_time_s` (or the total) covers the validation pass.
        total_time_s: seconds, the whole run.
        setup_subtracted_s: seconds taken off the total before dividing by the epochs.
        user_s: processor seconds, own code.
        sys_s: processor seconds, kernel.
        throughput_per_s: samples a second.
        throughput_count: samples an epoch that `throughput_per_s` counts.
        train_accuracy: between 0 and 1.
        val_accuracy: between 0 and 1, after the last epoch.
        accuracy_denominator: samples that `val_accuracy` is over; more than `n_val` where the
            validation set was padded to whole batches.
        mem_peak_mib: peak memory in MiB, summed over the GPUs.
        mem_idle_mib: memory in MiB before the run, summed over the GPUs.
        mem_scope: the largest of the sampled sums, or each GPU's own peak less its idle memory.
        mem_per_device: MiB, each GPU's, peak less idle.
        status: `placeholder` rows were never run; `duplicate` rows repeat another document's.
        duplicate_of: the row whose figures this one repeats.
        flags: what to beware of; keys of `velodrome.published.flags.FLAGS`.
        corrected_value: by field name, what should have been printed.
    """

    row_id: str
    seed: str
    source_table: str
    source_line: int
    raw_text: str
    infrastructure_id: str | None = None
    instance: str | None = None
    device_kind: Literal["cpu", "gpu"]
    devices: str | None = None
    gpus: int
    framework: Literal["mxnet", "tensorflow", "neon"]
    framework_version: str | None = None
    frontend: str | None = None
    cudnn: str | None = None
    workload: str
    variant: Literal["relu", "tanh"] | None = None
    script: str | None = None
    dataset: str
    n_train: int
    n_val: int
    batch_total: int | None = None
    batch_per_gpu: int | None = None
    epochs: int
    lr: float | None = None
    momentum: float | None = None
    lr_step_epochs: int | None = None
    seed_value: int | None = None
    epoch_time_s: float | None = None
    epoch_time_stat: Literal["median", "last", "mean", "log-derived"] | None = None
    includes_validation: bool | None = None
    total_time_s: float | None = None
    setup_subtracted_s: float | None = None
    user_s: float | None = None
    sys_s: float | None = None
    throughput_per_s: float | None = None
    throughput_count: int | None = None
    train_accuracy: float | None = None
    val_accuracy: float | None = None
    accuracy_denominator: int | None = None
    mem_peak_mib: float | None = None
    mem_idle_mib: float | None = None
    mem_scope: Literal["max-of-sum-over-gpus", "peak-less-idle-each-gpu"] | None = None
    mem_per_device: tuple[float, ...] | None = None
    status: Status
    duplicate_of: str | None = None
    flags: tuple[str, ...] = ()
    corrected_value: dict[str, float | tuple[float, ...]] = {}

    @property
    def engine(self) -> str:
        """Velodrome's name of what trained: `keras-mxnet`, or `mxnet` used directly."""
        return f"keras-{self.framework}" if self.frontend else self.framework


@functools.cache
def _rows() -> tuple[PublishedRow, ...]:
    text = resources.files(__package__).joinpath("rows.jsonl").read_bytes()
    return tuple(msgspec.json.Decoder(PublishedRow).decode_lines(text))


def load() -> list[PublishedRow]:
    """All published rows, in the order of the documents."""
    return list(_rows())


def select(
    rows: Iterable[PublishedRow], **wanted: Collection[str | int] | None
) -> list[PublishedRow]:
    """The rows that have one of the values asked for in every field asked about.

    Args:
        rows: those to choose from.
        wanted: by field, the values allowed; None asks nothing about the field.

    Raises:
        AttributeError: there is no such field.
    """
    asked = {field: values for field, values in wanted.items() if values is not None}
    return [row for row in rows if all(getattr(row, field) in asked[field] for field in asked)]
