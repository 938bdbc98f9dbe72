"""`torch._foreach_*`: one operator over lists of tensors, as optimizers call it. The in-place forms give back their first list."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ...core.dispatch.host_numbers import takes_numbers
from ...core.dispatch.publishing import _publish, namespaces
from ...core.tensor.tensor import Tensor

_UNARY = (
    "abs acos asin atan ceil clone cos cosh erf erfc exp expm1 floor frac lgamma log log10 log1p log2 neg reciprocal round "
    "rsqrt sigmoid sign sin sinh sqrt tan tanh trunc max"
).split()
# with a number, a list of numbers or tensors, or (where it is told) a 0-dim tensor for all
_BINARY = {
    "add": True,
    "sub": False,
    "mul": True,
    "div": True,
    "clamp_max": False,
    "clamp_min": False,
    "maximum": False,
}
_BINARY |= {"minimum": False, "pow": False}
_WITHOUT_INPLACE = ("clone", "max")


def _tensors(name: str, given: Any, place: int = 1) -> Sequence[Tensor]:
    if not isinstance(given, (tuple, list)) or not all(isinstance(part, Tensor) for part in given):
        met = type(given).__name__
        raise TypeError(f"{name}(): argument {'self' if place == 1 else place!r} must be tuple of Tensors, not {met}")
    if not given:
        raise RuntimeError("Tensor list must have at least one tensor.")
    return given


def _paired(tensors: Sequence[Tensor], other: Any, takes_one: bool = True) -> list[Any]:
    """What goes with each tensor: a number or a 0-dim tensor with all, a list's entries in turn."""
    if isinstance(other, Tensor):
        if not takes_one:
            raise TypeError("argument 'other' must be tuple of Tensors, not Tensor")
        if other.ndim:
            raise RuntimeError(
                f"scalar tensor expected to be 0 dim but it has {other.ndim} dimensions and {other.numel()} elements."
            )
        return [other] * len(tensors)
    if isinstance(other, (tuple, list)):
        if len(other) == len(tensors):
            return list(other)
        if all(isinstance(part, Tensor) for part in other):
            raise RuntimeError(
                f"Tensor lists must have the same number of tensors, got {len(tensors)} and {len(other)}"
            )
        raise RuntimeError("Tensor list must have same number of elements as scalar list.")
    return [other] * len(tensors)


def _single(name: str, inplace: bool) -> Callable[..., Any]:
    if inplace:
        return getattr(Tensor, f"{name}_")
    return namespaces["torch"].get(name) or getattr(Tensor, name)


def _bounded(name: str, inplace: bool) -> Callable[..., Any]:
    """`maximum`, `minimum` and the clamps, which take tensors and numbers alike."""
    side = "min" if name in ("maximum", "clamp_min") else "max"
    clamp = _single("clamp", inplace)
    return lambda tensor, bound: clamp(tensor, **{side: bound})


def _declare(name: str, inplace: bool, make: Callable[[str, bool], Callable[..., list[Tensor]]]) -> None:
    public = f"_foreach_{name}" + ("_" if inplace else "")
    each = functools.cache(lambda: make(name, inplace))  # when all operators are declared

    def foreach(self: Any, *args: Any, **kwargs: Any) -> Any:
        if name == "pow" and not inplace and not isinstance(self, (tuple, list)):
            return tuple(self**exponent for exponent in _tensors(public, args[0], 2))
        made = each()(_tensors(public, self), *args, **kwargs)
        return self if inplace else tuple(made)

    foreach = takes_numbers(1, 2, 3, "other", "exponent", "alpha", "value", "weight", "scalar", "scalars")(foreach)
    foreach.__name__ = foreach.__qualname__ = public
    foreach.__doc__ = f"`{name}{'_' if inplace else ''}` of every tensor of a list."
    _publish(public, foreach, ("torch",))


def _unary(name: str, inplace: bool) -> Callable[..., list[Tensor]]:
    single = _single(name, inplace)
    return lambda tensors: [single(tensor) for tensor in tensors]


def _binary(name: str, inplace: bool) -> Callable[..., list[Tensor]]:
    bounds = name in ("clamp_max", "clamp_min", "maximum", "minimum")
    single = _bounded(name, inplace) if bounds else _single(name, inplace)

    def each(tensors: Sequence[Tensor], other: Any, **kwargs: Any) -> list[Tensor]:
        pairs = zip(tensors, _paired(tensors, other, _BINARY[name]), strict=True)
        return [single(tensor, part, **kwargs) for tensor, part in pairs]

    return each


def _ternary(name: str, inplace: bool) -> Callable[..., list[Tensor]]:
    single = _single(name, inplace)

    def each(
        tensors: Sequence[Tensor], tensor1: Any, tensor2: Any, scalars: Any = None, *, value: Any = 1
    ) -> list[Tensor]:
        first, second = _paired(tensors, tensor1), _paired(tensors, tensor2)
        factors = value if scalars is None else scalars
        if isinstance(factors, Tensor):
            factors = list(factors.unbind())
        factors = _paired(tensors, factors)
        return [single(t, a, b, value=v) for t, a, b, v in zip(tensors, first, second, factors, strict=True)]

    return each


def _lerp(name: str, inplace: bool) -> Callable[..., list[Tensor]]:
    single = _single(name, inplace)

    def each(tensors: Sequence[Tensor], tensors1: Any, weight: Any) -> list[Tensor]:
        rows = zip(tensors, _paired(tensors, tensors1), _paired(tensors, weight), strict=True)
        return [single(tensor, end, part) for tensor, end, part in rows]

    return each


def _norm(name: str, inplace: bool) -> Callable[..., list[Tensor]]:
    if name == "norm":
        norm = namespaces["linalg"]["vector_norm"]
        return lambda tensors, ord=2, dtype=None: [norm(tensor, ord, dtype=dtype) for tensor in tensors]
    return lambda tensors, ord=2, dtype=None: [tensor.abs().pow(ord).sum(dtype=dtype) for tensor in tensors]


def _copy(name: str, inplace: bool) -> Callable[..., list[Tensor]]:
    def each(tensors: Sequence[Tensor], src: Any, non_blocking: bool = False) -> list[Tensor]:
        return [tensor.copy_(source) for tensor, source in zip(tensors, _paired(tensors, src), strict=True)]

    return each


def _declare_all() -> None:
    for names, make in (
        (_UNARY, _unary),
        (_BINARY, _binary),
        (("addcmul", "addcdiv"), _ternary),
        (("lerp",), _lerp),
        (("norm", "powsum"), _norm),
    ):
        for name in names:
            _declare(name, False, make)
            if name not in _WITHOUT_INPLACE and make is not _norm:
                _declare(name, True, make)
    _declare("mm", False, _binary_of_lists)
    _declare("copy", True, _copy)
    _declare("zero", True, _unary)


def _binary_of_lists(name: str, inplace: bool) -> Callable[..., list[Tensor]]:
    single = _single(name, inplace)
    return lambda tensors, other: [single(a, b) for a, b in zip(tensors, _paired(tensors, other), strict=True)]


_declare_all()
