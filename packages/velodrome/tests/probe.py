"""Runs inside a framework's environment: what an engine computes from given weights and data.

`probe.py REQUEST ANSWER`: a JSON list of jobs, each with the `.npz` of its arrays, and the
folder that an `.npz` for each is written to.
"""

import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from velodrome import engines
from velodrome.job import Job

Request = list[tuple[Job, str]]


def main(request: Path, answer: Path) -> None:
    for number, (job, path) in enumerate(msgspec.json.decode(request.read_bytes(), type=Request)):
        with np.load(path) as given:
            np.savez(answer / f"{number}.npz", **computed(job, dict(given)))


def computed(job: Job, given: dict[str, Any]) -> dict[str, Any]:
    """Gradients, weights before and after each step, and both passes' losses."""
    weights = {name[2:]: array for name, array in given.items() if name.startswith("w:")}
    engine = engines.registry.get(job.trial.engine)(job)
    engine.build()
    engine.load_training(given["x"], given["y"])
    engine.load_validation(given["x"], given["y"])
    engine.set_weights(weights)
    found: dict[str, Any] = {}
    for step, learning_rate in enumerate(given["rates"]):
        order = given["order"][step]
        loss, gradients = engine.gradients(order)
        found[f"loss:{step}"] = loss
        found |= {f"gradient:{step}:{name}": array for name, array in gradients.items()}
        found |= {f"before:{step}:{name}": array for name, array in engine.weights().items()}
        found[f"trained:{step}"] = engine.train(order, float(learning_rate)).loss
    found |= {f"after:{name}": array for name, array in engine.weights().items()}
    found["evaluated"] = engine.evaluate().loss
    engine.set_weights(weights)
    engine.train(given["order"][0], float(given["rates"][0]))
    found |= {f"again:{name}": array for name, array in engine.weights().items()}
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
