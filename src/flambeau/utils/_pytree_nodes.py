"""Kinds of containers that trees are made of, and the steps of a path through them."""

from __future__ import annotations

import dataclasses
import importlib
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ..core.array.size import Size
from ..core.tensor.tree import REGISTERED

# --- paths ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class SequenceKey:
    """A step of a path: the element of this number."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"

    def get(self, sequence: Any) -> Any:
        """The element."""
        return sequence[self.idx]


@dataclasses.dataclass(frozen=True)
class MappingKey:
    """A step of a path: the value of this key."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"

    def get(self, mapping: Any) -> Any:
        """The value."""
        return mapping[self.key]


@dataclasses.dataclass(frozen=True)
class GetAttrKey:
    """A step of a path: the attribute of this name."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"

    def get(self, obj: Any) -> Any:
        """The attribute."""
        return getattr(obj, self.name)


KeyEntry = SequenceKey | MappingKey | GetAttrKey
KeyPath = tuple[Any, ...]


def keystr(kp: KeyPath) -> str:
    """A path as Python writes it: `['a'][0]`."""
    return "".join(str(key) for key in kp)


def key_get(obj: Any, kp: KeyPath) -> Any:
    """What stands at the end of a path."""
    for key in kp:
        obj = key.get(obj)
    return obj


# --- kinds of containers ----------------------------------------------------------------------------------------------


class NodeDef(NamedTuple):
    """How a kind of container is taken apart into children and a context, and put together."""

    type: type
    flatten_fn: Callable[[Any], tuple[list[Any], Any]]
    unflatten_fn: Callable[[Iterable[Any], Any], Any]
    flatten_with_keys_fn: Callable[[Any], tuple[list[tuple[Any, Any]], Any]] | None


class _Written(NamedTuple):
    name: str | None
    to_dumpable: Callable[[Any], Any] | None
    from_dumpable: Callable[[Any], Any] | None


SUPPORTED_NODES: dict[Any, NodeDef] = {}
_WRITTEN: dict[Any, _Written] = {}
_BY_NAME: dict[str, Any] = {}


class _NamedTuple:
    """The kind that all named tuples are of."""


def is_namedtuple_class(cls: Any) -> bool:
    """Whether it is a class that `collections.namedtuple` or `typing.NamedTuple` made."""
    return isinstance(cls, type) and issubclass(cls, tuple) and isinstance(getattr(cls, "_fields", None), tuple)


def is_namedtuple_instance(obj: object) -> bool:
    """Whether it is a named tuple."""
    return is_namedtuple_class(type(obj))


def is_namedtuple(obj: object) -> bool:
    """Whether it is a named tuple, or such a class."""
    return is_namedtuple_class(obj if isinstance(obj, type) else type(obj))


def is_structseq_class(cls: Any) -> bool:
    """Whether it is a class such as `time.struct_time`."""
    return (
        isinstance(cls, type) and cls.__bases__ == (tuple,) and isinstance(getattr(cls, "n_sequence_fields", None), int)
    )


def is_structseq_instance(obj: object) -> bool:
    """Whether it is an object such as a `time.struct_time`."""
    return is_structseq_class(type(obj))


def is_structseq(obj: object) -> bool:
    """Whether it is such an object or class."""
    return is_structseq_class(obj if isinstance(obj, type) else type(obj))


_is_namedtuple_instance = is_namedtuple_instance


def register_pytree_node(
    cls: type,
    flatten_fn: Callable[[Any], tuple[list[Any], Any]],
    unflatten_fn: Callable[[Iterable[Any], Any], Any],
    *,
    serialized_type_name: str | None = None,
    to_dumpable_context: Callable[[Any], Any] | None = None,
    from_dumpable_context: Callable[[Any], Any] | None = None,
    flatten_with_keys_fn: Callable[[Any], tuple[list[tuple[Any, Any]], Any]] | None = None,
) -> None:
    """Make a class one of the containers, for all transforms, too. ValueError if it is one already.

    `flatten_fn(obj)` gives children and a context, `unflatten_fn(children, context)` an object again.
    """
    if cls in SUPPORTED_NODES:
        raise ValueError(f"{cls} is already registered as pytree node.")
    if (to_dumpable_context is None) != (from_dumpable_context is None):
        raise ValueError(f"Both to_dumpable_context and from_dumpable_context for {cls} must be None or registered.")
    SUPPORTED_NODES[cls] = NodeDef(cls, flatten_fn, unflatten_fn, flatten_with_keys_fn)
    _WRITTEN[cls] = _Written(serialized_type_name, to_dumpable_context, from_dumpable_context)
    if serialized_type_name is not None:
        _BY_NAME[serialized_type_name] = cls
    if cls not in _BUILT_IN:
        REGISTERED[cls] = (flatten_fn, lambda parts, context: unflatten_fn(parts, context))


_register_pytree_node = _private_register_pytree_node = register_pytree_node


def _deregister_pytree_node(cls: type) -> None:
    """Forget what `register_pytree_node` was told."""
    SUPPORTED_NODES.pop(cls, None)
    REGISTERED.pop(cls, None)
    written = _WRITTEN.pop(cls, None)
    if written is not None and written.name is not None:
        _BY_NAME.pop(written.name, None)


def register_dataclass(
    cls: Any, *, field_names: list[str] | None = None, drop_field_names: list[str] | None = None,
    serialized_type_name: str | None = None,
) -> None:  # fmt: skip
    """Make a dataclass a container of its fields (of `field_names`), without those to drop."""
    names = list(field_names) if field_names is not None else [f.name for f in dataclasses.fields(cls) if f.init]
    names = [name for name in names if name not in (drop_field_names or ())]

    def flatten_fn(obj: Any) -> tuple[list[Any], Any]:
        present = [name for name in names if getattr(obj, name) is not None]
        absent = [name for name in names if getattr(obj, name) is None]
        return [getattr(obj, name) for name in present], [present, absent]

    def unflatten_fn(values: Iterable[Any], context: Any) -> Any:
        present, absent = context
        return cls(**dict(zip(present, values, strict=True)), **dict.fromkeys(absent))

    def with_keys(obj: Any) -> tuple[list[tuple[Any, Any]], Any]:
        values, context = flatten_fn(obj)
        return [(GetAttrKey(name), value) for name, value in zip(context[0], values, strict=True)], context

    register_pytree_node(
        cls, flatten_fn, unflatten_fn, serialized_type_name=serialized_type_name, flatten_with_keys_fn=with_keys
    )


@dataclasses.dataclass(frozen=True)
class ConstantNode:
    """The context of what is part of the structure."""

    value: Any


def register_constant(cls: type) -> None:
    """Make objects of a class part of the structure: no leaves. They must compare and hash by value."""
    if cls.__eq__ is object.__eq__:
        raise TypeError(f"register_constant({cls.__name__}): the class needs an __eq__ and a __hash__ of its own")
    register_pytree_node(
        cls, lambda value: ([], ConstantNode(value)), lambda _, context: context.value,
        flatten_with_keys_fn=lambda value: ([], ConstantNode(value)),
    )  # fmt: skip
    _CONSTANT.add(cls)


_CONSTANT: set[type] = set()


def is_constant_class(cls: type) -> bool:
    """Whether `register_constant` was told of it."""
    return cls in _CONSTANT


def _sequence_keys(flatten_fn: Any) -> Any:
    def with_keys(obj: Any) -> tuple[list[tuple[Any, Any]], Any]:
        parts, context = flatten_fn(obj)
        return [(SequenceKey(i), part) for i, part in enumerate(parts)], context

    return with_keys


def _mapping(kind: Any) -> tuple[Any, Any, Any]:
    def flatten_fn(mapping: Any) -> tuple[list[Any], Any]:
        return list(mapping.values()), list(mapping.keys())

    def unflatten_fn(values: Iterable[Any], context: Any) -> Any:
        return kind(zip(context, values, strict=True))

    def with_keys(mapping: Any) -> tuple[list[tuple[Any, Any]], Any]:
        return [(MappingKey(key), value) for key, value in mapping.items()], list(mapping.keys())

    return flatten_fn, unflatten_fn, with_keys


_BUILT_IN: Any = {Size, list, tuple, _NamedTuple, dict, OrderedDict, defaultdict, deque}


def _register_built_in() -> None:
    def simple(cls: Any, take: Any, make: Any, name: str, keys: Any = None, to: Any = None, back: Any = None) -> None:
        register_pytree_node(
            cls, take, make, serialized_type_name=name, flatten_with_keys_fn=keys or _sequence_keys(take),
            to_dumpable_context=to, from_dumpable_context=back,
        )  # fmt: skip

    simple(tuple, lambda t: (list(t), None), lambda values, _: tuple(values), "builtins.tuple")
    simple(Size, lambda t: (list(t), None), lambda values, _: Size(values), "torch.Size")
    simple(list, lambda t: (t, None), lambda values, _: list(values), "builtins.list")
    for cls, name in ((dict, "builtins.dict"), (OrderedDict, "collections.OrderedDict")):
        take, make, keys = _mapping(cls)
        simple(cls, take, make, name, keys)
    simple(
        _NamedTuple, lambda t: (list(t), type(t)), lambda values, cls: cls(*values), "collections.namedtuple",
        lambda t: ([(GetAttrKey(f), v) for f, v in zip(t._fields, t, strict=True)], type(t)),
        _named_tuple_written, lambda name: _NAMED[name],
    )  # fmt: skip
    simple(
        defaultdict, lambda d: (list(d.values()), [d.default_factory, list(d.keys())]),
        lambda values, c: defaultdict(c[0], zip(c[1], values, strict=True)), "collections.defaultdict",
        lambda d: ([(MappingKey(k), v) for k, v in d.items()], [d.default_factory, list(d.keys())]),
        lambda c: {"default_factory_module": c[0].__module__, "default_factory_name": c[0].__qualname__, "dict_context": c[1]},
        _default_from,
    )  # fmt: skip
    simple(deque, lambda d: (list(d), d.maxlen), lambda values, maxlen: deque(values, maxlen), "collections.deque")


_NAMED: dict[str, type] = {}


def _register_namedtuple(cls: type, *, serialized_type_name: str) -> None:
    """Give a class of named tuples a name by which `treespec_dumps` writes it."""
    _NAMED[serialized_type_name] = cls


def _named_tuple_written(cls: type) -> str:
    for name, held in _NAMED.items():
        if held is cls:
            return name
    raise NotImplementedError(
        f"Can't serialize TreeSpec of namedtuple class {cls} because we didn't register a serializated_type_name. Please "
        f"register using `_register_namedtuple`."
    )


def _default_from(written: Any) -> Any:
    module = importlib.import_module(written["default_factory_module"])
    return [getattr(module, written["default_factory_name"]), written["dict_context"]]


def _get_node_type(tree: Any) -> Any:
    kind = type(tree)
    return _NamedTuple if kind not in SUPPORTED_NODES and is_namedtuple_class(kind) else kind


_register_built_in()

# PyTorch's own names for how the built-in kinds are taken apart and put together
for _kind, _name in ((tuple, "tuple"), (list, "list"), (dict, "dict"), (OrderedDict, "ordereddict"), (defaultdict, "defaultdict"),
                     (deque, "deque"), (_NamedTuple, "namedtuple")):  # fmt: skip
    globals().update({
        f"_{_name}_flatten": SUPPORTED_NODES[_kind].flatten_fn,
        f"_{_name}_unflatten": SUPPORTED_NODES[_kind].unflatten_fn,
        f"_{_name}_flatten_with_keys": SUPPORTED_NODES[_kind].flatten_with_keys_fn,
    })  # fmt: skip
