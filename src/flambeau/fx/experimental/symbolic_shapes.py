"""`torch.fx.experimental.symbolic_shapes`: what programs ask of sizes that may be symbols. Here they are always numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..._ops import ops as torch_ops
from ...core.context.warned import warn
from ...core.tensor.tensor import Tensor
from ...runtime.absent import refuse
from ..node import Node

__all__ = [
    "CURRENT_NODE_KEY",
    "SHAPEENV_EVENT_KEY",
    "ConvertIntKey",
    "ShapeEnv",
    "SymIntEqByExpr",
    "canonicalize_bool_expr",
    "check_consistent",
    "compute_unbacked_bindings",
    "create_contiguous",
    "free_symbols",
    "guard_float",
    "guard_int",
    "guard_or_false",
    "guard_or_true",
    "guard_scalar",
    "guard_size_oblivious",
    "guarding_hint_or_throw",
    "has_free_symbols",
    "has_free_unbacked_symbols",
    "has_static_value",
    "has_symbolic_sizes_strides",
    "is_accessor_node",
    "is_concrete_bool",
    "is_concrete_float",
    "is_concrete_int",
    "is_nested_int",
    "is_symbol_binding_fx_node",
    "is_symbolic",
    "optimization_hint",
    "rebind_unbacked",
    "resolve_unbacked_bindings",
    "statically_known_false",
    "statically_known_true",
    "sym_and",
    "sym_eq",
    "sym_or",
]


class ShapeEnv:
    """Refused (NotImplementedError): there are no symbols that it could hold. `torch.export.Dim` says which sizes may change."""

    def __init__(self, **options: Any) -> None:
        raise NotImplementedError(
            "ShapeEnv: sizes are numbers here, never symbols; torch.export.Dim says which may change"
        )


def guard_size_oblivious(expr: Any) -> bool:
    """The condition, which is known. FutureWarning, as in PyTorch."""
    warn(
        "guard_size_oblivious will be removed. guard_or_false, guard_or_true and statically_known_true ask the same",
        FutureWarning,
    )
    return bool(expr)


def guard_or_true(a: Any) -> bool:
    """The condition, which is known."""
    return bool(a)


def guard_or_false(a: Any) -> bool:
    """The condition, which is known."""
    return bool(a)


def statically_known_true(x: Any) -> bool:
    """Whether the condition holds."""
    return bool(x)


def statically_known_false(x: Any) -> bool:
    """Whether it does not."""
    return not x


def guard_int(a: int) -> int:
    """The number. AssertionError for what is none."""
    assert isinstance(a, int), type(a)
    return a


def guard_float(a: float) -> float:
    """The number. AssertionError for what is none."""
    assert isinstance(a, float), type(a)
    return a


def guard_scalar(a: Any) -> bool | int | float:
    """The number or bool. AssertionError for anything else."""
    if not isinstance(a, (bool, int, float)):
        raise AssertionError(f"unrecognized scalar {a}")
    return a


def optimization_hint(a: Any, fallback: Any = None) -> Any:
    """The number: no guess is needed, so that `fallback` is not."""
    return a if a is not None else fallback


def is_concrete_int(a: Any) -> bool:
    """True for an int. AssertionError for anything else."""
    assert isinstance(a, int), f"Expected int, got {type(a)}"
    return True


def is_concrete_float(a: Any) -> bool:
    """True for a float. AssertionError for anything else."""
    assert isinstance(a, float), f"Expected float, got {type(a)}"
    return True


def is_concrete_bool(a: Any) -> bool:
    """True for a bool. AssertionError for anything else."""
    assert isinstance(a, bool), f"Expected bool, got {type(a)}"
    return True


def has_static_value(a: Any) -> bool:
    """True for every number. AssertionError for anything else."""
    assert isinstance(a, (bool, int, float)), type(a)
    return True


def _no_symbols(value: Any) -> bool:
    """False: it has no symbols."""
    return False


is_symbolic = is_nested_int = has_free_symbols = has_free_unbacked_symbols = has_symbolic_sizes_strides = _no_symbols


def free_symbols(val: Any) -> set[Any]:
    """The symbols in it: none."""
    return set()


def sym_eq(x: Any, y: Any) -> bool:
    """Whether two sizes, or lists of them, are equal."""
    if isinstance(x, (tuple, list)) and isinstance(y, (tuple, list)):
        return len(x) == len(y) and all(map(sym_eq, x, y))
    if isinstance(x, (int, bool)) and isinstance(y, (int, bool)):
        return x == y
    raise AssertionError(f"unexpected sym_eq between {type(x)} {type(y)}")


def sym_and(x: Any, *others: Any) -> bool:
    """Whether all hold."""
    return all((x, *others))


def sym_or(x: Any, *others: Any) -> bool:
    """Whether one holds."""
    return any((x, *others))


@dataclass(frozen=True)
class ConvertIntKey:
    """A step of a path into values: a bool as the int that it is."""

    def __str__(self) -> str:
        return ".cast_symbool_to_symint_guardless()"

    def get(self, b: Any) -> int:
        """0 or 1. AttributeError for what is no bool."""
        if not isinstance(b, bool):
            raise AttributeError(f"{type(b).__name__!r} object has no attribute 'node'")
        return int(b)


class SymIntEqByExpr:
    """A size that is compared and hashed by what it is."""

    def __init__(self, val: int):
        self.val = val

    def __repr__(self) -> str:
        return repr(self.val)

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, SymIntEqByExpr), f"Expected SymIntEqByExpr, got {type(other)}"
        return self.val == other.val

    def __hash__(self) -> int:
        return hash(self.val)


def check_consistent(new: Any, old: Any) -> None:
    """RuntimeError if two tensors have other shapes, or two numbers other values. Anything else is not looked at."""
    if isinstance(new, Tensor):
        assert isinstance(old, Tensor), f"Expected Tensor, got {type(old)}"
        new, old = new.shape, old.shape
    elif isinstance(new, (int, float)):
        assert isinstance(old, (int, float)), f"Expected a number, got {type(old)}"
    else:
        return
    if new != old:
        raise RuntimeError(f"{old} != {new} (old != new)")


def compute_unbacked_bindings(
    shape_env: Any, example_value: Any, old_example_value: Any = None, peek: bool = False
) -> None:
    """Where symbols without a value came up: nowhere."""
    return


def resolve_unbacked_bindings(shape_env: Any, bindings: Any) -> Any:
    """The places by the symbols' newest names: those that are given. AssertionError for places without a `shape_env`."""
    assert bindings is None or shape_env is not None, "shape_env should not be None"
    return bindings


def create_contiguous(shape: Any) -> list[int]:
    """The running products of all lengths but the last, from behind, as PyTorch's function of this name has them."""
    strides = [1]
    for length in reversed(shape[:-1]):
        strides.append(length * strides[-1])
    return strides[::-1]


def guarding_hint_or_throw(a: Any) -> int | bool:
    """The number or bool. AssertionError for anything else."""
    assert isinstance(a, (int, bool)), f"Expected int, got {type(a)}"
    return a


def is_accessor_node(node: Node) -> bool:
    """Whether a node of ATen's operators asks a tensor for its size, stride, offset, count of elements or value."""
    if not node.args or not isinstance(node.args[0], Node):
        return False
    aten, target = torch_ops.aten, node.target
    if node.op == "call_method":
        value = node.args[0].meta.get("example_value")
        return isinstance(value, Tensor) and target in ("size", "stride", "storage_offset", "item")
    asked = (aten.sym_size, aten.sym_size.default, aten.sym_size.int, aten.sym_stride, aten.sym_stride.default)
    more = (aten.sym_stride.int, aten.sym_storage_offset, aten.sym_storage_offset.default, aten.sym_numel.default)
    return node.op == "call_function" and target in (*asked, *more)


def is_symbol_binding_fx_node(node: Node) -> None:
    """The symbol that a node stands for: none."""
    return


def rebind_unbacked(shape_env: Any, n: Node, result: Any) -> None:
    """Give symbols that came up again their old names: there are none, so that nothing is to do."""


def canonicalize_bool_expr(expr: Any) -> Any:
    """A condition in one of the forms that mean the same: what is no expression of symbols, as it is."""
    return expr


CURRENT_NODE_KEY, SHAPEENV_EVENT_KEY = "current_node", "shapeenv_event"

refuse(
    globals(),
    "sizes are numbers here, never symbols; torch.export.Dim says which may change",
    "SYMPY_INTERP Specialization StatefulSymbolicContext StatelessSymbolicContext SubclassSymbolicContext SymIntSymbolicContext "
    "SymbolicContext TrackedFake ValueRangesSLoc",
)
