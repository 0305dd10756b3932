"""Arrays that are no variables but an attribute of a layer, a metric, a loss or an optimizer.

A graph may hold such an array as a constant for as long as the attribute stays what it was.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from keras.src.saving.keras_saveable import KerasSaveable

from keras_mxnet.src.tensor import Tensor


class Held(NamedTuple):
    """An array, and the attribute that holds it.

    Attributes:
        owner: the class of the object whose attribute it is.
        attributes: all of that object's.
        name: the attribute's.
        value: what it was: a tensor, or an array of NumPy's.
        memory: the MXNet array, or the array of NumPy's that the value is or is a view of.
        content: what NumPy's memory held, as it may be changed in place; None for a tensor,
            which is not.
    """

    owner: str
    attributes: dict[str, Any]
    name: str
    value: Any
    memory: Any
    content: bytes | None

    def __str__(self) -> str:
        return f"`{self.name}` of {self.owner}"

    def stays(self) -> bool:
        """Tell whether the attribute is what it was."""
        if self.attributes.get(self.name) is not self.value:
            return False
        return self.content is None or self.memory.tobytes() == self.content

    def restore(self) -> None:
        """Make the attribute what it was."""
        self.attributes[self.name] = self.value
        if self.content is not None:
            held = np.frombuffer(self.content, self.memory.dtype)
            self.memory[...] = held.reshape(self.memory.shape)


class Attributes:
    """The arrays that a model and all that it is made of hold now.

    Args:
        model: that model, None for one that holds nothing.
    """

    def __init__(self, model: Any):
        self._held: dict[int, list[Held]] = {}
        for one in _parts(model):
            for name, value in vars(one).items():
                if isinstance(value, np.ndarray) or (
                    isinstance(value, Tensor) and not value.is_abstract
                ):
                    memory = _memory(value)
                    content = memory.tobytes() if isinstance(memory, np.ndarray) else None
                    held = Held(type(one).__name__, vars(one), name, value, memory, content)
                    self._held.setdefault(id(memory), []).append(held)

    def find(self, array: Any) -> list[Held]:
        """Find the attributes that share the memory of a tensor or of an array of NumPy's."""
        return self._held.get(id(_memory(array)), [])


def _parts(root: Any) -> Iterator[KerasSaveable]:
    stack, seen = [root], set()
    while stack:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, KerasSaveable):
            yield one
            stack.extend(vars(one).values())
        elif isinstance(one, (list, tuple)):
            stack.extend(one)
        elif isinstance(one, dict):
            stack.extend(one.values())


def _memory(array: Any) -> Any:
    """Return what tensors of the same array share, and views of the same array."""
    if isinstance(array, Tensor):
        return array.array
    base = getattr(array, "base", None)
    return base if isinstance(base, np.ndarray) else array
