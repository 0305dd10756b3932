"""A function in a file of the user's own: named, hashed, and, in a worker only, run."""

import ast
import hashlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from velodrome.errors import UserError

_REFERENCE = re.compile(r"(?P<path>.+\.py):(?P<function>[A-Za-z_]\w*)")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# TensorFlow runs a copy of the user's code, and names the place only in its message.
_TOLD = re.compile(r'File "(?P<path>[^"]+\.py)", line (?P<line>\d+)')
_KERAS = re.compile(
    r"Exception encountered when calling [^\n]*\n+(?P<cause>.*?)(\n\nArguments received.*|$)", re.S
)
_LONGEST = 300


class Reference(NamedTuple):
    """A function in a file, written `path/to/file.py:function`."""

    path: Path
    function: str

    def __str__(self) -> str:
        return f"{self.path}:{self.function}"


def is_reference(text: str) -> bool:
    """Whether a text means a file of Python, with or without a function."""
    return text.endswith(".py") or _REFERENCE.fullmatch(text) is not None


def parse(text: str) -> Reference:
    """Read `path/to/file.py:function`.

    Raises:
        UserError: it names no function.
    """
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise UserError(f"{text} names no function: write FILE.py:FUNCTION")
    return Reference(Path(found["path"]), found["function"])


def digest(reference: Reference) -> str:
    """SHA-256 of the file, of the files beside it that it imports, and the function's name.

    Raises:
        UserError: there is no such file, or a file is not Python; names the line.
    """
    sha = hashlib.sha256(reference.function.encode())
    for path in sorted(_files(reference.path)):
        content = path.read_bytes()
        name = path.relative_to(reference.path.parent).as_posix()
        sha.update(f"\0{name}\0{len(content)}\0".encode() + content)
    return sha.hexdigest()


def _files(path: Path) -> set[Path]:
    """The file and what it imports from its own folder, itself or by another of these."""
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    found: set[Path] = set()
    unread = [path]
    while unread:
        each = unread.pop()
        if each not in found:
            found.add(each)
            unread += _beside(each, path.parent)
    return found


def _beside(path: Path, folder: Path) -> Iterator[Path]:
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        raise UserError(f"{path}:{error.lineno}: SyntaxError: {error.msg}") from None
    except ValueError as error:
        raise UserError(f"{path}: not a file of Python: {error}") from None
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), names=names, level=0):
                modules = [module, *(f"{module}.{alias.name}" for alias in names)]
            case _:
                continue
        for module in modules:
            parts = module.split(".")
            for end in range(1, len(parts) + 1):
                at = folder.joinpath(*parts[:end])
                yield from (
                    each for each in (at.with_suffix(".py"), at / "__init__.py") if each.is_file()
                )


def function(reference: Reference) -> Callable[..., Any]:
    """Run the file and give its function. Never called in the harness.

    Raises:
        UserError: the file has no such function.
        Exception: whatever the file raises.
    """
    path = reference.path.absolute()
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Known by its name, as if imported: Keras's serialisation and pickle look it up.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    found: Callable[..., Any] | None = getattr(module, reference.function, None)
    if not callable(found):
        there = [
            name
            for name, each in vars(module).items()
            if callable(each) and getattr(each, "__module__", "") == path.stem
        ]
        raise UserError(
            f"{reference.path} has no function '{reference.function}' "
            f"(it has: {', '.join(there) or 'none'})"
        )
    return found


def place(error: BaseException, path: Path) -> str | None:
    """Where in the user's files an error arose, such as `my_model.py:12`; None if elsewhere.

    The innermost line of the files in the folder of `path` counts.
    """
    folder = path.absolute().parent
    lines = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    told = [(found["path"], int(found["line"])) for found in _TOLD.finditer(str(error))]
    for name, line in [*reversed(told), *reversed(lines)]:
        at = Path(name)
        if at.is_relative_to(folder) and "site-packages" not in at.parts and at.is_file():
            return f"{path.parent / at.relative_to(folder)}:{line}"
    return None


def original(error: BaseException) -> BaseException:
    """The user's error, where another came of telling it again.

    Keras makes an error anew with its own text; JAX's take a tracer, so that making one fails.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    making = frames and isinstance(frames[-1].f_locals.get("self"), BaseException)
    return original(error.__context__) if making and error.__context__ else error


def message(error: BaseException) -> str:
    """What an error says, in one line, without what Keras wraps around it."""
    # A KeyError's own text is a repr, in which nothing of Keras's would be found.
    bare = error.args[0] if isinstance(error, KeyError) and error.args else error
    text = _COLOURS.sub("", str(bare))
    while found := _KERAS.search(text):
        text = found["cause"]
    lines = [line.strip() for line in text.splitlines()]
    if _TOLD.search(text) and (last := [line for line in lines if line and line[:2] != "[["]):
        # Of TensorFlow's account of the user's code, its last line, less its nodes.
        text = last[-1].removeprefix(f"{type(error).__name__}: ")
    line = " ".join(f"{type(error).__name__}: {text}".split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."
