"""Keras 3 as users run it, `compile` and `fit`, on any of its backends."""

import importlib
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from velodrome.datasets.structure import Structure, count, mapped, taken
from velodrome.devices import Devices
from velodrome.engines import keras_layers, libraries
from velodrome.engines.base import LOSS_SCALE, Engine, Order, Totals, dtype_in_use
from velodrome.engines.batches import batches, parts
from velodrome.failures import Unsupported
from velodrome.job import Job
from velodrome.record import Ledger
from velodrome.trial import Settings, Trial
from velodrome.workloads.graph import Weights
from velodrome.workloads.recipe import BETA_1, BETA_2, EPSILON

_LONG_STEP = 2.0**20


class Keras(Engine):
    """What the four Keras engines share.

    Attributes:
        backend: what `KERAS_BACKEND` is set to.
        bare: the engine of the framework itself.
        mechanism: how several devices share a batch, and normalise it.
        evenly: whether they share rightly only a batch that their number divides.
    """

    own_models = True
    backend: ClassVar[str]
    bare: ClassVar[type[Engine]]
    mechanism: ClassVar[str] = ""
    evenly: ClassVar[bool] = True

    @classmethod
    def variables(cls, settings: Settings, threads: int) -> dict[str, str]:
        """The backend's name, and what the framework needs besides."""
        return {"KERAS_BACKEND": cls.backend} | cls.bare.variables(settings, threads)

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        os.environ["KERAS_BACKEND"] = self.backend
        import keras

        if keras.config.backend() != self.backend:
            raise ImportError(f"Keras runs on {keras.config.backend()}, not on {self.backend}")
        # Whatever the user's keras.json says.
        keras.config.set_floatx("float64" if job.trial.dtype == "float64" else "float32")
        mixed = job.trial.dtype in ("bfloat16", "float16")
        keras.config.set_dtype_policy(("mixed_" if mixed else "") + self.arithmetic)
        keras.config.set_image_data_format("channels_last")
        keras.config.set_epsilon(1e-7)

    def build(self) -> None:
        import keras

        recipe = self.job.trial.recipe
        keras.utils.set_random_seed(self.job.trial.seed)
        with self._scope():
            optimizer = (
                self._adam()(recipe.learning_rate, BETA_1, BETA_2, EPSILON)
                if recipe.optimizer == "adam"
                else keras.optimizers.SGD(recipe.learning_rate, recipe.momentum)
            )
            self._model = self._compiled(optimizer, recipe.weight_decay)

    def _scope(self) -> AbstractContextManager[Any]:
        """In which a model is made that several devices train."""
        return nullcontext()

    def _adam(self) -> Any:
        import keras

        return keras.optimizers.Adam

    def _compiled(self, optimizer: Any, weight_decay: float) -> Any:
        """A model of the job's graph, ready for `fit`.

        With a weight penalty in Keras's own loss, cross-entropy is a metric besides.
        """
        import keras

        model = keras_layers.model(self.graph, weight_decay)
        if self.scales_loss:
            optimizer = keras.optimizers.LossScaleOptimizer(
                optimizer, LOSS_SCALE, dynamic_growth_steps=2**31 - 1
            )
        kind = "Binary" if self.graph.binary() else "SparseCategorical"
        crossentropy = getattr(keras.metrics, f"{kind}Crossentropy")
        accuracy = (
            keras.metrics.BinaryAccuracy("accuracy", threshold=0.0)
            if self.graph.binary()
            else keras.metrics.SparseCategoricalAccuracy("accuracy")
        )
        model.compile(
            optimizer=optimizer,
            loss=getattr(keras.losses, f"{kind}Crossentropy")(from_logits=True),
            metrics=[accuracy, crossentropy("crossentropy", from_logits=True)]
            if weight_decay
            else [accuracy],
        )
        model.optimizer.build(model.trainable_variables)
        return model

    def load_training(self, x: Structure, y: Structure) -> None:
        """As on the others.

        Raises:
            Unsupported: several devices cannot share a batch evenly.
        """
        self._check_even(count(y))
        self._train = x, self._labels(y)

    def load_validation(self, x: Structure, y: Structure) -> None:
        self._validation = x, self._labels(y)

    def _check_even(self, samples: int) -> None:
        """Keras shares evenly: on JAX by force, on TensorFlow by taking the mean of means."""
        size = self.job.trial.batch_size
        for batch in (size, 0 if self.job.trial.drop_last else samples % size):
            if self.evenly and batch % self.replicas:
                raise Unsupported(
                    f"{self.name} would not share a batch of {batch} samples rightly among "
                    f"{self.replicas} devices; take sizes that divide, or drop_last"
                )

    def _labels(self, y: Structure) -> Structure:
        """In the shape of the logits, where there is one a sample."""
        return taken(y, np.s_[:, None]) if self.graph.binary() else y

    def set_weights(self, weights: Weights) -> None:
        self._write(self._model, weights)
        optimizer = self._model.optimizer
        for variable in getattr(optimizer, "inner_optimizer", optimizer).variables:
            if variable is not optimizer.learning_rate:
                variable.assign(np.zeros(variable.shape, variable.dtype))

    def weights(self) -> Weights:
        return self._read(self._model)

    def _write(self, model: Any, weights: Weights) -> None:
        for name, array in weights.items():
            variable = keras_layers.variable(model, name)
            variable.assign(array.reshape(variable.shape))

    def _read(self, model: Any) -> Weights:
        import keras

        return {
            # Copied: what a backend answers may be the variable's own memory.
            name: np.array(keras.ops.convert_to_numpy(keras_layers.variable(model, name))).reshape(
                array.shape
            )
            for name, array in self.graph.arrays().items()
        }

    def _trained(self) -> Iterable[str]:
        """Names of the arrays that are trained."""
        return self.graph.parameters()

    def _set_learning_rate(self, learning_rate: float) -> None:
        self._model.optimizer.learning_rate = learning_rate

    def train(self, order: Order, learning_rate: float) -> Totals:
        self._set_learning_rate(learning_rate)
        x, y = self._train
        own = self._part(order, self.job.trial.batch_size)
        history = self._model.fit(
            taken(x, own),
            taken(y, own),
            batch_size=self.job.trial.batch_size // self._feeding,
            shuffle=False,
            verbose=0,
        ).history
        return self._totals({name: values[0] for name, values in history.items()})

    @property
    def _feeding(self) -> int:
        """Processes of which each gives Keras a part of every batch; 1 where each gives all."""
        return 1

    def _part(self, order: Order, size: int) -> Order:
        """What this process gives of batches of that size."""
        if self._feeding == 1:
            return order
        assert self.job.meeting is not None
        number = self.job.meeting.number
        return np.concatenate(
            [parts(batch, self._feeding)[number] for batch in batches(order, size)]
        )

    def _totals(self, logs: dict[str, float]) -> Totals:
        return Totals(logs.get("crossentropy", logs["loss"]), logs["accuracy"])

    def evaluate(self) -> Totals:
        """What several devices cannot share evenly at the end is evaluated by itself, by each."""
        x, y = self._validation
        samples = count(y)
        rest = samples % self.job.trial.batch_size % self.replicas if self.evenly else 0
        if not rest:
            return self._validated(x, y)
        last = self._validated(
            *(mapped(lambda array: array[-rest:].repeat(self.replicas, 0), each) for each in (x, y))
        )
        if rest == samples:
            return last
        whole = self._validated(taken(x, np.s_[:-rest]), taken(y, np.s_[:-rest]))
        share = rest / samples
        return Totals(
            (1 - share) * whole.loss + share * last.loss,
            None
            if whole.accuracy is None or last.accuracy is None
            else (1 - share) * whole.accuracy + share * last.accuracy,
        )

    def _validated(self, x: Structure, y: Structure) -> Totals:
        logs = self._model.evaluate(
            x,
            y,
            batch_size=self.job.trial.batch_size // self._feeding,
            verbose=0,
            return_dict=True,
        )
        return self._totals(logs)

    @cached_property
    def _stepping(self) -> Any:
        import keras

        with self._scope():
            return self._compiled(keras.optimizers.SGD(_LONG_STEP), 0.0)

    def gradients(self, order: Order) -> tuple[float, Weights]:
        """What `fit` does in one step of plain gradient descent on a copy of the model.

        The step is so long that the weights it starts from vanish against it: the
        gradients keep float32's full precision, and a power of two rounds nothing.
        """
        model, before = self._stepping, self.weights()
        self._write(model, before)
        x, y = self._train
        own = self._part(order, len(order))
        history = model.fit(
            taken(x, own),
            taken(y, own),
            batch_size=len(order) // self._feeding,
            shuffle=False,
            verbose=0,
        ).history
        after = self._read(model)
        gradients = {
            name: ((before[name].astype(np.float64) - after[name]) / _LONG_STEP).astype(
                before[name].dtype
            )
            for name in self._trained()
        }
        return history["loss"][0], gradients

    def ledger(self) -> Ledger:
        import keras

        job = self.job
        framework = importlib.import_module(self.framework)
        tf32 = self.gpus and libraries.tf32(self.framework)
        return Ledger(
            dtype=self._dtype_in_use(tf32),
            compile_mode=self._compile_mode(),
            threads=libraries.threads(self.framework),
            memory_format=keras.config.image_data_format().replace("_", " "),
            data_path="arrays in memory, reordered an epoch, model.fit",
            variables=self.variables(job.trial.settings, job.threads),
            versions={
                "keras": keras.__version__,
                self.framework: str(framework.__version__),
                "numpy": np.__version__,
                **libraries.versions(self.framework, self.gpus),
            },
            device=self.job.trial.devices
            + (f", {self.replicas} logical" if self.replicas > 1 and not self.gpus else ""),
            tf32=tf32 if self.gpus else None,
            determinism="not asked for",
            notes=(*((self.mechanism,) if self.replicas > 1 else ()), *self.scaling),
        )

    def _dtype_in_use(self, tf32: bool) -> str:
        """Of the layers that hold arrays, but for integers."""
        from keras.backend import is_float_dtype

        held = [each for each in self._model.weights if is_float_dtype(each.dtype)]
        own = {id(each) for each in held}
        layers = [
            layer
            for layer in self._model._flatten_layers()
            if not own.isdisjoint(
                map(id, layer._trainable_variables + layer._non_trainable_variables)
            )
        ]
        return dtype_in_use(
            {layer.compute_dtype for layer in layers}, {each.dtype for each in held}, tf32=tf32
        )

    def _compile_mode(self) -> str:
        """What turns a step into something that runs fast."""
        return f"Keras's choice (jit_compile={self._model.jit_compile})"


def share_devices(trial: Trial) -> None:
    """Let the trial's devices share each batch, by Keras's own means, where there are several."""
    devices = Devices.parse(trial.devices)
    if devices.machines > 1:
        import keras

        # Each machine gives its own part of a batch.
        whole = keras.distribution.DataParallel(auto_shard_dataset=False)
        keras.distribution.set_distribution(whole)
    elif devices.total > 1:
        import keras

        names = [f"{devices.kind}:{each}" for each in range(devices.total)]
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=names))
