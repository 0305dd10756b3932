"""Keras on PyTorch."""

from velodrome.engines.keras import Keras
from velodrome.engines.torch import Torch, allow_tf32
from velodrome.failures import Unsupported
from velodrome.job import Job
from velodrome.workloads.layers import AveragePool


class KerasTorch(Keras):
    """Keras on PyTorch."""

    name = "keras-torch"
    framework = "torch"
    backend = "torch"
    bare = Torch
    one_device = (
        "Keras shares a batch by keras.distribution (JAX) or MirroredStrategy (TensorFlow); on "
        "PyTorch its fit calls the model itself, not a DistributedDataParallel around it"
    )
    dtypes = ("float32", "tf32", "bfloat16", "float16")
    summary = "Keras on PyTorch"

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        import torch

        if job.trial.settings == "tuned":
            torch.set_num_threads(job.threads)
        if self.gpus:
            # Keras takes the GPU by itself.
            allow_tf32(job.trial.dtype == "tf32")
            torch.backends.cudnn.benchmark = job.trial.settings == "tuned"

    def build(self) -> None:
        """As on the others.

        Raises:
            Unsupported: an average pool pads unevenly, and this backend counts such a pad.
        """
        shapes = self.graph.shapes()
        for node in self.graph.nodes:
            if isinstance(node.layer, AveragePool):
                pads = node.layer.pads(shapes[node.inputs[0]])
                if any(before != after for before, after in pads):
                    raise Unsupported(
                        "Keras on PyTorch counts padded values in the mean of an average pool "
                        "that pads its two sides differently"
                    )
        super().build()


ENGINES = (KerasTorch,)
