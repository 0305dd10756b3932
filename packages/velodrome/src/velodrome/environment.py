"""One virtual environment a framework: made on demand, reused, repaired, or adopted.

An environment has two parts. The third-party packages lie in a virtual environment made from
the framework's pinned file, or in an interpreter that the user already has. Our own sources
lie beside it, in a folder named by their content that a worker puts in front of its path: so
they are never stale, and a change of ours installs nothing.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from velodrome import engines, interpreters
from velodrome.errors import UserError
from velodrome.home import home
from velodrome.interpreters import Interpreter
from velodrome.lock import locked
from velodrome.registry import unknown
from velodrome.sources import BACKEND, Sources, has_backend, sources

Kind = Literal["cpu", "gpu"]
KINDS: tuple[Kind, ...] = ("cpu", "gpu")
State = Literal["ready", "adopted", "missing", "half-made", "stale", "unavailable"]
Report = Callable[[str], None]
Pins = tuple[str, ...]

PINNED = Path(str(files("velodrome"))) / "environments"

# What a worker imports besides its framework: module and the distribution it comes in.
WORKER_NEEDS = {
    "msgspec": "msgspec",
    "numpy": "numpy",
    "psutil": "psutil",
    "pynvml": "nvidia-ml-py",
    "PIL": "pillow",
}

_CODE = "VELODROME_CODE"

# Beginnings of what steers frameworks and their libraries: threads, kernels, precision.
_STEERING = (
    *("OMP_", "GOMP_", "KMP_", "MKL_", "MKLDNN_", "DNNL_", "ONEDNN_", "OPENBLAS_", "CUDNN_"),
    *("XLA_", "JAX_", "TF_", "TORCH", "PYTORCH_", "MXNET_", "KERAS_", "NVIDIA_TF32_OVERRIDE"),
)
# Folders of what was downloaded, and Terraform's.
_HARMLESS = ("KERAS_HOME", "TORCH_HOME", "TF_CLI_", "TF_VAR_")
# What scikit-learn sets in every process that loads it: no user's wish.
_SET_BY_SKLEARN = ("KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK")

# Runs a module with our sources in front. `addsitedir` also runs their .pth files.
_START = """
import os, runpy, site, sys
code = os.environ["VELODROME_CODE"]
if code not in sys.path:
    sys.path.insert(0, code)
    site.addsitedir(code)
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""

# Gives whoever uses the environment's interpreter the newest sources, a worker its own.
_PTH = f"import os, site; site.addsitedir(os.environ.get({_CODE!r}) or {{code!r}})\n"

_INSPECT = """
import importlib, importlib.metadata, json, platform, sys
failed = {}
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException as error:
        failed[name] = f"{type(error).__name__}: {error}"
installed = {each.metadata["Name"]: each.version for each in importlib.metadata.distributions()}
answer = {"python": platform.python_version(), "failed": failed, "installed": installed}
print("\\n" + json.dumps(answer))
"""


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Where the workers of a framework run.

    Attributes:
        framework: such as `mxnet`.
        kind: cpu or gpu.
        pins: versions in place of the pinned file's own, such as `keras==3.14.1`.
        python: the interpreter, which need not exist before `ensure`.
        hash: SHA-256 over the third-party packages, the Python version and our sources.
        code: folder of our sources.
        adopted: whether the interpreter is the user's own.
    """

    framework: str
    kind: Kind
    pins: Pins = ()
    python: Path
    hash: str
    code: Path
    adopted: bool


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """How an environment stands.

    Attributes:
        framework: such as `mxnet`.
        kind: cpu or gpu.
        pins: versions in place of the pinned file's own.
        state: `missing`, `half-made` and `stale` ones are put right when they are next needed.
        python: its interpreter, or the one it would be made with.
        detail: why it is unavailable, else the Python version.
    """

    framework: str
    kind: Kind
    pins: Pins = ()
    state: State
    python: Path | None
    detail: str


class _Made(msgspec.Struct, frozen=True):
    """Written last into an environment: how it was made."""

    interpreter: str
    base: str


class _Adopted(msgspec.Struct, frozen=True):
    """Which interpreter was adopted."""

    interpreter: str


class _Inspection(msgspec.Struct, frozen=True):
    """What an interpreter says of itself."""

    python: str
    failed: dict[str, str]
    installed: dict[str, str]


def frameworks(kind: Kind) -> list[str]:
    """Frameworks that an environment can be made for, and those adopted."""
    pinned = {path.stem for folder in _pinned() for path in (folder / kind).glob("*.txt")}
    adopted = {path.stem for path in (home() / "environments" / "adopted" / kind).glob("*.json")}
    return sorted(pinned | adopted)


def pinned(framework: str, kind: Kind, pins: Pins) -> Pins:
    """Those of the pins that concern a package of the framework's environment."""
    named = {_package(line) for line in _lines(framework, kind)}
    return tuple(pin for pin in pins if _package(pin) in named)


def describe(framework: str, kind: Kind, pins: Pins = ()) -> Environment:
    """The environment as `ensure` would leave it; makes nothing.

    Args:
        framework: whose environment.
        kind: cpu or gpu.
        pins: versions, such as `keras==3.14.1`, in place of the pinned file's own. Packages
            that the environment does not hold are passed over.

    Raises:
        UserError: there can be none here; the text says why and what to do.
    """
    adopted = _read(_adopted(framework, kind), _Adopted)
    if adopted is not None:
        if pins:
            raise UserError(
                f"{framework} runs in an adopted Python, whose packages are not changed: "
                f"leave out --pin, or first: velodrome env remove {framework} --kind {kind}"
            )
        python = Path(adopted.interpreter)
        return _described(framework, kind, python, _inventory(python, framework), adopted=True)
    interpreter = _interpreter(framework, kind, pins)
    base = _base(framework, kind, interpreter, pins)
    python = _folder(framework, kind, pins) / "bin" / "python"
    return _described(framework, kind, python, base, pins=pinned(framework, kind, pins))


def ensure(
    framework: str,
    kind: Kind,
    pins: Pins = (),
    *,
    report: Report,
    interpreter: Path | None = None,
) -> Environment:
    """The environment, ready to use: made, repaired or brought up to date if need be.

    Args:
        framework: whose environment.
        kind: cpu or gpu.
        pins: as for `describe`.
        report: takes a line of text at each stage.
        interpreter: the Python to make it with; by default the one it was made with, else this
            process's own if the framework runs on it, else one from PATH.

    Raises:
        UserError: it cannot be made; the text says why and what to do.
    """
    if _adopted(framework, kind).exists():
        if interpreter is not None:
            raise UserError(
                f"{framework} runs in an adopted Python; "
                f"first: velodrome env remove {framework} --kind {kind}"
            )
        environment = describe(framework, kind, pins)
        sources(framework).place(_code())
        return environment
    with _alone(framework, kind, report, pins) as lock:
        if interpreter is None:
            chosen = _interpreter(framework, kind, pins)
        else:
            _check_known(framework, kind)
            chosen = interpreters.check(framework, interpreter)
        made = _made(framework, kind, pins)
        if made is None or made.base != _base(framework, kind, chosen, pins):
            _make(framework, kind, pins, chosen, lock, report)
        code = sources(framework)
        code.place(_code())
        _show(code, _folder(framework, kind, pins))
        return describe(framework, kind, pins)


def adopt(framework: str, kind: Kind, interpreter: Path, *, report: Report) -> Environment:
    """Use an existing Python for a framework from now on; nothing in it is changed.

    Raises:
        UserError: it does not run, is too old, lacks what a worker needs, or no engine loads.
    """
    candidates = _engines(framework)
    if not candidates:
        raced = {engine.framework for engine in engines.registry.all().values()}
        raise unknown("framework", framework, raced)
    # Not resolved: a virtual environment's interpreter is a link that must keep its name.
    path = Path(os.path.abspath(interpreter.expanduser()))
    found = _inspect(path, tuple(WORKER_NEEDS))
    if tuple(map(int, found.python.split(".")[:2])) < (3, 11):
        raise UserError(f"{path} is Python {found.python}; velodrome's worker needs 3.11 or later")
    if found.failed:
        lacking = " ".join(WORKER_NEEDS[name] for name in found.failed)
        raise UserError(f"{path} lacks what a worker needs: {path} -m pip install {lacking}")
    sources(framework).place(_code())
    environment = _described(framework, kind, path, _inventory(path, framework), adopted=True)
    obstacles = {name: obstacle(environment, name) for name in candidates}
    if None not in obstacles.values():
        name, why = next(iter(obstacles.items()))
        raise UserError(f"{path} cannot run {name}: {why}")
    for name, why in obstacles.items():
        if why is not None:
            report(f"{name} cannot run in it: {why}")
    _write(_adopted(framework, kind), _Adopted(str(path)))
    return environment


def remove(framework: str, kind: Kind, pins: Pins = (), *, report: Report) -> None:
    """Delete an environment; an adopted interpreter is only forgotten.

    Args:
        framework: whose environment.
        kind: cpu or gpu.
        pins: of the environment with just these pins, not of the framework's own.
        report: takes a line of text where another process has to be waited for.

    Raises:
        UserError: there is none.
    """
    if pins and set(pins) not in map(set, _pinned_made(framework, kind)):
        raise UserError(
            f"there is no environment for {framework} ({kind}) with {' '.join(pins)}: "
            "velodrome env list"
        )
    with _alone(framework, kind, report, pins):
        if not pins and (adopted := _adopted(framework, kind)).exists():
            adopted.unlink()
        elif (folder := _folder(framework, kind, pins)).exists():
            # The marker first: a removal broken off leaves a half-made one.
            _marker(folder).unlink(missing_ok=True)
            shutil.rmtree(folder)
        else:
            raise UserError(f"there is no environment for {framework} ({kind})")


def survey(framework: str, kind: Kind, pins: Pins = ()) -> Survey:
    """How an environment stands; makes nothing, and never raises `UserError`."""
    state: State
    try:
        environment = describe(framework, kind, pins)
    except UserError as error:
        return Survey(
            framework=framework,
            kind=kind,
            pins=pins,
            state="unavailable",
            python=None,
            detail=str(error),
        )
    if environment.adopted:
        python = environment.python
        detail = f"Python {_inspect(python, ()).python}"
        state = "adopted"
    else:
        interpreter = _interpreter(framework, kind, pins)
        detail = f"Python {interpreter.version}"
        made = _made(framework, kind, pins)
        folder = _folder(framework, kind, pins)
        if made is not None:
            python = environment.python
            base = _base(framework, kind, interpreter, pins)
            state = "ready" if made.base == base else "stale"
        else:
            python = interpreter.path
            state = "half-made" if folder.exists() else "missing"
    return Survey(
        framework=framework, kind=kind, pins=pins, state=state, python=python, detail=detail
    )


def list_all() -> list[Survey]:
    """Every environment that is or could be; of those with pins, the ones that are."""
    return [
        survey(framework, kind, pins)
        for kind in KINDS
        for framework in frameworks(kind)
        for pins in ((), *_pinned_made(framework, kind))
    ]


def obstacle(environment: Environment, engine: str) -> str | None:
    """Load an engine in a process of its own: why that fails, or None if it does not."""
    answer = subprocess.run(
        command(environment, "velodrome.tryout", engine),
        env=variables(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if answer.returncode == 0:
        return None
    return (answer.stderr.strip().splitlines() or [f"exit status {answer.returncode}"])[-1]


def command(environment: Environment, module: str, *arguments: str) -> list[str]:
    """The command line that runs one of our modules in an environment.

    It needs `variables` too. Neither the current folder, nor the user's own packages, nor
    PYTHONPATH are on its path.
    """
    return [str(environment.python), "-I", "-c", _START, module, *arguments]


def variables(environment: Environment) -> dict[str, str]:
    """All environment variables for `command`.

    They are this process's, less those that steer Python, frameworks and their libraries: an
    engine's are its own alone.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTHON")
        and name not in ("VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
        and not _steers(name)
    }
    return kept | {_CODE: str(environment.code)}


def note_left_out(note: Report) -> None:
    """Say which of this process's variables no framework gets, if there are any."""
    if names := sorted({*filter(_steers, os.environ)} - {*_SET_BY_SKLEARN}):
        note(f"not handed on to the engines, which are told by velodrome alone: {', '.join(names)}")


def _steers(name: str) -> bool:
    return name.startswith(_STEERING) and not name.startswith(_HARMLESS)


def _described(
    framework: str, kind: Kind, python: Path, base: str, *, adopted: bool = False, pins: Pins = ()
) -> Environment:
    code = sources(framework)
    return Environment(
        framework=framework,
        kind=kind,
        pins=pins,
        python=python,
        hash=hashlib.sha256(f"{base} {code.digest}".encode()).hexdigest(),
        code=code.folder(_code()),
        adopted=adopted,
    )


def _base(framework: str, kind: Kind, interpreter: Interpreter, pins: Pins = ()) -> str:
    """Digest of what the virtual environment is made from."""
    digest = hashlib.sha256(interpreter.version.encode() + b"\n")
    digest.update("".join(_lines(framework, kind, pins)).encode())
    return digest.hexdigest()


def _lines(framework: str, kind: Kind, pins: Pins = ()) -> list[str]:
    """The pinned file, with other versions where there is a pin."""
    instead = {_package(pin): f"{pin}\n" for pin in pins}
    path = _requirements(framework, kind)
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [instead.get(_package(line), line) for line in lines]


def _package(requirement: str) -> str:
    """Its name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", requirement.split("==")[0].strip()).lower()


def _interpreter(framework: str, kind: Kind, pins: Pins = ()) -> Interpreter:
    """The one that the environment was made with if it still runs, else one that suits."""
    _check_known(framework, kind)
    made = _read(_marker(_folder(framework, kind, pins)), _Made)
    if made is not None and (recorded := interpreters.probe(Path(made.interpreter))) is not None:
        return recorded
    return interpreters.find(framework)


def _engines(framework: str) -> list[str]:
    """Names of the engines that run on a framework; the framework's own first."""
    registered = engines.registry.all().items()
    return sorted((name for name, engine in registered if engine.framework == framework), key=len)


def _check_known(framework: str, kind: Kind) -> None:
    if _requirements(framework, kind).exists():
        return
    if _engines(framework):
        raise UserError(
            f"{framework} is on no package index; have velodrome use a Python that has it: "
            f"velodrome env adopt {framework} PATH --kind {kind}"
        )
    raise unknown("framework", framework, frameworks(kind))


def _make(
    framework: str, kind: Kind, pins: Pins, interpreter: Interpreter, lock: int, report: Report
) -> None:
    folder = _folder(framework, kind, pins)
    log = _beside(folder, ".log")
    requirements = _beside(folder, ".txt")
    if folder.exists():
        report(f"{framework}: making its environment anew, with Python {interpreter.version}")
        _marker(folder).unlink(missing_ok=True)
    else:
        report(f"{framework}: making its environment, with Python {interpreter.version}")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    _replace(requirements, "".join(_lines(framework, kind, pins)).encode())
    steps: list[list[str | Path]] = [
        [interpreter.path, "-I", "-m", "venv", "--clear", folder],
        [
            *(folder / "bin" / "python", "-I", "-m", "pip", "install", "--no-input"),
            *("--disable-pip-version-check", "--progress-bar", "off", "-r", requirements),
        ],
    ]
    for step in steps:
        if not _run(step, log, lock, lambda line: report(f"{framework}: {line}")):
            raise UserError(f"{framework}: {_complaint(log)} (all of it: {log})")
    if framework == "mxnet" and not has_backend():
        report(f"mxnet: made without {BACKEND}, which is not installed beside velodrome")
    _write(_marker(folder), _Made(str(interpreter.path), _base(framework, kind, interpreter, pins)))
    report(f"{framework}: environment ready")


def _run(command: Sequence[str | Path], log: Path, lock: int, report: Report) -> bool:
    """Run it to its end, all output to the log and a little of it reported."""
    # It inherits the lock: should this process be killed, nobody starts before it has ended too.
    with (
        log.open("a") as file,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=(lock,),
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            file.write(line)
            file.flush()
            stage, _, rest = line.strip().partition(" ")
            if stage == "Downloading" and "MB)" in rest:
                report(f"downloading {rest}")
            elif stage == "Installing" and rest.startswith("collected packages"):
                report(f"installing {rest.count(',') + 1} packages")
    return process.returncode == 0


def _complaint(log: Path) -> str:
    """The line of a log that says best what went wrong."""
    lines = [line.strip() for line in log.read_text().splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR: ")]
    return "cannot be installed: " + (errors or lines or ["no reason given"])[-1].removeprefix(
        "ERROR: "
    )


def _show(code: Sources, folder: Path) -> None:
    """Let the environment's own interpreter find our sources."""
    content = _PTH.format(code=str(code.folder(_code())))
    for packages in folder.glob("lib/python*/site-packages"):
        pth = packages / "velodrome.pth"
        if not pth.exists() or pth.read_text() != content:
            _replace(pth, content.encode())


def _inventory(python: Path, framework: str) -> str:
    """Digest of an adopted interpreter and all that is installed in it."""
    try:
        found = _inspect(python, ())
    except UserError as error:
        raise UserError(
            f"{error}; {framework} was to run in it: adopt another, or velodrome env remove "
            f"{framework}"
        ) from None
    content = [str(python), found.python, sorted(found.installed.items())]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@cache
def _inspect(python: Path, modules: tuple[str, ...]) -> _Inspection:
    """Import modules in another interpreter, and list what is installed there.

    Raises:
        UserError: it does not run.
    """
    try:
        answer = subprocess.run(
            [python, "-I", "-c", _INSPECT, *modules],
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
        return msgspec.json.decode(answer.stdout.splitlines()[-1], type=_Inspection)
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"exit status {error.returncode}"]
        raise UserError(f"{python} does not run: {lines[-1]}") from None
    except (OSError, subprocess.SubprocessError, IndexError, msgspec.DecodeError) as error:
        raise UserError(f"{python} does not run as a Python: {error}") from None


@contextmanager
def _alone(framework: str, kind: Kind, report: Report, pins: Pins = ()) -> Iterator[int]:
    def waiting() -> None:
        report(f"{framework}: another process is making this environment; waiting for it")

    with locked(_beside(_folder(framework, kind, pins), ".lock"), waiting) as lock:
        yield lock


def _folder(framework: str, kind: Kind, pins: Pins = ()) -> Path:
    """Named by the pins too, so that two versions stand beside each other."""
    names = [framework, *sorted(pinned(framework, kind, pins))]
    return home() / "environments" / kind / "+".join(names)


def _pinned_made(framework: str, kind: Kind) -> list[Pins]:
    """The pins of each environment that was made with some, or half made."""
    folders = sorted((home() / "environments" / kind).glob(f"{framework}+*"))
    # A version may hold a plus of its own, as in torch==2.13.0+cpu.
    named = [re.split(r"\+(?=[^+]+==)", folder.name)[1:] for folder in folders if folder.is_dir()]
    return [tuple(pins) for pins in named if pins]


def _beside(folder: Path, suffix: str) -> Path:
    # Not `with_suffix`: a version in the name has dots of its own.
    return folder.with_name(folder.name + suffix)


def _code() -> Path:
    return home() / "environments" / "code"


def _adopted(framework: str, kind: Kind) -> Path:
    return home() / "environments" / "adopted" / kind / f"{framework}.json"


def _requirements(framework: str, kind: Kind) -> Path:
    name = f"{kind}/{framework}.txt"
    return next((path for folder in _pinned() if (path := folder / name).exists()), PINNED / name)


def _pinned() -> list[Path]:
    """Folders of pinned files: ours, then `environments/` of packages that bring engines."""
    points = engines.registry.plugins().values()
    names = dict.fromkeys(point.module.partition(".")[0] for point in points)
    specs = [spec for name in names if (spec := find_spec(name))]
    # A module in one file has no folder, so it brings no pinned file.
    packages = [place for spec in specs for place in spec.submodule_search_locations or ()]
    return [PINNED, *(Path(package) / "environments" for package in packages)]


def _marker(folder: Path) -> Path:
    return folder / "environment.json"


def _made(framework: str, kind: Kind, pins: Pins = ()) -> _Made | None:
    """How a whole environment was made; None if there is none or it is not whole."""
    folder = _folder(framework, kind, pins)
    return _read(_marker(folder), _Made) if (folder / "bin" / "python").exists() else None


Content = TypeVar("Content", _Made, _Adopted)


def _read(path: Path, form: type[Content]) -> Content | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=form)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None


def _write(path: Path, content: _Made | _Adopted) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, msgspec.json.encode(content))


def _replace(path: Path, content: bytes) -> None:
    """Put a file in place whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
