"""What the families of layer functions share: checks on dtypes and sizes, wider arithmetic, reductions."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...core.array import dtypes
from ...core.context.generator import draw
from ...core.context.tracing import host_value
from ...core.dispatch.checks import on_host as on_host
from ...core.dispatch.operator import composite, inplace_form, operator
from ...core.tensor.tensor import Tensor

HALVES = (np.dtype(np.float16), np.dtype(jnp.bfloat16))


def is_floating(array: jax.Array) -> bool:
    """Whether the elements are real or complex floating point numbers."""
    return dtypes.from_numpy(array.dtype).category >= dtypes.FLOAT


def type_name(array: jax.Array) -> str:
    """The dtype's name as PyTorch's kernels print it ('Long', 'Half', ...)."""
    return dtypes.from_numpy(array.dtype).abbr


def next_key() -> jax.Array:
    """A fresh key for `jax.random`, taken from the default generator."""
    return jnp.asarray(host_value(lambda: draw("next_key", None)))


def in_place(function: Any) -> Callable:
    """The form of an operator that writes its result into its first argument."""
    return inplace_form(function.operator, function.__name__ + "_")


def scalar_name(array: jax.Array) -> str:
    """The dtype's name as PyTorch's C++ prints it ('float', 'double', 'c10::Half', ...)."""
    name = type_name(array)
    return _CPP_NAMES.get(name) or (f"c10::{name}" if name in ("Half", "BFloat16") else name.lower())


_CPP_NAMES = {
    "Long": "long int", "Short": "short int", "Char": "signed char", "Byte": "unsigned char",
    "ComplexFloat": "c10::complex<float>", "ComplexDouble": "c10::complex<double>",
}  # fmt: skip


def require_floating(what: str, *arrays: jax.Array | None) -> None:
    """Raise NotImplementedError, as PyTorch's kernels do, for an integer or bool array."""
    for array in arrays:
        if array is not None and not is_floating(array):
            raise NotImplementedError(
                f"\"{what}\" not implemented for '{type_name(array)}' (cast the input to a floating point dtype first)"
            )


def wide(array: jax.Array) -> jax.Array:
    """Half precision becomes float32, so that sums keep their digits; everything else stays."""
    return array.astype(jnp.float32) if array.dtype in HALVES else array


def normalized_dim(dim: int, ndim: int) -> int:
    """A dimension counted from the front; a 0-dim tensor takes 0 and -1. IndexError if there is none such."""
    limit = max(ndim, 1)
    if not -limit <= dim < limit:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-limit}, {limit - 1}], but got {dim})")
    return dim % limit


def per_dim(value: int | Sequence[int], n: int, name: str) -> tuple[int, ...]:
    """One number for each of `n` spatial dimensions, from a single number or a sequence of one or `n`."""
    values = (value,) if isinstance(value, (int, np.integer)) else tuple(value)
    if len(values) == 1:
        values *= n
    if len(values) != n:
        raise RuntimeError(
            f"expected {name} to be a single integer value or a list of {n} values to match the "
            f"convolution dimensions, but got {name}={list(values)}"
        )
    return tuple(int(v) for v in values)


def chosen_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction meant by a call that may still use the two old switches."""
    if size_average is not None or reduce is not None:
        averaged = True if size_average is None else size_average
        reduction = "none" if reduce is not None and not reduce else "mean" if averaged else "sum"
        warnings.warn(
            f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.",
            stacklevel=2,
        )
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction, which is 'none', 'mean' or 'sum'")
    return reduction


def by_reduction(elementwise: str | Callable[[dict[str, Any]], str], mean: str = "MeanBackward0") -> Callable[..., str]:
    """The printed names of a loss that PyTorch reduces in a step of its own.

    `elementwise` is the name without a reduction, or a function that chooses it by the static arguments.
    """

    def name(arrays: list[Any], statics: dict[str, Any]) -> str:
        if statics["reduction"] == "none":
            return elementwise if isinstance(elementwise, str) else elementwise(statics)
        return mean if statics["reduction"] == "mean" else "SumBackward0"

    return name


def loss(
    *, promote: str | None = "common", grad: Any = None, same_sizes: bool = False, targets: Any = None
) -> Callable:
    """Declare a loss's array function as an operator of nn.functional.

    It gets the reduction as a word: the switches `size_average` and `reduce` have become None before it is called.
    `same_sizes` warns if input and target would be broadcast. (Both here, since array functions are traced more than
    once and would repeat their warnings.) `targets(input, target)` raises for values of the target that can't be.
    """

    def declare(function: Callable) -> Callable:
        operation = operator(methods=False, promote=promote, public=(), grad=grad)(function)
        signature = inspect.signature(function)
        names = list(signature.parameters)
        first_switch = names.index("size_average") if "size_average" in names else len(names)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if same_sizes and len(args) >= 2 and args[0].shape != args[1].shape:
                warnings.warn(
                    f"Using a target size ({args[1].shape}) that is different to the input size ({args[0].shape}). "
                    "They are broadcast, which is seldom what is meant. Please ensure they have the same size.",
                    stacklevel=3,
                )
            if targets is not None:
                given = signature.bind(*args, **kwargs).arguments
                if isinstance(given["target"], Tensor):
                    targets(given["input"], given["target"])
            if "reduction" in kwargs:
                chosen_reduction(None, None, kwargs["reduction"])
            if len(args) > first_switch or "size_average" in kwargs or "reduce" in kwargs:
                bound = signature.bind(*args, **kwargs)
                bound.apply_defaults()
                given = bound.arguments
                given["reduction"] = chosen_reduction(given["size_average"], given["reduce"], given["reduction"])
                given["size_average"] = given["reduce"] = None
                args, kwargs = bound.args, bound.kwargs
            return operation(*args, **kwargs)

        return composite(methods=False, public=("nn.functional",))(call)

    return declare


def reduced(losses: jax.Array, reduction: str, dtype: Any = None) -> jax.Array:
    """The elementwise losses themselves, their mean or their sum, in `dtype` (their own by default)."""
    dtype = losses.dtype if dtype is None else dtype
    chosen_reduction(None, None, reduction)
    if reduction == "mean":
        losses = jnp.mean(wide(losses)) if losses.size else jnp.full((), jnp.nan, losses.dtype)
    elif reduction == "sum":
        losses = jnp.sum(wide(losses))
    return losses.astype(dtype)
