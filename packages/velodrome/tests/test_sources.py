"""What of velodrome runs in a worker is closed: it imports nothing else of velodrome."""

import sys
from importlib.metadata import PathDistribution

import grimp
import pytest

from velodrome.sources import WORKER, Sources, _metadata, sources

_THIRD_PARTY = {"numpy", "psutil", "msgspec", "pynvml", "PIL"}
_FRAMEWORKS = {"keras", "keras_mxnet", "mxnet", "tensorflow", "jax", "jaxlib", "torch", "neon"}


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("velodrome", include_external_packages=True)


def _part(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def _modules(graph):
    return [
        module
        for module in graph.modules
        if module.split(".")[0] == "velodrome" and _part(module) in WORKER
    ]


def test_worker_modules_import_only_each_other(graph):
    strays = {
        (module, imported)
        for module in _modules(graph)
        for imported in graph.find_modules_directly_imported_by(module)
        if imported.split(".")[0] == "velodrome" and _part(imported) not in WORKER
    }
    assert strays == set()


def test_only_engines_import_frameworks_and_nobody_the_harness_libraries(graph):
    def allowed(module: str, imported: str) -> bool:
        name = imported.split(".")[0]
        return (
            name == "velodrome"
            or name in _THIRD_PARTY
            or (name in _FRAMEWORKS and _part(module) == "engines")
            # Read by the harness alone, which prepares the data that workers map.
            or (module, name) == ("velodrome.datasets.digits", "sklearn")
        )

    strays = {
        (module, imported)
        for module in _modules(graph)
        for imported in graph.find_modules_directly_imported_by(module)
        if imported.split(".")[0] not in sys.stdlib_module_names and not allowed(module, imported)
    }
    assert strays == set()


def test_sources_hold_the_worker_and_nothing_of_the_harness():
    names = set(sources("torch").files)
    assert "velodrome/__init__.py" in names
    assert "velodrome/engines/base.py" in names
    assert not any("__pycache__" in name for name in names)
    assert not any(name.startswith(("velodrome/cli", "velodrome/environment")) for name in names)


def test_the_digest_is_of_names_and_contents():
    one = Sources({"a": b"1", "b": b"2"})
    assert one.digest == Sources({"b": b"2", "a": b"1"}).digest
    for other in ({"a": b"1", "b": b"3"}, {"a": b"1", "c": b"2"}, {"a": b"1b\0002"}, {"a": b"1"}):
        assert Sources(other).digest != one.digest


def test_placed_whole_and_only_once(tmp_path):
    some = Sources({"package/__init__.py": b"x = 1\n", "package/deep/data.bin": b"\0"})
    some.place(tmp_path)
    folder = some.folder(tmp_path)
    assert (folder / "package/deep/data.bin").read_bytes() == b"\0"
    before = (folder / "package/__init__.py").stat().st_mtime_ns
    some.place(tmp_path)
    assert (folder / "package/__init__.py").stat().st_mtime_ns == before
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_every_part_of_the_worker_is_there(graph):
    assert {_part(module) for module in _modules(graph)} == set(WORKER)


def test_a_backend_brings_its_start_up_file_but_not_where_it_was_edited(tmp_path):
    info = tmp_path / "some-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some\nVersion: 1.0\n")
    (tmp_path / "some.pth").write_text("import some.bridge\n")
    (tmp_path / "_some.pth").write_text("/where/it/was/edited\n")
    names = ("some.pth", "_some.pth", "some-1.0.dist-info/METADATA", "some-1.0.dist-info/RECORD")
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in names))
    assert dict(_metadata(PathDistribution(info))) == {
        "some.pth": b"import some.bridge\n",
        "some-1.0.dist-info/METADATA": (info / "METADATA").read_bytes(),
    }
