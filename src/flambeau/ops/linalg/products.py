"""Products of matrices and vectors: matmul and its relatives, with `beta * input + alpha * product`, einsum."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ...core.array.dtypes import BOOL, promote_types
from ...core.context.warned import warn_once
from ...core.dispatch.autocast import lowered
from ...core.dispatch.errors import broadcast_clash as _broadcast_clash
from ...core.dispatch.messages import message
from ...core.dispatch.operator import Array, Arrays, Scalar, _attach, composite, operator
from ...core.tensor.tensor import Tensor
from ...native.product import product
from ..support.checks import category, normalized_dim, refuse, scalar_name, summed_dtype, type_name
from ..support.declare import alias

# of products that are no product of two matrices
_KERNELS = {
    "dot": "dot", "vdot": "dot", "inner": "dot", "bmm": "bmm", "baddbmm": "baddbmm", "mv": "addmv_impl_cpu", "addmv": "addmv_impl_cpu",
}  # fmt: skip
PRECISION = jax.lax.Precision.HIGHEST  # float32 products keep float32's digits on every device


def _tensors(name: str, **arrays: jax.Array) -> None:
    for position, (argument, array) in enumerate(arrays.items(), 1):
        if array.aval.weak_type:
            raise TypeError(f"{name}(): argument '{argument}' (position {position}) must be Tensor, not a number")
        if category(array) == BOOL:
            raise NotImplementedError(
                f"\"{_KERNELS.get(name, 'addmm_impl_cpu_')}\" not implemented for '{type_name(array)}'"
            )


def _same_dtype(
    a: jax.Array, b: jax.Array, text: str = "expected m1 and m2 to have the same dtype, but got: {} != {}"
) -> None:
    if a.dtype != b.dtype:
        raise RuntimeError(text.format(scalar_name(a), scalar_name(b)))


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
        return _same_dtype(a, b, "expected scalar type {} but found {}")
    return _same_for_vector(b, a, b) if b.ndim == 1 else _same_dtype(a, b)


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
    _tensors("matmul", input=input, other=other)
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
    _tensors("mm", input=input, mat2=mat2)
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
    _same_dtype(a, b, "expected scalar type {} but found {}")


@operator(autocast="lower")
def bmm(input: Array, mat2: Array) -> Array:
    """Products of two batches of matrices: `(b, n, m), (b, m, p) -> (b, n, p)`."""
    _tensors("bmm", input=input, mat2=mat2)
    _check_bmm(input, mat2)
    return times(input, mat2)


@operator(autocast={"cuda": "lower"})
def mv(input: Array, vec: Array) -> Array:
    """Product of a matrix and a vector."""
    _tensors("mv", input=input, vec=vec)
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
    _tensors("dot", input=input, tensor=tensor)
    _check_vectors(input, tensor)
    return times(input, tensor)


@operator()
def vdot(input: Array, other: Array) -> Array:
    """`dot` with the first vector conjugated."""
    _tensors("vdot", input=input, other=other)
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
    _same_dtype(input, other)
    _tensors("inner", input=input, other=other)
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
        raise _expansion(input.shape, product.shape)
    if not (isinstance(alpha, int) and alpha == 1):
        product = jnp.asarray(alpha).astype(product.dtype) * product
    if not (isinstance(beta, int) and beta == 1):
        beta = jnp.asarray(beta).astype(input.dtype)
        input = beta * jnp.where(beta == 0, jnp.zeros_like(input), input)
    return input + product


def _expansion(given: tuple[int, ...], target: tuple[int, ...]) -> RuntimeError:
    for back in range(1, min(len(given), len(target)) + 1):
        if given[-back] not in (1, target[-back]):
            return RuntimeError(
                f"The expanded size of the tensor ({target[-back]}) must match the existing size ({given[-back]}) at "
                f"non-singleton dimension {len(target) - back}.  Target sizes: {list(target)}.  "
                f"Tensor sizes: {list(given)}"
            )
    return RuntimeError(
        f"expand(the requested shape has too few dimensions: {list(given)} cannot become {list(target)})"
    )


def _joint(input: jax.Array, product: jax.Array, beta: Any, alpha: Any) -> jax.Array:
    try:
        return _added(input, product, beta, alpha)
    except ValueError:
        raise _expansion(input.shape, product.shape) from None


def _same_as_self(input: jax.Array, mat: jax.Array) -> None:
    if input.dtype != mat.dtype:
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {type_name(input)} and {type_name(mat)}")


@operator(inplace=True, autocast="lower", between=("beta", "alpha"), room={"beta": "wide", "alpha": "wide"})
def addmm(input: Array, mat1: Array, mat2: Array, *, beta: Scalar = 1, alpha: Scalar = 1) -> Array:
    """`beta * input + alpha * (mat1 @ mat2)`; `input` broadcasts to the product's shape."""
    _tensors("addmm", input=input, mat1=mat1, mat2=mat2)
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
    _tensors("addmv", input=input, mat=mat, vec=vec)
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
    _tensors("addbmm", input=input, batch1=batch1, batch2=batch2)
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
    _tensors("baddbmm", input=input, batch1=batch1, batch2=batch2)
    _check_bmm(batch1, batch2)
    if input.dtype != batch2.dtype:
        a, b, c = map(scalar_name, (input, batch1, batch2))
        raise RuntimeError(f"Input dtypes must be the same, got: input {a}, batch1: {b}, batch2: {c}")
    return _joint(input, times(batch1, batch2), beta, alpha)


# --- many factors -----------------------------------------------------------------------------------------------------


@operator(methods=False, public=("linalg",), grad="ViewBackward0", autocast="lower")
def multi_dot(tensors: Arrays) -> Array:
    """The product of two or more matrices (the first and last may be vectors), in the order that costs least."""
    if len(tensors) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(tensors)}")
    for position, array in enumerate(tensors):
        end = position in (0, len(tensors) - 1)
        if array.ndim != 2 and not (end and array.ndim == 1):
            which = "first" if position == 0 else "last" if end else f"tensor {position}:"
            raise RuntimeError(
                f"multi_dot(): the {which} tensor must be {'1D or 2D' if end else '2D'} but got {array.ndim}D"
            )
        if array.dtype != tensors[0].dtype:
            raise RuntimeError(
                f"multi_dot(): all tensors must have be the same dtype but tensor 0 is {type_name(tensors[0])} "
                f"and tensor {position} {type_name(array)}"
            )
    for position, (a, b) in enumerate(itertools.pairwise(tensors)):
        if a.shape[-1] != b.shape[0]:
            raise RuntimeError(
                f"multi_dot(): tensors {position} and {position + 1} with shapes {list(a.shape)} and {list(b.shape)} "
                "cannot be multiplied"
            )
    _tensors("multi_dot", tensors=tensors[0])
    return jnp.linalg.multi_dot(tensors, precision=PRECISION)


@composite(methods=False, autocast="lower", in_python=True)
def chain_matmul(*matrices: Tensor) -> Tensor:
    """`linalg.multi_dot` of the arguments; one matrix is returned as it is."""
    warn_once(
        "torch.chain_matmul is deprecated and will be removed in a future PyTorch release. Use torch.linalg.multi_dot of a list."
    )
    return matrices[0] if len(matrices) == 1 else multi_dot(matrices)


@operator(methods=False, public=(), grad="ViewBackward0")
def _tensordot(a: Array, b: Array, axes: tuple[tuple[int, ...], tuple[int, ...]]) -> Array:
    left, right = (tuple(normalized_dim(d, x.ndim) for d in dims) for dims, x in zip(axes, (a, b), strict=True))
    for i, j in zip(left, right, strict=True):
        if a.shape[i] != b.shape[j] and 1 not in (a.shape[i], b.shape[j]):
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {a.shape[i]} in dim {i} and second has size "
                f"{b.shape[j]} in dim {j}"
            )
    refuse("dot" if a.ndim == b.ndim == len(left) else "addmm_impl_cpu_", a, BOOL)
    _same_dtype(a, b)
    for i, j in zip(left, right, strict=True):  # a size of 1 stands for any: sum the other one first
        if a.shape[i] != b.shape[j]:
            a = a if a.shape[i] == 1 else a.sum(i, keepdims=True)
            b = b if b.shape[j] == 1 else b.sum(j, keepdims=True)
    return jnp.tensordot(a, b, (left, right), precision=PRECISION)


def _listed_dims(dims: Tensor) -> Any:
    """What a tensor says about `dims`: one element a number, else two rows."""
    if dims.numel() == 1:
        return int(dims.item())
    if dims.shape[0] != 2:
        raise AssertionError(message("tensordot_dims_rows", rows=dims.shape[0]))
    if dims.ndim < 2 or dims.dtype.is_floating_point:
        what = "int" if dims.ndim < 2 else "float"
        raise TypeError(f"tensordot(): argument 'dims_self' (position 3) must be tuple of ints, not {what}")
    return dims.tolist()


@composite(methods=False, autocast={"cuda": "widest"}, in_python=True)
def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Sums of products over `dims`: the number of last dimensions of `a` and first of `b`, or two lists of them."""
    if isinstance(dims, Tensor):
        dims = _listed_dims(dims)
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(message("tensordot_dims_negative", dims=dims))
        if dims > min(a.ndim, b.ndim):
            raise RuntimeError(f"tensordot: cannot sum over {dims} dimensions of tensors with {a.ndim} and {b.ndim}")
        pair = tuple(range(a.ndim - dims, a.ndim)), tuple(range(dims))
    else:
        pair = tuple((d,) if isinstance(d, int) else tuple(d) for d in dims)  # type: ignore[assignment]
    if len(pair[0]) != len(pair[1]):
        raise RuntimeError("both dimension lists should have same length")
    if len(pair[0]) < max(a.ndim, b.ndim):  # a product of matrices; over all dimensions it is one of vectors
        a, b = lowered(a), lowered(b)
    return _tensordot(a, b, pair)


# --- einsum -----------------------------------------------------------------------------------------------------------

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_REST = -1  # stands for `...` among the labels


def _labels(text: str, equation: str, offset: int, whose: str = "") -> list[int]:
    """The labels of one operand (or of the output): numbers for letters, `_REST` for an ellipsis."""
    made: list[int] = []
    position = 0
    while position < len(text):
        letter = text[position]
        if text.startswith("...", position):
            if _REST in made:
                raise RuntimeError("einsum(): found '.' for operand for which an ellipsis was already found")
            made.append(_REST)
            position += 2
        elif letter in _LETTERS:
            made.append(_LETTERS.index(letter))
        elif letter == ".":
            raise RuntimeError(f"einsum(): found '.' {whose}that is not part of any ellipsis")
        elif letter != " ":
            raise RuntimeError(
                f"einsum(): invalid subscript given at index {offset + position} in the equation string, subscripts "
                "must be in [a-zA-Z]"
            )
        position += 1
    return made


def _parsed(equation: str) -> tuple[list[list[int]], list[int] | None]:
    left, arrow, right = equation.partition("->")
    inputs: list[list[int]] = []
    offset = 0
    for text in left.split(","):
        inputs.append(_labels(text, equation, offset, f"for operand {len(inputs)} "))
        offset += len(text) + 1
    return inputs, _labels(right, equation, len(left) + 2) if arrow else None


def _from_sublists(args: tuple[Any, ...]) -> tuple[list[Any], list[list[int]], list[int] | None]:
    def numbers(given: Any) -> list[int]:
        made = [_REST if label is Ellipsis else label for label in given]
        for label in made:
            if label != _REST and not 0 <= label < 52:
                raise ValueError(
                    f"einsum(): subscripts in subscript list must be within the range [0, 52), got {label}"
                )
        return made

    pairs = args[: len(args) // 2 * 2]
    output = numbers(args[-1]) if len(args) % 2 else None
    return list(pairs[::2]), [numbers(labels) for labels in pairs[1::2]], output


def _letter(label: int) -> str:
    return "..." if label == _REST else _LETTERS[label]


def _resolved(
    inputs: list[list[int]], output: list[int] | None, shapes: list[tuple[int, ...]]
) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]:
    """Labels for every dimension, with those of ellipses numbered from 52 on, aligned at the right."""
    if len(inputs) != len(shapes):
        kind = "fewer" if len(shapes) < len(inputs) else "more"
        raise RuntimeError(f"einsum(): {kind} operands were provided than specified in the equation")
    rests = []
    for position, (labels, shape) in enumerate(zip(inputs, shapes, strict=True)):
        named = len(labels) - (_REST in labels)
        if named > len(shape) or (named < len(shape) and _REST not in labels):
            tail = "even when accounting for the ellipsis" if _REST in labels else "and no ellipsis was given"
            words = "is more than" if _REST in labels else "does not match"
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({named}) {words} the number of dimensions "
                f"({len(shape)}) for operand {position} {tail}"
            )
        rests.append(len(shape) - named if _REST in labels else 0)
    widest = max(rests, default=0)
    every_rest = tuple(range(52, 52 + widest))

    def spread(labels: list[int], rest: int) -> tuple[int, ...]:
        made: list[int] = []
        for label in labels:
            made.extend(every_rest[widest - rest :] if label == _REST else (label,))
        return tuple(made)

    full = tuple(spread(labels, rest) for labels, rest in zip(inputs, rests, strict=True))
    flat = [label for labels in inputs for label in labels if label != _REST]
    if output is None:
        return full, every_rest + tuple(sorted(label for label in set(flat) if flat.count(label) == 1))
    for label in output:
        if label != _REST and label not in flat:
            raise RuntimeError(
                f"einsum(): output subscript {_letter(label)} does not appear in the equation for any input operand"
            )
        if label != _REST and output.count(label) > 1:
            raise RuntimeError(f"einsum(): output subscript {_letter(label)} appears more than once in the output")
    return full, spread(output, widest)


@operator(methods=False, public=(), grad="ViewBackward0")
def _einsum(operands: Arrays, inputs: tuple[tuple[int, ...], ...], output: tuple[int, ...]) -> Array:
    sizes: dict[int, int] = {}
    for position, (labels, array) in enumerate(zip(inputs, operands, strict=True)):
        own: dict[int, int] = {}
        for label, size in zip(labels, array.shape, strict=True):
            if own.setdefault(label, size) != size:
                raise RuntimeError(
                    f"einsum(): subscript {_letter(label)} is repeated for operand {position} but the sizes don't "
                    f"match, {size} != {own[label]}"
                )
            seen = sizes.get(label, 1)
            if size != seen and 1 not in (size, seen):
                name = f"subscript {_letter(label)}" if label < 52 else "a dimension of the ellipsis"
                raise RuntimeError(
                    f"einsum(): {name} has size {size} for operand {position} which does not broadcast with previously "
                    f"seen size {seen}"
                )
            sizes[label] = size if seen == 1 else seen
        if array.dtype != operands[0].dtype:
            raise RuntimeError(f"expected scalar type {type_name(operands[0])} but found {type_name(array)}")
    if len(operands) == 1:  # a sum, which for integers is one of 64 bits
        array = operands[0]
        if set(output) < set(inputs[0]):
            operands = (array.astype(summed_dtype(array)),)
    elif category(operands[0]) == BOOL and set().union(*inputs) - set(output):
        _tensors("bmm", operand=operands[0])
    arguments: list[Any] = []
    for labels, array in zip(inputs, operands, strict=True):
        # a dimension of size 1 that broadcasts takes no part
        kept = [i for i, label in enumerate(labels) if array.shape[i] == sizes[label]]
        arguments += [array.reshape([array.shape[i] for i in kept]), [labels[i] for i in kept]]
    return jnp.einsum(*arguments, list(output), precision=PRECISION)


def _contracts(shapes: list[tuple[int, ...]], inputs: Any, output: tuple[int, ...]) -> bool:
    """Whether something is summed that two operands have, so that it is a product of matrices."""
    seen: set[int] = set()
    for labels, shape in zip(inputs, shapes, strict=True):
        wide = {label for label, size in zip(labels, shape, strict=True) if size != 1}
        if seen & wide - set(output):
            return True
        seen |= wide
    return False


@composite(methods=False, in_python=True, spreads=True)
def einsum(*args: Any) -> Tensor:
    """Sums of products by Einstein's convention: `einsum("ij,jk->ik", a, b)` or `einsum(a, [0, 1], b, [1, 2], [0, 2])`.

    Letters (or numbers below 52) name dimensions, `...` those without a name, which broadcast. Without `->`, the
    result has the names that occur once, in the order of the alphabet (capitals first), after those of the ellipsis.
    Raises RuntimeError if the equation does not fit the operands.
    """
    if not args:
        raise ValueError("einsum(): give an equation and its operands, or operands each with a list of subscripts")
    if isinstance(args[0], str):
        operands = list(args[1]) if len(args) == 2 and isinstance(args[1], (list, tuple)) else list(args[1:])
        inputs, output = _parsed(args[0])
    else:
        operands, inputs, output = _from_sublists(args)
    if not operands:
        raise RuntimeError("einsum(): must provide at least one operand")
    shapes = [tuple(o.shape) for o in operands]
    full, made = _resolved(inputs, output, shapes)
    if _contracts(shapes, full, made):
        operands = [lowered(o) for o in operands]
    elif len({o.dtype for o in operands}) > 1:
        widest = functools.reduce(promote_types, (o.dtype for o in operands))
        operands = [o.to(widest) for o in operands]
    return _einsum(operands, full, made)


@operator(promote="common", grad="UnsafeViewBackward0")
def kron(input: Array, other: Array) -> Array:
    """The Kronecker product: every element of `input` times all of `other`, as blocks."""
    rank = max(input.ndim, other.ndim)
    a, b = ((1,) * (rank - x.ndim) + x.shape for x in (input, other))
    blocks = input.reshape([n for size in a for n in (size, 1)]) * other.reshape([n for size in b for n in (1, size)])
    return blocks.reshape([m * n for m, n in zip(a, b, strict=True)])
