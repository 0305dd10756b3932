"""Does an engine's dropout do what dropout does: told from the masks that it drew.

Random draws cannot match step by step, so their statistics are compared: how many values are
kept, what a kept one is multiplied by, whether masks are drawn anew for each sample and step,
and whether inference drops nothing.
"""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from velodrome import datasets
from velodrome.datasets.base import InputSpec
from velodrome.devices import Devices
from velodrome.job import Job
from velodrome.parity.deviation import EPSILON
from velodrome.trial import DType
from velodrome.workloads.graph import Graph, sequential
from velodrome.workloads.layers import Dense, Dropout, Flatten
from velodrome.workloads.recipe import Recipe

# The smallest data that shows it: a batch of four holds four classes.
_CLASSES, _SHAPE, _BATCH_SIZE = 9, (16, 16, 4), 4
_SAMPLES = 23 * _BATCH_SIZE

# Standard deviations that a count may be away from its mean: right by chance once in 10^8.
_FAR = 6.0


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """What dropout was seen to do.

    Attributes:
        rate: the share that it was asked to drop.
        dropped: the share that it dropped.
        scale: mean of what the others were multiplied by.
        alike: largest share of places at which two masks of one layer do the same.
        problem: what is wrong with it; empty if nothing is.
    """

    rate: float
    dropped: float
    scale: float
    alike: float
    problem: str = ""


def rates(graph: Graph) -> list[float]:
    """Of the graph's dropout layers, each once."""
    return sorted({node.layer.rate for node in graph.nodes if isinstance(node.layer, Dropout)})


def job(like: Job, rate: float, answer: Path) -> Job:
    """To look at one rate, on one device, with the settings and in the arithmetic of a job."""
    spec = InputSpec("image", _SHAPE, _CLASSES, None)
    trial = msgspec.structs.replace(
        like.trial,
        recipe=Recipe(learning_rate=1.0),
        devices=Devices.parse(like.trial.devices).kind,
        batch_size=_BATCH_SIZE,
        samples=_SAMPLES,
    )
    return msgspec.structs.replace(
        like,
        trial=trial,
        graph=sequential(_SHAPE, Dropout(rate=rate), Flatten(), Dense(units=_CLASSES)),
        data=datasets.get("synthetic").prepare(spec, _SAMPLES),
        dropout=True,
        comparison=None,
        dropped=str(answer),
    )


def read(path: Path, rate: float, dtype: DType) -> Dropped:
    """What a worker saw, judged."""
    with np.load(path, allow_pickle=False) as file:
        return judged(file["masks"], file["losses"], rate, dtype)


def judged(masks: npt.NDArray[Any], losses: npt.NDArray[Any], rate: float, dtype: DType) -> Dropped:
    """Judge masks (calls, samples, values) and the losses of inference, found and expected."""
    flat = masks.reshape(-1, masks.shape[-1])
    values = flat.shape[1]
    kept = np.abs(flat) > 0.5
    share, scale = 1.0 - kept.mean(), float(flat[kept].mean()) if kept.any() else 0.0
    agreement = (kept[:, None] == kept[None]).mean(2) - np.eye(len(kept))
    alike = float(agreement.max())
    expected = rate**2 + (1.0 - rate) ** 2

    def far(mean: float, count: int) -> float:
        return _FAR * float(np.sqrt(mean * (1.0 - mean) / count))

    wrong = max(1e-3, 8.0 * EPSILON[dtype])
    problem = ""
    if abs(share - rate) > far(rate, flat.size):
        problem = f"drops {share:.3f} of the values, not {rate:g}"
    elif np.abs(flat[kept] * (1.0 - rate) - 1.0).max() > wrong:
        problem = f"multiplies what it keeps by {scale:.3f}, not {1.0 / (1.0 - rate):.3f}"
    elif alike > expected + far(expected, values):
        problem = f"repeats masks: two are alike at {alike:.0%} of the places, not {expected:.0%}"
    elif abs(losses[0] - losses[1]) > wrong * abs(losses[1]):
        problem = f"drops in inference: loss {losses[0]:.4f}, not {losses[1]:.4f}"
    return Dropped(rate=rate, dropped=float(share), scale=scale, alike=alike, problem=problem)
