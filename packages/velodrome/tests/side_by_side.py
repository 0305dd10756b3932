"""Races the engine that meets its like: `side_by_side.py FOLDER JOBS PYTHON`, PYTHON having MXNet.

The machine is told to have two GPUs; none is used.
"""

import sys
from pathlib import Path

import msgspec

from velodrome import environment, executors, runner
from velodrome.executors import here
from velodrome.machine import Gpu, this_machine
from velodrome.progress import watching
from velodrome.study import parse

STUDY = {
    "name": "meeting",
    "workloads": "mlp",
    "dataset": "digits",
    "engines": "meeting",
    "devices": ["gpu@0", "gpu@1", "gpu@0+1", "cpu"],
    "batch_sizes": 64,
    "epochs": 1,
    "samples": 200,
}


def main(folder: Path, jobs: int, python: Path) -> None:
    gpus = tuple(
        Gpu(index=index, name="told", memory=0, capability="7.0", driver="") for index in (0, 1)
    )
    machine = msgspec.structs.replace(this_machine(), gpus=gpus)
    here.this_machine = lambda: machine
    for kind in environment.KINDS:
        environment.adopt("mxnet", kind, python, report=print)
    with watching() as observer:
        runner.run(parse(STUDY), folder, observer, executor=executors.named("local", jobs))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
