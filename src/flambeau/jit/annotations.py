"""`torch.jit.annotations`: annotations of code that is written for TorchScript."""

from __future__ import annotations

import enum
import inspect
import types
import typing
from typing import Any, Dict, List, Optional, Tuple, Union  # noqa: UP035

from .._jit_internal import (  # noqa: F401
    BroadcastingList1,
    BroadcastingList2,
    BroadcastingList3,
    is_dict,
    is_future,
    is_list,
    is_optional,
    is_tuple,
    is_union,
)
from .._symbols import SymInt
from ..core.array.devices import device as _device
from ..core.array.dtypes import dtype as _dtype
from ..core.context.generator import Generator as _Generator
from ..core.dispatch.type_inference import enum_type
from ..core.dispatch.types import (
    AnyType,
    BoolType,
    ComplexType,
    DeviceObjType,
    DictType,
    FloatType,
    FutureType,
    IntType,
    ListType,
    NoneType,
    OptionalType,
    StreamObjType,
    StringType,
    TensorType,
    TupleType,
    Type,
    UnionType,
    of_schema,
)
from ..core.tensor.tensor import Tensor
from ..cuda.streams import Stream as _Stream
from ..futures import Future
from ..runtime.absent import refuse as _refuse

__all__ = ["Any", "BroadcastingList1", "BroadcastingList2", "BroadcastingList3", "Dict", "List", "Optional", "Tuple"]


def is_tensor(ann: Any) -> bool:
    """Whether an annotation is a class of tensors."""
    return isinstance(ann, type) and issubclass(ann, Tensor)


_PLAIN: dict[Any, Any] = {
    int: IntType, float: FloatType, complex: ComplexType, str: StringType, bool: BoolType, Any: AnyType, None: NoneType,
    type(None): NoneType, _device: DeviceObjType, _dtype: IntType, _Stream: StreamObjType, SymInt: IntType, ...: AnyType,
}  # fmt: skip
_BARE = {  # `List` without a `[...]`: what is missing, how it is called the second time, an example
    getattr(typing, name): (name, *told)
    for name, told in {
        "List": ("a contained type", "a contained type", "List[int]"),
        "Dict": ("contained types", "contained type", "Dict[int, int]"),
        "Tuple": ("a contained type", "a contained type", "Tuple[int]"),
        "Optional": ("a contained type", "a contained type", "Optional[int]"),
    }.items()
}


def try_ann_to_type(ann: Any, loc: Any, rcb: Any = None) -> Type | None:
    """The type that an annotation stands for, or None if it is none of TorchScript's. RuntimeError for `List` alone."""
    if ann is inspect.Signature.empty:
        return TensorType.getInferred()
    try:
        if ann in _PLAIN:
            return _PLAIN[ann].get()
        if ann in _BARE:
            name, what, part, example = _BARE[ann]
            raise RuntimeError(f"Attempted to use {name} without {what}. Please add {part}, e.g. {example}")
    except TypeError:  # it can't be a key
        return None
    origin, parts = typing.get_origin(ann), typing.get_args(ann)
    if origin in (Union, types.UnionType, list, dict, tuple, Future):
        inner = [try_ann_to_type(part, loc, rcb) for part in parts]
        if any(part is None for part in inner):
            raise ValueError(
                f"Unknown type annotation: '{next(p for p, i in zip(parts, inner, strict=True) if i is None)}'"
            )
        return _made(origin, typing.cast("list[Type]", inner))
    if not isinstance(ann, type):
        return None
    if issubclass(ann, Tensor):
        return TensorType.get()
    if issubclass(ann, enum.Enum):
        return enum_type(ann)
    return of_schema("Generator", ()) if issubclass(ann, _Generator) else None


def _made(origin: Any, inner: list[Type]) -> Type:
    if origin in (Union, types.UnionType):
        rest = [part for part in inner if not isinstance(part, NoneType)]
        return OptionalType(rest[0]) if len(rest) == 1 and len(inner) == 2 else UnionType(inner)
    if origin is tuple:
        return TupleType(inner)
    return {list: ListType, dict: DictType, Future: FutureType}[origin](*inner)  # type: ignore[no-any-return]


def ann_to_type(ann: Any, loc: Any, rcb: Any = None) -> Type:
    """The type that an annotation stands for. ValueError if it is none of TorchScript's."""
    found = try_ann_to_type(ann, loc, rcb)
    if found is None:
        raise ValueError(f"Unknown type annotation: '{ann}' at {loc.highlight() if hasattr(loc, 'highlight') else loc}")
    return found


_refuse(
    globals(),
    "TorchScript's own language and its compiler are not here; torch.jit.script and trace run Python",
    "Module check_fn get_param_names get_signature get_type_line parse_type_line split_type_line try_real_annotations ",
)
