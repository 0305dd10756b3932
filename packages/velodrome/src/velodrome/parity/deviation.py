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

# How many times the noise that the reference foretells an engine's own may be. Beyond it the
# tolerance would grow with the very fault that it is to catch.
PATIENCE = 1000.0

# The largest error of what is not zero, whatever the noise, relative to its size; in bfloat16 what
# the allowance makes of an epsilon is more.
MOST = 0.25

# Relative noise of float64 at which the reference is nothing but noise: zero, in exact arithmetic.
_NOTHING = 1e-2


class Quantity(NamedTuple):
    """Something that a worker computed.

    Attributes:
        value: the numbers, of any shape.
        noise: 2-norm of what rounding does to them, as the worker found.
        coarser: of a reference, 2-norm of what it does to them that every weight is off by an
            epsilon of float32.
    """

    value: npt.NDArray[np.float64]
    noise: float
    coarser: float = 0.0


class Deviation(msgspec.Struct, frozen=True, kw_only=True):
    """The distance of one quantity from the reference.

    Lengths are 2-norms relative to the reference's; absolute ones where that is zero.

    Attributes:
        quantity: such as `gradient of dense1/kernel`.
        error: distance from the reference.
        noise: what rounding does to it in this engine.
        tolerance: the largest error at which the engine is at parity.
        limit: the largest noise that arithmetic explains.
    """

    quantity: str
    error: float
    noise: float
    tolerance: float
    limit: float

    @property
    def vague(self) -> bool:
        """Whether the engine's own noise, and its error, are so large that they may be a fault."""
        return min(self.noise, self.error) > self.limit

    @property
    def excess(self) -> float:
        """Error over tolerance: above one, this is not the same mathematics."""
        return self.error / self.tolerance

    @property
    def foretold(self) -> float:
        """What rounding does to it in that arithmetic, as the reference foretells."""
        return self.limit / PATIENCE

    @property
    def off(self) -> bool:
        """Whether it is beyond its tolerance, and rounding alone would not have taken it there."""
        return self.excess > 1.0 and self.foretold <= self.tolerance

    @property
    def vagueness(self) -> float:
        """What the noise explains of the error, over what arithmetic does."""
        return min(self.noise, self.error) / self.limit

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
    found: Mapping[str, Quantity], reference: Mapping[str, Quantity], dtype: DType, samples: int
) -> tuple[Deviation, ...]:
    """Compare what an engine found with the reference, quantity by quantity.

    Args:
        found: the engine's quantities; all that the reference has.
        reference: the same in float64, with the noise that float64 has.
        dtype: the engine's arithmetic.
        samples: samples behind an accuracy; it may be off by one of them.
    """
    return tuple(
        _deviation(name, found[name], reference[name], dtype, samples) for name in reference
    )


def _deviation(
    name: str, found: Quantity, reference: Quantity, dtype: DType, samples: int
) -> Deviation:
    scale = float(np.linalg.norm(reference.value)) or 1.0
    noise = found.noise / scale
    error = float(np.linalg.norm(found.value - reference.value)) / scale
    if "accuracy" in name:
        # It moves by whole samples, and by those that rounding was seen to move.
        whole = 1.0 / samples / scale + noise
        return Deviation(quantity=name, error=error, noise=noise, tolerance=whole, limit=whole)
    # Nothing can be told closer than to an epsilon.
    epsilon = EPSILON[dtype]
    own = reference.noise / scale
    coarser = reference.coarser / scale * epsilon / EPSILON["float32"]
    least = ALLOWANCE * epsilon
    tolerance = max(ALLOWANCE * noise, least)
    return Deviation(
        quantity=name,
        error=error,
        noise=noise,
        # What is not zero has to be told from zero.
        tolerance=tolerance if own > _NOTHING else min(tolerance, max(MOST, least)),
        limit=PATIENCE * max(foretold(own, dtype), coarser, epsilon),
    )


def foretold(noise: float, dtype: DType) -> float:
    """What the noise of a quantity in float64 would be in another arithmetic.

    To first order it goes with epsilon.
    """
    return noise * EPSILON[dtype] / EPSILON["float64"]


def unsteadiness(reference: Mapping[str, Quantity]) -> float:
    """Median of the relative change of the updates, where weights are off by a float32's epsilon.

    Near one, the steps go wherever rounding takes them, and nothing can be compared.
    """
    noises = [
        each.coarser / scale
        for name, each in reference.items()
        if name.startswith("update of ") and (scale := float(np.linalg.norm(each.value)))
    ]
    return float(np.median(noises))


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
    """Of the same quantities in two draws, each where it is nearer to the reference.

    A draw in which it tells something goes before one in which it is vague.
    """
    return tuple(
        min(pair, key=lambda deviation: (deviation.vague, deviation.excess))
        for pair in zip(before or now, now, strict=True)
    )


def worst(all_of: Iterable[Deviation]) -> Deviation:
    """The one with the largest excess."""
    return max(all_of, key=lambda deviation: deviation.excess)


def vaguest(all_of: Iterable[Deviation]) -> Deviation:
    """The one whose tolerance is furthest beyond what proves something."""
    return max(all_of, key=lambda deviation: deviation.vagueness)
