"""What Keras's `fit` takes for `x` and for `y`: one array, or several in a list or a dictionary.

By name, the only array is called "", those of a list "0", "1" and so on. In a file a name stands
behind the part it belongs to: `x_train`, `x_train/0`, `x_train/title`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velodrome.errors import UserError

Array = NDArray[Any]
Structure = Array | list[Array] | dict[str, Array]

ONE = ("",)
"""The names of an array that is the only one."""


def named(of: Structure) -> dict[str, Array]:
    """Its arrays by name, in their order."""
    match of:
        case dict():
            return of
        case list():
            return {str(number): array for number, array in enumerate(of)}
    return {"": of}


def rebuilt(parts: Mapping[str, Any]) -> Any:
    """The structure that `named` took apart, of arrays or of what stands for them."""
    if tuple(parts) == ONE:
        return parts[""]
    return list(parts.values()) if _numbered(list(parts)) else dict(parts)


def mapped(function: Callable[[Array], Any], of: Structure) -> Any:
    """The same structure of what the function makes of each array."""
    return rebuilt({name: function(array) for name, array in named(of).items()})


def taken(of: Structure, index: Any) -> Structure:
    """The same structure of a part of each array, such as the samples of a batch."""
    result: Structure = mapped(lambda array: array[index], of)
    return result


def count(of: Structure) -> int:
    """How many samples each of its arrays has."""
    return len(next(iter(named(of).values())))


def spread(given: Any, part: str) -> dict[str, Any]:
    """What a user gives for a part such as `x_train`, by the names that it has in a file.

    A list or tuple is several arrays if it holds some, and one array if it holds numbers.

    Raises:
        UserError: a structure in a structure, a name that is none, or names that are places.
    """
    if not _several(given):
        return {part: given}
    if isinstance(given, dict) and given and all(str(name).isdecimal() for name in given):
        raise UserError(
            f"{part} is a dictionary with the names {', '.join(map(repr, given))}, which in a file "
            "are places in a list; give a list, or other names"
        )
    items = given.items() if isinstance(given, dict) else enumerate(given)
    arrays = {}
    for name, array in items:
        if isinstance(given, dict) and not (isinstance(name, str) and name):
            raise UserError(f"{part} has an array named {name!r}; a name is a text, not empty")
        if _several(array):
            raise UserError(
                f"{part}/{name} is a {type(array).__name__} of arrays; {part} must be an array, "
                "or a list or dictionary of arrays and nothing deeper"
            )
        arrays[f"{part}/{name}"] = array
    return arrays


def gathered(arrays: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """The arrays of a file: of each part, by name.

    Raises:
        UserError: a part is one array and several, or its numbers leave one out.
    """
    parts: dict[str, dict[str, Array]] = {}
    for each, array in arrays.items():
        part, _, name = each.partition("/")
        parts.setdefault(part, {})[name] = array
    for part, found in parts.items():
        if "" in found and len(found) > 1:
            raise UserError(f"{part} is one array and several: {', '.join(_full(part, found))}")
        if all(map(str.isdecimal, found)):
            parts[part] = dict(sorted(found.items(), key=lambda item: int(item[0])))
            if not _numbered(list(parts[part])):
                raise UserError(f"{', '.join(_full(part, found))}: numbers must run from 0 on")
    return parts


def path(part: str, name: str) -> str:
    """What an array of a part is called in a file."""
    return f"{part}/{name}" if name else part


def _full(part: str, names: Mapping[str, Array]) -> list[str]:
    return [path(part, name) for name in names]


def _numbered(names: Sequence[str]) -> bool:
    return list(names) == [str(number) for number in range(len(names))]


def _several(given: Any) -> bool:
    if isinstance(given, dict):
        return True
    return isinstance(given, list | tuple) and any(_array(each) or _several(each) for each in given)


def _array(given: Any) -> bool:
    """Whether it is an array of any library, and no single number."""
    return hasattr(given, "__array__") and np.ndim(given) > 0
