"""Keras on TensorFlow."""

from contextlib import AbstractContextManager
from typing import Any

from velodrome.engines.keras import Keras
from velodrome.engines.tensorflow import TensorFlow, mirrored, prepare_gpus, set_threads
from velodrome.job import Job


class KerasTensorFlow(Keras):
    """Keras on TensorFlow."""

    name = "keras-tensorflow"
    framework = "tensorflow"
    backend = "tensorflow"
    bare = TensorFlow
    one_machine = (
        "before it trains, Keras's fit takes the mean of a first batch by strategy.reduce, and "
        "MultiWorkerMirroredStrategy refuses to, of inputs and labels together (Keras 3.15.1, "
        "TFTrainer._maybe_symbolic_build)"
    )
    dtypes = ("float32", "tf32", "bfloat16", "float16")
    summary = "Keras on TensorFlow"
    mechanism = "MirroredStrategy; batch normalisation per device"

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        if job.trial.settings == "tuned":
            set_threads(job.threads, self.replicas)
        if self.gpus:
            prepare_gpus(job.trial.dtype)
        self._strategy = mirrored(self.replicas, self.gpus)

    def _scope(self) -> AbstractContextManager[Any]:
        scope: AbstractContextManager[Any] = self._strategy.scope()
        return scope

    def _adam(self) -> Any:
        """Keras's Adam, given an embedding's gradient as a whole.

        TensorFlow gives it as a list of rows in which a word stands as often as in the batch,
        and Keras squares the rows before it adds them.
        """
        import keras
        import tensorflow as tf

        class Adam(keras.optimizers.Adam):
            def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
                super().update_step(tf.convert_to_tensor(gradient), variable, learning_rate)

        return Adam


ENGINES = (KerasTensorFlow,)
