"""Run a user's function for data: `python -m velodrome.user_data FILE.py:FUNCTION ANSWER.npz`.

Exit status 0 if the arrays are written; else the last line on standard error says why not.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from velodrome import user_code
from velodrome.errors import UserError

_PAIR, _QUADRUPLE = ("x", "y"), ("x_train", "y_train", "x_test", "y_test")
FORMS = "(x, y), (x_train, y_train, x_test, y_test), Keras's ((...), (...)), or a dictionary"


def main() -> int:
    """Call the function, write its arrays by name."""
    reference = user_code.parse(sys.argv[1])
    try:
        named = _named(user_code.function(reference)())
        arrays: Any = {name: np.asarray(array) for name, array in named.items()}
        np.savez(sys.argv[2], **arrays)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except Exception as error:
        at = user_code.place(error, Path(reference.path)) or str(reference)
        print(f"{at}: {user_code.message(error)}", file=sys.stderr)
        return 1
    return 0


def _named(given: Any) -> dict[str, Any]:
    """The arrays by name, from any of the usual forms."""
    match given:
        case dict():
            return given
        case (tuple() | list() as train, tuple() | list() as test) if len(train) == len(test) == 2:
            return dict(zip(_QUADRUPLE, (*train, *test), strict=True))
        case (x, y):
            return dict(zip(_PAIR, (x, y), strict=True))
        case (_, _, _, _):
            return dict(zip(_QUADRUPLE, given, strict=True))
    raise UserError(f"{sys.argv[1]} gave a {type(given).__name__}; it must give {FORMS}")


if __name__ == "__main__":
    sys.exit(main())
