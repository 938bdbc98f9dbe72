"""Elementwise functions, reductions and products in ONNX's operators."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..core.array.dtypes import float32, float64
from ..core.dispatch.promotion import result_type
from ._graph import KINDS, Builder, Size, Unsupported, Value, np_name

Handler = Callable[..., Any]
HANDLERS: dict[str, Handler] = {}


def handles(*names: str) -> Callable[[Handler], Handler]:
    """Declare the ONNX form of functions and methods. It gets the builder, an example of the result, and the arguments."""

    def declare(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return declare


def _unary(kind: str) -> Handler:
    def handler(b: Builder, out: Any, input: Value) -> Any:
        return b.node(kind, [b.cast(input, out.dtype)])

    return handler


_UNARY = {
    "neg": "Neg", "negative": "Neg", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "abs": "Abs", "absolute": "Abs",
    "sin": "Sin", "cos": "Cos", "tan": "Tan", "asin": "Asin", "acos": "Acos", "atan": "Atan", "sinh": "Sinh", "cosh": "Cosh",
    "asinh": "Asinh", "acosh": "Acosh", "atanh": "Atanh", "tanh": "Tanh", "sigmoid": "Sigmoid", "erf": "Erf", "floor": "Floor",
    "ceil": "Ceil", "sign": "Sign", "reciprocal": "Reciprocal", "logical_not": "Not", "softsign": "Softsign",
}  # fmt: skip
for _name, _kind in _UNARY.items():
    HANDLERS[_name] = _unary(_kind)


def _binary(kind: str) -> Handler:
    def handler(b: Builder, out: Any, input: Any, other: Any) -> Any:
        return b.node(kind, [b.operand(input, out.dtype), b.operand(other, out.dtype)])

    return handler


for _name, _kind in {
    "mul": "Mul", "multiply": "Mul", "true_divide": "Div", "pow": "Pow", "float_power": "Pow",
    "maximum": "Max", "minimum": "Min", "logical_and": "And", "logical_or": "Or", "logical_xor": "Xor",
    "__mul__": "Mul", "__truediv__": "Div", "__pow__": "Pow", "__rmul__": "Mul",
}.items():  # fmt: skip
    HANDLERS[_name] = _binary(_kind)


@handles("div", "divide")
def div(b: Builder, out: Any, input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    left, right = b.operand(input, out.dtype), b.operand(other, out.dtype)
    if rounding_mode == "floor" and not out.dtype.is_floating_point:  # what divides without a rest
        return b.node("Div", [b.node("Sub", [left, b.node("Mod", [left, right])]), right])
    made = b.node("Div", [left, right])
    if not out.dtype.is_floating_point:  # cut off, as ONNX divides whole numbers
        return made
    if rounding_mode == "trunc":
        return b.node("Mul", [b.node("Sign", [made]), b.node("Floor", [b.node("Abs", [made])])])
    return b.node("Floor", [made]) if rounding_mode == "floor" else made


@handles("remainder", "__mod__")
def remainder(b: Builder, out: Any, input: Any, other: Any) -> Any:
    left, right = b.operand(input, out.dtype), b.operand(other, out.dtype)
    if not out.dtype.is_floating_point:
        return b.node("Mod", [left, right])
    return b.node("Sub", [left, b.node("Mul", [b.node("Floor", [b.node("Div", [left, right])]), right])])


@handles("__rmod__")
def rmod(b: Builder, out: Any, input: Any, other: Any) -> Any:
    return remainder(b, out, other, input)


@handles("fmod")
def fmod(b: Builder, out: Any, input: Any, other: Any) -> Any:
    return b.node("Mod", [b.operand(input, out.dtype), b.operand(other, out.dtype)], fmod=1)


@handles("__floordiv__", "floor_divide")
def floor_divide(b: Builder, out: Any, input: Any, other: Any) -> Any:
    return div(b, out, input, other, rounding_mode="floor")


@handles("add", "__add__", "__radd__")
def add(b: Builder, out: Any, input: Any, other: Any, *, alpha: Any = 1) -> Any:
    return _scaled(b, out, "Add", input, other, alpha)


@handles("sub", "subtract", "__sub__")
def sub(b: Builder, out: Any, input: Any, other: Any, *, alpha: Any = 1) -> Any:
    return _scaled(b, out, "Sub", input, other, alpha)


def _scaled(b: Builder, out: Any, kind: str, input: Any, other: Any, alpha: Any) -> Any:
    right = b.operand(other, out.dtype)
    if alpha != 1:
        right = b.node("Mul", [right, b.scalar(alpha, out.dtype)])
    return b.node(kind, [b.operand(input, out.dtype), right])


@handles("rsub", "__rsub__")
def rsub(b: Builder, out: Any, input: Any, other: Any) -> Any:
    return sub(b, out, other, input)


@handles("__rtruediv__", "__rdiv__")
def rdiv(b: Builder, out: Any, input: Any, other: Any) -> Any:
    return HANDLERS["true_divide"](b, out, other, input)


@handles("__rpow__")
def rpow(b: Builder, out: Any, input: Any, other: Any) -> Any:
    return HANDLERS["pow"](b, out, other, input)


def _comparison(kind: str, negated: bool = False) -> Handler:
    def handler(b: Builder, out: Any, input: Any, other: Any) -> Any:
        like = _common(input, other)
        if np_name(like) == "bool" and kind != "Equal":
            raise Unsupported("a comparison of truth values")
        made = b.node(kind, [b.operand(input, like), b.operand(other, like)])
        return b.node("Not", [made]) if negated else made

    return handler


def _common(left: Any, right: Any) -> Any:
    left, right = (v.like if isinstance(v, Value) else 1 if isinstance(v, Size) else v for v in (left, right))
    return result_type(left, right)


for _names, _kind, _negated in (
    (("eq", "__eq__"), "Equal", False),
    (("ne", "__ne__", "not_equal"), "Equal", True),
    (("lt", "__lt__", "less"), "Less", False),
    (("gt", "__gt__", "greater"), "Greater", False),
    (("le", "__le__", "less_equal"), "LessOrEqual", False),
    (("ge", "__ge__", "greater_equal"), "GreaterOrEqual", False),
):
    for _name in _names:
        HANDLERS[_name] = _comparison(_kind, _negated)


@handles("square")
def square(b: Builder, out: Any, input: Value) -> Any:
    return b.node("Mul", [input.name, input.name])


@handles("rsqrt")
def rsqrt(b: Builder, out: Any, input: Value) -> Any:
    return b.node("Reciprocal", [b.node("Sqrt", [b.cast(input, out.dtype)])])


@handles("log1p")
def log1p(b: Builder, out: Any, input: Value) -> Any:
    return b.node("Log", [b.node("Add", [b.cast(input, out.dtype), b.scalar(1, out.dtype)])])


@handles("round")
def round_(b: Builder, out: Any, input: Value, *, decimals: int = 0) -> Any:
    if not out.dtype.is_floating_point:
        if decimals < 0:
            raise Unsupported("integers to negative decimals")
        return input.name
    if not decimals:
        return b.node("Round", [input.name])
    by = b.scalar(10.0 ** abs(decimals), out.dtype)
    before, after = ("Mul", "Div") if decimals > 0 else ("Div", "Mul")
    return b.node(after, [b.node("Round", [b.node(before, [input.name, by])]), by])


@handles("relu")
def relu(b: Builder, out: Any, input: Value, inplace: bool = False) -> Any:
    return b.node("Relu", [input.name])


@handles("relu6")
def relu6(b: Builder, out: Any, input: Value, inplace: bool = False) -> Any:
    return b.node("Clip", [input.name, b.scalar(0, out.dtype), b.scalar(6, out.dtype)])


@handles("leaky_relu")
def leaky_relu(b: Builder, out: Any, input: Value, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    return b.node("LeakyRelu", [input.name], alpha=float(negative_slope))


@handles("elu")
def elu(b: Builder, out: Any, input: Value, alpha: float = 1.0, inplace: bool = False) -> Any:
    return b.node("Elu", [input.name], alpha=float(alpha))


@handles("celu")
def celu(b: Builder, out: Any, input: Value, alpha: float = 1.0, inplace: bool = False) -> Any:
    return b.node("Celu", [input.name], alpha=float(alpha))


@handles("selu")
def selu(b: Builder, out: Any, input: Value, inplace: bool = False) -> Any:
    return b.node("Selu", [input.name])


@handles("prelu")
def prelu(b: Builder, out: Any, input: Value, weight: Value) -> Any:
    return b.node("PRelu", [input.name, b.reshape(weight.name, [-1] + [1] * max(input.ndim - 2, 0))])


@handles("silu")
def silu(b: Builder, out: Any, input: Value, inplace: bool = False) -> Any:
    return b.node("Mul", [input.name, b.node("Sigmoid", [input.name])])


@handles("mish")
def mish(b: Builder, out: Any, input: Value, inplace: bool = False) -> Any:
    return b.node("Mul", [input.name, b.node("Tanh", [b.node("Softplus", [input.name])])])


@handles("softplus")
def softplus(b: Builder, out: Any, input: Value, beta: float = 1.0, threshold: float = 20.0) -> Any:
    if beta == 1 and threshold >= 20:
        return b.node("Softplus", [input.name])
    by = b.scalar(beta, out.dtype)
    scaled = b.node("Mul", [input.name, by])
    made = b.node("Div", [b.node("Softplus", [scaled]), by])
    beyond = b.node("Greater", [scaled, b.scalar(threshold, out.dtype)])
    return b.node("Where", [beyond, input.name, made])


@handles("logsigmoid")
def logsigmoid(b: Builder, out: Any, input: Value) -> Any:
    return b.node("Neg", [b.node("Softplus", [b.node("Neg", [input.name])])])


@handles("hardtanh")
def hardtanh(
    b: Builder, out: Any, input: Value, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Any:
    return b.node("Clip", [input.name, b.scalar(min_val, out.dtype), b.scalar(max_val, out.dtype)])


@handles("hardsigmoid")
def hardsigmoid(b: Builder, out: Any, input: Value, inplace: bool = False) -> Any:
    return b.node("HardSigmoid", [input.name], alpha=1 / 6, beta=0.5)


@handles("hardswish")
def hardswish(b: Builder, out: Any, input: Value, inplace: bool = False) -> Any:
    return b.node("Mul", [input.name, hardsigmoid(b, out, input)])


@handles("gelu")
def gelu(b: Builder, out: Any, input: Value, approximate: str = "none") -> Any:
    x, kind = input.name, out.dtype
    if approximate == "tanh":
        cube = b.node("Mul", [b.node("Mul", [x, x]), x])
        inner = b.node("Add", [x, b.node("Mul", [cube, b.scalar(0.044715, kind)])])
        factor = b.node("Tanh", [b.node("Mul", [inner, b.scalar(math.sqrt(2 / math.pi), kind)])])
    else:
        factor = b.node("Erf", [b.node("Mul", [x, b.scalar(math.sqrt(0.5), kind)])])
    return b.node("Mul", [b.node("Mul", [x, b.scalar(0.5, kind)]), b.node("Add", [factor, b.scalar(1, kind)])])


@handles("glu")
def glu(b: Builder, out: Any, input: Value, dim: int = -1) -> Any:
    size = b.fixed(input, dim)
    if size % 2:
        raise Unsupported("an odd size")
    half = size // 2
    left, right = b.node("Split", [input.name, b.constant([half, half])], 2, axis=dim)
    return b.node("Mul", [left, b.node("Sigmoid", [right])])


@handles("clamp", "clip")
def clamp(b: Builder, out: Any, input: Value, min: Any = None, max: Any = None) -> Any:
    made = b.cast(input, out.dtype)
    if min is not None:
        made = b.node("Max", [made, b.operand(min, out.dtype)])
    return made if max is None else b.node("Min", [made, b.operand(max, out.dtype)])


@handles("clamp_min")
def clamp_min(b: Builder, out: Any, input: Value, min: Any) -> Any:
    return clamp(b, out, input, min)


@handles("masked_fill")
def masked_fill(b: Builder, out: Any, input: Value, mask: Value, value: Any) -> Any:
    return b.node("Where", [mask.name, b.operand(value, out.dtype), input.name])


def _bits(b: Builder, out: Any, kind: str) -> str:
    """The operator for truth values, or for the bits of whole numbers."""
    if np_name(out.dtype) == "bool":
        return kind
    if b.opset < 18:
        raise Unsupported("integers below opset 18")
    return f"Bitwise{kind}"


@handles("bitwise_not", "__invert__")
def invert(b: Builder, out: Any, input: Value) -> Any:
    return b.node(_bits(b, out, "Not"), [input.name])


def _logical(kind: str) -> Handler:
    def handler(b: Builder, out: Any, input: Any, other: Any) -> Any:
        return b.node(_bits(b, out, kind), [b.operand(input, out.dtype), b.operand(other, out.dtype)])

    return handler


@handles("isnan")
def isnan(b: Builder, out: Any, input: Value) -> Any:
    return b.node("IsNaN", [input.name])


@handles("isinf")
def isinf(b: Builder, out: Any, input: Value) -> Any:
    return b.node("IsInf", [b.cast(input, float32) if input.dtype != float64 else input.name])


for _name, _kind in {
    "bitwise_and": "And",
    "__and__": "And",
    "bitwise_or": "Or",
    "__or__": "Or",
    "bitwise_xor": "Xor",
    "__xor__": "Xor",
}.items():
    HANDLERS[_name] = _logical(_kind)


# --- reductions ------------------------------------------------------------------------------------------------------


def dims_of(input: Value, dim: Any) -> list[int] | None:
    """The dimensions, counted from the front."""
    if dim is None or dim in ((), []) or not input.ndim:
        return None
    return [d % input.ndim for d in ((dim,) if isinstance(dim, int) else dim)]


def _reduction(kind: str) -> Handler:
    def handler(
        b: Builder, out: Any, input: Value, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
    ) -> Any:
        return b.reduce(kind, b.cast(input, out.dtype), dims_of(input, dim), keepdim)

    return handler


for _name, _kind in {
    "sum": "ReduceSum",
    "mean": "ReduceMean",
    "prod": "ReduceProd",
    "amax": "ReduceMax",
    "amin": "ReduceMin",
}.items():
    HANDLERS[_name] = _reduction(_kind)


@handles("logsumexp")
def logsumexp(b: Builder, out: Any, input: Value, dim: Any, keepdim: bool = False) -> Any:
    return b.reduce("ReduceLogSumExp", input.name, dims_of(input, dim), keepdim)


def _extreme(kind: str) -> Handler:
    def handler(b: Builder, out: Any, input: Value, dim: Any = None, keepdim: bool = False) -> Any:
        if isinstance(dim, Value):
            return b.node(kind, [b.cast(input, out.dtype), b.cast(dim, out.dtype)])
        values = b.reduce(f"Reduce{kind}", input.name, dims_of(input, dim), keepdim)
        if dim is None:
            return values
        return values, b.node(f"Arg{kind}", [input.name], axis=dim, keepdims=int(keepdim))

    return handler


HANDLERS["max"], HANDLERS["min"] = _extreme("Max"), _extreme("Min")


def _arg(kind: str) -> Handler:
    def handler(b: Builder, out: Any, input: Value, dim: Any = None, keepdim: bool = False) -> Any:
        if dim is None:
            return b.node(kind, [b.reshape(input.name, [-1])], axis=0, keepdims=0)
        return b.node(kind, [input.name], axis=dim, keepdims=int(keepdim))

    return handler


HANDLERS["argmax"], HANDLERS["argmin"] = _arg("ArgMax"), _arg("ArgMin")


def _variance(root: bool) -> Handler:
    def handler(
        b: Builder,
        out: Any,
        input: Value,
        dim: Any = None,
        unbiased: Any = None,
        keepdim: bool = False,
        *,
        correction: Any = None,
    ) -> Any:
        if isinstance(dim, bool):  # `unbiased` alone
            dim, unbiased = None, dim
        dims = dims_of(input, dim) or list(range(input.ndim))
        less = correction if correction is not None else int(True if unbiased is None else unbiased)
        centered = b.node("Sub", [input.name, b.reduce("ReduceMean", input.name, dims, True)])
        total = b.reduce("ReduceSum", b.node("Mul", [centered, centered]), dims, keepdim)
        count = b.constant(1)
        for d in dims:
            size = b.node("Squeeze", [b.size_of(input, d).name, b.constant([0])])
            count = b.node("Mul", [count, size])
        divisor = b.node("Cast", [b.node("Sub", [count, b.constant(less)])], to=KINDS[np_name(out.dtype)])
        made = b.node("Div", [total, divisor])
        return b.node("Sqrt", [made]) if root else made

    return handler


HANDLERS["var"], HANDLERS["std"] = _variance(False), _variance(True)


@handles("norm")
def norm(
    b: Builder, out: Any, input: Value, p: Any = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Any:
    kinds = {1: "ReduceL1", 2: "ReduceL2", "fro": "ReduceL2", None: "ReduceL2"}
    if dtype is not None or p == "nuc":
        raise Unsupported(f"p={p!r}")
    if p not in kinds:
        size, dims = b.node("Abs", [input.name]), dims_of(input, dim)
        if p in (math.inf, -math.inf):
            return b.reduce("ReduceMax" if p > 0 else "ReduceMin", size, dims, keepdim)
        total = b.reduce("ReduceSum", b.node("Pow", [size, b.scalar(p, out.dtype)]), dims, keepdim)
        return b.node("Pow", [total, b.scalar(1 / p, out.dtype)]) if p else total
    return b.reduce(kinds[p], input.name, dims_of(input, dim), keepdim)


@handles("normalize")
def normalize(b: Builder, out: Any, input: Value, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Any:
    length = norm(b, out, input, p, dim, True)
    return b.node("Div", [input.name, b.node("Max", [length, b.scalar(eps, out.dtype)])])


@handles("cumsum")
def cumsum(b: Builder, out: Any, input: Value, dim: int, *, dtype: Any = None) -> Any:
    return b.node("CumSum", [b.cast(input, out.dtype), b.constant(dim)])


# --- products --------------------------------------------------------------------------------------------------------


@handles("matmul", "bmm", "mm", "mv", "__matmul__")
def matmul(b: Builder, out: Any, input: Value, other: Value) -> Any:
    return b.node("MatMul", [input.name, other.name])


@handles("dot")
def dot(b: Builder, out: Any, input: Value, other: Value) -> Any:
    return b.node("MatMul", [input.name, other.name])


@handles("linear")
def linear(b: Builder, out: Any, input: Value, weight: Value, bias: Value | None = None) -> Any:
    made = b.node("MatMul", [input.name, b.transpose(weight.name, [1, 0] if weight.ndim == 2 else [0])])
    return made if bias is None else b.node("Add", [made, bias.name])


@handles("addmm", "baddbmm")
def addmm(b: Builder, out: Any, input: Value, mat1: Value, mat2: Value, *, beta: Any = 1, alpha: Any = 1) -> Any:
    product = b.node("MatMul", [mat1.name, mat2.name])
    if alpha != 1:
        product = b.node("Mul", [product, b.scalar(alpha, out.dtype)])
    added = input.name if beta == 1 else b.node("Mul", [input.name, b.scalar(beta, out.dtype)])
    return b.node("Add", [added, product])


@handles("einsum")
def einsum(b: Builder, out: Any, equation: Any, *operands: Any) -> Any:
    if not isinstance(equation, str):
        raise Unsupported("sublists")
    tensors = operands[0] if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else operands
    return b.node("Einsum", [t.name for t in tensors], equation=equation.replace(" ", ""))


def _soft(kind: str) -> Handler:
    def handler(b: Builder, out: Any, input: Value, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
        if dim is None:
            dim = 0 if input.ndim in (0, 1, 3) else 1
        return b.node(kind, [b.cast(input, out.dtype)], axis=dim)

    return handler


HANDLERS["softmax"], HANDLERS["log_softmax"] = _soft("Softmax"), _soft("LogSoftmax")


@handles("softmin")
def softmin(b: Builder, out: Any, input: Value, dim: int, _stacklevel: int = 3, dtype: Any = None) -> Any:
    return b.node("Softmax", [b.node("Neg", [b.cast(input, out.dtype)])], axis=dim)
