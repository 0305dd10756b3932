"""Keras on JAX."""

from velodrome.datasets.structure import Structure, count, taken
from velodrome.devices import Devices
from velodrome.engines.base import Totals
from velodrome.engines.batches import in_sequence
from velodrome.engines.jax import Jax, join, multiply_in, share_processor
from velodrome.engines.keras import Keras, share_devices
from velodrome.failures import Unsupported
from velodrome.job import Job
from velodrome.workloads.layers import SelfAttention


class KerasJax(Keras):
    """Keras on JAX."""

    name = "keras-jax"
    framework = "jax"
    backend = "jax"
    bare = Jax
    one_machine = ""
    dtypes = ("float32", "tf32", "bfloat16", "float16")
    summary = "Keras on JAX"
    mechanism = "keras.distribution.DataParallel; batch normalisation synchronised"

    def __init__(self, job: Job) -> None:
        devices = Devices.parse(job.trial.devices)
        if devices.total > 1 and devices.kind == "cpu":
            share_processor(devices.count)
        if devices.kind == "gpu":
            multiply_in(job.trial.dtype)
        super().__init__(job)
        if job.meeting:
            join(job.meeting)
        share_devices(job.trial)

    def build(self) -> None:
        """As on the others.

        Raises:
            Unsupported: attention in float16 on a CPU.
        """
        if self.scales_loss and not self.gpus and self.graph.has(SelfAttention):
            raise Unsupported(
                "Keras takes jax.nn.dot_product_attention, which multiplies no float16 on a CPU: "
                "'The precision F16_F16_F32 is not supported by dot_general on CPU'"
            )
        super().build()

    @property
    def _feeding(self) -> int:
        """A machine's part of a batch each, of which Keras makes the whole."""
        return len(self.job.meeting.addresses) if self.job.meeting else 1

    def _validated(self, x: Structure, y: Structure) -> Totals:
        if self._feeding > 1:
            own = self._part(in_sequence(count(y)), self.job.trial.batch_size)
            x, y = taken(x, own), taken(y, own)
        return super()._validated(x, y)


ENGINES = (KerasJax,)
