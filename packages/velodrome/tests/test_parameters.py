"""Every engine trains as many parameters of every workload as its graph has."""

import subprocess
from pathlib import Path

import msgspec
import pytest

from builders import trial
from velodrome import engines, environment
from velodrome.datasets.base import PreparedData
from velodrome.job import Job
from velodrome.workloads import registry

WORKLOADS = registry.all()


# Without Neon, which has the layers of three workloads only.
@pytest.mark.parametrize("engine", [name for name in engines.registry.all() if name != "neon"])
def test_parameters_are_as_many_as_the_graphs(engine: str, tmp_path: Path) -> None:
    kind = engines.registry.get(engine)
    place = environment.ensure(kind.framework, "cpu", report=print)
    jobs = [
        Job(
            trial=trial(engine=engine, workload=each.name, recipe=each.recipe, settings="stock"),
            graph=each.graph,
            data=PreparedData("", "", "", "image", each.graph.input_shape, 2, 1, 1),
            threads=1,
        )
        for each in WORKLOADS.values()
    ]
    request, answer = tmp_path / "request.json", tmp_path / "answer.json"
    request.write_bytes(msgspec.json.encode(jobs))
    ended = subprocess.run(
        [place.python, Path(__file__).with_name("count.py"), request, answer],
        env=environment.variables(place)
        | kind.variables("stock", 1)
        | {"PYTHONPATH": str(place.code)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    counts = dict(zip(WORKLOADS, msgspec.json.decode(answer.read_bytes()), strict=True))
    assert counts == {name: each.graph.parameter_count() for name, each in WORKLOADS.items()}
