"""How far an engine is from the reference, and how far rounding may take it; pure.

`docs/parity.md` says why, and with which measurements.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from velodrome.trial import DType

# Machine epsilon of the arithmetic asked for: the distance from 1 to the next number.
EPSILON: dict[DType, float] = {
    "float64": 2.0**-52,
    "float32": 2.0**-23,
    "tf32": 2.0**-10,
    "float16": 2.0**-10,
    "bfloat16": 2.0**-7,
}

# How many times its own noise an engine may be away from the reference.
ALLOWANCE = 64.0


class Quantity(NamedTuple):
    """Something that a worker computed.

    Attributes:
        value: the numbers, of any shape.
        noise: 2-norm of what rounding does to them, as the worker found.
    """

    value: npt.NDArray[np.float64]
    noise: float


class Deviation(msgspec.Struct, frozen=True, kw_only=True):
    """The distance of one quantity from the reference.

    Lengths are 2-norms relative to the reference's; absolute ones where that is zero.

    Attributes:
        quantity: such as `gradient of dense1/kernel`.
        error: distance from the reference.
        noise: what rounding does to it in this engine.
        tolerance: the largest error at which the engine is at parity.
    """

    quantity: str
    error: float
    noise: float
    tolerance: float

    @property
    def excess(self) -> float:
        """Error over tolerance: above one, this is not the same mathematics."""
        return self.error / self.tolerance

    @property
    def kind(self) -> str:
        """`loss`, `gradient`, `update` or `accuracy`."""
        return self.quantity.split(" of ")[0].removeprefix("validation ")


def read(path: Path) -> dict[str, Quantity]:
    """What a worker wrote for a comparison."""
    with np.load(path, allow_pickle=False) as file:
        names = [name.removeprefix("value/") for name in file.files if name.startswith("value/")]
        return {
            name: Quantity(file[f"value/{name}"], float(file[f"noise/{name}"])) for name in names
        }


def repeatable(path: Path) -> bool:
    """Whether the worker found the same to the last bit when it computed it again."""
    with np.load(path, allow_pickle=False) as file:
        return bool(file["repeatable"])


def deviations(
    found: Mapping[str, Quantity], reference: Mapping[str, Quantity], epsilon: float, samples: int
) -> tuple[Deviation, ...]:
    """Compare what an engine found with the reference, quantity by quantity.

    Args:
        found: the engine's quantities; all that the reference has.
        reference: the same in a more precise arithmetic.
        epsilon: machine epsilon of the engine's arithmetic.
        samples: samples behind an accuracy; it may be off by one of them.
    """
    return tuple(
        _deviation(name, found[name], reference[name], epsilon, samples) for name in reference
    )


def _deviation(
    name: str, found: Quantity, reference: Quantity, epsilon: float, samples: int
) -> Deviation:
    scale = float(np.linalg.norm(reference.value)) or 1.0
    noise = found.noise / scale
    # Nothing can be told closer than to an epsilon, nor an accuracy closer than to a sample.
    least = 1.0 / samples / scale if "accuracy" in name else ALLOWANCE * epsilon
    return Deviation(
        quantity=name,
        error=float(np.linalg.norm(found.value - reference.value)) / scale,
        noise=noise,
        tolerance=max(ALLOWANCE * noise, least),
    )


def differences(found: Mapping[str, Quantity], reference: Mapping[str, Quantity]) -> str:
    """What the one lacks or has in another shape than the reference; empty if nothing."""
    missing = [name for name in reference if name not in found]
    extra = [name for name in found if name not in reference]
    shapes = [
        f"{name} has shape {found[name].value.shape}, not {reference[name].value.shape}"
        for name in reference
        if name in found and found[name].value.shape != reference[name].value.shape
    ]
    parts = [f"no {', '.join(missing)}"] if missing else []
    parts += [f"unknown {', '.join(extra)}"] if extra else []
    return "; ".join(parts + shapes)


def nearest(before: tuple[Deviation, ...], now: tuple[Deviation, ...]) -> tuple[Deviation, ...]:
    """Of the same quantities in two draws, each where it is nearer to the reference."""
    return tuple(
        min(pair, key=lambda deviation: deviation.excess)
        for pair in zip(before or now, now, strict=True)
    )


def worst(all_of: Iterable[Deviation]) -> Deviation:
    """The one with the largest excess."""
    return max(all_of, key=lambda deviation: deviation.excess)
