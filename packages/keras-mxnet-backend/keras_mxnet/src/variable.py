"""Keras's variable on MXNet."""

from typing import Any

import numpy as np
from keras.src.backend.common import KerasVariable

from keras_mxnet.src import arrays, autograd, tracing
from keras_mxnet.src.tensor import Tensor, inference


class Variable(KerasVariable):
    """A Keras variable whose value is a tensor; a trainable one is a variable of MXNet's tape."""

    held: Tensor | None = None
    _gradient: Any = None
    _copies: dict[Any, tuple[Any, Any]] | None = None

    @property
    def _value(self) -> Tensor | None:
        """What the variable holds; while this thread traces, what it will hold in a run."""
        tracer = tracing.current()
        return self.held if tracer is None or self.held is None else tracer.read(self, self.held)

    @_value.setter
    def _value(self, value: Tensor | None) -> None:
        self.held = value

    def _initialize(self, value: Any) -> None:
        # A variable needs its value even where shapes are inferred or a graph is traced.
        with inference(False), tracing.using(None):
            self.hold(self._convert_to_tensor(value, dtype=self._dtype))

    def _initialize_with_initializer(self, initializer: Any) -> None:
        with inference(False), tracing.using(None):
            self.hold(self._convert_to_tensor(initializer(self._shape, dtype=self._dtype)))

    def _direct_assign(self, value: Tensor) -> None:
        tracer = tracing.current()
        if tracer is None:
            self.hold(value)
        else:
            tracer.write(self, value)

    def hold(self, value: Tensor) -> None:
        """Take a value, by pointer, as a new leaf of the tape."""
        self.held = value.detach()
        if self._trainable and self.is_differentiable:
            self._gradient = autograd.mark(self.held.array, self._gradient)

    def on(self, context: Any) -> Any:
        """Return the array of what the variable holds, on a device; copied when it has changed."""
        array = self.held.array
        if array.ctx == context:
            return array
        if self._copies is None:
            self._copies = {}
        source, copy = self._copies.get(context, (None, None))
        if source is not array:
            copy = arrays.copied(array, context)
            self._copies[context] = array, copy
        return copy

    @property
    def is_differentiable(self) -> bool:
        """Whether MXNet takes gradients of the variable's dtype."""
        return autograd.is_differentiable(self.dtype)

    def _convert_to_tensor(self, value: Any, dtype: str | None = None) -> Tensor:
        from keras_mxnet.src.ops.core import convert_to_tensor

        return convert_to_tensor(value, dtype=dtype)

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        if self.held is not None:
            self.hold(self.held)

    @property
    def grad(self) -> Tensor | None:
        """The gradient that the last `backward()` left."""
        return autograd.gradient(self._value)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.value.__array__(dtype)
