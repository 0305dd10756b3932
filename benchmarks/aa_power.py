"""How often `velodrome.statistics` claims a difference that is not there, and misses one that is.

    python benchmarks/aa_power.py                    simulated noise of several kinds
    python benchmarks/aa_power.py --pool runs/pool   processes of one engine, measured

A pool is the run folder of one configuration with many repeats, or a JSON list with one
throughput (samples/s) a process. Comparisons are drawn from it without replacement, so no
process is on both sides. Tables are Markdown.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from velodrome.report import reading
from velodrome.report.results import known
from velodrome.statistics import (
    compare,
    draw_verdicts,
    noise,
    rank,
    repeats_for_precision,
    repeats_to_add,
    verdict_rates,
)

Floats = NDArray[np.float64]
World = Callable[[np.random.Generator, int], tuple[Floats, Floats]]

SEED = 20170619
SIZES = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 18, 20)
SLOWDOWN = 0.05
PRECISIONS = (0.01, 0.02, 0.05)


def lognormal(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Two groups of n with 2% of lognormal noise."""
    return rng.lognormal(0, 0.02, n), rng.lognormal(0, 0.02, n)


def heavy(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Logs from Student's t with two degrees of freedom: infinite variance."""
    return np.exp(0.02 * rng.standard_t(2, n)), np.exp(0.02 * rng.standard_t(2, n))


def skewed(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Processes that are only ever late: exponential delays."""
    return np.exp(0.02 * rng.exponential(size=n)), np.exp(0.02 * rng.exponential(size=n))


def drifting(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Interleaved rounds on a machine that warms by 10% and wanders by 2% a round."""
    drift = np.linspace(0, 0.1, n) + np.cumsum(0.02 * rng.standard_normal(n))
    a, b = (np.exp(drift + 0.01 * rng.standard_normal(n)) for _ in range(2))
    return a, b


def bimodal(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """One process in five lands on a slow placement, 15% slower."""
    a, b = (np.exp(0.01 * rng.standard_normal(n) + 0.15 * (rng.random(n) < 0.2)) for _ in range(2))
    return a, b


def unequal(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """The same median, one engine ten times as noisy (5% and 0.5%)."""
    return rng.lognormal(0, 0.05, n), rng.lognormal(0, 0.005, n)


WORLDS: tuple[World, ...] = (lognormal, heavy, skewed, bimodal, drifting, unequal)


def simulate(draws: int) -> None:
    print(f"False verdicts, two engines of one speed, level 99%, {draws} draws:\n")
    table_head("n a side", [world.__name__ for world in WORLDS])
    for n in SIZES:
        table_row(n, [f"{simulated(world, n, draws):.2%}" for world in WORLDS])

    print(f"\nTies claimed of engines 2.1% apart, and verdicts among equals, {draws} draws:\n")
    columns = ("tie, noise 0.5%", "tie, noise 2%", "5 equal engines", "stopped at 2%")
    table_head("n a side", columns)
    for n in (5, 8, 10, 15, 20):
        cells = [false_ties(n, 0.005, draws), false_ties(n, 0.02, draws), family(n, draws // 4)]
        table_row(n, [f"{cell:.2%}" for cell in cells] + [f"{sequential(n, draws // 4):.2%}"])

    noises = (0.005, 0.01, 0.02, 0.03, 0.05)
    print(f"\nPower: a planted slowdown of {SLOWDOWN:.0%} called slower, lognormal noise:\n")
    table_head("n a side", [f"noise {one:.1%}" for one in noises])
    for n in SIZES[3:]:
        table_row(n, [f"{simulated_power(one, n, draws // 4):.1%}" for one in noises])
    precision_table({f"noise {one:.1%}": one for one in noises})


def measured(pool: Floats, draws: int) -> None:
    between = noise(pool)
    print(f"{pool.size} processes, noise between them {between:.2%}, {draws} draws:\n")
    table_head("n a side", ["false verdicts", "tie", f"{SLOWDOWN:.0%} slowdown found"])
    for n in (n for n in SIZES if 2 * n <= pool.size):
        same = draw_verdicts(pool, n, of="throughput", draws=draws, seed=SEED)
        planted = draw_verdicts(pool, n, of="throughput", draws=draws, seed=SEED, slowdown=SLOWDOWN)
        table_row(n, [f"{same.differences:.2%}", f"{same.tie:.1%}", f"{planted.slower:.1%}"])
    precision_table({"this pool": between})


def simulated(world: World, n: int, draws: int) -> float:
    rng = np.random.default_rng(SEED)
    found = [compare(*world(rng, n), of="time").verdict for _ in range(draws)]
    return verdict_rates(found).differences


def simulated_power(between: float, n: int, draws: int) -> float:
    rng = np.random.default_rng(SEED)
    found = [
        compare(
            rng.lognormal(np.log1p(SLOWDOWN), between, n), rng.lognormal(0, between, n), of="time"
        ).verdict
        for _ in range(draws)
    ]
    return verdict_rates(found).slower


def false_ties(n: int, between: float, draws: int) -> float:
    rng = np.random.default_rng(SEED)
    found = [
        compare(
            rng.lognormal(np.log(1.021), between, n), rng.lognormal(0, between, n), of="time"
        ).verdict
        for _ in range(draws)
    ]
    return verdict_rates(found).tie


def family(n: int, draws: int) -> float:
    """Share of studies of five equal engines in which any is called different from the fastest."""
    rng = np.random.default_rng(SEED)
    wrong = 0
    for _ in range(draws):
        study = rank({str(k): rng.lognormal(0, 0.02, n) for k in range(5)}, of="time")
        wrong += any(one.verdict in ("faster", "slower") for one in study.comparisons.values())
    return wrong / draws


def sequential(most: int, draws: int) -> float:
    """False verdicts when processes are added until the interval is within 2%, or at most n."""
    rng = np.random.default_rng(SEED)
    wrong = 0
    for _ in range(draws):
        a: list[float] = []
        b: list[float] = []
        more = min(5, most)
        while more:
            a.extend(rng.lognormal(0, 0.01, more))
            b.extend(rng.lognormal(0, 0.01, more))
            found = compare(a, b, of="time", tie=0)
            more = repeats_to_add([found], {"a": a, "b": b}, precision=0.02, max_repeats=most)
        wrong += found.verdict in ("faster", "slower")
    return wrong / draws


def precision_table(noises: dict[str, float]) -> None:
    print("\nProcesses an engine that `--precision` asks for, one comparison, 99%:\n")
    table_head("precision", noises)
    for precision in PRECISIONS:
        table_row(
            f"{precision:.0%}", [str(repeats_for_precision(precision, s)) for s in noises.values()]
        )


def table_head(first: str, columns: Iterable[str]) -> None:
    names = [first, *columns]
    print("| " + " | ".join(names) + " |\n|" + "---:|" * len(names))


def table_row(first: object, cells: Iterable[str]) -> None:
    print("| " + " | ".join([str(first), *cells]) + " |", flush=True)


def read_pool(path: Path) -> Floats:
    if path.is_dir():
        return known(reading.read([path]).samples_sec)
    try:
        pool = np.asarray(json.loads(path.read_text()), dtype=float)
    except (OSError, ValueError, TypeError) as error:
        raise SystemExit(f"cannot read the pool {path}: {error}") from error
    if pool.ndim != 1 or pool.size < 10:
        raise SystemExit(f"{path}: a pool is a JSON list of ten numbers or more")
    return pool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pool", type=Path, help="run folder, or JSON list")
    parser.add_argument("--draws", type=int, default=10_000, help="comparisons a cell")
    options = parser.parse_args()
    if options.pool:
        measured(read_pool(options.pool), options.draws)
    else:
        simulate(options.draws)


if __name__ == "__main__":
    main()
