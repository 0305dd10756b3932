"""Environments made for real, from a pinned file that names one tiny package."""

import os
import signal
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from velodrome import engines, environment, interpreters
from velodrome.errors import UserError
from velodrome.sources import Sources, sources

_RUNNER = """
import sys, time
from pathlib import Path
from velodrome import environment
environment.PINNED = Path(sys.argv[1])
def report(line):
    print(line, flush=True)
    if len(sys.argv) > 2 and sys.argv[2] in line:
        time.sleep(600)
print(environment.ensure("tiny", "cpu", report=report).hash, flush=True)
"""


def _wheel(folder: Path, version: str) -> Path:
    path = folder / f"tiny-{version}-py3-none-any.whl"
    info = f"tiny-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny.py", f"version = '{version}'\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def pinned(tmp_path, monkeypatch):
    """A folder of pinned files that knows one framework, `tiny`, in an empty home."""
    folder = tmp_path / "pinned"
    (folder / "cpu").mkdir(parents=True)
    (folder / "cpu" / "tiny.txt").write_text(f"{_wheel(tmp_path, '1.0')}\n")
    monkeypatch.setattr(environment, "PINNED", folder)
    monkeypatch.setenv("VELODROME_HOME", str(tmp_path / "home"))
    return folder


def _ensure(lines=None, **how):
    return environment.ensure("tiny", "cpu", report=(lines or []).append, **how)


def _ask(made, code: str) -> str:
    return subprocess.run(
        [made.python, "-I", "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def _state() -> str:
    return environment.survey("tiny", "cpu").state


def _start(pinned, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _RUNNER, str(pinned), *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_described_before_it_is_made_then_reused(pinned):
    described = environment.describe("tiny", "cpu")
    assert not described.python.exists()
    assert _state() == "missing"

    lines: list[str] = []
    made = environment.ensure("tiny", "cpu", report=lines.append)
    assert made == described
    assert lines[-1] == "tiny: environment ready"
    assert _state() == "ready"
    assert _ask(made, "import tiny; print(tiny.version)") == "1.0"

    again: list[str] = []
    assert environment.ensure("tiny", "cpu", report=again.append) == made
    assert again == []


def test_another_pinned_file_makes_another_environment(pinned, tmp_path):
    made = _ensure()
    (pinned / "cpu" / "tiny.txt").write_text(f"{_wheel(tmp_path, '2.0')}\n")
    assert _state() == "stale"
    assert environment.describe("tiny", "cpu").hash != made.hash
    assert _ask(_ensure(), "import tiny; print(tiny.version)") == "2.0"
    assert _state() == "ready"


def test_changed_sources_are_used_at_once_and_nothing_is_installed(pinned, monkeypatch):
    made = _ensure()
    changed = Sources({"velodrome/__init__.py": b"changed = True\n"})
    monkeypatch.setattr(environment, "sources", lambda framework: changed)
    lines: list[str] = []
    after = environment.ensure("tiny", "cpu", report=lines.append)
    assert after.hash != made.hash
    assert lines == []
    assert _ask(after, "import velodrome; print(velodrome.changed)") == "True"
    # A run that began with the earlier sources keeps them.
    answer = subprocess.run(
        environment.command(made, "velodrome.home"), env=environment.variables(made), check=False
    )
    assert answer.returncode == 0


def test_a_worker_sees_its_environment_and_our_sources_and_nothing_else(
    pinned, tmp_path, monkeypatch
):
    made = _ensure()
    stray = tmp_path / "stray"
    stray.mkdir()
    (stray / "typer.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(stray))
    monkeypatch.chdir(stray)
    module = made.code / "velodrome" / "asks.py"
    module.write_text(
        textwrap.dedent("""
            import importlib.util, sys, tiny, velodrome
            print(sys.argv[1:], velodrome.__file__, importlib.util.find_spec("typer"))
        """)
    )
    answer = subprocess.run(
        environment.command(made, "velodrome.asks", "a", "b"),
        env=environment.variables(made),
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.split("\n")[0] == f"['a', 'b'] {made.code}/velodrome/__init__.py None"
    assert not (made.code / "velodrome" / "cli").exists()


def test_killed_while_installing_then_repaired(pinned):
    process = _start(pinned, "installing")
    assert process.stdout is not None
    assert any("installing" in line for line in process.stdout)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert _state() == "half-made"
    assert _ask(_ensure(), "import tiny; print(tiny.version)") == "1.0"
    assert _state() == "ready"


def test_two_processes_make_it_once(pinned):
    processes = [_start(pinned) for _ in range(2)]
    first, second = (process.communicate(timeout=120)[0].splitlines() for process in processes)
    assert first[-1] == second[-1]
    ready = [line for line in first + second if line == "tiny: environment ready"]
    assert len(ready) == 1
    waited = [line for line in first + second if "waiting" in line]
    assert len(waited) == 1


def test_an_interrupted_installer_holds_the_lock_to_its_end(pinned, tmp_path):
    """Killing the harness leaves pip running; nobody may install beside it."""
    started, finish = tmp_path / "started", tmp_path / "finish"
    slow = tmp_path / "slow"
    slow.mkdir()
    # An installer that goes on: pip builds this with the backend given here.
    (slow / "pyproject.toml").write_text(
        "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    )
    (slow / "backend.py").write_text(
        f"import os, time\nopen({str(started)!r}, 'w').close()\n"
        f"while not os.path.exists({str(finish)!r}):\n    time.sleep(0.05)\n"
    )
    text = (pinned / "cpu" / "tiny.txt").read_text()
    (pinned / "cpu" / "tiny.txt").write_text(f"{slow}\n")
    killed = _start(pinned)
    while not started.exists():
        assert killed.poll() is None
    killed.kill()
    killed.wait()
    (pinned / "cpu" / "tiny.txt").write_text(text)
    other = _start(pinned)
    assert other.stdout is not None
    assert "waiting" in other.stdout.readline()
    finish.touch()
    assert other.communicate(timeout=120)[0].splitlines()[-2] == "tiny: environment ready"


def test_pip_failing_is_one_clear_line_with_the_log(pinned, tmp_path):
    (pinned / "cpu" / "tiny.txt").write_text(f"{tmp_path}/absent-1.0-py3-none-any.whl\n")
    with pytest.raises(UserError) as caught:
        _ensure()
    text = str(caught.value)
    assert "\n" not in text
    assert "absent-1.0" in text
    log = Path(text.rpartition("all of it: ")[2].rstrip(")"))
    assert "absent-1.0" in log.read_text()
    assert _state() == "half-made"


def test_removed(pinned):
    made = _ensure()
    environment.remove("tiny", "cpu", report=print)
    assert not made.python.exists()
    assert _state() == "missing"
    with pytest.raises(UserError, match="no environment for tiny"):
        environment.remove("tiny", "cpu", report=print)


def test_unknown_framework_names_the_known(pinned):
    with pytest.raises(UserError, match="unknown framework 'tinny'; did you mean 'tiny'"):
        environment.describe("tinny", "cpu")


def test_a_python_of_the_wrong_version_is_refused(pinned, tmp_path):
    old = tmp_path / "python"
    old.write_text(f"#!/bin/sh\necho 3.8.1\necho {old}\n")
    old.chmod(0o755)
    with pytest.raises(UserError, match=r"tiny needs Python 3\.11 to 3\.\d+; .*python is 3\.8\.1"):
        _ensure(interpreter=old)
    with pytest.raises(UserError, match="absent is no Python"):
        _ensure(interpreter=tmp_path / "absent")


def test_a_suiting_python_is_found_behind_a_shim_that_fails(tmp_path, monkeypatch):
    """MXNet needs 3.11, whatever this process runs on."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "absent"))
    for name, content in [
        ("shim", "#!/bin/sh\nexit 127\n"),
        ("real", "#!/bin/sh\necho 3.11.99\necho /somewhere/python3.11\n"),
    ]:
        (tmp_path / name).mkdir()
        python = tmp_path / name / "python3.11"
        python.write_text(content)
        python.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'shim'}{os.pathsep}{tmp_path / 'real'}")
    assert interpreters.find("mxnet") == (Path("/somewhere/python3.11"), "3.11.99")
    monkeypatch.setenv("PATH", str(tmp_path / "shim"))
    with pytest.raises(UserError, match=r"mxnet needs Python 3\.11 and none .* --python PATH"):
        interpreters.find("mxnet")


_ENGINE = """
from velodrome.engines.base import Engine
class {engine}(Engine):
    name = "{name}"
    framework = "tiny"
    build = load_training = load_validation = set_weights = weights = None
    train = evaluate = gradients = ledger = None
    def __init__(self, job):
        import {imports}
ENGINES = ({engine},)
"""


@pytest.fixture
def foreign(pinned, tmp_path, monkeypatch):
    """A Python of the user's own with `tiny` and what workers need; two engines run on `tiny`."""
    files = dict(sources("tiny").files)
    registered = dict(engines.registry.all())
    for name, imports in [("tiny", "tiny"), ("over-tiny", "over_tiny")]:
        content = _ENGINE.format(engine=name.title().replace("-", ""), name=name, imports=imports)
        files[f"velodrome/engines/{name.replace('-', '_')}.py"] = content.encode()
        registered[name] = SimpleNamespace(name=name, framework="tiny")
    monkeypatch.setattr(environment, "sources", lambda framework: Sources(files))
    monkeypatch.setattr(engines.registry, "_items", registered)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "own"], check=True)
    python = tmp_path / "own" / "bin" / "python"
    (packages,) = (tmp_path / "own").glob("lib/python*/site-packages")
    (packages / "tiny.py").write_text("")
    (packages / "needs.pth").write_text(str(Path(msgspec.__file__).parents[1]))
    environment._inspect.cache_clear()
    return python


def test_an_adopted_python_is_used_and_left_alone(foreign):
    def content():
        own = foreign.parents[1].rglob("*")
        return sorted(path for path in own if "__pycache__" not in path.parts)

    before, lines = content(), []
    adopted = environment.adopt("tiny", "cpu", foreign, report=lines.append)
    assert lines == ["over-tiny cannot run in it: ModuleNotFoundError: No module named 'over_tiny'"]
    assert adopted.python == foreign
    assert _state() == "adopted"
    assert environment.describe("tiny", "cpu") == adopted
    assert _ensure() == adopted
    assert content() == before

    (packages,) = foreign.parents[1].glob("lib/python*/site-packages")
    other = packages / "other-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    environment._inspect.cache_clear()
    assert environment.describe("tiny", "cpu").hash != adopted.hash

    with pytest.raises(UserError, match="runs in an adopted Python; first: velodrome env remove"):
        _ensure(interpreter=Path(sys.executable))
    environment.remove("tiny", "cpu", report=print)
    assert foreign.exists()
    assert _state() == "missing"


def test_an_adopted_python_that_went_away_is_told(foreign):
    environment.adopt("tiny", "cpu", foreign, report=print)
    foreign.unlink()
    environment._inspect.cache_clear()
    survey = environment.survey("tiny", "cpu")
    assert survey.state == "unavailable"
    assert "velodrome env remove tiny" in survey.detail


def test_what_cannot_be_adopted(foreign, tmp_path):
    (packages,) = foreign.parents[1].glob("lib/python*/site-packages")
    (packages / "tiny.py").write_text("raise ImportError('no such thing')")
    with pytest.raises(UserError, match="cannot run tiny: ImportError: no such thing"):
        environment.adopt("tiny", "cpu", foreign, report=print)
    (packages / "psutil.py").write_text("raise ImportError")
    environment._inspect.cache_clear()
    with pytest.raises(UserError, match=r"-m pip install psutil$"):
        environment.adopt("tiny", "cpu", foreign, report=print)
    with pytest.raises(UserError, match="absent does not run"):
        environment.adopt("tiny", "cpu", tmp_path / "absent", report=print)
    with pytest.raises(UserError, match="unknown framework 'nothing'"):
        environment.adopt("nothing", "cpu", foreign, report=print)
    assert _state() == "missing"


def test_a_framework_that_no_index_has_asks_to_be_adopted(foreign, pinned):
    (pinned / "cpu" / "tiny.txt").unlink()
    with pytest.raises(UserError, match="velodrome env adopt tiny PATH --kind cpu"):
        environment.describe("tiny", "cpu")
    environment.adopt("tiny", "cpu", foreign, report=print)
    assert [each.framework for each in environment.list_all()] == ["tiny"]


@pytest.mark.parametrize("kind", environment.KINDS)
@pytest.mark.parametrize("framework", ["jax", "mxnet", "tensorflow", "torch"])
def test_shipped_files_are_pinned_and_carry_keras_and_the_workers_needs(kind, framework):
    lines = (environment.PINNED / kind / f"{framework}.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert {"keras", *environment.WORKER_NEEDS.values()} <= set(pins)
    assert pins["keras"] == "3.15.1"


def test_a_pin_makes_another_environment_beside_the_first(pinned, tmp_path):
    (pinned / "cpu" / "tiny.txt").write_text(f"--find-links {tmp_path}\ntiny==1.0\n")
    _wheel(tmp_path, "2.0")
    made = _ensure()
    assert environment.pinned("tiny", "cpu", ("tiny==2.0", "other==1")) == ("tiny==2.0",)
    other = environment.ensure("tiny", "cpu", ("tiny==2.0", "other==1"), report=print)
    assert other == environment.describe("tiny", "cpu", ("tiny==2.0",))
    assert other.pins == ("tiny==2.0",)
    assert other.hash != made.hash
    assert _ask(other, "import tiny; print(tiny.version)") == "2.0"
    assert _ask(made, "import tiny; print(tiny.version)") == "1.0"
    assert environment.ensure("tiny", "cpu", ("other==1",), report=print) == made


def test_those_made_with_a_pin_are_listed_and_removed(pinned, tmp_path):
    (pinned / "cpu" / "tiny.txt").write_text(f"--find-links {tmp_path}\ntiny==1.0\n")
    _wheel(tmp_path, "2.0+local.1")
    made = _ensure()
    pins = ("tiny==2.0+local.1",)
    other = environment.ensure("tiny", "cpu", pins, report=print)
    assert [(each.pins, each.state, each.python) for each in environment.list_all()] == [
        ((), "ready", made.python),
        (pins, "ready", other.python),
    ]
    with pytest.raises(UserError, match="with absent==1: velodrome env list"):
        environment.remove("tiny", "cpu", ("absent==1",), report=print)
    environment.remove("tiny", "cpu", pins, report=print)
    assert not other.python.exists()
    assert made.python.exists()
    assert [each.pins for each in environment.list_all()] == [()]


def test_a_user_is_told_of_variables_that_are_not_handed_on_and_of_no_librarys() -> None:
    code = "import sklearn; from velodrome import environment; environment.note_left_out(print)"

    def told(**given: str) -> str:
        paths = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=paths | given, stdout=subprocess.PIPE, text=True).stdout

    assert told() == ""
    assert told(OMP_NUM_THREADS="1").endswith(": OMP_NUM_THREADS\n")
