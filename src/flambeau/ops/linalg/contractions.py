"""Products of many factors, and over chosen dimensions: multi_dot, tensordot, einsum, kron."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import jax.numpy as jnp

from ...core.array.dtypes import BOOL, promote_types
from ...core.context.warned import warn_once
from ...core.dispatch.autocast import lowered
from ...core.dispatch.messages import message
from ...core.dispatch.operator import Array, Arrays, composite, operator
from ...core.tensor.tensor import Tensor
from ..support.checks import category, normalized_dim, refuse, summed_dtype, type_name
from .products import PRECISION, same_dtype, tensors_only

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
    tensors_only("multi_dot", tensors=tensors[0])
    return jnp.linalg.multi_dot(tensors, precision=PRECISION)


@composite(methods=False, autocast="lower", in_python=True)
def chain_matmul(*matrices: Tensor) -> Tensor:
    """`linalg.multi_dot` of the arguments; one matrix is returned as it is."""
    warn_once(message("chain_matmul_deprecated"))
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
    same_dtype(a, b, "both inputs should have same dtype, but got: {} != {}")
    refuse("dot" if a.ndim == b.ndim == len(left) else "addmm_impl_cpu_", a, BOOL)
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
        tensors_only("bmm", operand=operands[0])
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
