"""Products with sparse matrices, and sums and softmax over their dimensions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core.dispatch.operator import composite
from ...core.dispatch.sparse_forms import labelled, sparse_form
from ...core.tensor.sparse import is_sparse, layout_of, make, pattern, stored, values_of
from ...core.tensor.tensor import Tensor
from ..shape.joining import cat
from .coo import dim_of, flat_indices, grouped, host_indices, index_tensor, resized, sparse_dims, to_sparse_coo


def _in_coordinates(tensor: Any) -> Any:
    return to_sparse_coo(tensor) if is_sparse(tensor) and layout_of(tensor) != "sparse_coo" else tensor


def _check_product(name: str, a: Tensor, b: Tensor) -> None:
    if a.shape[-1] != b.shape[0]:
        (rows, inner), (other, columns) = a.shape, b.shape
        raise RuntimeError(
            f"addmm: Argument #3 (dense): Expected dim 0 size {inner}, got {other}: mat1 and mat2 shapes cannot be "
            f"multiplied ({rows}x{inner} and {other}x{columns}) in {name}"
        )
    if a.dtype is not b.dtype:
        raise RuntimeError(f"{name}: expected m1 and m2 to have the same dtype, but got {a.dtype} and {b.dtype}")


def _times_dense(sparse: Tensor, dense: Tensor) -> Tensor:
    """(n, k) in coordinates times (k, m), or one (k,) of vectors."""
    rows, columns = stored(sparse).indices
    values = values_of(sparse)
    values = values.reshape(-1, *[1] * (dense.ndim - 1))
    return dense.new_zeros((sparse.shape[0], *dense.shape[1:])).index_add(0, rows, values * dense[columns])


def _both_sparse(a: Tensor, b: Tensor) -> Tensor:
    """The product of two sparse matrices, sparse: each value of `a` meets the row of `b` that its column names."""
    a, b = a.coalesce(), b.coalesce()
    (rows, inner), (its_rows, columns) = host_indices(a), host_indices(b)
    counts = np.bincount(its_rows, minlength=b.shape[0])
    starts = np.concatenate([[0], np.cumsum(counts)])[:-1]
    repeats = counts[inner]
    left = np.repeat(np.arange(len(inner)), repeats)
    step = np.arange(len(left)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    right = starts[inner][left] + step
    shape = (a.shape[0], b.shape[1])
    products = values_of(a)[index_tensor(left, a)] * values_of(b)[index_tensor(right, b)]
    places = np.stack([rows[left], columns[right]]) if len(left) else np.zeros((2, 0), np.int64)
    _, first, group = np.unique(flat_indices(places, shape), return_index=True, return_inverse=True)
    return resized(a, places[:, first], grouped(products, group, len(first)), shape, True)


@sparse_form("mm")
def _mm(input: Tensor, mat2: Tensor, **options: Any) -> Tensor:
    compressed = layout_of(input) == layout_of(mat2) == "sparse_csr"
    a, b = _in_coordinates(input), _in_coordinates(mat2)
    if a.ndim != 2 or b.ndim != 2:
        raise RuntimeError(f"mm: Expected 2-D matrices, got {a.ndim}-D and {b.ndim}-D")
    _check_product("mm", a, b)
    if is_sparse(a) and is_sparse(b):
        made = _both_sparse(a, b)
        return made.to_sparse_csr() if compressed else made
    if is_sparse(a):
        return _times_dense(a, b)
    return _times_dense(b.t(), a.t()).t()


@sparse_form("mv")
def _mv(input: Tensor, vec: Tensor) -> Tensor:
    if vec.ndim != 1 or input.ndim != 2 or vec.shape[0] != input.shape[1]:
        raise RuntimeError(
            f"mv: expected a matrix and a vector that fit, got {list(input.shape)} and {list(vec.shape)}"
        )
    return _times_dense(_in_coordinates(input), vec)


@sparse_form("bmm")
def _bmm(input: Tensor, mat2: Tensor, **options: Any) -> Tensor:
    if is_sparse(mat2):
        raise RuntimeError("bmm_sparse: Tensor 'mat2' must be dense")
    input = _in_coordinates(input)
    (batch, rows, inner), (its_batch, its_inner, columns) = input.shape, mat2.shape
    if batch != its_batch or inner != its_inner:
        raise RuntimeError(f"bmm_sparse: shapes {list(input.shape)} and {list(mat2.shape)} do not go together")
    which, row, column = host_indices(input)
    flat = np.stack([which * rows + row, which * inner + column])
    matrix = resized(input, flat, values_of(input), (batch * rows, batch * inner))
    return _times_dense(matrix, mat2.reshape(batch * inner, columns)).reshape(batch, rows, columns)


@sparse_form("matmul", "__matmul__")
def _matmul(input: Tensor, other: Tensor) -> Tensor:
    if input.ndim == 2 and other.ndim == 2:
        return _mm(input, other)
    if is_sparse(input) and input.ndim == 2 and other.ndim == 1:
        return _mv(input, other)
    if is_sparse(other) and input.ndim == 1:
        return _mv(other.t(), input)
    if input.ndim == other.ndim == 3:
        return _bmm(input, other)
    raise NotImplementedError(
        f"matmul of shapes {list(input.shape)} and {list(other.shape)}, one of them sparse: use .to_dense() first"
    )


@sparse_form("__rmatmul__")
def _rmatmul(input: Tensor, other: Tensor) -> Tensor:
    return _matmul(other, input)


@sparse_form("addmm")
def _addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    product = _mm(mat1, mat2)
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        return product
    return (input if beta == 1 else input * beta) + product


@sparse_form("linear")
def _linear(input: Tensor, weight: Tensor, bias: Any = None) -> Tensor:
    out = _mm(input, weight.t())
    return out if bias is None else out + bias


# --- torch.sparse ----------------------------------------------------------------------------------------------------


def _reduced_product(sparse: Tensor, dense: Tensor, reduce: str) -> Tensor:
    reduce = {"max": "amax", "min": "amin"}.get(reduce, reduce)
    if reduce not in ("sum", "mean", "amax", "amin"):
        if reduce == "prod":
            raise RuntimeError("sparse_mm_reduce: reduce type of prod has not been enabled.")
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    if not is_sparse(sparse):
        raise NotImplementedError("torch.sparse.mm: with reduce the first matrix is a sparse one")
    if is_sparse(dense):
        raise RuntimeError(
            f"Expected tensor to have Strided Layout, but got tensor with {layout_of(dense)} layout (while checking arguments for "
            f"sparse_mm_reduce)"
        )
    held = _in_coordinates(sparse)
    _check_product("mm", held, dense)
    rows, columns = stored(held).indices
    products = values_of(held).reshape(-1, 1) * dense[columns]
    empty = dense.new_zeros((held.shape[0], dense.shape[1]))
    if reduce in ("sum", "mean"):
        made = empty.index_add(0, rows, products)
        if reduce == "mean":
            ones = dense.new_ones((len(rows),))
            made = made / dense.new_zeros((held.shape[0],)).index_add(0, rows, ones).clamp(min=1).reshape(-1, 1)
    else:
        made = empty.index_reduce(0, rows, products, reduce, include_self=False)
    return labelled(made, "SparseMmReduceImplBackward0", sparse, dense)


@composite(methods=False, public=("sparse",), autocast="lower")
def mm(mat1: Tensor, mat2: Tensor, reduce: Any = None) -> Tensor:
    """The product of a sparse and a dense (or sparse) matrix, with gradients for both.

    With `reduce` ("sum", "mean", "amax", "amin") a sparse and a dense one, whose products are reduced so instead of added; 0
    where a row has none.
    """
    if reduce is not None:
        return _reduced_product(mat1, mat2, reduce)
    if not is_sparse(mat1) and not is_sparse(mat2):
        return mat1.mm(mat2)
    label = "SparseSparseMatmulBackward0" if is_sparse(mat1) and is_sparse(mat2) else "SparseAddmmBackward0"
    return labelled(_mm(mat1, mat2), label, mat1, mat2)


@composite(methods=False, public=("sparse",), autocast="lower")
def addmm(mat: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1.0, alpha: Any = 1.0) -> Tensor:
    """`beta * mat + alpha * (mat1 @ mat2)` of a sparse `mat1`."""
    return labelled(_addmm(mat, mat1, mat2, beta=beta, alpha=alpha), "SparseAddmmBackward0", mat, mat1, mat2)


@composite(methods=False)
def spmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices, the first of them sparse."""
    return input.mm(mat2)


@composite(methods=False)
def dsmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices, one of them sparse."""
    return input.mm(mat2)


@composite(methods=False)
def hsmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of a sparse and a dense matrix, sparse in the rows and dense in the columns."""
    return hspmm(input, mat2)


@composite()
def smm(input: Tensor, mat: Tensor) -> Tensor:
    """The product of a sparse and a dense matrix as a sparse one."""
    rows = np.unique(host_indices(input)[0])
    product = _mm(input, mat)[index_tensor(rows, input)]
    columns = mat.shape[1]
    indices = np.stack([np.repeat(rows, columns), np.tile(np.arange(columns), len(rows))])
    return resized(input, indices, product.reshape(-1), (input.shape[0], columns))


@composite(methods=False)
def hspmm(mat1: Tensor, mat2: Tensor) -> Tensor:
    """The product of a sparse and a dense matrix, sparse in the rows and dense in the columns."""
    rows = np.unique(host_indices(mat1)[0])
    return resized(mat1, rows[None], _mm(mat1, mat2)[index_tensor(rows, mat1)], (mat1.shape[0], mat2.shape[1]))


@sparse_form("sum")
def _sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    values = values_of(input)
    if dtype is not None:
        values = values.to(dtype)
    if dim is None or dim == ():
        return values.sum()
    rows = layout_of(input) == "sparse_csr" and keepdim and input.ndim == 2
    input = _in_coordinates(input).coalesce()
    values = values_of(input) if dtype is None else values_of(input).to(dtype)
    dims = sorted({dim_of(input, d) for d in (dim if isinstance(dim, (tuple, list)) else (dim,))})
    count, shape = sparse_dims(input), tuple(input.shape)
    dense = [d - count + 1 for d in dims if d >= count]
    if dense:
        values = values.sum(dense, keepdim)
    gone = [d for d in dims if d < count]
    kept = [d for d in range(count) if d not in gone]
    size = [1 if d in dims else n for d, n in enumerate(shape) if keepdim or d not in dims]
    if not kept and not rows:  # nothing sparse is left
        total = values.sum(0)
        return total.reshape(size) if keepdim else total
    indices = host_indices(input)
    if keepdim:
        indices = indices.copy()
        indices[gone] = 0
    else:
        indices = indices[kept]
    made = resized(input, indices, values, size, stored(input).coalesced and not gone)
    made = made.coalesce() if gone else made
    return made.to_sparse_csr() if rows else made


@composite(methods=False, public=("sparse",), autocast={"cuda": "float32"})
def sum(input: Tensor, dim: Any = None, dtype: Any = None) -> Tensor:
    """The sum of what is stored: of all, or over dimensions, which keeps the others sparse."""
    return labelled(_sum(input, dim, dtype=dtype), "SumBackward0" if dim is None else "SparseSumBackward0", input)


def _softmax(input: Tensor, dim: int, dtype: Any, log: bool) -> Tensor:
    if layout_of(input) != "sparse_coo":
        raise RuntimeError("softmax of sparse tensors expects the layout torch.sparse_coo")
    input = (input if dtype is None else input.to(dtype)).coalesce()
    count, dim = sparse_dims(input), dim_of(input, dim)
    values = values_of(input)
    if dim >= count:
        return pattern(input, values.log_softmax(dim - count + 1) if log else values.softmax(dim - count + 1))
    indices, shape = host_indices(input), tuple(input.shape)
    kept = [d for d in range(count) if d != dim]
    places = flat_indices(indices[kept], tuple(shape[d] for d in kept))
    names, group = np.unique(places, return_inverse=True)
    to = index_tensor(group, input)
    top = values.detach().new_full((len(names), *values.shape[1:]), -math.inf)
    spread = to.reshape(-1, *[1] * (values.ndim - 1)).expand(values.shape)
    top = top.scatter_reduce(0, spread, values.detach(), "amax")
    shifted = values - top[to]
    total = grouped(shifted.exp(), group, len(names))[to]
    return pattern(input, shifted - total.log() if log else shifted.exp() / total)


@composite(methods=False, public=("sparse",), autocast={"cuda": "float32"})
def softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Softmax over what is stored along `dim`; what is not stored counts as minus infinity."""
    return labelled(_softmax(input, dim, dtype, False), "SparseSoftmaxBackward0", input)


@composite(methods=False, public=("sparse",), autocast={"cuda": "float32"})
def log_softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """The logarithm of `softmax`, over what is stored along `dim`."""
    return labelled(_softmax(input, dim, dtype, True), "SparseLogSoftmaxBackward0", input)


@composite(methods=False, public=("sparse",))
def sampled_addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1.0, alpha: Any = 1.0) -> Tensor:
    """`beta * input + alpha * (mat1 @ mat2)` at the places that the sparse `input` stores."""
    form = _in_coordinates(input)
    rows, columns = stored(form).indices
    product = (mat1[rows] * mat2.t()[columns]).sum(-1)
    values = values_of(form) * beta + product * alpha
    return pattern(input, values)


@composite(methods=False, public=("sparse",))
def spdiags(diagonals: Tensor, offsets: Tensor, shape: Any, layout: Any = None) -> Tensor:
    """A sparse matrix whose diagonals (by their offsets) are the rows of `diagonals`."""
    diagonals = diagonals.reshape(1, -1) if diagonals.ndim == 1 else diagonals
    rows, columns = shape
    places, picks = [], []
    for i, offset in enumerate(np.atleast_1d(np.asarray(offsets._array)).tolist()):
        column = np.arange(max(offset, 0), min(columns, rows + offset, diagonals.shape[1]))
        places.append(np.stack([column - offset, column]))
        picks.append(i * diagonals.shape[1] + column)
    found = np.concatenate(places, 1)
    values = diagonals.reshape(-1)[index_tensor(np.concatenate(picks), diagonals)]
    made = make(index_tensor(found, diagonals), values, (rows, columns))
    return made if layout is None else made.to_sparse(layout=layout)


@composite()
def sspaddmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """`beta * input + alpha * (mat1 @ mat2)` of a sparse `input` and `mat1`, uncoalesced: whole rows where `mat1` stores some.

    RuntimeError if `input` or `mat1` is dense, or the shapes don't fit.
    """
    if not (is_sparse(input) and is_sparse(mat1)):
        raise RuntimeError("tensor.sspaddmm(...) can only be called on sparse tensors")
    _check_product("sspaddmm", mat1, mat2)
    if tuple(input.shape) != (mat1.shape[0], mat2.shape[1]):
        raise RuntimeError(
            f"sspaddmm: Argument #1: Expected shape {[mat1.shape[0], mat2.shape[1]]} of the product, got {list(input.shape)}"
        )
    rows = np.unique(host_indices(mat1)[0])
    product = _mm(mat1, mat2)[index_tensor(rows, input)].reshape(-1)
    columns = np.tile(np.arange(mat2.shape[1]), len(rows))
    places = np.concatenate([host_indices(input), np.stack([np.repeat(rows, mat2.shape[1]), columns])], 1)
    values = cat([values_of(input) * beta, product * alpha])
    return make(index_tensor(places, input), values, input.shape)


@composite(methods=False)
def saddmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """`sspaddmm` under its other name."""
    return sspaddmm(input, mat1, mat2, beta=beta, alpha=alpha)
