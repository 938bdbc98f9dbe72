"""Declaring operators in rows: elementwise functions of one tensor, and second names."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ...core.dispatch.operator import Array, _attach, _publish, inplace_form, namespaces, operator
from ...core.dispatch.promotion import kernel_of
from ...core.tensor.tensor import Tensor
from .checks import COMPLEX, HALVES, refuse, require_floating, wide


def unary(
    name: str,
    formula: Callable[[jax.Array], jax.Array],
    doc: str,
    *,
    promote: str | None = "float",
    inplace: bool | tuple[str, ...] = True,
    public_inplace: bool = True,
    complex: bool = True,
    halves: bool = True,
    **options: Any,
) -> Callable[..., Any]:
    """An elementwise operator of one tensor. By default integers give the default dtype, complex numbers and those of 16 bits are taken,
    and `name_` works in place."""

    def function(input: Array) -> Array:
        if not complex:
            refuse(kernel_of(name), input, COMPLEX)
        if not halves:
            require_floating(kernel_of(name), input, most=COMPLEX, halves=False)
        made = formula(wide(input))  # of 16 bits in 32, rounded once
        return made.astype(input.dtype) if input.dtype in HALVES and made.dtype == np.float32 else made

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{doc} Elementwise."
    function.__module__ = sys._getframe(1).f_globals["__name__"]  # where the row stands
    return operator(promote=promote, inplace=inplace, public_inplace=bool(inplace) and public_inplace, **options)(
        function
    )


def named_by_numbers(name: str, without: int, among: int) -> Callable[[list[Any]], str]:
    """The printed name of a tape node, whose ending says whether a Python number was among the arguments."""

    def label(arguments: list[Any]) -> str:
        ending = without if all(hasattr(a, "ndim") for a in arguments) else among
        return f"{name}Backward{ending}"

    return label


def alias(
    name: str,
    target: Callable[..., Any],
    *,
    methods: bool = True,
    public: tuple[str, ...] = ("torch",),
    public_inplace: bool = True,
) -> Callable[..., Any]:
    """A second public name of a function, and of its method and in-place method if it has them."""
    _publish(name, target, public)
    if methods:
        for ending in ("", "_"):
            method = getattr(Tensor, target.__name__ + ending, None)
            if method is not None:
                _attach(method, (name + ending,))
                if ending and public_inplace and target.__name__ + ending in namespaces["torch"]:
                    _publish(name + ending, method, ("torch",))
    return target


def in_place(function: Any) -> Callable:
    """The form of an operator that writes its result into its first argument."""
    return inplace_form(function.operator, function.__name__ + "_")
