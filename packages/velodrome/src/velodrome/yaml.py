"""YAML, read safely, with the two surprises of its usual reader put right.

`1e-4` is a number (YAML 1.2), and a key that stands twice is refused.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from velodrome.errors import UserError


class _Loader(yaml.SafeLoader):
    """The safe loader with YAML 1.2's floats, refusing duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key '{key}' stands twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)$"),
    list("-+0123456789."),
)


def read(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        UserError: the file cannot be read or is not YAML.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        problem = getattr(error, "problem", None) or str(error)
        raise UserError(f"{path}{line}: not valid YAML: {problem}") from None


def scalar(text: str) -> Any:
    """A value from the command line: a number, a truth value or else the text itself."""
    value = yaml.load(text, Loader=_Loader)
    return value if isinstance(value, int | float | bool) else text


def write(path: Path, content: Any) -> None:
    """Write plain content (dictionaries, lists, numbers, text) as YAML, keys in their order."""
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
