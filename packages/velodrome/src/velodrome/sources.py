"""Our own packages as a worker runs them: a snapshot, its digest, and a folder that holds it."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from velodrome.engines import OWN, registry

# All of velodrome that runs in a worker. It may import nothing else of velodrome (a test sees
# to it), and a change to anything else makes no result stale.
WORKER = (
    "__init__",
    "datasets",
    "devices",
    "download",
    "engines",
    "errors",
    "failures",
    "home",
    "job",
    "lifeline",
    "lock",
    "machine",
    "record",
    "registry",
    "trial",
    "tryout",
    "user_code",
    "worker",
    "workloads",
)

BACKEND = "keras-mxnet-backend"
_BACKEND_PACKAGE = "keras_mxnet"


@dataclass(frozen=True)
class Sources:
    """Files by their path, relative to a folder on Python's path."""

    files: Mapping[str, bytes]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all names and contents."""
        digest = hashlib.sha256()
        for name, content in sorted(self.files.items()):
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()

    def folder(self, parent: Path) -> Path:
        """Where `place` puts them: named by content, so what is in it never changes."""
        return parent / self.digest[:16]

    def place(self, parent: Path) -> None:
        """Write the files into their folder unless it is there; never seen half-written."""
        target = self.folder(parent)
        if target.exists():
            return
        parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".", dir=parent))
        for name, content in self.files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        try:
            temporary.rename(target)
        except OSError:
            shutil.rmtree(temporary)
            if not target.exists():  # else another process was faster
                raise


@cache
def sources(framework: str) -> Sources:
    """What runs in the environment of a framework, as it was when first asked for."""
    files = dict(_package("velodrome", WORKER))
    if own := os.environ.get(OWN):
        files |= {f"velodrome/engines/{path.name}": path.read_bytes() for path in _modules(own)}
    for point in _plugins(framework):
        files |= dict(_package(point.module.partition(".")[0]))
        if point.dist is not None:
            files |= dict(_metadata(point.dist))
    backend = _backend() if framework == "mxnet" else None
    if backend is not None:
        files |= dict(_package(_BACKEND_PACKAGE))
        files |= dict(_metadata(backend))
    return Sources(files)


def _plugins(framework: str) -> list[EntryPoint]:
    """What brings engines of a framework; a worker finds them as the harness does."""
    found = registry.all()
    points = registry.plugins().items()
    return sorted({point for name, point in points if found[name].framework == framework})


def _modules(folder: str) -> list[Path]:
    return sorted(Path(folder).glob("*.py"))


def has_backend() -> bool:
    """Whether keras-mxnet-backend is installed here, to be brought to MXNet's environment."""
    return _backend() is not None


def _backend() -> Distribution | None:
    try:
        return distribution(BACKEND)
    except PackageNotFoundError:
        return None


def _package(name: str, parts: tuple[str, ...] | None = None) -> Iterator[tuple[str, bytes]]:
    """The files of an installed package (it is not imported), or of some parts of it.

    A plug-in may be a module in one file, too.
    """
    spec = find_spec(name)
    assert spec is not None
    if spec.submodule_search_locations is None:
        assert spec.origin is not None
        yield f"{name}.py", Path(spec.origin).read_bytes()
        return
    root = Path(next(iter(spec.submodule_search_locations)))
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        part = inside.parts[0].removesuffix(".py")
        if path.is_file() and "__pycache__" not in inside.parts and (not parts or part in parts):
            yield f"{name}/{inside.as_posix()}", path.read_bytes()


def _metadata(installed: Distribution) -> Iterator[tuple[str, bytes]]:
    """What of an installed distribution lies beside its package and matters at run time."""
    for file in installed.files or ():
        content = Path(str(file.locate())).read_bytes()
        # An editable install's own .pth names the source folder and imports nothing.
        starts_up = file.suffix == ".pth" and content.lstrip().startswith(b"import ")
        if starts_up or file.name in ("METADATA", "entry_points.txt"):
            yield file.as_posix(), content
