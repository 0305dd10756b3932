"""Run a user's function for data: `python -m velodrome.user_data FILE.py:FUNCTION ANSWER.npz`.

Exit status 0 if the arrays are written; else the last line on standard error says why not.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from velodrome import user_code
from velodrome.datasets.structure import spread
from velodrome.errors import UserError

_PAIR, _QUADRUPLE = ("x", "y"), ("x_train", "y_train", "x_test", "y_test")
FORMS = "(x, y), (x_train, y_train, x_test, y_test), Keras's ((...), (...)), or a dictionary"


def main() -> int:
    """Call the function, write its arrays by name."""
    reference = user_code.parse(sys.argv[1])
    try:
        parts = _parts(user_code.function(reference)())
        try:
            given = [spread(each, part) for part, each in parts.items()]
        except UserError as error:
            raise UserError(f"{reference}: {error}") from None
        arrays: Any = {name: np.asarray(array) for each in given for name, array in each.items()}
        np.savez(sys.argv[2], **arrays)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except (Exception, SystemExit) as error:
        at = user_code.place(error, Path(reference.path)) or str(reference)
        print(f"{at}: {user_code.message(error)}", file=sys.stderr)
        return 1
    return 0


def _parts(given: Any) -> dict[str, Any]:
    """What is given for x, y and so on, from any of the usual forms.

    Two tuples of two are Keras's training and test data; lists, as for `fit`, several arrays.
    """
    match given:
        case dict():
            return given
        case (tuple() as train, tuple() as test) if len(train) == len(test) == 2:
            if len({each[0].shape[1:] for each in given if hasattr(each[0], "shape")}) > 1:
                raise UserError(
                    f"{sys.argv[1]} gave two tuples of two, which are training and test data, and "
                    "the inputs of both have other shapes; give several inputs or labels as lists"
                )
            return dict(zip(_QUADRUPLE, (*train, *test), strict=True))
        case (x, y):
            return dict(zip(_PAIR, (x, y), strict=True))
        case (_, _, _, _):
            return dict(zip(_QUADRUPLE, given, strict=True))
    number = f" of {len(given)}" if isinstance(given, list | tuple) else ""
    raise UserError(f"{sys.argv[1]} gave a {type(given).__name__}{number}; it must give {FORMS}")


if __name__ == "__main__":
    sys.exit(main())
