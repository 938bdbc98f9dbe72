"""Products of matrices and vectors: matmul and its relatives, with `beta * input + alpha * product`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ...core.array.dtypes import BOOL, from_numpy
from ...core.dispatch.autocast import lowered
from ...core.dispatch.errors import broadcast_clash as _broadcast_clash
from ...core.dispatch.errors import expansion_clash
from ...core.dispatch.messages import message
from ...core.dispatch.operator import Array, Scalar, _attach, composite, operator
from ...core.tensor.tensor import Tensor
from ...native.product import product
from ..support.checks import category, scalar_name, type_name
from ..support.declare import alias

# of products that are no product of two matrices
_KERNELS = {
    "dot": "dot", "vdot": "dot", "inner": "dot", "bmm": "bmm", "baddbmm": "baddbmm", "mv": "addmv_impl_cpu", "addmv": "addmv_impl_cpu",
}  # fmt: skip
PRECISION = jax.lax.Precision.HIGHEST  # float32 products keep float32's digits on every device


def tensors_only(name: str, **arrays: jax.Array) -> None:
    for position, (argument, array) in enumerate(arrays.items(), 1):
        if array.aval.weak_type:
            raise TypeError(f"{name}(): argument '{argument}' (position {position}) must be Tensor, not a number")
        if category(array) == BOOL:
            raise NotImplementedError(
                f"\"{_KERNELS.get(name, 'addmm_impl_cpu_')}\" not implemented for '{type_name(array)}'"
            )


def same_dtype(
    a: jax.Array,
    b: jax.Array,
    text: str = "expected m1 and m2 to have the same dtype, but got: {} != {}",
    named: Callable[[jax.Array], str] = scalar_name,
) -> None:
    if a.dtype != b.dtype:
        raise RuntimeError(text.format(named(a), named(b)))


def times(a: jax.Array, b: jax.Array, transposed: bool = False) -> jax.Array:
    """`a @ b`, or with `transposed` `a @ b.T`, with all of the dtype's digits."""
    if a.ndim > 1 and b.ndim == 2 and a.dtype == b.dtype and a.dtype.name in ("float32", "bfloat16"):
        # all rows together are one matrix, which the native kernels take
        rows = a.reshape(-1, a.shape[-1]) if a.size else jnp.zeros((math.prod(a.shape[:-1]), a.shape[-1]), a.dtype)
        made = product(rows, b, transpose_b=transposed)
        return made.reshape(*a.shape[:-1], made.shape[1])
    return jnp.matmul(a, b.T if transposed else b, precision=PRECISION)


def _shapes_clash(rows: int, inner: int, other: int, columns: int) -> RuntimeError:
    return RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({rows}x{inner} and {other}x{columns})")


def _vector_clash(mat: tuple[int, ...], vec: int, out: int) -> RuntimeError:
    return RuntimeError(f"size mismatch, got input ({out}), mat ({mat[0]}x{mat[1]}), vec ({vec})")


def _check_dot(a: jax.Array, b: jax.Array) -> None:
    if a.dtype != b.dtype:
        raise RuntimeError(
            f"dot : expected both vectors to have same dtype, but found {type_name(a)} and {type_name(b)}"
        )
    if a.shape != b.shape:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor {list(a.shape)} and src {list(b.shape)} to have the same "
            f"number of elements, but got {a.size} and {b.size} elements respectively"
        )


def _same_for_vector(input: jax.Array, mat: jax.Array, vec: jax.Array) -> None:
    if not input.dtype == mat.dtype == vec.dtype:
        a, b, c = map(type_name, (input, mat, vec))
        raise RuntimeError(f"addmv input tensors must have the same dtype, but got {a}, {b}, and {c}")


def _batches_clash(batch: int, inner: int, count: int, b: jax.Array) -> RuntimeError:
    return RuntimeError(message("baddbmm_sizes", batch=batch, inner=inner, count=count, size=b.shape[-2]))


def _check_matmul(a: jax.Array, b: jax.Array) -> None:
    if a.ndim == 0 or b.ndim == 0:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {a.ndim}D and {b.ndim}D")
    if a.ndim == 1 and b.ndim == 1:
        return _check_dot(a, b)
    inner, other = a.shape[-1], b.shape[-2] if b.ndim > 1 else b.shape[0]
    if inner != other:
        if b.ndim == 1:
            rows = math.prod(a.shape[:-1])
            raise _vector_clash((rows, inner), other, rows)
        if b.ndim == 2:
            raise _shapes_clash(math.prod(a.shape[:-1]), inner, other, b.shape[1])
        batch = math.prod((b if a.ndim < 3 else a).shape[:-2])
        raise _batches_clash(batch, inner, batch, b)
    if a.ndim > 2 and b.ndim > 2:
        clash = _broadcast_clash([a.shape[:-2], b.shape[:-2]])
        if clash:
            raise RuntimeError(clash)
        return same_dtype(a, b, "expected scalar type {} but found {}")
    return _same_for_vector(b, a, b) if b.ndim == 1 else same_dtype(a, b)


def _matmul_name(arrays: list[Any]) -> str:
    ranks = tuple(min(a.ndim, 3) for a in arrays)
    plain = {(1, 1): "Dot", (2, 1): "Mv", (2, 2): "Mm", (2, 3): "Clone"}
    return "SqueezeBackward4" if ranks == (1, 2) else plain.get(ranks, "UnsafeView") + "Backward0"


@operator(grad=_matmul_name, public=("torch", "linalg"), autocast="lower")
def matmul(input: Array, other: Array) -> Array:
    """Matrix product over the last two dimensions; dimensions before them broadcast, vectors count as row or column.

    Shapes: `(n), (n) -> ()`, `(m, n), (n) -> (m)`, `(n), (n, p) -> (p)`, `(*, m, n), (*, n, p) -> (*, m, p)`.
    Raises RuntimeError if shapes or dtypes do not fit.
    """
    tensors_only("matmul", input=input, other=other)
    _check_matmul(input, other)
    return times(input, other)


def _infix(self: Tensor, other: Any) -> Any:
    """`self @ other`"""
    return matmul(self, other) if isinstance(other, Tensor) else NotImplemented


def _infix_reflected(self: Tensor, other: Any) -> Any:
    """`other @ self`"""
    return matmul(other, self) if isinstance(other, Tensor) else NotImplemented


_attach(_infix, ("__matmul__",))
_attach(_infix_reflected, ("__rmatmul__",))
Tensor.__matmul__.__wrapped__.public = Tensor.matmul  # type: ignore[attr-defined]


@operator(autocast="lower")
def mm(input: Array, mat2: Array) -> Array:
    """Product of two matrices."""
    tensors_only("mm", input=input, mat2=mat2)
    for argument, array in (("self", input), ("mat2", mat2)):
        if array.ndim != 2:
            raise RuntimeError(f"{argument} must be a matrix")
    _check_matmul(input, mat2)
    return times(input, mat2)


def _check_bmm(a: jax.Array, b: jax.Array) -> None:
    for argument, array in (("batch1", a), ("batch2", b)):
        if array.ndim != 3:
            raise RuntimeError(f"{argument} must be a 3D tensor")
    if b.shape[:2] != (a.shape[0], a.shape[2]):
        raise _batches_clash(a.shape[0], a.shape[2], b.shape[0], b)
    same_dtype(a, b, "expected scalar type {} but found {}")


@operator(autocast="lower")
def bmm(input: Array, mat2: Array) -> Array:
    """Products of two batches of matrices: `(b, n, m), (b, m, p) -> (b, n, p)`."""
    tensors_only("bmm", input=input, mat2=mat2)
    _check_bmm(input, mat2)
    return times(input, mat2)


@operator(autocast={"cuda": "lower"})
def mv(input: Array, vec: Array) -> Array:
    """Product of a matrix and a vector."""
    tensors_only("mv", input=input, vec=vec)
    if input.ndim != 2 or vec.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got 1, {input.ndim}, {vec.ndim}")
    _check_matmul(input, vec)
    return times(input, vec)


def _check_vectors(input: jax.Array, other: jax.Array) -> None:
    if input.ndim != 1 or other.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {input.ndim}D and {other.ndim}D tensors")
    _check_dot(input, other)


@operator(autocast={"cuda": "widest"})
def dot(input: Array, tensor: Array) -> Array:
    """Sum of the products of two vectors' elements."""
    tensors_only("dot", input=input, tensor=tensor)
    _check_vectors(input, tensor)
    return times(input, tensor)


@operator()
def vdot(input: Array, other: Array) -> Array:
    """`dot` with the first vector conjugated."""
    tensors_only("vdot", input=input, other=other)
    _check_vectors(input, other)
    return times(jnp.conj(input), other)


@operator(
    methods=False,
    public=(),
    grad=lambda arrays: "ViewBackward0" if all(a.ndim for a in arrays) else "MulBackward0",
)
def _inner(input: Array, other: Array) -> Array:
    if input.ndim == 0 or other.ndim == 0:
        return input * other
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(input.shape)} and {list(other.shape)}"
        )
    same_dtype(input, other)
    tensors_only("inner", input=input, other=other)
    return jnp.tensordot(input, other, (-1, -1), precision=PRECISION)


@composite()
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Sums of products over both last dimensions; with a 0-dim tensor, the product."""
    if min(input.ndim, other.ndim) > 0 and max(input.ndim, other.ndim) > 1:  # a product of matrices
        input, other = lowered(input), lowered(other)
    return _inner(input, other)


def _check_outer(name: str, input: jax.Array, vec2: jax.Array) -> None:
    for argument, array in (("self", input), ("vec2", vec2)):
        if array.ndim != 1:
            raise RuntimeError(f"{name}: Expected 1-D argument {argument}, but got {array.ndim}-D")


@operator(promote="common", grad="MulBackward0")
def outer(input: Array, vec2: Array) -> Array:
    """The matrix of all products of two vectors' elements."""
    _check_outer("outer", input, vec2)
    return input[:, None] * vec2[None, :]


ger: Callable[..., Tensor] = alias("ger", outer)


# --- beta * input + alpha * product -----------------------------------------------------------------------------------


def _added(input: jax.Array, product: jax.Array, beta: Any, alpha: Any) -> jax.Array:
    """`beta * input + alpha * product`; with `beta == 0`, whatever is in `input` (even nan) counts for nothing."""
    if jnp.broadcast_shapes(input.shape, product.shape) != product.shape:
        raise expansion_clash(product.shape, input.shape, from_numpy(input.dtype))
    if not (isinstance(alpha, int) and alpha == 1):
        product = jnp.asarray(alpha).astype(product.dtype) * product
    if not (isinstance(beta, int) and beta == 1):
        beta = jnp.asarray(beta).astype(input.dtype)
        input = beta * jnp.where(beta == 0, jnp.zeros_like(input), input)
    return input + product


def _joint(input: jax.Array, product: jax.Array, beta: Any, alpha: Any) -> jax.Array:
    try:
        return _added(input, product, beta, alpha)
    except ValueError:
        raise expansion_clash(product.shape, input.shape, from_numpy(input.dtype)) from None


def _same_as_self(input: jax.Array, mat: jax.Array) -> None:
    if input.dtype != mat.dtype:
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {type_name(input)} and {type_name(mat)}")


@operator(inplace=True, autocast="lower", between=("beta", "alpha"), room={"beta": "wide", "alpha": "wide"})
def addmm(input: Array, mat1: Array, mat2: Array, *, beta: Scalar = 1, alpha: Scalar = 1) -> Array:
    """`beta * input + alpha * (mat1 @ mat2)`; `input` broadcasts to the product's shape."""
    tensors_only("addmm", input=input, mat1=mat1, mat2=mat2)
    for argument, array in (("mat1", mat1), ("mat2", mat2)):
        if array.ndim != 2:
            raise RuntimeError(f"{argument} must be a matrix, got {array.ndim}-D tensor")
    if mat1.shape[1] != mat2.shape[0]:
        raise _shapes_clash(*mat1.shape, *mat2.shape)
    _same_as_self(mat1, mat2)
    _same_as_self(input, mat2)
    return _joint(input, times(mat1, mat2), beta, alpha)


@operator(
    inplace=True,
    public_inplace=True,
    autocast={"cuda": "lower"},
    between=("beta", "alpha"),
    room={"beta": "own", "alpha": "own"},
)
def addmv(input: Array, mat: Array, vec: Array, *, beta: Scalar = 1, alpha: Scalar = 1) -> Array:
    """`beta * input + alpha * (mat @ vec)`; `input` broadcasts to the product's shape."""
    tensors_only("addmv", input=input, mat=mat, vec=vec)
    if mat.ndim != 2 or vec.ndim != 1 or input.ndim > 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {input.ndim}, {mat.ndim}, {vec.ndim}")
    if mat.shape[1] != vec.shape[0] or (input.size != 1 and input.shape[0] != mat.shape[0]):
        raise _vector_clash(mat.shape, vec.shape[0], input.size)
    _same_for_vector(input, mat, vec)
    return _joint(input, times(mat, vec), beta, alpha)


@operator(
    inplace=True,
    promote="common",
    autocast={"cuda": "lower"},
    between=("beta", "alpha"),
    whole=("beta", "alpha"),
    room={"beta": "own", "alpha": "own"},
)
def addr(input: Array, vec1: Array, vec2: Array, *, beta: Scalar = 1, alpha: Scalar = 1) -> Array:
    """`beta * input + alpha * outer(vec1, vec2)`; `input` broadcasts to the product's shape."""
    for argument, array in (("vec1", vec1), ("vec2", vec2)):
        if array.ndim != 1:
            raise RuntimeError(f"addr: Expected 1-D argument {argument}, but got {array.ndim}-D")
    return _joint(input, vec1[:, None] * vec2[None, :], beta, alpha)


@operator(inplace=True, autocast="lower", between=("beta", "alpha"), room={"beta": "wide", "alpha": "wide"})
def addbmm(input: Array, batch1: Array, batch2: Array, *, beta: Scalar = 1, alpha: Scalar = 1) -> Array:
    """`beta * input + alpha *` the sum over the batch of `batch1 @ batch2`."""
    tensors_only("addbmm", input=input, batch1=batch1, batch2=batch2)
    for argument, array in (("batch1", batch1), ("batch2", batch2)):
        if array.ndim != 3:
            raise RuntimeError(f"{argument} must be a 3D tensor")
    if batch1.shape[0] != batch2.shape[0]:
        raise RuntimeError(
            f"batch1 and batch2 must have same number of batches, got {batch1.shape[0]} and {batch2.shape[0]}"
        )
    if batch1.shape[2] != batch2.shape[1]:
        raise RuntimeError(
            f"Incompatible matrix sizes for bmm ({batch1.shape[1]}x{batch1.shape[2]} and "
            f"{batch2.shape[1]}x{batch2.shape[2]})"
        )
    _same_as_self(batch1, batch2)
    _same_as_self(input, batch2)
    return _joint(input, jnp.tensordot(batch1, batch2, ((0, 2), (0, 1)), precision=PRECISION), beta, alpha)


@operator(inplace=True, autocast="lower", between=("beta", "alpha"), room={"beta": "wide", "alpha": "wide"})
def baddbmm(input: Array, batch1: Array, batch2: Array, *, beta: Scalar = 1, alpha: Scalar = 1) -> Array:
    """`beta * input + alpha * (batch1 @ batch2)` for batches of matrices."""
    tensors_only("baddbmm", input=input, batch1=batch1, batch2=batch2)
    _check_bmm(batch1, batch2)
    if input.dtype != batch2.dtype:
        a, b, c = map(scalar_name, (input, batch1, batch2))
        raise RuntimeError(f"Input dtypes must be the same, got: input {a}, batch1: {b}, batch2: {c}")
    return _joint(input, times(batch1, batch2), beta, alpha)
