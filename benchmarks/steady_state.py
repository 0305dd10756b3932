"""How often `velodrome.statistics.steady_state` finds what was simulated.

    python benchmarks/steady_state.py

Epoch times with lognormal noise in two shapes: a first epoch three times as long as the
rest, and a run that gets faster all the way from 1.5 to 1. The table is Markdown.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from velodrome.statistics import steady_state

SEED = 20170619
DRAWS = 4000
LENGTHS = (3, 4, 5, 6, 8, 12, 20, 50, 100)
NOISES = (0.01, 0.03, 0.08)


def first_slow(n: int) -> NDArray[np.float64]:
    return np.repeat([3.0, 1.0], [1, n - 1])


def ever_faster(n: int) -> NDArray[np.float64]:
    return np.linspace(1.5, 1.0, n)


def main() -> None:
    print(f"Share of {DRAWS} runs, by noise between epochs:\n")
    columns = [
        f"{what}, {noise:.0%}"
        for what in ("settled after the first", "a trend called settled")
        for noise in NOISES
    ]
    print("| epochs | " + " | ".join(columns) + " |\n|" + "---:|" * (len(columns) + 1))
    rng = np.random.default_rng(SEED)
    for n in LENGTHS:
        right: list[float] = []
        wrong: list[float] = []
        for noise in NOISES:
            runs = rng.lognormal(0, noise, (DRAWS, n))
            found = [steady_state(run) for run in runs * first_slow(n)]
            right.append(float(np.mean([one.settled and one.first > 0 for one in found])))
            found = [steady_state(run) for run in runs * ever_faster(n)]
            wrong.append(float(np.mean([one.settled for one in found])))
        cells = " | ".join(f"{share:.1%}" for share in right + wrong)
        print(f"| {n} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
