"""Which type a value has, and which one several types have in common."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

from ..tensor.tensor import Tensor
from .types import (
    BoolType,
    ComplexType,
    DictType,
    EnumType,
    FloatType,
    InferredType,
    IntType,
    ListType,
    NoneType,
    OptionalType,
    StringType,
    TensorType,
    TupleType,
    Type,
)


def unify_type_list(types: Sequence[Type]) -> Type:
    """The type that all of these are; None beside others makes it optional. RuntimeError if there is none."""
    if not types:
        raise RuntimeError("Cannot get unified type from empty list")
    found = types[0]
    for i, kind in enumerate(types[1:], 1):
        if kind.isSubtypeOf(found):
            continue
        if found.isSubtypeOf(kind):
            found = kind
        elif isinstance(found, NoneType) or isinstance(kind, NoneType):
            found = OptionalType(kind if isinstance(found, NoneType) else found)
        else:
            raise RuntimeError(
                f"Could not unify type list since element {i} of type {kind} did not match the types before it ({found})"
            )
    return found


def infer(value: Any) -> InferredType:
    """The type of a value: numbers, texts, tensors, None, enums, and lists, tuples and dictionaries of them."""
    for python, kind in (
        (bool, BoolType),
        (int, IntType),
        (float, FloatType),
        (complex, ComplexType),
        (str, StringType),
    ):
        if isinstance(value, python):
            return InferredType(kind.get())  # type: ignore[attr-defined]
    if value is None or isinstance(value, Tensor):
        return InferredType(NoneType.get() if value is None else TensorType.get())  # type: ignore[attr-defined]
    if isinstance(value, enum.Enum):
        return InferredType(enum_type(type(value)))
    if isinstance(value, tuple):
        parts = [infer(part) for part in value]
        return next((p for p in parts if not p.success()), None) or InferredType(TupleType([p.type() for p in parts]))
    if isinstance(value, list):
        found = _infer_joined(value, "List", "trace inputs must have elements", "element type")
        return InferredType(ListType(found.type())) if found.success() else found
    if isinstance(value, dict):
        keys = _infer_joined(list(value), "Dictionary", "inputs must have entries", "type")
        values = _infer_joined(list(value.values()), "Dictionary", "inputs must have entries", "type")
        failed = next((p for p in (keys, values) if not p.success()), None)
        return failed or InferredType(DictType(keys.type(), values.type()))
    return InferredType(
        "Only tensors and (possibly nested) tuples of tensors, lists, or dicts are supported as inputs or outputs of traced "
        f"functions, but instead got value of type {type(value).__name__}."
    )


def _infer_joined(values: Sequence[Any], what: str, empty: str, same: str) -> InferredType:
    if not values:
        return InferredType(f"{what} {empty}")
    found = infer(values[0])
    for value in values[1:]:
        kind = infer(value)
        if not found.success() or not kind.success():
            break
        try:
            found = InferredType(unify_type_list([found.type(), kind.type()]))
        except RuntimeError:
            return InferredType(
                f"{what} inputs to traced functions must have consistent {same}. Found {found.type()} and {kind.type()}"
            )
    else:
        return found
    return found if not found.success() else kind


def enum_type(kind: type[enum.Enum]) -> EnumType:
    """The type of an enum. RuntimeError if its values are of several types."""
    values = infer([member.value for member in kind])
    if not values.success():
        raise RuntimeError(f"Enum class '{kind.__name__}' has values of several types: {values.reason()}")
    return EnumType(f"__torch__.{kind.__qualname__}", values.type(), list(kind))
