"""Keras on MXNet."""

import msgspec

from velodrome.devices import Devices
from velodrome.engines.keras import Keras, share_devices
from velodrome.engines.mxnet import NO_FLOAT16, MXNet
from velodrome.engines.mxnet_import import import_mxnet
from velodrome.job import Job
from velodrome.record import Ledger
from velodrome.trial import Trial


class KerasMXNet(Keras):
    """Keras on MXNet, by the `keras_mxnet` plug-in."""

    name = "keras-mxnet"
    framework = "mxnet"
    backend = "mxnet"
    bare = MXNet
    one_machine = (
        "keras_mxnet shares a batch among the contexts of one process; its keras.distribution "
        "knows no other processes"
    )
    summary = "Keras on MXNet, by the keras_mxnet plug-in"
    mechanism = "keras.distribution.DataParallel, kvstore device; batch normalisation per device"
    # The loss is taken of all parts together.
    evenly = False

    @classmethod
    def unsupported(cls, trial: Trial) -> str | None:
        """As for every Keras engine; and what MXNet's CPU build cannot multiply."""
        if trial.dtype == "float16" and Devices.parse(trial.devices).kind == "cpu":
            return NO_FLOAT16
        return super().unsupported(trial)

    def __init__(self, job: Job) -> None:
        import_mxnet()
        super().__init__(job)
        if self.gpus and self.replicas == 1:
            import keras

            # For as long as the process lives.
            keras.device("gpu:0").__enter__()
        share_devices(job.trial)

    def _compile_mode(self) -> str:
        if self._model.run_eagerly or "train_step" in self._model.eager_steps:
            return "eager"
        return "MXNet's cached graphs, static_alloc"

    def ledger(self) -> Ledger:
        """As on the others; once a step has run, with why it runs eagerly if it does."""
        ledger = super().ledger()
        eager = self._model.eager_steps.values()
        return msgspec.structs.replace(ledger, notes=(*ledger.notes, *eager))


ENGINES = (KerasMXNet,)
