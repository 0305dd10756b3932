"""Things with names, found by listing the modules of a package."""

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from velodrome.errors import UserError


class Named(Protocol):
    """Anything with a name that users type."""

    @property
    def name(self) -> str:
        """What users type."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that is not known, with the nearest and all allowed ones."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return UserError(f"unknown {kind} '{name}'{hint} (known: {', '.join(known)})")


Item = TypeVar("Item", bound=Named)


class Registry(Generic[Item]):
    """The items in `attribute` of every module of a package that has it.

    Args:
        kind: what an item is called in messages, such as "workload".
        package: full name of the package whose modules are listed.
        attribute: name of the tuple of items in a module.
    """

    def __init__(self, kind: str, package: str, attribute: str) -> None:
        self._kind = kind
        self._package = package
        self._attribute = attribute
        self._items: dict[str, Item] | None = None

    def all(self) -> dict[str, Item]:
        """Every item by name, in the order of the names."""
        if self._items is None:
            paths = importlib.import_module(self._package).__path__
            modules = [
                importlib.import_module(f"{self._package}.{module.name}")
                for module in pkgutil.iter_modules(paths)
            ]
            items = [item for module in modules for item in getattr(module, self._attribute, ())]
            self._items = {item.name: item for item in sorted(items, key=lambda item: item.name)}
        return self._items

    def get(self, name: str) -> Item:
        """The item of that name.

        Raises:
            UserError: there is none; the text names those that there are.
        """
        try:
            return self.all()[name]
        except KeyError:
            raise unknown(self._kind, name, self.all()) from None
