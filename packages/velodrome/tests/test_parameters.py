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


@pytest.mark.parametrize("engine", engines.registry.all())
def test_parameters_are_as_many_as_the_graphs(engine: str, tmp_path: Path) -> None:
    kind = engines.registry.get(engine)
    if engine == "neon" and kind.framework not in environment.frameworks("cpu"):
        pytest.skip("nobody has adopted a Python with Neon: velodrome env adopt neon PATH")
    raced = {
        name: each
        for name, each in WORKLOADS.items()
        if kind.unsupported(trial(engine=engine, workload=name)) is None
    }
    assert len(raced) == len(WORKLOADS) or (engine == "neon" and len(raced) == 5)
    place = environment.ensure(kind.framework, "cpu", report=print)
    jobs = [
        Job(
            trial=trial(engine=engine, workload=each.name, recipe=each.recipe, settings="stock"),
            graph=each.graph,
            data=PreparedData("", "", "", "image", each.graph.input_shape, 2, 1, 1),
            threads=1,
        )
        for each in raced.values()
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
    counts = dict(zip(raced, msgspec.json.decode(answer.read_bytes()), strict=True))
    assert counts == {name: each.graph.parameter_count() for name, each in raced.items()}
