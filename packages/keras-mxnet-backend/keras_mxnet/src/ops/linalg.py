"""`keras.ops.linalg` on MXNet."""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras.src.backend.common.dtypes import result_type

from keras_mxnet.src.convert import cast
from keras_mxnet.src.fallback import host
from keras_mxnet.src.invoke import invoke, invoke_all
from keras_mxnet.src.ops import numpy as ops
from keras_mxnet.src.ops.numpy import _floating
from keras_mxnet.src.tensor import Tensor


def _transposed(x: Tensor) -> Tensor:
    return ops.swapaxes(x, -1, -2)


def cholesky(x: Any, upper: bool = False) -> Tensor:
    x = _floating(x)

    def gradient(inputs: Any, outputs: Any, upstream: Any) -> Any:
        # Murray, "Differentiation of the Cholesky decomposition" (2016).
        transposed = np.swapaxes(outputs[0], -1, -2)
        inner = np.tril(transposed @ np.tril(upstream[0]))
        inner = inner - np.eye(inner.shape[-1]) * inner / 2
        left = np.linalg.solve(transposed, inner)
        result = np.swapaxes(np.linalg.solve(transposed, np.swapaxes(left, -1, -2)), -1, -2)
        return [(result + np.swapaxes(result, -1, -2)) / 2]

    # On the host: MXNet tells of a matrix that is not positive definite later, elsewhere.
    factor = host(np.linalg.cholesky, x, gradient=gradient)
    return _transposed(factor) if upper else factor


def cholesky_inverse(x: Any, upper: bool = False) -> Tensor:
    factor = _floating(x)
    inverse = inv(_transposed(factor) if upper else factor)
    return ops.matmul(_transposed(inverse), inverse)


def det(x: Any) -> Tensor:
    return invoke("_npi_det", [_floating(x)])


def slogdet(x: Any) -> tuple[Tensor, Tensor]:
    sign, logarithm = invoke_all("_npi_slogdet", [_floating(x)])
    return sign, logarithm


def inv(x: Any) -> Tensor:
    return invoke("_npi_inv", [_floating(x)])


def eig(x: Any) -> tuple[Tensor, Tensor]:
    x = _floating(x)

    def run(values: np.ndarray) -> Any:
        found, vectors = np.linalg.eig(values)
        if np.iscomplexobj(found) and np.any(found.imag):
            raise NotImplementedError(
                "The matrix has complex eigenvalues, and MXNet has no complex arrays."
            )
        return found.real.astype(values.dtype), vectors.real.astype(values.dtype)

    values, vectors = host(run, x)
    return values, vectors


def eigh(x: Any) -> tuple[Tensor, Tensor]:
    x = _floating(x)

    def gradient(inputs: Any, outputs: Any, upstream: Any) -> Any:
        # Giles, "Collected matrix derivative results" (2008), 3.1.
        values, vectors = outputs
        gap = values[..., None, :] - values[..., :, None]
        factor = np.divide(1.0, gap, out=np.zeros_like(gap), where=gap != 0)
        transposed = np.swapaxes(vectors, -1, -2)
        inner = factor * (transposed @ upstream[1])
        inner = inner + upstream[0][..., None] * np.eye(values.shape[-1])
        result = vectors @ inner @ transposed
        return [(result + np.swapaxes(result, -1, -2)) / 2]

    values, vectors = host(lambda v: tuple(np.linalg.eigh(v)), x, gradient=gradient)
    return values, vectors


def lu_factor(x: Any) -> tuple[Tensor, Tensor]:
    x = _floating(x)

    def run(values: np.ndarray) -> Any:
        from scipy.linalg import lu_factor

        rows, columns = values.shape[-2:]
        flat = [lu_factor(matrix) for matrix in values.reshape(-1, rows, columns)]
        factors = np.stack([f for f, _ in flat]).reshape(values.shape)
        pivots = np.stack([p for _, p in flat]).astype("int32")
        return factors, pivots.reshape(*values.shape[:-2], min(rows, columns))

    factors, pivots = host(run, x)
    return factors, pivots


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    x = _floating(x)
    if axis is None:
        if ord is None:
            result = ops.sqrt(ops.sum(ops.square(ops.ravel(x))))
            return ops.reshape(result, (1,) * x.ndim) if keepdims else result
        axis = tuple(range(x.ndim))
    axes = tuple(axis) if isinstance(axis, (list, tuple)) else (axis,)
    if len(axes) == 1:
        return _vector_norm(x, ord, axes[0], keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, ord, axes, keepdims)
    raise ValueError(f"Improper number of dimensions to norm. Received: axis={axis}")


def _vector_norm(x: Tensor, order: Any, axis: int, keepdims: bool) -> Tensor:
    if isinstance(order, str):
        raise ValueError(f"Invalid `ord` argument for vector norm. Received: ord={order}")
    size = ops.absolute(x)
    if order is None or order == 2:
        return ops.sqrt(ops.sum(ops.square(x), axis, keepdims))
    if order == np.inf:
        return ops.max(size, axis, keepdims)
    if order == -np.inf:
        return ops.min(size, axis, keepdims)
    if order == 0:
        return ops.sum(cast(ops.not_equal(x, 0), x.dtype), axis, keepdims)
    if order == 1:
        return ops.sum(size, axis, keepdims)
    return ops.power(ops.sum(ops.power(size, order), axis, keepdims), 1.0 / order)


def _matrix_norm(x: Tensor, order: Any, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    row, column = (a % x.ndim for a in axes)
    if row == column:
        raise ValueError("Duplicate axes given.")
    if order is None or order == "fro":
        return ops.sqrt(ops.sum(ops.square(x), (row, column), keepdims))
    if order in (1, -1, np.inf, -np.inf):
        along = row if order in (1, -1) else column
        sums = ops.sum(ops.absolute(x), along, keepdims=True)
        reduce = ops.max if order > 0 else ops.min
        result = reduce(sums, (row, column), keepdims=True)
    elif order in (2, -2, "nuc"):
        values = svd(ops.moveaxis(x, (row, column), (-2, -1)), compute_uv=False)
        reduce = {2: ops.max, -2: ops.min, "nuc": ops.sum}[order]
        result = ops.expand_dims(reduce(values, -1), sorted((row, column)))
    else:
        raise ValueError(f"Invalid `ord` argument for matrix norm. Received: ord={order}")
    return result if keepdims else ops.squeeze(result, (row, column))


def qr(x: Any, mode: str = "reduced") -> tuple[Tensor, Tensor]:
    if mode not in ("reduced", "complete"):
        raise ValueError(
            "`mode` argument value not supported. Expected one of {'reduced', 'complete'}. "
            f"Received: mode={mode}"
        )
    x = _floating(x)

    def run(values: np.ndarray) -> Any:
        flat = [np.linalg.qr(m, mode) for m in values.reshape(-1, *values.shape[-2:])]
        return tuple(
            np.stack([pair[i] for pair in flat]).reshape(*values.shape[:-2], *flat[0][i].shape)
            for i in range(2)
        )

    def gradient(inputs: Any, outputs: Any, upstream: Any) -> Any:
        # Walter and Lehmann, "Algorithmic differentiation of linear algebra functions" (2012).
        q, r = outputs
        if r.shape[-2] != r.shape[-1]:
            raise NotImplementedError("`qr` has a gradient for square `r` only.")
        m = r @ np.swapaxes(upstream[1], -1, -2) - np.swapaxes(upstream[0], -1, -2) @ q
        lower = np.tril(m, -1)
        symmetric = np.tril(m) + np.swapaxes(lower, -1, -2)
        right = upstream[0] + q @ symmetric
        return [np.swapaxes(np.linalg.solve(r, np.swapaxes(right, -1, -2)), -1, -2)]

    q, r = host(run, x, gradient=gradient)
    return q, r


def _pair(a: Any, b: Any) -> tuple[Tensor, Tensor]:
    a, b = _floating(a), _floating(b)
    dtype = result_type(a.dtype, b.dtype)
    return cast(a, dtype), cast(b, dtype)


def solve(a: Any, b: Any) -> Tensor:
    a, b = _pair(a, b)
    vector = b.ndim == a.ndim - 1
    result = invoke("_npi_solve", [a, ops.expand_dims(b, -1) if vector else b])
    return ops.squeeze(result, -1) if vector else result


def solve_triangular(a: Any, b: Any, lower: bool = False) -> Tensor:
    a, b = _pair(a, b)
    # What lies in the other triangle is not read.
    return solve(ops.tril(a) if lower else ops.triu(a), b)


def svd(x: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    x = _floating(x)

    def gradient(inputs: Any, outputs: Any, upstream: Any) -> Any:
        u, s, vt = np.linalg.svd(inputs[0], full_matrices=False)
        if not compute_uv:
            return [(u * upstream[0][..., None, :]) @ vt]
        k = s.shape[-1]
        gu, gs, gv = upstream
        gu, gv = gu[..., :, :k], np.swapaxes(gv[..., :k, :], -1, -2)
        v = np.swapaxes(vt, -1, -2)
        # Townsend, "Differentiating the singular value decomposition" (2016).
        gap = np.square(s)[..., None, :] - np.square(s)[..., :, None]
        factor = np.divide(1.0, gap, out=np.zeros_like(gap), where=gap != 0)
        inverse = np.divide(1.0, s, out=np.zeros_like(s), where=s != 0)
        ut = np.swapaxes(u, -1, -2)

        def skew(a: np.ndarray) -> np.ndarray:
            return a - np.swapaxes(a, -1, -2)

        left = (factor * skew(ut @ gu)) * s[..., None, :]
        right = s[..., :, None] * (factor * skew(vt @ gv))
        middle = left + right + gs[..., None] * np.eye(k)
        result = u @ middle @ vt
        result += ((gu - u @ (ut @ gu)) * inverse[..., None, :]) @ vt
        result += u @ (inverse[..., :, None] * np.swapaxes(gv - v @ (vt @ gv), -1, -2))
        return [result]

    def run(values: np.ndarray) -> Any:
        result = np.linalg.svd(values, full_matrices, compute_uv)
        return tuple(result) if compute_uv else result

    result = host(run, x, gradient=gradient)
    return tuple(result) if compute_uv else result


def lstsq(a: Any, b: Any, rcond: float | None = None) -> Tensor:
    a, b = _pair(a, b)
    return ops.matmul(pinv(a, rcond), b)


def matrix_rank(x: Any, tol: Any = None) -> Tensor:
    x = _floating(x)
    return host(lambda v: np.asarray(np.linalg.matrix_rank(v, tol)).astype("int32"), x)


def pinv(x: Any, rcond: Any = None) -> Tensor:
    x = _floating(x)
    cutoff = float(np.finfo(x.dtype).eps) * max(x.shape[-2:]) if rcond is None else rcond

    def gradient(inputs: Any, outputs: Any, upstream: Any) -> Any:
        # Golub and Pereyra (1973), for matrices of a constant rank.
        matrix, inverse, up = inputs[0], outputs[0], upstream[0]

        def t(a: np.ndarray) -> np.ndarray:
            return np.swapaxes(a, -1, -2)

        def projected(n: int, product: np.ndarray) -> np.ndarray:
            return np.eye(n) - product

        rows, columns = matrix.shape[-2:]
        result = -t(inverse @ t(up) @ inverse)
        result = result + projected(rows, matrix @ inverse) @ t(up) @ inverse @ t(inverse)
        return [result + t(inverse) @ inverse @ t(up) @ projected(columns, inverse @ matrix)]

    return host(
        lambda v: np.linalg.pinv(v, np.asarray(cutoff)).astype(v.dtype), x, gradient=gradient
    )


def jvp(
    fun: Callable[..., Any], primals: Any, tangents: Any, has_aux: bool = False
) -> tuple[Any, ...]:
    raise NotImplementedError("MXNet differentiates backwards only: it has no `jvp`.")
