"""The types that schemas and TorchScript's annotations speak of: `IntType`, `ListType`, ... They describe; nothing compiles by them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

Text = str  # `str` is a method of types
_CHECK = "INTERNAL" + " ASSERT FAILED"  # so begin PyTorch's own texts for what these types do not know


def unfit(kind: type, form: str, given: Sequence[Any]) -> TypeError:
    """The error for arguments that a class of libtorch is not made of."""
    shown = ", ".join(repr(value) for value in given)
    return TypeError(
        f"__init__(): incompatible constructor arguments. The following argument types are supported:\n"
        f"    1. torch._C.{kind.__name__}({form})\n\nInvoked with: {shown}"
    )


class Type:
    """What a value may be. Types that are the same are equal; they print as annotations."""

    __module__ = "flambeau"
    _shown: ClassVar[Text] = ""
    _parts: tuple[Type, ...] = ()
    __hash__: Callable[..., int] = None  # type: ignore[assignment]

    def __init__(self) -> None:
        raise TypeError(f"torch._C.{type(self).__name__}: No constructor defined!")

    def kind(self) -> Text:
        """The name of its class."""
        return type(self).__name__

    def str(self) -> Text:
        """As a schema has it: `int[]`, `Tensor?`."""
        return self._shown

    @property
    def annotation_str(self) -> Any:
        """As an annotation in Python: `List[int]`."""
        return self._shown

    def containedTypes(self) -> list[Type]:
        """The types that it is made of."""
        return list(self._parts)

    def is_interface_type(self) -> bool:
        """Whether it is an interface's."""
        return False

    def requires_grad(self) -> bool:
        """Whether values of it may require gradients."""
        return any(part.requires_grad() for part in self._parts)

    def isSubtypeOf(self, other: Type) -> bool:
        """Whether each value of it is also one of `other`."""
        if isinstance(other, AnyType) or self == other:
            return True
        if isinstance(other, OptionalType | UnionType):
            return any(self.isSubtypeOf(choice) for choice in _choices(other))
        return False

    def _unknown(self, *given: Any) -> Any:
        """RuntimeError: only a type of tensors knows."""
        raise RuntimeError(f"r {_CHECK}: {self} is no type of tensors")

    undefined: Callable[..., Any]
    symbolic_sizes: Callable[..., Any]
    varyingSizes: Callable[..., Any]
    scalarType: Callable[..., Any]
    strides: Callable[..., Any]
    dim: Callable[..., Any]
    device: Callable[..., Any]
    dtype: Callable[..., Any]
    sizes = dtype = device = dim = strides = scalarType = varyingSizes = symbolic_sizes = undefined = _unknown
    with_device: Callable[..., Any]
    with_dtype: Callable[..., Any]
    with_sizes: Callable[..., Any]
    contiguous = with_sizes = with_dtype = with_device = _unknown

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Type) and self.kind() == other.kind() and self._parts == other._parts

    def __repr__(self) -> Any:
        return self.annotation_str


class _Single(Type):
    """A type of which there is one: `get` gives it."""

    @classmethod
    def get(cls) -> Self:
        """The one there is."""
        made = cls.__dict__.get("_one")
        if made is None:
            made = object.__new__(cls)
            cls._one = made  # type: ignore[attr-defined]
        return made


class NumberType(_Single):
    """A number of any kind."""

    __module__ = "flambeau"
    _shown = "number"


class _Number(_Single):
    def isSubtypeOf(self, other: Type) -> bool:
        return isinstance(other, NumberType) or super().isSubtypeOf(other)


def _single(name: str, shown: str, told: str, base: type[Type] = _Single) -> type[Type]:
    return type(name, (base,), {"__module__": "flambeau", "_shown": shown, "__doc__": told})


AnyType: type[Type] = _single("AnyType", "Any", "Anything.")
BoolType: type[Type] = _single("BoolType", "bool", "`True` or `False`.")
ComplexType: type[Type] = _single("ComplexType", "complex", "A complex number.", _Number)
DeviceObjType: type[Type] = _single("DeviceObjType", "Device", "A `torch.device`.")
FloatType: type[Type] = _single("FloatType", "float", "A floating point number.", _Number)
IntType: type[Type] = _single("IntType", "int", "A whole number.", _Number)
NoneType: type[Type] = _single("NoneType", "NoneType", "None.")
PyObjectType: type[Type] = _single("PyObjectType", "PyObject", "An object of Python's.")
StreamObjType: type[Type] = _single("StreamObjType", "Stream", "A `torch.Stream`.")
StringType: type[Type] = _single("StringType", "str", "A text.")
SymBoolType: type[Type] = _single("SymBoolType", "bool", "A truth value that may be symbolic.")
SymIntType: type[Type] = _single("SymIntType", "int", "A whole number that may be symbolic.")
_Other = {  # types that have no class in Python
    kind: _single(kind, shown, "A type that only schemas name.")
    for kind, shown in {
        "ScalarTypeType": "ScalarType", "LayoutType": "Layout", "MemoryFormatType": "MemoryFormat", "VarType": "t",
        "GeneratorType": "Generator", "StorageType": "Storage", "QSchemeType": "QScheme",
    }.items()
}  # fmt: skip


class TensorType(_Single):
    """A tensor, of which a size, a dtype or a device may be known."""

    __module__ = "flambeau"
    _shown = "Tensor"
    _sizes: tuple[int | None, ...] | None = None
    _dtype: Any = None
    _device: Any = None

    @classmethod
    def getInferred(cls) -> TensorType:
        """That of an argument without an annotation."""
        return cls.get()

    @classmethod
    def create_from_tensor(cls, tensor: Any) -> TensorType:
        """With all that is known of a tensor."""
        return cls.get().with_sizes(list(tensor.shape)).with_dtype(tensor.dtype).with_device(tensor.device)

    def _with(self, **known: Any) -> TensorType:
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__, **known)
        return made

    def with_sizes(self, sizes: Any) -> Any:
        """With a known size; None for what is not known of it."""
        return self._with(_sizes=tuple(sizes))

    def with_dtype(self, dtype: Any) -> Any:
        """With a known dtype."""
        return self._with(_dtype=dtype)

    def with_device(self, device: Any) -> Any:
        """With a known device. TypeError for a text."""
        if isinstance(device, Text):
            raise TypeError("Expected device")
        return self._with(_device=device)

    def sizes(self) -> Any:
        """The size, or None if a part of it is not known."""
        return None if self._sizes is None or None in self._sizes else list(self._sizes)

    def varyingSizes(self) -> Any:
        """What is known of the size."""
        return None if self._sizes is None else list(self._sizes)

    def dim(self) -> Any:
        """The number of dimensions, if it is known."""
        return None if self._sizes is None else len(self._sizes)

    def dtype(self) -> Any:
        """The dtype, if it is known."""
        return self._dtype

    def device(self) -> Any:
        """The device, if it is known."""
        return self._device

    def scalarType(self) -> Any:
        """The dtype's name in libtorch, if it is known."""
        return None if self._dtype is None else self._dtype.abbr

    def strides(self) -> Any:
        """Never known."""

    def symbolic_sizes(self) -> Any:
        """Never known."""

    def requires_grad(self) -> bool:
        """It may."""
        return True

    def undefined(self) -> bool:
        """Never."""
        return False

    def contiguous(self) -> Any:
        """The type itself; RuntimeError if its size is not known."""
        if self.sizes() is None:
            raise RuntimeError(f"concrete_sizes.has_value() {_CHECK}: the size is not known")
        return self

    def str(self) -> Any:
        """With the size, if it is known."""
        return (
            "Tensor"
            if self._sizes is None
            else f"Tensor({', '.join('*' if n is None else f'{n}' for n in self._sizes)})"
        )

    def isSubtypeOf(self, other: Type) -> bool:
        """Whether each value of it is also one of `other`."""
        return (isinstance(other, TensorType) and not other.__dict__) or super().isSubtypeOf(other)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, TensorType) and self.__dict__ == other.__dict__

    __hash__: Callable[..., Any] = None  # type: ignore[assignment]


class _Of(Type):
    """A type that is made of another one."""

    _name: ClassVar[Text] = ""
    _covariant: ClassVar[bool] = False

    def __init__(self, *given: Any):
        if len(given) != 1 or not isinstance(given[0], Type):
            raise unfit(type(self), "arg0: torch._C.Type", given)
        self._parts = tuple(given)

    @property
    def annotation_str(self) -> Any:
        return f"{self._name}[{', '.join(part.annotation_str for part in self._parts)}]"

    def str(self) -> Any:
        return f"{self._name}({', '.join(part.str() for part in self._parts)})"

    def getElementType(self) -> Type:
        """The type that it is made of."""
        return self._parts[0]

    def isSubtypeOf(self, other: Type) -> bool:
        if self._covariant and self.kind() == other.kind() and len(self._parts) == len(other._parts):
            return all(ours.isSubtypeOf(theirs) for ours, theirs in zip(self._parts, other._parts, strict=True))
        return super().isSubtypeOf(other)


class ListType(_Of):
    """A list of values of one type."""

    __module__ = "flambeau"
    _name = "List"

    def str(self) -> Any:
        return f"{self._parts[0].str()}[]"


def _lists_of(kind: Any, plural: str) -> Any:
    made = staticmethod(lambda: ListType(kind.get()))
    made.__func__.__name__, made.__func__.__doc__ = f"of{plural}", f"A list of `{kind._shown}`."  # type: ignore[attr-defined]
    return made


for _kind, _plural in (
    (IntType, "Ints"), (FloatType, "Floats"), (ComplexType, "ComplexDoubles"), (BoolType, "Bools"),
    (StringType, "Strings"), (TensorType, "Tensors"),
):  # fmt: skip
    setattr(ListType, f"of{_plural}", _lists_of(_kind, _plural))


class FutureType(_Of):
    """A `Future` of a value."""

    __module__ = "flambeau"
    _name, _covariant = "Future", True


class AwaitType(_Of):
    """A value that is computed when it is asked for."""

    __module__ = "flambeau"
    _name, _covariant = "Await", True


class RRefType(_Of):
    """A value in another process."""

    __module__ = "flambeau"
    _name, _covariant = "RRef", True


class DictType(_Of):
    """A dictionary. RuntimeError for keys that TorchScript's dictionaries do not take."""

    __module__ = "flambeau"
    _name = "Dict"

    def __init__(self, *given: Any):
        if len(given) != 2 or not all(isinstance(part, Type) for part in given):
            raise unfit(type(self), "arg0: torch._C.Type, arg1: torch._C.Type", given)
        if isinstance(given[0], ListType | DictType | TupleType | UnionType | OptionalType):
            raise RuntimeError(
                f"Cannot create dict for key type '{given[0].str()}', only int, float, complex, Tensor, device and string keys "
                f"are supported"
            )
        self._parts = tuple(given)

    def getKeyType(self) -> Type:
        """The keys' type."""
        return self._parts[0]

    def getValueType(self) -> Type:
        """The values' type."""
        return self._parts[1]

    getElementType: Callable[..., Type] = None  # type: ignore[assignment]


class TupleType(_Of):
    """A tuple of values, each of a type of its own."""

    __module__ = "flambeau"
    _name, _covariant = "Tuple", True

    def __init__(self, *given: Any):
        if len(given) != 1 or not isinstance(given[0], list | tuple) or not all(isinstance(p, Type) for p in given[0]):
            raise unfit(type(self), "arg0: collections.abc.Sequence[c10::Type]", given)
        self._parts = tuple(given[0])

    @property
    def annotation_str(self) -> Any:
        return super().annotation_str if self._parts else "Tuple[()]"

    def str(self) -> Any:
        return f"({', '.join(part.str() for part in self._parts)})"

    def elements(self) -> list[Type]:
        """The types of its parts."""
        return list(self._parts)

    getElementType: Callable[..., Type] = None  # type: ignore[assignment]


# the order in which a union names its choices
_ORDER = """EnumType TensorType StorageType TupleType FloatType ComplexType IntType NoneType ListType DictType FutureType AwaitType
RRefType StringType GeneratorType QSchemeType BoolType VarType DeviceObjType StreamObjType PyObjectType SymIntType SymBoolType
LayoutType MemoryFormatType ScalarTypeType NumberType""".split()


def _choices(kind: Type) -> tuple[Type, ...]:
    if isinstance(kind, OptionalType):
        nothing: Any = NoneType
        return (*_choices(kind._parts[0]), nothing.get())
    return kind._parts if isinstance(kind, UnionType) else (kind,)


def _joined(given: Sequence[Type]) -> list[Type]:
    """The choices of a union, each once, without those that another one includes."""
    if not given:
        raise RuntimeError(f"!reference.empty() {_CHECK}: Cannot create an empty Union")
    flat = [choice for kind in given for choice in _choices(kind)]
    if {"IntType", "FloatType", "ComplexType"} <= {kind.kind() for kind in flat}:
        flat.append(NumberType.get())
    kept: list[Type] = []
    for kind in flat:
        wider = any(kind.isSubtypeOf(other) and kind != other for other in flat)
        if not wider and not any(kind == other for other in kept):
            kept.append(kind)
    kept.sort(key=lambda kind: _ORDER.index(kind.kind()) if kind.kind() in _ORDER else -1)
    if len(kept) < 2 and not isinstance(kept[0], NumberType):
        raise RuntimeError(
            f"false {_CHECK}: After type unification was performed, the Union with the original types "
            f"{{{', '.join(map(repr, given))}, }} has the single type {kept[0]}. Use the common supertype instead of creating a "
            f"Uniontype"
        )
    return kept


class UnionType(_Of):
    """One of several types; with None and one other it is an OptionalType. RuntimeError if one includes all others."""

    __module__ = "flambeau"
    _name = "Union"

    def __new__(cls, *given: Any) -> Any:
        if len(given) != 1 or not isinstance(given[0], list | tuple) or not all(isinstance(p, Type) for p in given[0]):
            raise unfit(cls, "arg0: collections.abc.Sequence[c10::Type]", given)
        joined = _joined(given[0])
        rest = [kind for kind in joined if not isinstance(kind, NoneType)]
        if len(joined) == 2 and len(rest) == 1:
            return OptionalType(rest[0])
        made = object.__new__(cls)
        made._parts = tuple(joined)
        return made

    def __init__(self, *given: Any) -> None:
        pass

    @property
    def annotation_str(self) -> Any:
        order = sorted(self._parts, key=lambda kind: isinstance(kind, NoneType))
        return f"Union[{', '.join(part.annotation_str for part in order)}]"

    def isSubtypeOf(self, other: Type) -> bool:
        return all(choice.isSubtypeOf(other) for choice in _choices(self))

    getElementType: Callable[..., Type] = None  # type: ignore[assignment]


class OptionalType(_Of):
    """None, or a value of another type."""

    __module__ = "flambeau"
    _name = "Optional"

    def __init__(self, *given: Any):
        super().__init__(*given)
        part = given[0]
        if isinstance(part, NoneType):
            _joined([part, part])
        self._parts = part._parts if isinstance(part, OptionalType) else (part,)

    @staticmethod
    def ofTensor() -> OptionalType:
        """None, or a tensor."""
        return OptionalType(TensorType.get())

    def str(self) -> Any:
        return f"{self._parts[0].str()}?"

    def isSubtypeOf(self, other: Type) -> bool:
        return isinstance(other, AnyType) or all(choice.isSubtypeOf(other) for choice in _choices(self))


class EnumType(Type):
    """One of an `enum.Enum`'s values, which are of one type."""

    __module__ = "flambeau"

    def __init__(self, *given: Any):
        if len(given) != 3 or not isinstance(given[0], Text) or not isinstance(given[1], Type):
            raise unfit(type(self), "arg0: str, arg1: torch._C.Type, arg2: collections.abc.Sequence[object]", given)
        self._names = [value.name for value in given[2]]
        self._full, self._parts = given[0], (given[1],)

    @property
    def annotation_str(self) -> Any:
        return self._full

    def str(self) -> Any:
        return f"Enum<{self._full}>"

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, EnumType) and other._full == self._full and other._parts == self._parts

    __hash__: Callable[..., Any] = None  # type: ignore[assignment]


class _Named(Type):
    """A type of a class that TorchScript has compiled: there is none."""

    def __init__(self, *given: Any):
        if len(given) != 1 or not isinstance(given[0], Text):
            raise unfit(type(self), "arg0: str", given)
        raise TypeError(
            f"pybind11::init(): factory function returned nullptr: there is no TorchScript in flambeau, and so no class {given[0]!r}"
        )


class ClassType(_Named):
    """The type of a class that TorchScript has compiled: there is none."""

    __module__ = "flambeau"


class InterfaceType(_Named):
    """The type of an interface that TorchScript has compiled: there is none."""

    __module__ = "flambeau"


class InferredType:
    """A type that was found for a value, or the reason why there is none."""

    __module__ = "flambeau"

    def __init__(self, found: Type | Text):
        if not isinstance(found, Type | Text):
            raise unfit(type(self), "arg0: torch._C.Type", (found,))
        self._found = found

    def success(self) -> bool:
        """Whether there is one."""
        return isinstance(self._found, Type)

    def type(self) -> Type:
        """The type; RuntimeError if there is none."""
        if isinstance(self._found, Text):
            raise RuntimeError(
                f"type_ {_CHECK}: Tried to get the type from an InferredType but the type is null. Reason: {self._found}"
            )
        return self._found

    def reason(self) -> Text:
        """Why there is none; empty if there is one."""
        return self._found if isinstance(self._found, Text) else ""


_BASES: dict[str, Any] = {
    "Tensor": TensorType, "Scalar": NumberType, "number": NumberType, "int": IntType, "SymInt": SymIntType, "float": FloatType,
    "SymFloat": FloatType, "bool": BoolType, "SymBool": SymBoolType, "complex": ComplexType, "str": StringType,
    "ScalarType": _Other["ScalarTypeType"], "Layout": _Other["LayoutType"], "MemoryFormat": _Other["MemoryFormatType"],
    "Device": DeviceObjType, "DeviceIndex": IntType, "Generator": _Other["GeneratorType"], "Storage": _Other["StorageType"],
    "Stream": StreamObjType, "QScheme": _Other["QSchemeType"], "t": _Other["VarType"], "Any": AnyType, "NoneType": NoneType,
    "Dimname": StringType,
}  # fmt: skip
_SEEN_AS_INT = ("SymInt", "ScalarType", "Layout", "MemoryFormat")


def of_schema(base: str, steps: Sequence[str], real: bool = False) -> Type:
    """The type of `int[2]?`, say, which has the base `int` and the steps `[2]` and `?`. `real` tells sizes from numbers."""
    kind: Any = IntType if base in _SEEN_AS_INT and not real else _BASES.get(base)
    if kind is None:
        kind = _single(f"{base}Type", base, "A type that only one schema names.")
    found = kind.get()
    for step in steps:
        found = OptionalType(found) if step == "?" else ListType(found)
    return found


PUBLIC = """AnyType AwaitType BoolType ClassType ComplexType DeviceObjType DictType EnumType FloatType FutureType InferredType IntType
InterfaceType ListType NoneType NumberType OptionalType PyObjectType RRefType StreamObjType StringType SymBoolType SymIntType
TensorType TupleType Type UnionType""".split()
__all__ = [*PUBLIC, "of_schema", "unfit"]
