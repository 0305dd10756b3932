"""A user's own Keras model on each of Keras's backends: trained as its file says."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from velodrome import datasets, user_code
from velodrome.datasets.own import are_classes
from velodrome.datasets.structure import Array, Structure, mapped, named, path, rebuilt
from velodrome.engines.base import Order, Totals
from velodrome.engines.keras import Keras
from velodrome.engines.keras_jax import KerasJax
from velodrome.engines.keras_mxnet import KerasMXNet
from velodrome.engines.keras_tensorflow import KerasTensorFlow
from velodrome.engines.keras_torch import KerasTorch
from velodrome.errors import UserError
from velodrome.failures import Unsupported
from velodrome.job import Job
from velodrome.record import Ledger
from velodrome.workloads.graph import Weights

_PROBED = 32  # samples on which a model is built and its output looked at


class OwnModel(Keras):
    """What `build` of the user's file gives, with its own loss, optimizer and metrics.

    Weights are named by their place among the model's and by Keras's path, `003 dense/kernel`.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        assert job.model is not None
        self._reference = user_code.parse(job.model.reference)
        self._notes: tuple[str, ...] = ()

    def build(self) -> None:
        """Make the user's model.

        Raises:
            UserError: the file has changed, or gives no model.
            Unsupported: randomness that was to be turned off cannot be.
        """
        import keras

        assert self.job.model is not None
        if user_code.digest(self._reference) != self.job.model.digest:
            raise UserError(f"{self._reference.path} has changed meanwhile; start again")
        keras.utils.set_random_seed(self.job.trial.seed)
        probed = min(_PROBED, self.job.data.train)
        self._probe = datasets.load(self.job.data, probed).train
        self._function: Callable[[], Any] = user_code.function(self._reference)
        with self._scope():
            self._model = self._made()
            if not self._model.compiled:
                self._compile(self._model)
            self._check_labels()
            self._model.optimizer.build(self._model.trainable_variables)
        self._names = [f"{n:03d} {each.path}" for n, each in enumerate(self._model.weights)]
        self._rate = self.learning_rate(1)
        self._start = [_numpy(each) for each in self._model.optimizer.variables]

    def _made(self) -> Any:
        import keras

        model = self._function()
        if not isinstance(model, keras.Model):
            raise UserError(
                f"{self._reference} gave a {type(model).__name__}; it must give a keras.Model"
            )
        _check_step(model)
        self._check_words(model)
        # Builds what is not built; and a Sequential model keeps silent on a layer that cannot run.
        self._called(model)
        self._check_words(model)
        if not self.job.dropout:
            _still(model)
        return model

    def _called(self, model: Any) -> Any:
        """Its outputs for the first samples."""
        import keras

        return model(mapped(keras.ops.convert_to_tensor, self._probe.x))

    def _check_labels(self) -> None:
        """Where Keras would tell a bare KeyError, or some backends train on, say what is wrong.

        What a training step of the model's own makes of labels is its own affair.

        Raises:
            UserError: labels go by name, and an output that has a loss has none; there are more
                or fewer than outputs, or no classes of the output that they belong to.
        """
        import keras

        own, usual = type(self._model), keras.Model
        given = self._model._compile_config.config.get("loss")
        if (
            given is None
            or own.train_step is not usual.train_step
            or own.compute_loss is not usual.compute_loss
        ):
            return
        out, data = self._called(self._model), self.job.data
        names = _output_names(self._model, out)
        losses = _by_name(names, given)
        wanted = [name for name, loss in losses.items() if loss is not None]
        by_name, alone = isinstance(self._probe.y, dict), not isinstance(out, dict | list | tuple)
        if by_name and not alone and not set(wanted) <= set(data.labels):
            raise UserError(
                f"the model is compiled with a loss for {', '.join(wanted)} and the labels are "
                f"{', '.join(data.labels)}: give both the same names"
            )
        if (by_name and alone) or not len(wanted) <= len(data.labels) <= len(names):
            raise UserError(
                f"the model gives {'one array' if alone else ', '.join(names)} and the labels are "
                f"{', '.join(data.labels) or 'one array'}: give both in the same form"
            )
        outputs = _by_name(names, out)
        labels = _by_name(names, rebuilt({each: each for each in data.labels}))
        for name, loss in losses.items():
            if name in outputs and name in labels:
                of = f" of {name}" if len(outputs) > 1 else ""
                _check_classes(of, loss, outputs[name], *data.ranges[path("y", labels[name])])

    def _check_words(self, model: Any) -> None:
        """What an input gives straight to an embedding must be rows of it.

        Of others JAX makes NaN, MXNet trains on, and TensorFlow and PyTorch stop. A model that is
        not built tells its inputs only once it is called.

        Raises:
            UserError: it is not.
        """
        from keras import layers

        inputs: list[Any] = getattr(model, "inputs", None) or []
        names = [each.name for each in inputs]
        given = _by_name(names, rebuilt({each: path("x", each) for each in self.job.data.inputs}))
        for layer in model._flatten_layers():
            if type(layer) is not layers.Embedding:
                continue
            for name, one in zip(names, inputs, strict=True):
                if one is not getattr(layer, "input", None) or name not in given:
                    continue
                least, most = self.job.data.ranges[given[name]]
                if not 0 <= least <= most < layer.input_dim:
                    raise UserError(
                        f"{given[name]} runs from {least:.10g} to {most:.10g} and the Embedding "
                        f"'{layer.name}' has {layer.input_dim} rows: give numbers from 0 to "
                        f"{layer.input_dim - 1}, or it more rows"
                    )

    def _compile(self, model: Any) -> None:
        """With Adam, and the loss that labels and output suggest, of each output if several."""
        import keras

        pairs = _paired(model, self._called(model), self._probe.y)
        suggested = {name: _loss(name, *pair) for name, pair in pairs.items()}
        model.compile(
            optimizer=keras.optimizers.Adam(),
            loss=rebuilt({name: loss for name, (loss, _) in suggested.items()}),
            metrics=rebuilt({name: metrics for name, (_, metrics) in suggested.items()}),
        )
        losses = [
            f"{type(loss).__name__}{' from logits' if getattr(loss, 'from_logits', False) else ''}"
            f"{f' of {name}' if name else ''}"
            for name, (loss, _) in suggested.items()
        ]
        self._notes = (f"the model is not compiled: trained by Adam on {', '.join(losses)}",)

    def _compiled(self, optimizer: Any, weight_decay: float) -> Any:
        """Another copy of the model with the same loss."""
        model = self._made()
        given = self._model._compile_config.config
        model.compile(
            optimizer=optimizer,
            loss=given["loss"],
            loss_weights=given["loss_weights"],
            run_eagerly=self._model.run_eagerly,
            jit_compile=self._model.jit_compile,
        )
        model.optimizer.build(model.trainable_variables)
        return model

    def _labels(self, y: Structure) -> Structure:
        return y

    def set_weights(self, weights: Weights) -> None:
        """As on the others.

        Raises:
            Unsupported: on this backend the model has other weights.
        """
        shapes = dict(zip(self._names, (each.shape for each in self._model.weights), strict=True))
        if {name: array.shape for name, array in weights.items()} != shapes:
            other = sorted(set(weights) ^ set(shapes)) or "of other shapes"
            raise Unsupported(f"on this backend the model's weights are others: {other}")
        self._write(self._model, weights)
        for variable, array in zip(self._model.optimizer.variables, self._start, strict=True):
            variable.assign(array)

    def _write(self, model: Any, weights: Weights) -> None:
        for variable, name in zip(model.weights, self._names, strict=True):
            variable.assign(weights[name])

    def _read(self, model: Any) -> Weights:
        arrays = [_numpy(each) for each in model.weights]
        return dict(zip(self._names, arrays, strict=True))

    def _trained(self) -> list[str]:
        pairs = zip(self._names, self._model.weights, strict=True)
        return [name for name, variable in pairs if variable.trainable]

    def _set_learning_rate(self, learning_rate: float) -> None:
        """In a race the model's file says it; in a comparison this is a factor on it."""
        import keras

        optimizer = self._model.optimizer
        if self.job.comparison and isinstance(optimizer.learning_rate, keras.Variable):
            optimizer.learning_rate = learning_rate * self._rate

    def learning_rate(self, epoch: int) -> float:
        return float(_numpy(self._model.optimizer.learning_rate))

    def _totals(self, logs: dict[str, float]) -> Totals:
        if "loss" not in logs:
            raise UserError(f"{self._reference}: the model's own train_step tells no 'loss'")
        told = [float(each) for name, each in logs.items() if name.endswith(("accuracy", "acc"))]
        # Of several outputs none speaks for the others.
        some = told and (len(told) == 1 or len(self.job.data.labels) == 1)
        return Totals(float(logs["loss"]), told[0] if some else None)

    def gradients(self, order: Order) -> tuple[float, Weights]:
        """As on the others, of the user's whole loss, penalties included."""
        return super().gradients(order)

    @property
    def scaling(self) -> tuple[str, ...]:
        """In float16 the loss is scaled as Keras does it for any model that is compiled."""
        return ("loss scaled by LossScaleOptimizer",) if self.scales_loss else ()

    def ledger(self) -> Ledger:
        import msgspec

        ledger = super().ledger()
        return msgspec.structs.replace(ledger, notes=(*ledger.notes, *self._notes))


class _OnMXNet(OwnModel, KerasMXNet):
    pass


class _OnTensorFlow(OwnModel, KerasTensorFlow):
    pass


class _OnJax(OwnModel, KerasJax):
    def __init__(self, job: Job) -> None:
        if job.trial.dtype == "float64":
            import jax

            jax.config.update("jax_enable_x64", True)
        super().__init__(job)


class _OnTorch(OwnModel, KerasTorch):
    pass


CLASSES: dict[str, type[OwnModel]] = {
    each.name: each for each in (_OnMXNet, _OnTensorFlow, _OnJax, _OnTorch)
}


def _numpy(variable: Any) -> Any:
    """A copy: what a backend answers may be the variable's own memory."""
    import keras

    return np.array(keras.ops.convert_to_numpy(variable))


def _still(model: Any) -> None:
    """Turn off what layers of Keras draw at random.

    Raises:
        Unsupported: a layer draws at random and has no rate that could be set to zero.
    """
    for layer in model._flatten_layers():
        if not layer._seed_generators:
            continue
        rates = [
            name
            for name in ("rate", "stddev", "dropout", "recurrent_dropout")
            if isinstance(getattr(layer, name, None), int | float)
        ]
        if not rates:
            raise Unsupported(
                f"its layer '{layer.name}' ({type(layer).__name__}) draws at random and cannot be "
                "kept from it, so that engines cannot be compared"
            )
        for name in rates:
            setattr(layer, name, 0.0)


def _check_step(model: Any) -> None:
    """A training step of the model's own is called as this backend of Keras calls its own.

    Raises:
        Unsupported: it takes other arguments.
    """
    import keras

    own = inspect.signature(type(model).train_step)
    given = inspect.signature(keras.Model.train_step).parameters
    try:
        own.bind(*given)
    except TypeError:
        raise Unsupported(
            f"the model's own train_step takes ({', '.join(own.parameters)}), and Keras on this "
            f"backend calls it with ({', '.join(given)})"
        ) from None


def _paired(model: Any, outputs: Any, y: Structure) -> dict[str, tuple[Array, Array]]:
    """Each output and its labels, by the labels' names.

    Raises:
        UserError: they do not have the same names, or there are more of one.
    """
    labels = named(y)
    if isinstance(outputs, list | tuple):
        # A functional model's outputs have the names of their layers.
        functional = isinstance(y, dict) and hasattr(model, "output_names")
        names = model.output_names if functional else map(str, range(len(outputs)))
        outputs = dict(zip(names, outputs, strict=True))
    elif not isinstance(outputs, dict):
        outputs = {"": outputs}
    if set(outputs) != set(labels):
        has, wanted = (", ".join(each) or "one array" for each in (outputs, labels))
        raise UserError(
            f"the model's outputs are {has} and the labels {wanted}: give both the same names, or "
            "compile the model in its function"
        )
    return {name: (_numpy(outputs[name]), array) for name, array in labels.items()}


def _output_names(model: Any, outputs: Any) -> list[str]:
    """What Keras calls a model's outputs; by their place where it has no names."""
    if isinstance(outputs, dict):
        return list(outputs)
    number = len(outputs) if isinstance(outputs, list | tuple) else 1
    return getattr(model, "output_names", None) or [str(each) for each in range(number)]


def _by_name(names: list[str], given: Any) -> dict[str, Any]:
    """What is given by these names, in their order, or for all of them, by name."""
    match given:
        case dict():
            return given
        case list() | tuple():
            return dict(zip(names, given, strict=False))
    return dict.fromkeys(names, given)


def _check_classes(of: str, loss: Any, out: Any, least: float, most: float) -> None:
    """Where the loss takes each label for a class: it must be one.

    Raises:
        UserError: a label is none.
    """
    from keras import losses

    axis, found = -1, losses.get(loss)
    if type(found) is losses.SparseCategoricalCrossentropy and found.ignore_class is None:
        axis = found._fn_kwargs.get("axis", axis)
    elif found is not losses.sparse_categorical_crossentropy:
        return
    classes = out.shape[axis]
    if not 0 <= least <= most < classes:
        raise UserError(
            f"the labels{of} run from {least:.10g} to {most:.10g} and the model has {classes} "
            f"outputs for them, one a class: number the classes from 0 to {classes - 1}, or give "
            "it more outputs"
        )


def _loss(name: str, out: Array, y: Array) -> tuple[Any, list[str]]:
    """The loss that labels and an output suggest, and metrics.

    Raises:
        UserError: they suggest none.
    """
    from keras import losses

    out = out.astype(np.float64)
    classes = are_classes(y)
    shares = bool(((out >= 0) & (out <= 1)).all())
    if out.shape == y.shape and y.dtype.kind == "f":
        return losses.MeanSquaredError(), []
    if classes and out.size == len(out):
        return losses.BinaryCrossentropy(from_logits=not shares), ["accuracy"]
    logits = not (shares and np.allclose(out.sum(-1), 1.0, atol=1e-3))
    if y.dtype.kind == "i" and out.shape[:-1] in (y.shape, y.shape[:-1] if classes else None):
        return losses.SparseCategoricalCrossentropy(from_logits=logits), ["accuracy"]
    if out.shape == y.shape and (np.sort(y, -1)[..., -1] == 1).all() and (y.sum(-1) == 1).all():
        return losses.CategoricalCrossentropy(from_logits=logits), ["accuracy"]
    if out.size == y.size and y.dtype.kind == "f":
        return losses.MeanSquaredError(), []
    which = f"output {name}" if name else "the model"
    raise UserError(
        f"which loss {which} needs cannot be told from outputs of shape {out.shape[1:]} and "
        f"labels of shape {y.shape[1:]}, {y.dtype}: compile it in its function"
    )
