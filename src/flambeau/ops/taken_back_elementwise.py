"""The same for further functions of single elements, for bounds, mixtures and norms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..core.autograd.seen import Call, forms, see
from ..core.context.overrides import PASS
from ..core.tensor.tensor import Tensor
from .taken_back import Gradients, _by_result, _unary, form, operands, real


def _zeros(name: str) -> None:
    forms[name] = real(lambda g, call: see("zeros_like", g))


def _one_less(x: Tensor) -> Tensor:
    return see("add.Scalar", see("neg", x) * x, 1)


_unary("acos", lambda g, x: g * see("neg", see("rsqrt", _one_less(x))))
_unary("asin", lambda g, x: g * see("rsqrt", _one_less(x)))
_unary("acosh", lambda g, x: g * see("rsqrt", see("sub.Scalar", x * x, 1)))
_unary("asinh", lambda g, x: g * see("rsqrt", see("add.Scalar", see("pow.Tensor_Scalar", x, 2), 1)))
_unary("sinh", lambda g, x: g * x.cosh())
_unary("cosh", lambda g, x: g * x.sinh())
_by_result("tan", lambda g, y: g * see("add.Scalar", see("pow.Tensor_Scalar", y, 2), 1))
_unary("log2", lambda g, x: g / see("mul.Scalar", x, math.log(2)))
_unary("log10", lambda g, x: g / see("mul.Scalar", x, math.log(10)))
_by_result("exp2", lambda g, y: see("mul.Scalar", g * y, math.log(2)))
_unary(
    "erfc",
    lambda g, x: see("mul.Scalar", see("neg", see("pow.Tensor_Scalar", x, 2)).exp(), -2 / math.sqrt(math.pi)) * g,
)
_unary(
    "erfinv",
    lambda g, x: see("mul.Scalar", see("pow.Tensor_Scalar", see("erfinv", x), 2).exp(), math.sqrt(math.pi) / 2) * g,
)
_unary("lgamma", lambda g, x: g * see("digamma", x))
_unary("digamma", lambda g, x: g * see("polygamma", 1, x))
_unary("rad2deg", lambda g, x: see("mul.Scalar", g, 180 / math.pi))
_unary("deg2rad", lambda g, x: see("mul.Scalar", g, math.pi / 180))
for _name in ("floor", "ceil", "round", "trunc", "sign"):
    _zeros(_name)


@form("hypot")
@real
def _hypot(g: Tensor, call: Call) -> Gradients:
    return operands(call, other=lambda: g * call.other / call.result, input=lambda: g * call.input / call.result)


@form("atan2")
@real
def _atan2(g: Tensor, call: Call) -> Gradients:
    x, y = call.input, call.other
    over = see("reciprocal", x * x + y * y)
    over = see("masked_fill.Scalar", over, see("eq.Scalar", x * x + y * y, 0), 0)
    return operands(call, input=lambda: g * y * over, other=lambda: g * see("neg", x) * over)


def _extreme(name: str, input_loses: str, other_loses: str) -> None:
    def gradients(g: Tensor, call: Call) -> Gradients:
        if not all(isinstance(v, Tensor) for v in (call.input, call.other)):
            return PASS

        def share(loses: str) -> Tensor:
            half = see("div.Scalar", g, 2)
            shared = see("where.self", see("eq.Tensor", call.input, call.other), half, g)
            return see("masked_fill_.Scalar", shared, see(f"{loses}.Tensor", call.input, call.other), 0)  # type: ignore[no-any-return]

        return operands(call, other=lambda: share(other_loses), input=lambda: share(input_loses))

    forms[name] = real(gradients)


_extreme("maximum", "lt", "gt")
_extreme("minimum", "gt", "lt")


@form("logaddexp")
@real
def _logaddexp(g: Tensor, call: Call) -> Gradients:
    def part(a: Tensor, b: Tensor) -> Tensor:
        return g / see("add.Scalar", (a - b).exp(), 1)

    x, y = call.input, call.other
    return operands(call, other=lambda: part(x, y), input=lambda: part(y, x))


def _bound(name: str, bound: str, holds: str) -> None:
    def gradients(g: Tensor, call: Call) -> Gradients:
        limit = getattr(call, bound)
        if isinstance(limit, Tensor):
            return PASS
        return {"input": see("where.self", see(f"{holds}.Scalar", call.input, limit), g, see("zeros_like", g))}

    forms[name] = real(gradients)


_bound("clamp_min", "min", "ge")
_bound("clamp_max", "max", "le")


@form("lerp")
@real
def _lerp(g: Tensor, call: Call) -> Gradients:
    weight = call.weight
    if isinstance(weight, Tensor):
        return operands(
            call,
            end=lambda: g * weight,
            input=lambda: g * see("rsub.Scalar", weight, 1),
            weight=lambda: g * (call.end - call.input),
        )
    return operands(call, end=lambda: see("mul.Scalar", g, weight), input=lambda: see("mul.Scalar", g, 1 - weight))


@form("addcmul")
@real
def _addcmul(g: Tensor, call: Call) -> Gradients:
    value = call.value
    return operands(
        call,
        tensor1=lambda: g * see("mul.Scalar", call.tensor2, value),
        tensor2=lambda: g * see("mul.Scalar", call.tensor1, value),
        input=lambda: g,
    )


@form("addcdiv")
@real
def _addcdiv(g: Tensor, call: Call) -> Gradients:
    value, below = call.value, call.tensor2
    return operands(
        call,
        tensor1=lambda: g * (value / below),
        tensor2=lambda: see("neg", g) * (see("mul.Scalar", call.tensor1, value) / (below * below)),
        input=lambda: g,
    )


@form("threshold")
@real
def _threshold(g: Tensor, call: Call) -> Gradients:
    return {"input": see("threshold_backward", g, call.input, call.threshold)}


def _scaled(name: str, negative: bool) -> Callable[[Any, Any], Any]:
    """Sums with a factor (`alpha`); those without one have a form of their own."""
    plain = forms[name]

    def gradients(g: Tensor, call: Call) -> Gradients:
        alpha = call.alpha
        if alpha == 1 or isinstance(alpha, Tensor):
            return plain(g, call)
        return operands(call, other=lambda: see("mul.Scalar", see("neg", g) if negative else g, alpha), input=lambda: g)

    forms[name] = real(gradients)
    return gradients


_scaled("add", False)
_scaled("sub", True)


@form("vector_norm")
def _vector_norm(g: Tensor, call: Call) -> Gradients:
    x, dim = call.x, call.dim
    if call.ord not in (2, 2.0) or call.dtype is not None or x.dtype.is_complex:
        return PASS
    norm = call.result
    if dim is not None and not call.keepdim:
        for d in sorted(d % x.ndim for d in (dim if isinstance(dim, (tuple, list)) else (dim,))):
            g, norm = g.unsqueeze(d), norm.unsqueeze(d)
    slope = see("masked_fill_.Scalar", x / norm, see("eq.Scalar", norm, 0), 0)
    return {"x": g * slope}


__all__: list[str] = []
