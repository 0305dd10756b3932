"""Keras's training loop on MXNet."""

import warnings
from typing import Any

import numpy as np
from keras.src import callbacks as callbacks_module
from keras.src import optimizers as optimizers_module
from keras.src import tree
from keras.src.backend import config
from keras.src.trainers import trainer as base_trainer
from keras.src.trainers.data_adapters import array_slicing, data_adapter_utils
from keras.src.trainers.epoch_iterator import EpochIterator
from keras.src.utils import traceback_utils
from keras.src.utils.python_utils import pythonify_logs
from keras.src.version import __version__ as keras_version

from keras_mxnet.src import autograd
from keras_mxnet.src.convert import convert_to_numpy, convert_to_tensor, is_tensor
from keras_mxnet.src.distribution_lib import devices
from keras_mxnet.src.graph import replicas
from keras_mxnet.src.graph.function import GraphFunction, logger
from keras_mxnet.src.ops import numpy as ops
from keras_mxnet.src.tensor import Tensor

# What `train_on_batch` and `test_on_batch` return; before Keras 3.15, means since the last reset.
_METRICS_OF_ONE_BATCH = tuple(int(part) for part in keras_version.split(".")[:2]) >= (3, 15)


def _batch_size(x: Any) -> int:
    return next(i for i in tree.flatten(x) if i is not None).shape[0]


class MXNetTrainer(base_trainer.Trainer):
    def __init__(self) -> None:
        super().__init__()
        self.train_function = None
        self.test_function = None
        self.predict_function = None
        self._graphs: dict[str, GraphFunction] = {}

    @property
    def eager_steps(self) -> dict[str, str]:
        """The steps that run eagerly because no graph can hold them, by name, and why, in words.

        A step is known to only once it has run.
        """
        return {name: graph.eager for name, graph in self._graphs.items() if graph.eager}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if replicas.is_shared(args, kwargs):
            return replicas.call(self, super().__call__, args, kwargs)
        return super().__call__(*args, **kwargs)

    # One step.

    def _predictions(self, x: Any, training: bool) -> Any:
        return self(x, training=training) if self._call_has_training_arg else self(x)

    def train_step(self, data: Any) -> Any:
        x, y, sample_weight = data_adapter_utils.unpack_x_y_sample_weight(data)
        with autograd.recording():
            y_pred = self._predictions(x, training=True)
            loss = self._compute_loss(
                x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=True
            )
            scaled = loss if self.optimizer is None else self.optimizer.scale_loss(loss)
        self._loss_tracker.update_state(loss, sample_weight=_batch_size(x))
        if self.trainable_weights:
            weights = list(self.trainable_weights)
            gradients = autograd.gradients(scaled, [w._value for w in weights])
            self.optimizer.apply(gradients, weights)
        else:
            warnings.warn("The model does not have any trainable weights.", stacklevel=2)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def test_step(self, data: Any) -> Any:
        x, y, sample_weight = data_adapter_utils.unpack_x_y_sample_weight(data)
        y_pred = self._predictions(x, training=False)
        loss = self._compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=False
        )
        self._loss_tracker.update_state(loss, sample_weight=_batch_size(x))
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def predict_step(self, data: Any) -> Any:
        x, _, _ = data_adapter_utils.unpack_x_y_sample_weight(data)
        return self._predictions(x, training=False)

    # A step's function takes a list of batches: `steps_per_execution` of them.

    def make_train_function(self, force: bool = False) -> Any:
        if self.train_function is None or force:
            self.train_function = self._over_batches(self._graphed(self.train_step))
        return self.train_function

    def make_test_function(self, force: bool = False) -> Any:
        if self.test_function is None or force:
            self.test_function = self._over_batches(self._graphed(self.test_step))
        return self.test_function

    def make_predict_function(self, force: bool = False) -> Any:
        step = self._graphed(self.predict_step)

        def predict(batches: list[Any]) -> Any:
            outputs = [step(_tensors(batch)) for batch in batches]
            if len(outputs) == 1:
                return outputs[0]
            return tree.map_structure(lambda *parts: ops.concatenate(parts), *outputs)

        if self.predict_function is None or force:
            self.predict_function = predict
        return self.predict_function

    def _graphed(self, step: Any) -> Any:
        """Return a step that runs as a graph, or as it is where the user wants it eager."""
        name = f"{type(self).__name__}.{step.__name__}"
        if not self.run_eagerly:
            self._graphs[step.__name__] = GraphFunction(step, name, self)
            return self._graphs[step.__name__]
        self._graphs.pop(step.__name__, None)
        if devices():
            logger.warning("%s runs eagerly, on one device, as `run_eagerly` asks", name)
        return step

    @staticmethod
    def _over_batches(step: Any) -> Any:
        def run(batches: list[Any]) -> Any:
            for batch in batches:
                logs = step(_tensors(batch))
            return logs

        return run

    # Loops.

    @traceback_utils.filter_traceback
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
    ) -> Any:
        self._assert_compile_called("fit")
        max_epochs = config.max_epochs()
        if max_epochs and max_epochs < epochs:
            warnings.warn(f"Limiting epochs to {max_epochs}", stacklevel=2)
            epochs = max_epochs
        self._eval_epoch_iterator = None
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = array_slicing.train_validation_split(
                (x, y, sample_weight), validation_split=validation_split
            )
        if validation_data is not None:
            val_x, val_y, val_sample_weight = data_adapter_utils.unpack_x_y_sample_weight(
                validation_data
            )
        iterator = EpochIterator(
            x=x,
            y=y,
            sample_weight=sample_weight,
            batch_size=batch_size,
            steps_per_epoch=steps_per_epoch,
            shuffle=shuffle,
            class_weight=class_weight,
            steps_per_execution=self.steps_per_execution,
        )
        self._symbolic_build(iterator=iterator)
        iterator.reset()
        callbacks = self._callbacks(callbacks, verbose, iterator, epochs, add_history=True)

        self.stop_training = False
        self.make_train_function()
        callbacks.on_train_begin()
        training_logs: dict[str, Any] = {}
        for epoch in range(self._initial_epoch or initial_epoch, epochs):
            self.reset_metrics()
            callbacks.on_epoch_begin(epoch)
            logs: Any = {}
            for begin_step, end_step, data in iterator:
                callbacks.on_train_batch_begin(begin_step)
                logs = self.train_function(data)
                callbacks.on_train_batch_end(end_step, logs)
                if self.stop_training:
                    break
            epoch_logs = dict(self._get_metrics_result_or_logs(logs))
            if validation_data is not None and self._should_eval(epoch, validation_freq):
                if getattr(self, "_eval_epoch_iterator", None) is None:
                    self._eval_epoch_iterator = EpochIterator(
                        x=val_x,
                        y=val_y,
                        sample_weight=val_sample_weight,
                        batch_size=validation_batch_size or batch_size,
                        steps_per_execution=self.steps_per_execution,
                        steps_per_epoch=validation_steps,
                        shuffle=False,
                    )
                val_logs = self.evaluate(
                    x=val_x,
                    y=val_y,
                    sample_weight=val_sample_weight,
                    batch_size=validation_batch_size or batch_size,
                    steps=validation_steps,
                    callbacks=callbacks,
                    return_dict=True,
                    _use_cached_eval_dataset=True,
                )
                epoch_logs.update({f"val_{name}": value for name, value in val_logs.items()})
            callbacks.on_epoch_end(epoch, epoch_logs)
            training_logs = epoch_logs
            if self.stop_training:
                break
        if isinstance(self.optimizer, optimizers_module.Optimizer) and epochs > 0:
            self.optimizer.finalize_variable_values(self.trainable_weights)
        if getattr(self, "_eval_epoch_iterator", None) is not None:
            del self._eval_epoch_iterator
        callbacks.on_train_end(logs=training_logs)
        return self.history

    @traceback_utils.filter_traceback
    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        self._assert_compile_called("evaluate")
        use_cached = kwargs.pop("_use_cached_eval_dataset", False)
        if kwargs:
            raise ValueError(f"Arguments not recognized: {kwargs}")
        iterator = (
            self._eval_epoch_iterator
            if use_cached
            else EpochIterator(
                x=x,
                y=y,
                sample_weight=sample_weight,
                batch_size=batch_size,
                steps_per_epoch=steps,
                shuffle=False,
                steps_per_execution=self.steps_per_execution,
            )
        )
        self._symbolic_build(iterator=iterator)
        iterator.reset()
        callbacks = self._callbacks(callbacks, verbose, iterator, 1)
        self.make_test_function()
        self.stop_evaluating = False
        callbacks.on_test_begin()
        logs: Any = {}
        self.reset_metrics()
        for begin_step, end_step, data in iterator:
            callbacks.on_test_batch_begin(begin_step)
            logs = self.test_function(data)
            callbacks.on_test_batch_end(end_step, logs)
            if self.stop_evaluating:
                break
        logs = pythonify_logs(self._get_metrics_result_or_logs(logs))
        callbacks.on_test_end(logs)
        return logs if return_dict else self._flatten_metrics_in_order(logs)

    @traceback_utils.filter_traceback
    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        iterator = EpochIterator(
            x=x,
            batch_size=batch_size,
            steps_per_epoch=steps,
            shuffle=False,
            steps_per_execution=self.steps_per_execution,
        )
        callbacks = self._callbacks(callbacks, verbose, iterator, 1)
        self.make_predict_function()
        self.stop_predicting = False
        callbacks.on_predict_begin()
        parts: list[Any] = []
        for begin_step, end_step, data in iterator:
            callbacks.on_predict_batch_begin(begin_step)
            outputs = self.predict_function(data)
            parts.append(tree.map_structure(convert_to_numpy, outputs))
            callbacks.on_predict_batch_end(end_step, {"outputs": outputs})
            if self.stop_predicting:
                break
        callbacks.on_predict_end()
        return tree.map_structure(lambda *arrays: np.concatenate(arrays), *parts)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        self._assert_compile_called("train_on_batch")
        if class_weight is not None:
            if sample_weight is not None:
                raise ValueError(
                    "Arguments `sample_weight` and `class_weight` cannot be specified at the "
                    f"same time. Received: sample_weight={sample_weight}, "
                    f"class_weight={class_weight}"
                )
            sample_weight = data_adapter_utils.class_weight_to_sample_weights(y, class_weight)
        data = _tensors((x, y, sample_weight))
        self._symbolic_build(data_batch=data)
        self.make_train_function()
        if _METRICS_OF_ONE_BATCH:
            self.reset_metrics()
        return self._returned(self.train_function([data]), return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        self._assert_compile_called("test_on_batch")
        data = _tensors((x, y, sample_weight))
        self._symbolic_build(data_batch=data)
        self.make_test_function()
        if _METRICS_OF_ONE_BATCH:
            self.reset_metrics()
        return self._returned(self.test_function([data]), return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        self.make_predict_function()
        return tree.map_structure(convert_to_numpy, self.predict_function([(x,)]))

    def _returned(self, logs: Any, return_dict: bool) -> Any:
        logs = pythonify_logs(logs)
        return logs if return_dict else self._flatten_metrics_in_order(logs)

    def _callbacks(
        self, callbacks: Any, verbose: Any, iterator: Any, epochs: int, add_history: bool = False
    ) -> Any:
        if isinstance(callbacks, callbacks_module.CallbackList):
            return callbacks
        return callbacks_module.CallbackList(
            callbacks,
            add_history=add_history,
            add_progbar=verbose != 0,
            verbose=verbose,
            epochs=epochs,
            steps=iterator.num_batches,
            model=self,
        )


def _tensors(batch: Any) -> Any:
    """Put a batch on the device; what is no array passes."""

    def converted(value: Any) -> Any:
        if value is None or isinstance(value, (str, Tensor)) or is_tensor(value):
            return value
        if hasattr(value, "dtype") and getattr(value.dtype, "kind", "f") in "OSU":
            return value
        return convert_to_tensor(value)

    return tree.map_structure(converted, batch)
