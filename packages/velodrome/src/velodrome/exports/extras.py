"""Libraries that only an export needs."""

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
            f"this export needs {library}, which is not here ({error}): "
            f"pip install 'velodrome[{name}]'"
        ) from None
