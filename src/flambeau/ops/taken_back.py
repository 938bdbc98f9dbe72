"""Gradients as dispatch modes see them: for the operators that PyTorch has under these names, the ATen operators of its backward pass.

Each form takes the gradient of a call's result and the call. Only backward passes under a dispatch mode come here; operators that have
no form are one operator there (see `core/autograd/seen.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..core.autograd.seen import Call, forms, quietly, see
from ..core.context.overrides import PASS
from ..core.tensor.tensor import Tensor

Gradients = Any


def form(*names: str) -> Callable[[Any], Any]:
    """Say that a function gives the gradients of the operators of these names. Serves as a decorator."""

    def note(function: Any) -> Any:
        forms.update(dict.fromkeys(names, function))
        return function

    return note


def _like(g: Tensor, other: Tensor) -> Tensor:
    """The gradient of an operand that was spread out, or cast."""
    if g.shape != other.shape:
        more = g.ndim - other.ndim
        dims = [d for d in range(g.ndim) if d < more or (other.shape[d - more] == 1 and g.shape[d] != 1)]
        g = see("sum.dim_IntList", g, dims, True)
        g = g.view(list(other.shape)) if more else g
    return g if g.dtype is other.dtype else see("_to_copy", g, dtype=other.dtype)


def _plain(call: Call, *names: str) -> bool:
    """Whether all of these are real tensors."""
    return all(isinstance(x := getattr(call, n), Tensor) and not x.dtype.is_complex for n in names)


def operands(call: Call, **formulas: Callable[[], Tensor]) -> Gradients:
    """The gradients by operands that may have been spread out, each computed if it is asked for."""
    return {name: _like(made(), getattr(call, name)) for name, made in formulas.items() if call.needs(name)}


def real(function: Any) -> Any:
    """For real inputs only: gradients of complex ones take conjugates."""

    def checked(g: Tensor, call: Call) -> Gradients:
        values = [getattr(call, name) for name in call.places]
        if any(isinstance(v, (list, complex)) or (isinstance(v, Tensor) and v.dtype.is_complex) for v in values):
            return PASS
        return function(g, call)

    return checked


# --- arithmetic ------------------------------------------------------------------------------------------------------


@form("add")
def _add(g: Tensor, call: Call) -> Gradients:
    return PASS if call.alpha != 1 else operands(call, input=lambda: g, other=lambda: g)


@form("sub")
def _sub(g: Tensor, call: Call) -> Gradients:
    return PASS if call.alpha != 1 else operands(call, input=lambda: g, other=lambda: see("neg", g))


@form("rsub")
def _rsub(g: Tensor, call: Call) -> Gradients:
    return PASS if call.alpha != 1 else operands(call, input=lambda: see("neg", g), other=lambda: g)


@form("mul")
@real
def _mul(g: Tensor, call: Call) -> Gradients:
    return operands(call, other=lambda: g * call.input, input=lambda: g * call.other)


@form("outer")
@real
def _outer(g: Tensor, call: Call) -> Gradients:
    made = operands(call, vec2=lambda: g * call.input.view([len(call.input), 1]))
    if call.needs("input"):
        made["input"] = see("sum.dim_IntList", g * call.vec2, [1], True).view([len(call.input)])
    return made


@form("rtrue_divide")
@real
def _rtrue_divide(g: Tensor, call: Call) -> Gradients:
    if isinstance(call.other, Tensor) or not isinstance(call.input, Tensor):
        return PASS
    with quietly():
        made = call.input.reciprocal()
    return {"input": see("neg", g * call.other) * (made * made)}


@form("true_divide")
@real
def _divide(g: Tensor, call: Call) -> Gradients:
    if not isinstance(call.input, Tensor):
        return PASS
    by = call.other
    return operands(call, input=lambda: g / by, other=lambda: see("neg", g) * ((call.input / by) / by))


def _unary(name: str, formula: Callable[[Tensor, Tensor], Tensor]) -> None:
    forms[name] = real(lambda g, call: _like(formula(g, call.input), call.input))


def _by_result(name: str, formula: Callable[[Tensor, Tensor], Tensor]) -> None:
    forms[name] = real(lambda g, call: _like(formula(g, call.result), call.input))


_unary("neg", lambda g, x: see("neg", g))
_unary("log", lambda g, x: g / x)
_unary("sin", lambda g, x: g * x.cos())
_unary("cos", lambda g, x: g * -x.sin())
_unary("abs", lambda g, x: g * x.sgn())


@form("pow_plain")
@real
def _pow_plain(g: Tensor, call: Call) -> Gradients:
    n, x = call.exponent, call.input
    if not n or x.dtype is not g.dtype:
        return PASS
    return {"input": g * see("mul.Scalar", see("pow.Tensor_Scalar", x, float(n) - 1), float(n))}


_unary("square", lambda g, x: g * see("mul.Scalar", see("pow.Tensor_Scalar", x, 1.0), 2.0))
_unary("erf", lambda g, x: see("mul.Scalar", (-see("pow.Tensor_Scalar", x, 2)).exp(), 2 / math.sqrt(math.pi)) * g)
_unary("atan", lambda g, x: g / see("add.Scalar", x * x, 1))
_unary("log1p", lambda g, x: g / see("add.Scalar", x, 1))
_by_result("exp", lambda g, y: g * y)
_by_result("sqrt", lambda g, y: g / see("mul.Scalar", y, 2))
_by_result("rsqrt", lambda g, y: see("mul.Scalar", see("pow.Tensor_Scalar", y, 3), -0.5) * g)
_by_result("reciprocal", lambda g, y: -g * (y * y))
_by_result("expm1", lambda g, y: g * see("add.Scalar", y, 1))
_by_result("tanh", lambda g, y: see("tanh_backward", g, y))
_by_result("sigmoid", lambda g, y: see("sigmoid_backward", g, y))
_by_result("relu", lambda g, y: see("threshold_backward", g, y, 0))
_unary("silu", lambda g, x: see("silu_backward", g, x))
_unary("mish", lambda g, x: see("mish_backward", g, x))
_unary("hardswish", lambda g, x: see("hardswish_backward", g, x))
_unary("hardsigmoid", lambda g, x: see("hardsigmoid_backward", g, x))
_unary("relu6", lambda g, x: see("hardtanh_backward", g, x, 0, 6))
_unary("selu", lambda g, x: see("elu_backward", g, 1.6732632423543772, 1.0507009873554805, 1, False, x))
_unary("clone", lambda g, x: g)
_unary("logsigmoid", lambda g, x: see("log_sigmoid_backward", g, x, g.new_empty([0])))


@form("gelu")
def _gelu(g: Tensor, call: Call) -> Gradients:
    return see("gelu_backward", g, call.input, approximate=call.approximate)


@form("leaky_relu")
def _leaky_relu(g: Tensor, call: Call) -> Gradients:
    return see("leaky_relu_backward", g, call.input, call.negative_slope, False)


@form("elu")
def _elu(g: Tensor, call: Call) -> Gradients:
    return see("elu_backward", g, call.alpha, 1, 1, False, call.input)


@form("softplus")
def _softplus(g: Tensor, call: Call) -> Gradients:
    return see("softplus_backward", g, call.input, call.beta, call.threshold)


@form("hardtanh")
def _hardtanh(g: Tensor, call: Call) -> Gradients:
    return see("hardtanh_backward", g, call.input, call.min_val, call.max_val)


@form("cast")
def _cast(g: Tensor, call: Call) -> Gradients:
    return PASS if g.dtype.is_complex or call.input.dtype.is_complex else see("_to_copy", g, dtype=call.input.dtype)


@form("where")
@real
def _where(g: Tensor, call: Call) -> Gradients:
    def zero() -> Tensor:
        return see("scalar_tensor", 0, dtype=g.dtype)

    at = call.condition
    return operands(
        call, other=lambda: see("where.self", at, zero(), g), input=lambda: see("where.self", at, g, zero())
    )


@form("masked_fill")
@real
def _masked_fill(g: Tensor, call: Call) -> Gradients:
    return PASS if call.needs("value") else {"input": _like(see("masked_fill.Scalar", g, call.mask, 0), call.input)}


@form("clamp")
@real
def _clamp(g: Tensor, call: Call) -> Gradients:
    low, high = call.min, call.max
    if isinstance(low, Tensor) or isinstance(high, Tensor) or not call.needs("input"):
        return PASS
    zero = see("scalar_tensor", 0.0, dtype=g.dtype)
    kept = [see("ge.Scalar", call.input, low)] if low is not None else []
    kept += [see("le.Scalar", call.input, high)] if high is not None else []
    inside = kept[0] if len(kept) == 1 else see("logical_and_", *kept)
    return see("where.self", inside, g, zero)


@form("dropout")
def _dropout(g: Tensor, call: Call) -> Gradients:
    kept = call.keep
    with quietly():
        factor = kept * call.scale if isinstance(kept, Tensor) else kept
    return g * factor


# --- products --------------------------------------------------------------------------------------------------------


def _by_second(call: Call, name: str, a: Tensor, g: Tensor) -> Tensor:
    """The gradient by a product's second matrix, lying as that does."""
    edge = call.edges[call.places[name][0]]
    if edge is not None and edge[0].label == "TBackward0":
        return see("t", see("mm", see("t", g), a))
    return see("mm", see("t", a), g)


def _product(second: str, turn: Callable[[Tensor], Tensor], multiply: str) -> Any:
    def form(g: Tensor, call: Call) -> Gradients:
        a, b, made = call.input, getattr(call, second), {}
        if call.needs(second):
            made[second] = _by_second(call, second, a, g) if multiply == "mm" else see(multiply, turn(a), g)
        if call.needs("input"):
            made["input"] = see(multiply, g, turn(b))
        return made

    return real(form)


forms["mm"] = _product("mat2", lambda x: x.t(), "mm")
forms["bmm"] = _product("mat2", lambda x: x.transpose(1, 2), "bmm")


@form("mv")
@real
def _mv(g: Tensor, call: Call) -> Gradients:
    made = {"input": g.view([len(g), 1]) * call.vec} if call.needs("input") else {}
    return made | ({"vec": call.input.t().mv(g)} if call.needs("vec") else {})


@form("dot")
@real
def _dot(g: Tensor, call: Call) -> Gradients:
    return operands(call, input=lambda: g * call.tensor, tensor=lambda: g * call.input)


def _with_addend(first: str, second: str, turn: Callable[[Tensor], Tensor], multiply: str) -> Any:
    def form(g: Tensor, call: Call) -> Gradients:
        if call.alpha != 1 or call.beta != 1:
            return PASS
        a, b, made = getattr(call, first), getattr(call, second), {}
        if call.needs(first):
            made[first] = see(multiply, g, turn(b))
        if call.needs(second):
            made[second] = _by_second(call, second, a, g) if multiply == "mm" else see(multiply, turn(a), g)
        return made | ({"input": _like(g, call.input)} if call.needs("input") else {})

    return real(form)


forms["addmm"] = _with_addend("mat1", "mat2", lambda x: x.t(), "mm")
forms["baddbmm"] = _with_addend("batch1", "batch2", lambda x: x.transpose(1, 2), "bmm")


@form("linear")
@real
def _linear(g: Tensor, call: Call) -> Gradients:
    x, w = call.input, call.weight
    if w.ndim != 2 or not x.ndim:
        return PASS
    rows = g if x.ndim == 2 else g.reshape([math.prod(g.shape[:-1]), g.shape[-1]])
    made: dict[str, Any] = {}
    with quietly():
        flat, turned = x if x.ndim == 2 else x.reshape([math.prod(x.shape[:-1]), x.shape[-1]]), w.t()
    if call.needs("input"):
        found = see("mm", rows, see("t", turned))
        made["input"] = found if x.ndim == 2 else found.view(list(x.shape))
    if call.needs("weight"):
        made["weight"] = see("t", see("t", see("mm", see("t", rows), flat)))
    if call.needs("bias"):
        made["bias"] = _like(rows, call.bias)
    return made


@form("matmul")
@real
def _matmul(g: Tensor, call: Call) -> Gradients:
    a, b = call.input, call.other
    made: dict[str, Any] = {}
    if (a.ndim, b.ndim) == (1, 1):
        return operands(call, input=lambda: g * b, other=lambda: g * a)
    if (a.ndim, b.ndim) == (2, 1):
        made = {"input": g.view([len(g), 1]) * b} if call.needs("input") else {}
        return made | ({"other": a.t().mv(g)} if call.needs("other") else {})
    if a.ndim < 2 or b.ndim < 2:
        return PASS
    if b.ndim == 2:
        rows = g.reshape([math.prod(g.shape[:-1]), g.shape[-1]])
        with quietly():
            flat = a.reshape([math.prod(a.shape[:-1]), a.shape[-1]])
        made = {"other": see("mm", flat.t(), rows)} if call.needs("other") else {}
        if call.needs("input"):
            found = see("mm", rows, b.t())
            made["input"] = found if a.ndim == 2 else found.view(list(a.shape))
        return made
    return _of_batches(g, call, a, b)


def _of_batches(g: Tensor, call: Call, a: Tensor, b: Tensor) -> Gradients:
    batch, made = g.shape[:-2], {}
    count = math.prod(batch)
    g = g.reshape([count, *g.shape[-2:]])
    with quietly():
        wide = [x.expand([*batch, *x.shape[-2:]]) for x in (a, b)]
        left, right = (x.reshape([count, *x.shape[-2:]]) for x in wide)
    if call.needs("other"):
        made["other"] = left.transpose(1, 2).bmm(g)
    if call.needs("input"):
        made["input"] = g.bmm(right.transpose(1, 2))
    return {name: _like(m.view([*batch, *m.shape[1:]]), getattr(call, name)) for name, m in made.items()}


# --- sums ------------------------------------------------------------------------------------------------------------


def _spread_back(g: Tensor, call: Call) -> Tensor:
    """The gradient of a reduction over `dim` at each place."""
    shape, dims = list(call.input.shape), call.dim
    if dims is not None and dims != () and not call.keepdim:
        for d in sorted(d % len(shape) for d in ((dims,) if isinstance(dims, int) else dims)):
            g = g.unsqueeze(d)
    return g.expand(shape)


@form("sum")
def _sum(g: Tensor, call: Call) -> Gradients:
    return _like(_spread_back(g, call), call.input)


@form("mean")
def _mean(g: Tensor, call: Call) -> Gradients:
    count = call.input.numel() // max(g.numel(), 1)
    return _like(see("div.Scalar", _spread_back(g, call), count), call.input)


@form("amax", "amin")
@real
def _extreme(g: Tensor, call: Call) -> Gradients:
    kept = [1 if d in _dims(call) else n for d, n in enumerate(call.input.shape)]
    g, best = (t if call.keepdim else t.view(kept) for t in (g, call.result))
    at = best == call.input
    return (g / at.sum(_dims(call), True)) * at


def _dims(call: Call) -> list[int]:
    dims, n = call.dim, call.input.ndim
    if not n or dims in (None, ()):
        return list(range(n))
    return [d % n for d in ((dims,) if isinstance(dims, int) else dims)]


@form("logsumexp")
@real
def _logsumexp(g: Tensor, call: Call) -> Gradients:
    y, dims = call.result, sorted(_dims(call))
    if not call.keepdim:
        for d in dims:
            g, y = g.unsqueeze(d), y.unsqueeze(d)
    return g * (call.input - y).exp()


@form("var")
@real
def _var(g: Tensor, call: Call) -> Gradients:
    x, dims, correction = call.input, _dims(call), call.correction
    rest = math.prod(x.shape[d] for d in dims) - (1 if correction is None else correction)
    if rest <= 0:
        return PASS
    if len(dims) == x.ndim and not call.keepdim:
        return see("mul.Scalar", g, 2 / rest) * (x - x.mean())
    if not call.keepdim:
        for d in sorted(dims):
            g = g.unsqueeze(d)
    return see("mul.Scalar", g, 2 / rest) * (x - x.mean(dims, True))


@form("cumsum")
def _cumsum(g: Tensor, call: Call) -> Gradients:
    if call.dtype is not None:
        return PASS
    return see("flip", see("cumsum", see("flip", g, [call.dim]), call.dim), [call.dim])


@form("softmax")
def _softmax(g: Tensor, call: Call) -> Gradients:
    if call.dtype is not None:
        return PASS
    return see("_softmax_backward_data", g, call.result, call.dim, call.input.dtype)


@form("log_softmax")
def _log_softmax(g: Tensor, call: Call) -> Gradients:
    if call.dtype is not None:
        return PASS
    return see("_log_softmax_backward_data", g, call.result, call.dim, call.input.dtype)


# --- shapes, places --------------------------------------------------------------------------------------------------


@form("cat")
def _cat(g: Tensor, call: Call) -> Gradients:
    dim, end, made = call.dim, 0, []
    for place, part in zip(call.places["tensors"], call.tensors, strict=True):
        if part.shape == (0,) or part.dtype is not g.dtype:
            return PASS
        start, end = end, end + part.shape[dim]
        made.append(see("slice.Tensor", g, dim, start, end) if place in call.edges else None)
    return {"tensors": made}


@form("stack")
def _stack(g: Tensor, call: Call) -> Gradients:
    if any(t.dtype is not g.dtype for t in call.tensors):
        return PASS
    places = call.places["tensors"]
    return {"tensors": [g.select(call.dim, i) if p in call.edges else None for i, p in enumerate(places)]}


@form("flip")
def _flip(g: Tensor, call: Call) -> Gradients:
    return see("flip", g, list(call.dims))


@form("tril", "triu")
def _triangle(g: Tensor, call: Call) -> Gradients:
    return see(call.node.program.name.rstrip("_"), g, call.diagonal)


@form("gather")
def _gather(g: Tensor, call: Call) -> Gradients:
    zeros = see("new_zeros", g, list(call.input.shape))
    return {"input": see("scatter_add", zeros, call.dim, call.index, g)}


@form("index_select")
def _index_select(g: Tensor, call: Call) -> Gradients:
    zeros = see("new_zeros", g, list(call.input.shape))
    return {"input": see("index_add", zeros, call.dim, call.index, g)}


@form("index")
def _index(g: Tensor, call: Call) -> Gradients:
    if any(not isinstance(d, bool) for d in call.dims):
        return PASS
    places = iter(call.indices)
    indices = [next(places) if taken else None for taken in call.dims]
    zeros = see("new_zeros", g, list(call.input.shape))
    return {"input": see("index_put", zeros, indices, g, True)}


@form("repeat")
def _repeat(g: Tensor, call: Call) -> Gradients:
    more = len(call.repeats) - call.input.ndim
    if 0 in call.repeats:
        return PASS
    shape, dims = list(call.repeats[:more]), list(range(more))
    for times, size in zip(call.repeats[more:], call.input.shape, strict=True):
        dims += [len(shape)] if times != 1 else []
        shape += [times, size] if times != 1 else [size]
    return see("sum.dim_IntList", g.reshape(shape), dims) if dims else g


@form("roll")
def _roll(g: Tensor, call: Call) -> Gradients:
    moved = [-n for n in ((call.shifts,) if isinstance(call.shifts, int) else call.shifts)]
    dims = [call.dims] if isinstance(call.dims, int) else list(call.dims or ())
    return see("roll", g, moved, dims)


@form("scatter")
@real
def _scatter(g: Tensor, call: Call) -> Gradients:
    if call.reduce is not None or isinstance(call.src, Tensor):
        return PASS
    return {"input": see("scatter.value", g, call.dim, call.index, 0)}


@form("sort", "topk", "max", "min")
def _ordered(g: Tensor, call: Call) -> Gradients:
    dim = getattr(call, "dim", None)
    if not isinstance(dim, int) or not call.input.ndim or len(call.results) < 2:
        return PASS
    at = call.results[1]
    if not getattr(call, "keepdim", True):
        g, at = g.unsqueeze(dim), at.unsqueeze(dim)
    zeros = see("new_zeros", g, list(call.input.shape))
    return {"input": see("scatter.src", zeros, dim, at, g)}


@form("constant_pad")
def _pad(g: Tensor, call: Call) -> Gradients:
    return see("constant_pad_nd", g, [-n for n in call.pad])


@form("embedding")
def _embedding(g: Tensor, call: Call) -> Gradients:
    place = -1 if call.padding_idx is None else call.padding_idx
    rows = len(call.weight)
    return {"weight": see("embedding_dense_backward", g, call.input, rows, place, call.scale_grad_by_freq)}
