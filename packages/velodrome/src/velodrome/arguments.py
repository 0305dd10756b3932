"""Values as the command line writes them."""

from collections.abc import Iterable
from typing import Any

from velodrome import yaml
from velodrome.errors import UserError


def several(text: str | None) -> list[Any]:
    """`64,0.1,cpu` as [64, 0.1, "cpu"]; nothing as []."""
    return [yaml.scalar(part) for part in text.split(",")] if text else []


def assignments(texts: Iterable[str] | None, option: str) -> dict[str, list[Any]]:
    """`a=1,2` as {"a": [1, 2]}; a later `b=` in the same text starts another key.

    Raises:
        UserError: a text has no key; names the option.
    """
    values: dict[str, list[Any]] = {}
    for text in texts or ():
        key = ""
        for part in text.split(","):
            before, equals, after = part.rpartition("=")
            key = before or key
            if not key or (equals and not before):
                raise UserError(f"{option} {text}: write KEY=VALUE, such as learning_rate=0.05")
            values.setdefault(key, []).extend(several(after))
    return values
