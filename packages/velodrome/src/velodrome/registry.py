"""Things with names, found by listing the modules of a package, and those that plug-ins bring."""

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
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

    Another distribution adds a module of its own by an entry point in the group that is called
    as the package is, such as `velodrome.engines`.

    Attributes:
        broken: why a plug-in's items are not there, by the name of its entry point.

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
        self._plugins: dict[str, EntryPoint] = {}
        self.broken: dict[str, str] = {}

    def all(self) -> dict[str, Item]:
        """Every item by name, in the order of the names."""
        if self._items is None:
            paths = importlib.import_module(self._package).__path__
            modules = [
                importlib.import_module(f"{self._package}.{module.name}")
                for module in pkgutil.iter_modules(paths)
            ]
            items = [item for module in modules for item in getattr(module, self._attribute, ())]
            found = {item.name: item for item in items}
            for point in sorted(entry_points(group=self._package)):
                self._plug_in(point, found)
            self._items = dict(sorted(found.items()))
        return self._items

    def _plug_in(self, point: EntryPoint, found: dict[str, Item]) -> None:
        """Add a plug-in's items; one that is broken must not take the others with it."""
        try:
            items = {item.name: item for item in getattr(point.load(), self._attribute)}
        except (Exception, SystemExit) as error:
            self.broken[point.name] = f"{type(error).__name__}: {error}"
            return
        for name, item in items.items():
            if name in found:
                self.broken[point.name] = f"there is another {self._kind} '{name}'"
            else:
                found[name] = item
                self._plugins[name] = point

    def plugins(self) -> dict[str, EntryPoint]:
        """Which of the items plug-ins bring, and by which entry point."""
        self.all()
        return self._plugins

    def get(self, name: str) -> Item:
        """The item of that name.

        Raises:
            UserError: there is none; the text names those that there are.
        """
        try:
            return self.all()[name]
        except KeyError:
            error = unknown(self._kind, name, self.all())
            lost = [f"; plug-in '{point}' is broken: {why}" for point, why in self.broken.items()]
            raise UserError("".join([str(error), *lost])) from None
