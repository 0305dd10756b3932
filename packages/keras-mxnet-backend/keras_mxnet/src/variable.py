"""Keras's variable on MXNet."""

from typing import Any

import numpy as np
from keras.src.backend.common import KerasVariable

from keras_mxnet.src import autograd
from keras_mxnet.src.tensor import Tensor, inference


class Variable(KerasVariable):
    """A Keras variable whose value is a tensor; a trainable one is a variable of MXNet's tape."""

    _gradient: Any = None

    def _initialize(self, value: Any) -> None:
        self._set(self._convert_to_tensor(value, dtype=self._dtype))

    def _initialize_with_initializer(self, initializer: Any) -> None:
        # A variable needs its value even where shapes are being inferred.
        with inference(False):
            value = initializer(self._shape, dtype=self._dtype)
            self._initialize(value)

    def _direct_assign(self, value: Tensor) -> None:
        self._set(value)

    def _set(self, value: Tensor) -> None:
        """Take a value, by pointer, as a new leaf of the tape."""
        self._value = value.detach()
        if self._trainable and autograd.is_differentiable(self._value.dtype):
            self._gradient = autograd.mark(self._value, self._gradient)

    def _convert_to_tensor(self, value: Any, dtype: str | None = None) -> Tensor:
        from keras_mxnet.src.ops.core import convert_to_tensor

        return convert_to_tensor(value, dtype=dtype)

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        if self._value is not None:
            self._set(self._value)

    @property
    def grad(self) -> Tensor | None:
        """The gradient that the last `backward()` left."""
        return autograd.gradient(self._value)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.value.__array__(dtype)
