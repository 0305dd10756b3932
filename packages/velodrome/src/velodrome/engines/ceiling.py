"""How fast this machine multiplies matrices: `python -m velodrome.engines.ceiling DTYPE THREADS`.

Prints operations a second: of square products the fastest, each the best of its runs. That is
a ceiling for training on one processor, since most of its operations are in such products.
"""

import sys
import time
from collections.abc import Callable

import numpy as np

_SIZES = (512, 1024, 2048)
_SECONDS = 0.5


def main() -> None:
    """Measure and print."""
    dtype, threads = sys.argv[1], int(sys.argv[2])
    print(f"\n{max(_rate(size, _multiply(dtype, threads, size)) for size in _SIZES):.6g}")


def _multiply(dtype: str, threads: int, size: int) -> Callable[[], object]:
    """A function that multiplies two matrices, by PyTorch where it is installed."""
    values = np.random.default_rng(0).random((size, size), np.float32)
    try:
        import torch
    except ImportError:
        if dtype != "float32":
            raise SystemExit(f"numpy does not multiply in {dtype}") from None
        return lambda: values @ values
    torch.set_num_threads(threads)
    matrix = torch.from_numpy(values).to(getattr(torch, dtype))
    return lambda: matrix @ matrix


def _rate(size: int, multiply: Callable[[], object]) -> float:
    multiply()
    best = float("inf")
    end = time.perf_counter() + _SECONDS
    while time.perf_counter() < end:
        begin = time.perf_counter()
        multiply()
        best = min(best, time.perf_counter() - begin)
    return 2 * size**3 / best


if __name__ == "__main__":
    main()
