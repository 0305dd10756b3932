"""Einstein sums as transposes and one batched matrix product a pair, which MXNet runs fast."""

from collections import Counter
from typing import Any

from keras.src.backend.common.dtypes import result_type

from keras_mxnet.src.convert import cast, convert_to_tensor
from keras_mxnet.src.indexing import reshape, transpose
from keras_mxnet.src.invoke import invoke
from keras_mxnet.src.tensor import Tensor

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def einsum(subscripts: str, *operands: Any, **kwargs: Any) -> Tensor:
    tensors = [convert_to_tensor(operand) for operand in operands]
    dtype = result_type(*[t.dtype for t in tensors])
    if all(t.dtype == "int8" for t in tensors):
        dtype = "int32"
    terms, output = parse(subscripts, [t.ndim for t in tensors])
    # Boolean and integer products run in a wider dtype, which the casts below leave again.
    tensors = [cast(t, "int32" if dtype == "bool" else dtype) for t in tensors]
    pairs = [_without_repeats(*item) for item in zip(terms, tensors, strict=True)]
    while len(pairs) > 1:
        later = [letter for term, _ in pairs[2:] for letter in term]
        keep = set(output) | set(later)
        pairs = [_product(*pairs[0], *pairs[1], keep), *pairs[2:]]
    term, x = pairs[0]
    term, x = _summed(term, x, set(output))
    return cast(_ordered(term, x, output), dtype)


def parse(subscripts: str, ranks: list[int]) -> tuple[list[str], str]:
    """Return the letters of each operand and of the result, with every ellipsis spelled out.

    Raises:
        ValueError: if they do not fit the operands.
    """
    subscripts = subscripts.replace(" ", "")
    inputs, arrow, output = subscripts.partition("->")
    terms = inputs.split(",")
    if len(terms) != len(ranks):
        raise ValueError(f"{subscripts!r} names {len(terms)} operands, got {len(ranks)}.")
    free = [letter for letter in _LETTERS if letter not in subscripts]
    widest = max(
        (
            rank - len(t.replace("...", ""))
            for t, rank in zip(terms, ranks, strict=True)
            if "..." in t
        ),
        default=0,
    )
    ellipsis = "".join(free[:widest])
    spelled = []
    for term, rank in zip(terms, ranks, strict=True):
        count = rank - len(term.replace("...", ""))
        if count < 0 or (count and "..." not in term):
            raise ValueError(f"{term!r} of {subscripts!r} does not fit {rank} dimensions.")
        spelled.append(term.replace("...", ellipsis[widest - count :]))
    if arrow:
        return spelled, output.replace("...", ellipsis)
    counts = Counter(letter for term in spelled for letter in term)
    once = sorted(c for c, n in counts.items() if n == 1 and c not in ellipsis)
    return spelled, ellipsis + "".join(once)


def _without_repeats(term: str, x: Tensor) -> tuple[str, Tensor]:
    """Take the diagonal of letters that a term has twice."""
    for letter in set(term):
        while term.count(letter) > 1:
            first = term.index(letter)
            second = term.index(letter, first + 1)
            x = invoke("_np_diagonal", [x], {"offset": 0, "axis1": first, "axis2": second})
            rest = term[:first] + term[first + 1 : second] + term[second + 1 :]
            term = rest + letter
    return term, x


def _summed(term: str, x: Tensor, keep: set[str]) -> tuple[str, Tensor]:
    axes = tuple(i for i, letter in enumerate(term) if letter not in keep)
    if not axes:
        return term, x
    x = invoke("_np_sum", [x], {"axis": axes, "keepdims": False, "dtype": None}, x.dtype)
    return "".join(letter for letter in term if letter in keep), x


def _ordered(term: str, x: Tensor, order: str) -> Tensor:
    if term == order:
        return x
    return transpose(x, tuple(term.index(c) for c in order))


def _product(term1: str, x1: Tensor, term2: str, x2: Tensor, keep: set[str]) -> tuple[str, Tensor]:
    """Multiply two operands, summing over the letters nothing else needs."""
    term1, x1 = _summed(term1, x1, keep | set(term2))
    term2, x2 = _summed(term2, x2, keep | set(term1))
    sizes = dict(zip(term2, x2.shape, strict=True))
    for letter, size in zip(term1, x1.shape, strict=True):
        sizes[letter] = max(size, sizes.get(letter, 1))
    # Dimensions of one are broadcast.
    x1 = _broadcast(term1, x1, sizes)
    x2 = _broadcast(term2, x2, sizes)
    shared = [c for c in term1 if c in term2]
    batch = "".join(c for c in shared if c in keep)
    contracted = "".join(c for c in shared if c not in keep)
    rows = "".join(c for c in term1 if c not in term2)
    columns = "".join(c for c in term2 if c not in term1)

    def size(letters: str) -> int:
        total = 1
        for letter in letters:
            total *= sizes[letter]
        return total

    result = batch + rows + columns
    shape = tuple(sizes[c] for c in result)
    if not contracted:
        left = reshape(_ordered(term1, x1, batch + rows), (size(batch), size(rows), 1))
        right = reshape(_ordered(term2, x2, batch + columns), (size(batch), 1, size(columns)))
        return result, reshape(invoke("_npi_multiply", [left, right]), shape)
    left = reshape(
        _ordered(term1, x1, batch + rows + contracted),
        (size(batch), size(rows), size(contracted)),
    )
    right = reshape(
        _ordered(term2, x2, batch + contracted + columns),
        (size(batch), size(contracted), size(columns)),
    )
    if not batch:
        left, right = reshape(left, left.shape[1:]), reshape(right, right.shape[1:])
    product = invoke("_npi_matmul" if not batch else "_npx_batch_dot", [left, right])
    return result, reshape(product, shape)


def _broadcast(term: str, x: Tensor, sizes: dict[str, int]) -> Tensor:
    shape = tuple(sizes[c] for c in term)
    return x if x.shape == shape else invoke("_npi_broadcast_to", [x], {"shape": shape})
