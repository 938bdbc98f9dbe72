"""Declaring operators that read or write at tensors of indices.

XLA clamps or drops indices that are out of range; PyTorch raises. They are therefore looked at before the call, or, in a
compiled function, by its program.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

from ...core.dispatch.at_once import AtOnce
from ...core.dispatch.limits import refuse_unfit
from ...core.dispatch.operator import _attach, _publish, inplace_form, operator
from ...core.tensor.tensor import Tensor
from ..support.checks import all_inside, refuse_outside, shapes_first


def indexed(
    text: str = "index {} is out of bounds for dimension {dim} with size {size}",
    error: type[Exception] = RuntimeError,
    *,
    negative: bool = False,
    flat: bool = False,
    inplace: bool = True,
    grad: Any = None,
    autocast: Any = None,
    narrow: bool = False,
    or_number: dict[str, str] | None = None,
    room: dict[str, str] | None = None,
    at_once: AtOnce | None = None,
    unless: Callable[[int, int], tuple[str, type[Exception]] | None] = lambda dim, ndim: None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`@operator` for functions of `input, dim, index, ...` (`flat`: `input, index, ...`), with indices in range.

    `unless(dim, ndim)` may give another text and error than the usual ones, as some of PyTorch's kernels do. `at_once`, which looks at
    the indices itself, is for the function, not for its in-place form.
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        how = {"grad": grad, "autocast": autocast, "narrow": narrow, "or_number": or_number, "room": room}
        call = operator(methods=False, public=(), **how)(function)
        name = function.__name__
        signature = inspect.signature(function)
        names = list(signature.parameters)
        place, takes_number = names.index("index"), "value" in names

        def limits(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, int, int, int] | None:
            """The indices, the dimension and its size, and of how many it is; None where the operator says what is wrong."""
            input = args[0] if args else kwargs.get("input")
            index = args[place] if len(args) > place else kwargs.get("index")
            if not isinstance(input, Tensor) or not isinstance(index, Tensor):
                return None
            shape = (input._storage if input._view is None else input._view).shape
            if flat:
                return index, 0, math.prod(shape), len(shape)
            if not shape:
                return index, 0, 1, 0
            dim = args[1] if len(args) > 1 else kwargs.get("dim", 0)
            if not isinstance(dim, int) or not -len(shape) <= dim < len(shape):
                return None
            return index, dim % len(shape), shape[dim], len(shape)

        def check(index: Tensor, dim: int, size: int, ndim: int) -> None:
            if all_inside(index, size, negative):
                return
            words, kind = unless(dim, ndim) or (text, error)
            words = words.replace("{dim}", str(dim)).replace("{size}", str(size))
            refuse_outside(index, size, words, kind, negative)

        def check_number(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            input: Any = args[0] if args else kwargs.get("input")
            refuse_unfit(args[3] if len(args) > 3 else kwargs.get("value"), input._np_dtype)

        def checked(function: Callable[..., Any], at_once: AtOnce | None = None) -> Callable[..., Any]:
            @functools.wraps(function)
            def outer(*args: Any, **kwargs: Any) -> Any:
                if at_once is not None and len(args) == 3 and not kwargs and (made := at_once(*args)) is not None:
                    return made
                found = limits(args, kwargs)
                if found is None:
                    return function(*args, **kwargs)
                try:
                    check(*found)
                    if takes_number:
                        check_number(args, kwargs)
                except (IndexError, RuntimeError):
                    given = signature.bind(*args, **kwargs)
                    index, given.arguments["index"] = given.arguments["index"], None

                    def with_zeros(zeros: Tensor) -> Any:
                        given.arguments["index"] = zeros
                        return call(*given.args, **given.kwargs)

                    shapes_first(index, with_zeros)
                    raise
                return function(*args, **kwargs)

            return outer

        made = checked(call, at_once)
        _publish(name, made, ("torch",))
        _attach(made, (name,))
        if inplace:
            op: Any = call.operator  # type: ignore[attr-defined]
            _attach(checked(inplace_form(op, name + "_")), (name + "_",))
        return made

    return declare
