"""The tables of what operators are computed by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..core.dispatch.overloads import OpOverload, OpOverloadPacket

__all__ = [
    "core_aten_decompositions",
    "decomposition_table",
    "get_decompositions",
    "meta_table",
    "pre_autograd_decomposition_table",
    "register_decomposition",
    "remove_decompositions",
]

global_decomposition_table: dict[str, dict[Any, Callable[..., Any]]] = {
    "post_autograd": {},
    "pre_autograd": {},
    "meta": {},
}
decomposition_table: dict[Any, Callable[..., Any]] = global_decomposition_table["post_autograd"]
pre_autograd_decomposition_table: dict[Any, Callable[..., Any]] = global_decomposition_table["pre_autograd"]
meta_table: dict[Any, Callable[..., Any]] = global_decomposition_table["meta"]


def _table(kind: str) -> dict[Any, Callable[..., Any]]:
    if kind not in global_decomposition_table:
        raise AssertionError(f"type must be one of post_autograd, pre_autograd, or meta, got {kind}")
    return global_decomposition_table[kind]


def _overloads(op: Any) -> list[Any]:
    """An overload, or all of a packet's that take tensors."""
    if not isinstance(op, OpOverloadPacket):
        return [op]
    found = [getattr(op, name) for name in op.overloads()]
    return [o for o in found if any("Tensor" in str(a.type) for a in o._schema.arguments)] or found


def _writes_out(op: Any) -> bool:
    return isinstance(op, OpOverload) and any(a.is_out for a in op._schema.arguments)


def register_decomposition(
    aten_op: Any, registry: dict[Any, Callable[..., Any]] | None = None, *, type: str = "post_autograd", unsafe: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # fmt: skip
    """A decorator: what the function computes is what the operator (overload, packet, or a list of them) is computed by.

    It goes into `registry`, or the table of this `type`. RuntimeError for a second one of an operator; overloads with `out=`
    are left out. `unsafe` allows operators that are no ATen operators, which is always allowed here.
    """
    table = _table(type) if registry is None else registry
    _table(type)

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for op in aten_op if isinstance(aten_op, (list, tuple)) else [aten_op]:
            for overload in _overloads(op):
                if overload is not op and _writes_out(overload):
                    continue
                if overload in table:
                    raise RuntimeError(f"duplicate registrations for {overload}")
                table[overload] = function
        return function

    return register


def get_decompositions(aten_ops: Sequence[Any], type: str = "post_autograd") -> dict[Any, Callable[..., Any]]:
    """The rules for these operators, as far as there are any: a dict from overload to function."""
    table = _table(type)
    return {o: table[o] for op in aten_ops for o in _overloads(op) if o in table}


def remove_decompositions(decompositions: dict[Any, Callable[..., Any]], aten_ops: Iterable[Any]) -> None:
    """Take operators out of a table."""
    for op in aten_ops:
        for overload in _overloads(op):
            decompositions.pop(overload, None)


def core_aten_decompositions() -> dict[Any, Callable[..., Any]]:
    """A table of all rules that there are (PyTorch's is larger)."""
    return dict(decomposition_table)
