"""What losses share: how they are declared, and how they are reduced."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ...core.context.telling import warn
from ...core.dispatch.messages import message
from ...core.dispatch.operator import composite, operator
from ...core.tensor.tensor import Tensor
from .checks import FLOAT, category, shapes_first, summed_dtype, type_name, wide

_BOTH = ("input", "target")


def is_zero(value: Any) -> bool:
    """Whether a `float` parameter is known to be 0 when the program is made."""
    return not isinstance(value, jax.Array) and value == 0


def meant_by(size_average: bool | None, reduce: bool | None) -> str:
    """The reduction that the two old switches mean; None is True for both."""
    averaged = True if size_average is None else size_average
    return "none" if reduce is not None and not reduce else "mean" if averaged else "sum"


def no_reduction(given: Any) -> ValueError:
    """The error for a word that is no reduction."""
    return ValueError(f"{given} is not a valid value for reduction, which is 'none', 'mean' or 'sum'")


def chosen_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction meant by a call that may still use the two old switches."""
    if size_average is not None or reduce is not None:
        reduction = meant_by(size_average, reduce)
        warn(f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.")
    if reduction == "elementwise_mean":
        warn("reduction='elementwise_mean' is deprecated. Please use reduction='mean' instead.")
        return "mean"
    if reduction not in ("none", "mean", "sum"):
        raise no_reduction(reduction)
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
    *,
    promote: str | None = "common",
    grad: Any = None,
    same_sizes: bool = False,
    targets: Any = None,
    options: Any = None,
    check: Any = None,
    autocast: Any = None,
    constant: Any = None,
    room: Any = None,
) -> Callable:
    """Declare a loss's array function as an operator of nn.functional.

    It gets the reduction as a word: the switches `size_average` and `reduce` have become None before it is called.
    `same_sizes` warns if input and target would be broadcast. (Both here, since array functions are traced more than
    once and would repeat their warnings.) `check`, `constant` and `room` are an operator's. `targets(input, target)` raises for values
    of the target that can't be.
    """

    def declare(function: Callable) -> Callable:
        how = {"grad": grad, "options": options, "check": check, "constant": constant, "room": room}
        operation = operator(methods=False, promote=promote, public=(), **how)(function)
        signature = inspect.signature(function)
        names = list(signature.parameters)
        first_switch = names.index("size_average") if "size_average" in names else len(names)

        def _refuse_values(given: dict[str, Any]) -> None:
            try:
                targets(given["input"], given["target"])
            except RuntimeError:
                shapes_first(given["target"], lambda zeros: operation(**{**given, "target": zeros}))
                raise

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            both = args if len(args) >= 2 else (*args, *(kwargs[k] for k in _BOTH[len(args) :] if k in kwargs))
            if same_sizes and len(both) >= 2 and both[0].shape != both[1].shape:
                warn(message("target_of_other_size", target=both[1].shape, input=both[0].shape))
            if "reduction" in kwargs:
                kwargs["reduction"] = chosen_reduction(None, None, kwargs["reduction"])
            if targets is not None:
                given = signature.bind(*args, **kwargs).arguments
                if isinstance(given["target"], Tensor):
                    _refuse_values(given)
            if len(args) > first_switch or "size_average" in kwargs or "reduce" in kwargs:
                bound = signature.bind(*args, **kwargs)
                bound.apply_defaults()
                given = bound.arguments
                given["reduction"] = chosen_reduction(given["size_average"], given["reduce"], given["reduction"])
                given["size_average"] = given["reduce"] = None
                args, kwargs = bound.args, bound.kwargs
            return operation(*args, **kwargs)

        return composite(methods=False, public=("nn.functional",), numbers=True, autocast=autocast)(call)

    return declare


REDUCTIONS = ("none", "mean", "sum")  # by the numbers that `torch` itself has for them


def reduced(losses: jax.Array, reduction: str, dtype: Any = None) -> jax.Array:
    """The elementwise losses themselves, their mean or their sum, in `dtype` (their own by default)."""
    if dtype is None:
        dtype = summed_dtype(losses) if reduction == "sum" else losses.dtype
    chosen_reduction(None, None, reduction)
    if reduction == "mean" and category(losses) < FLOAT:
        what = "could not infer output dtype. Input dtype must be either a floating point or complex dtype."
        raise RuntimeError(f"mean(): {what} Got: {type_name(losses)}")
    if reduction == "mean":
        losses = jnp.mean(wide(losses)) if losses.size else jnp.full((), jnp.nan, losses.dtype)
    elif reduction == "sum":
        losses = jnp.sum(wide(losses))
    return losses.astype(dtype)
