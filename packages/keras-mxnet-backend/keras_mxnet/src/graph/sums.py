"""What several devices computed, added up by MXNet's key-value store."""

from collections.abc import Sequence
from typing import Any

from keras_mxnet.src import arrays


class Sums:
    """Adds up the same lists of arrays again and again.

    What a store has seen it keeps: so each user has one of its own, made when it is needed.
    """

    def __init__(self) -> None:
        self._store: Any = None

    def __call__(self, parts: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the sum of each list, which may take the place of the list's first array.

        Args:
            parts: for each sum the MXNet arrays, each on a device of its own.
        """
        keys = [i for i, found in enumerate(parts) if len(found) > 1]
        if keys:
            with arrays.numpy_shapes():
                firsts = [parts[i][0] for i in keys]
                if self._store is None:
                    self._store = arrays.mxnet.kv.create("device")
                    self._store.init(keys, firsts)
                self._store.push(keys, [list(parts[i]) for i in keys])
                self._store.pull(keys, out=firsts)
        return [found[0] for found in parts]
