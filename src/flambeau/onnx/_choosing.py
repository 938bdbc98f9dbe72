"""What is chosen by its value or put in its place: sorting, scattering, truth of all or any, in ONNX's operators."""

from __future__ import annotations

from typing import Any

from ._graph import KINDS, Builder, Unsupported, Value, np_name
from ._pointwise import dims_of, handles

_KEPT = {"sum": "add", "prod": "mul", "amax": "max", "amin": "min"}


def _truth(b: Builder, input: Value, negated: bool = False) -> str:
    """1 where a value is not zero (or where it is), as int64."""
    made = input.name if np_name(input.dtype) == "bool" else b.node("Cast", [input.name], to=KINDS["bool"])
    return str(b.node("Cast", [b.node("Not", [made]) if negated else made], to=KINDS["int64"]))


@handles("any")
def any_(b: Builder, out: Any, input: Value, dim: Any = None, keepdim: bool = False) -> Any:
    found = b.reduce("ReduceSum", _truth(b, input), dims_of(input, dim), keepdim)
    return b.node("Cast", [b.node("Cast", [found], to=KINDS["bool"])], to=KINDS[np_name(out.dtype)])


@handles("all")
def all_(b: Builder, out: Any, input: Value, dim: Any = None, keepdim: bool = False) -> Any:
    missing = b.reduce("ReduceSum", _truth(b, input, True), dims_of(input, dim), keepdim)
    whole = b.node("Not", [b.node("Cast", [missing], to=KINDS["bool"])])
    return b.node("Cast", [whole], to=KINDS[np_name(out.dtype)])


@handles("count_nonzero")
def count_nonzero(b: Builder, out: Any, input: Value, dim: Any = None) -> Any:
    return b.reduce("ReduceSum", _truth(b, input), dims_of(input, dim), False)


# --- sorting ---------------------------------------------------------------------------------------------------------


def _ranked(b: Builder, input: Value, count: Any, dim: int, largest: bool) -> Any:
    """The first `count` of a dimension in their order (all, if it is None), and where they stood."""
    if np_name(input.dtype) == "bool":
        raise Unsupported("truth values")
    if not input.ndim:
        return input.name, b.constant(0)
    if count is None:
        count = b.size_of(input, dim)
    return b.node("TopK", [input.name, b.size(count)], 2, axis=dim % input.ndim, largest=int(largest), sorted=1)


@handles("topk")
def topk(b: Builder, out: Any, input: Value, k: Any, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    return _ranked(b, input, k, dim, largest)


@handles("sort")
def sort(
    b: Builder, out: Any, input: Value, dim: int = -1, descending: bool = False, *, stable: bool | None = None
) -> Any:
    return _ranked(b, input, None, dim, descending)


@handles("argsort")
def argsort(
    b: Builder, out: Any, input: Value, dim: int = -1, descending: bool = False, stable: bool | None = None
) -> Any:
    return _ranked(b, input, None, dim, descending)[1]


@handles("msort")
def msort(b: Builder, out: Any, input: Value) -> Any:
    return _ranked(b, input, None, 0, False)[0]


@handles("kthvalue")
def kthvalue(b: Builder, out: Any, input: Value, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    if not input.ndim:
        return _ranked(b, input, k, dim, False)
    index = b.constant([k - 1] if keepdim else k - 1)
    return [b.node("Gather", [part, index], axis=dim % input.ndim) for part in _ranked(b, input, k, dim, False)]


# --- places ----------------------------------------------------------------------------------------------------------


@handles("take")
def take(b: Builder, out: Any, input: Value, index: Value) -> Any:
    return b.node("Gather", [b.reshape(input.name, [-1]), index.name], axis=0)


def _scattered(b: Builder, input: Value, dim: int, index: Value, src: Any, reduction: str | None) -> Any:
    if not input.ndim:
        raise Unsupported("a tensor without dimensions")
    if reduction is not None and (
        b.opset < (18 if reduction in ("max", "min") else 16) or np_name(input.dtype) == "bool"
    ):
        raise Unsupported(f"{reduction} at places in opset {b.opset}, or of booleans")
    given, shape = b.operand(src, input.dtype), b.node("Shape", [index.name])
    if isinstance(src, Value):  # which may be longer than the index
        starts, dims = b.constant([0] * index.ndim), b.constant(list(range(index.ndim)))
        given = b.node("Slice", [given, starts, shape, dims])
    else:
        given = b.node("Expand", [given, shape])
    return b.node("ScatterElements", [input.name, index.name, given], axis=dim % input.ndim, reduction=reduction)


@handles("scatter")
def scatter(
    b: Builder,
    out: Any,
    input: Value,
    dim: int,
    index: Value,
    src: Any = None,
    *,
    value: Any = None,
    reduce: Any = None,
) -> Any:
    kinds = {None: None, "add": "add", "multiply": "mul"}
    return _scattered(b, input, dim, index, value if src is None else src, kinds[reduce])


@handles("scatter_add")
def scatter_add(b: Builder, out: Any, input: Value, dim: int, index: Value, src: Value) -> Any:
    return _scattered(b, input, dim, index, src, "add")


@handles("scatter_reduce")
def scatter_reduce(
    b: Builder, out: Any, input: Value, dim: int, index: Value, src: Value, reduce: str, *, include_self: bool = True
) -> Any:
    if not include_self or reduce not in _KEPT:
        raise Unsupported("include_self=False" if reduce in _KEPT else f"reduce={reduce!r}")
    return _scattered(b, input, dim, index, src, _KEPT[reduce])
