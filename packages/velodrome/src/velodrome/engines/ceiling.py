"""How fast a device multiplies matrices: `python -m velodrome.engines.ceiling DTYPE KIND THREADS`.

Prints operations a second: of square products the fastest, each the best of its runs. That is
a ceiling for training, since most of its operations are in such products.
"""

import sys
import time
from collections.abc import Callable

import numpy as np

_SIZES = {"cpu": (512, 1024, 2048), "gpu": (2048, 4096, 8192)}
_SECONDS = 0.5


def main() -> None:
    """Measure and print."""
    dtype, kind, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    rates = [_rate(size, _multiply(dtype, kind, threads, size)) for size in _SIZES[kind]]
    print(f"\n{max(rates):.6g}")


def _multiply(dtype: str, kind: str, threads: int, size: int) -> Callable[[], object]:
    """A function that multiplies two matrices, by PyTorch, or what else is installed."""
    values = np.random.default_rng(0).random((size, size), np.float32)
    stored = "float32" if dtype == "tf32" else dtype
    try:
        import torch
    except ImportError:
        return _by_jax(values, dtype) if kind == "gpu" else _by_numpy(values, dtype)
    if kind == "cpu":
        torch.set_num_threads(threads)
        matrix = torch.from_numpy(values).to(getattr(torch, stored))
        return lambda: matrix @ matrix
    torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"
    on_gpu = torch.from_numpy(values).to("cuda", getattr(torch, stored))

    def multiply() -> None:
        on_gpu @ on_gpu
        torch.cuda.synchronize()

    return multiply


def _by_numpy(values: "np.typing.NDArray[np.float32]", dtype: str) -> Callable[[], object]:
    if dtype != "float32":
        raise SystemExit(f"numpy does not multiply in {dtype}")
    return lambda: values @ values


def _by_jax(values: "np.typing.NDArray[np.float32]", dtype: str) -> Callable[[], object]:
    try:
        import jax
    except ImportError:
        raise SystemExit("a GPU's ceiling is measured by PyTorch or JAX") from None
    precision = "tensorfloat32" if dtype == "tf32" else "float32"
    jax.config.update("jax_default_matmul_precision", precision)
    matrix = jax.numpy.asarray(values, "float32" if dtype == "tf32" else dtype)
    product = jax.jit(lambda matrix: matrix @ matrix)
    return lambda: product(matrix).block_until_ready()


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
