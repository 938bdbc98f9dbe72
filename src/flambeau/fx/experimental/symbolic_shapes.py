"""`torch.fx.experimental.symbolic_shapes`: what programs ask of sizes that may be symbols. Here they are always numbers."""

from __future__ import annotations

from typing import Any

from ...core.context.warned import warn

__all__ = [
    "ShapeEnv",
    "free_symbols",
    "guard_float",
    "guard_int",
    "guard_or_false",
    "guard_or_true",
    "guard_scalar",
    "guard_size_oblivious",
    "has_free_symbols",
    "has_free_unbacked_symbols",
    "has_static_value",
    "has_symbolic_sizes_strides",
    "is_concrete_bool",
    "is_concrete_float",
    "is_concrete_int",
    "is_nested_int",
    "is_symbolic",
    "optimization_hint",
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
