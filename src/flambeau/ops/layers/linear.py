"""Affine maps: `linear` and `bilinear`."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

from ...core.dispatch.operator import Array, operator
from ...core.dispatch.signature import not_a_tensor
from ..linalg.products import PRECISION, times
from ..support.checks import BOOL, refuse, scalar_name, type_name


def _linear_name(arrays: list[Any]) -> str:
    input, weight = arrays[:2]
    biased = len(arrays) > 2
    if weight.ndim == 1:
        return "MvBackward0" if input.ndim == 2 else "DotBackward0" if input.ndim == 1 else "UnsafeViewBackward0"
    if input.ndim == 2:
        return "AddmmBackward0" if biased else "MmBackward0"
    if biased:
        return "ViewBackward0"
    return "SqueezeBackward4" if input.ndim == 1 else "UnsafeViewBackward0"


@operator(methods=False, public=("nn.functional",), grad=_linear_name, autocast="lower", in_python=False)
def linear(input: Array, weight: Array, bias: Array | None = None) -> Array:
    """`input @ weight.T + bias` over the last dimension; a weight `(in_features)` gives `(*)`."""
    if not input.ndim and input.aval.weak_type:
        raise not_a_tensor("linear", "input", 1, 0 if input.dtype.kind == "i" else 0.0)
    if input.dtype != weight.dtype or (bias is not None and bias.dtype != input.dtype):
        if bias is None:
            raise RuntimeError(
                f"expected m1 and m2 to have the same dtype, but got: {scalar_name(input)} != {scalar_name(weight)}"
            )
        if input.dtype != weight.dtype:
            raise RuntimeError(
                f"mat1 and mat2 must have the same dtype, but got {type_name(input)} and {type_name(weight)}"
            )
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {type_name(bias)} and {type_name(weight)}")
    if input.ndim == 0 or weight.ndim == 0:
        raise RuntimeError(
            f"both arguments to linear need to be at least 1D, but they are {input.ndim}D and {weight.ndim}D"
        )
    if weight.ndim > 2:
        raise RuntimeError(
            f"t() expects a tensor with <= 2 dimensions, but self is {weight.ndim}D: linear takes a weight of one "
            f"or two dimensions, not {list(weight.shape)}"
        )
    if input.size and weight.size:
        by_vector = "dot" if input.ndim == 1 else "addmv_impl_cpu"
        refuse(by_vector if weight.ndim == 1 else "addmm_impl_cpu_", input, BOOL)
    if input.shape[-1] != weight.shape[-1]:
        rows = 1
        for size in input.shape[:-1]:
            rows *= size
        if weight.ndim == 1 and input.ndim > 1:
            raise RuntimeError(
                f"size mismatch, got input ({rows}), mat ({rows}x{input.shape[-1]}), vec ({weight.shape[0]})"
            )
        columns = weight.shape[0] if weight.ndim == 2 else 1
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({rows}x{input.shape[-1]} and {weight.shape[-1]}x{columns})"
        )
    result = times(input, weight, transposed=weight.ndim == 2)
    if bias is None:
        return result
    if bias.ndim and bias.shape[-1] not in (1, result.shape[-1] if weight.ndim == 2 else 1):
        wide = weight.ndim == 2 and input.ndim <= 2
        target = [math.prod(result.shape[:-1]), result.shape[-1]]
        text = (
            f"The expanded size of the tensor ({result.shape[-1]}) must match the existing size ({bias.shape[-1]}) "
            f"at non-singleton dimension 1.  Target sizes: {target}.  Tensor sizes: {list(bias.shape)}; "
        )
        raise RuntimeError(
            f"{text if wide else ''}linear: a bias of {list(bias.shape)} cannot be added to a result of "
            f"{list(result.shape)}; expected [{weight.shape[0]}]"
        )
    return result + bias


@operator(methods=False, public=("torch", "nn.functional"), grad=lambda arrays: (
    "AddBackward0" if len(arrays) > 3 else "ViewBackward0"
), autocast={"cuda": "widest"})  # fmt: skip
def bilinear(input1: Array, input2: Array, weight: Array, bias: Array | None = None) -> Array:
    """`y[o] = input1 @ weight[o] @ input2 + bias[o]` over the last dimensions.

    Shapes: inputs `(*, in1)` and `(*, in2)` with equal leading dimensions, weight `(out, in1, in2)`, bias `(out)`.
    """
    given = {"input1": input1, "input2": input2, "weight": weight} | ({} if bias is None else {"bias": bias})
    if len({array.dtype for array in given.values()}) > 1:
        found = ", ".join(f"{name}: {scalar_name(array)}" for name, array in given.items())
        raise RuntimeError(f"All tensors must have the same dtype, got {found}")
    if not (input1.ndim and input2.ndim):
        raise IndexError(f"Dimension specified as {-1} but tensor has no dimensions: bilinear got a number")
    if input1.shape[:-1] != input2.shape[:-1]:
        sizes = enumerate(zip(input1.shape, input2.shape, strict=False))
        where = next((f" at dim {d}: got {a} and {b}" for d, (a, b) in sizes if a != b), "")
        raise RuntimeError(
            f"bilinear(): input batch dimensions do not match{where} ({list(input1.shape)} and {list(input2.shape)})"
        )
    for position, input in enumerate((input1, input2), 1):
        if input.shape[-1] != weight.shape[position]:
            raise RuntimeError(
                f"bilinear(): input{position} size does not match weight size: "
                f"got {input.shape[-1]} but expected {weight.shape[position]}"
            )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise RuntimeError(
            "bilinear(): bias size does not match weight size: "
            f"got {bias.shape[0] if bias.ndim else 0} but expected {weight.shape[0]}"
        )
    refuse("bmm", input1, BOOL)
    result = jnp.einsum("...i,oij,...j->...o", input1, weight, input2, precision=PRECISION)
    return result if bias is None else result + bias
