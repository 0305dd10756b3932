"""Libraries that only some of velodrome needs, brought by an extra."""

import importlib
from types import ModuleType

from velodrome.errors import UserError


def extra(module: str, name: str) -> ModuleType:
    """Import a module of an extra.

    Args:
        module: what to import.
        name: the extra of velodrome that brings it.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise UserError(
            f"this needs {library}, which is not here ({error}): pip install 'velodrome[{name}]'"
        ) from None
