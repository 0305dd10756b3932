"""Runs inside a framework's environment: how many parameters the framework itself trains.

`count.py REQUEST ANSWER`: a JSON list of jobs, and the file that a JSON list of counts goes to.
"""

import math
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from velodrome import engines
from velodrome.job import Job


def main(request: Path, answer: Path) -> None:
    jobs = msgspec.json.decode(request.read_bytes(), type=list[Job])
    answer.write_bytes(msgspec.json.encode([counted(job) for job in jobs]))


def counted(job: Job) -> int:
    engine: Any = engines.registry.get(job.trial.engine)(job)
    engine.build()
    if not engine.name.startswith("keras-"):
        # Some optimizers are made only now; Keras's is, and writing its variables takes long.
        engine.set_weights(job.graph.initial_weights(np.random.default_rng(0)))
    return sum(math.prod(shape) for shape in shapes(engine))


def shapes(engine: Any) -> list[tuple[int, ...]]:
    """Of everything that the framework's optimizer is given, in the framework's own words."""
    if engine.name.startswith("keras-"):
        return [each.shape for each in engine._model.trainable_variables]
    match engine.name:
        case "jax":
            return [each.shape for each in engine._state[0].values()]
        case "mxnet":
            parameters = engine._block.collect_params().values()
            return [each.shape for each in parameters if each.grad_req != "null"]
        case "neon":
            from neon.optimizers.optimizer import get_param_list

            layers = engine._first().model.layers_to_optimize
            return [array.shape for (array, _), _ in get_param_list(layers)]
        case "tensorflow":
            return [each.shape for each in engine._parameters.values() if each.trainable]
        case "torch":
            groups = engine._optimizer.param_groups
            return [each.shape for group in groups for each in group["params"]]
    raise ValueError(f"no way to count the parameters of {engine.name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
