import subprocess
import sys

import msgspec
import pytest

from velodrome import datasets
from velodrome.datasets import InputSpec
from velodrome.errors import UserError

ALL = datasets.names()


def test_names() -> None:
    assert {"mnist", "digits", "synthetic"} <= set(ALL)
    assert "base" not in ALL
    assert sorted(ALL) == ALL


@pytest.mark.parametrize("name", ALL)
def test_each_is_itself(name: str) -> None:
    dataset = datasets.get(name)
    assert dataset.name == name
    assert dataset.summary
    assert "\n" not in dataset.summary


def test_unknown_name_lists_the_allowed() -> None:
    with pytest.raises(UserError) as refusal:
        datasets.get("mnits")
    assert "unknown data set 'mnits'; did you mean 'mnist'?" in str(refusal.value)
    assert ", ".join(ALL) in str(refusal.value)


def test_worker_needs_little() -> None:
    """Import and load pull in nothing besides the standard library, numpy, msgspec."""
    code = (
        "allowed = {'numpy', 'msgspec', 'typing_extensions', 'velodrome'}\n"
        "import sys; before = set(sys.modules); import velodrome.datasets as d\n"
        "[d.get(name) for name in d.names()]\n"
        "roots = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(roots - set(sys.stdlib_module_names) - allowed))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


def test_no_file_and_no_network_is_one_line_with_the_choices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mnist = datasets.get("mnist")
    edition = mnist.editions[0]
    unreachable = tuple(
        msgspec.structs.replace(file, urls=("http://127.0.0.1:9/file",)) for file in edition.files
    )
    monkeypatch.setattr(
        type(mnist), "editions", (msgspec.structs.replace(edition, files=unreachable),)
    )
    with pytest.raises(UserError) as refusal:
        mnist.prepare(InputSpec("image", (28, 28, 1), 10))
    message = str(refusal.value)
    assert "\n" not in message
    for part in (
        "mnist",
        *(file.name for file in edition.files),
        "VELODROME_DATA",
        "no network: digits or synthetic",
        "127.0.0.1:9: Connection refused",
    ):
        assert part in message
