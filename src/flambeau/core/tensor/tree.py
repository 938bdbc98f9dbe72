"""Nested containers of tensors: taken apart into leaves and put together again.

Unlike JAX's trees, dictionaries keep the order of their keys and None is a leaf, as with PyTorch.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import Any


class Spec:
    """The structure of a tree: how a container is made of its parts, or a leaf (no `build`).

    Structures are equal if the same kinds of containers hold the same keys in the same order.
    """

    __slots__ = ("_hash", "build", "keys", "kind", "parts")

    def __init__(self, kind: type | None, keys: Any, build: Callable[[list[Any]], Any] | None, parts: tuple[Spec, ...]):
        self.kind: type | None = kind
        self.keys: Any = keys
        self.build: Callable[..., Any] | None = build
        self.parts: tuple[Spec, ...] = parts
        self._hash = hash((kind, keys, parts))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Spec):
            return NotImplemented
        if self._hash != other._hash:  # first: keys may be tensors, whose `==` compares what they hold
            return False
        return self.kind is other.kind and self.keys == other.keys and self.parts == other.parts

    def __str__(self) -> str:
        if self.kind is None:
            return "*"
        return f"{self.kind.__name__}({', '.join(map(str, self.parts))})"


LEAF = Spec(None, None, None, ())


class _Context:
    """What a registered class keeps besides its parts; it may not be hashable."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __hash__(self) -> int:
        return hash(type(self.value))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Context) and self.value == other.value


# class -> (to parts and context, back); what `torch.utils._pytree.register_pytree_node` was told
REGISTERED: dict[type, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {}


def _open_registered(tree: Any) -> tuple[list[Any], Any, Callable[[list[Any]], Any]]:
    take_apart, put_together = REGISTERED[type(tree)]
    parts, context = take_apart(tree)
    return list(parts), _Context(context), lambda given: put_together(given, context)


def _open(tree: Any) -> tuple[list[Any], Any, Callable[[list[Any]], Any]] | None:
    """A container's parts, its keys if any, and how to make another; None for a leaf."""
    kind = type(tree)
    if kind in REGISTERED:
        return _open_registered(tree)
    if kind in (list, tuple):
        return list(tree), None, kind
    if kind in (dict, OrderedDict):
        keys = tuple(tree)
        return list(tree.values()), keys, lambda parts: kind(zip(keys, parts, strict=True))
    if kind is defaultdict:
        keys, factory = tuple(tree), tree.default_factory
        return list(tree.values()), keys, lambda parts: defaultdict(factory, zip(keys, parts, strict=True))
    if kind is deque:
        return list(tree), None, lambda parts: deque(parts, tree.maxlen)
    if isinstance(tree, tuple) and hasattr(kind, "_fields"):
        return list(tree), None, lambda parts: kind(*parts)
    if (
        is_dataclass(kind)
        and hasattr(tree, "__dict__")
        and not (isinstance(tree, dict) or hasattr(tree, "_parameters"))
    ):
        own = vars(tree)
        names = tuple(own)
        return list(own.values()), names, lambda parts: _remade(kind, names, parts)
    return None


def opens(tree: Any) -> bool:
    """Whether a value is a container that is taken apart, rather than a leaf."""
    return _open(tree) is not None


def _remade(kind: Any, names: Any, values: list[Any]) -> Any:
    made = object.__new__(kind)
    made.__dict__.update(zip(names, values, strict=True))
    return made


def flatten(tree: Any) -> tuple[list[Any], Spec]:
    """The leaves in order, and the structure."""
    opened = _open(tree)
    if opened is None:
        return [tree], LEAF
    leaves: list[Any] = []
    specs = []
    for part in opened[0]:
        below, spec = flatten(part)
        leaves += below
        specs.append(spec)
    return leaves, Spec(type(tree), opened[1], opened[2], tuple(specs))


class Again:
    """Stands in a structure for a container that stood before: the `keys`-th that was taken apart."""


def flatten_once(tree: Any, met: dict[int, tuple[int, Any]] | None = None) -> tuple[list[Any], Spec]:
    """As `flatten`, but a container that can change and stands at several places is taken apart once, and is one when put together."""
    met = {} if met is None else met
    if id(tree) in met:
        return [], Spec(Again, met[id(tree)][0], list, ())
    opened = _open(tree)
    if opened is None:
        return [tree], LEAF
    leaves: list[Any] = []
    specs = []
    for part in opened[0]:
        below, spec = flatten_once(part, met)
        leaves += below
        specs.append(spec)
    if not isinstance(tree, tuple):
        met[id(tree)] = len(met), tree  # kept alive, so that its id stays its own
    return leaves, Spec(type(tree), opened[1], opened[2], tuple(specs))


def containers(tree: Any) -> dict[int, tuple[int, Any]]:
    """The containers of a tree that can change, by id."""
    met: dict[int, tuple[int, Any]] = {}
    flatten_once(tree, met)
    return met


def unflatten(leaves: list[Any], spec: Spec) -> Any:
    """A tree of this structure with these leaves."""
    return _build(iter(leaves), spec, [])


def _build(leaves: Iterator[Any], spec: Spec, made: list[Any]) -> Any:
    if spec.build is None:
        return next(leaves)
    if spec.kind is Again:
        return made[spec.keys]
    built = spec.build([_build(leaves, part, made) for part in spec.parts])
    if not issubclass(spec.kind or list, tuple):
        made.append(built)
    return built


def spread(prefix: Any, spec: Spec) -> list[Any] | None:
    """One entry of `prefix` for each leaf of `spec`; an entry that is no container stands for all below it.

    None if the structures do not go together. A list and a tuple do.
    """
    opened = _open(prefix)
    if opened is None:
        return [prefix] * count(spec)
    if spec.build is None or len(opened[0]) != len(spec.parts):
        return None
    parts, keys = opened[0], opened[1]
    if keys != spec.keys:
        if not isinstance(keys, tuple) or not isinstance(spec.keys, tuple) or set(keys) != set(spec.keys):
            return None
        parts = [parts[keys.index(key)] for key in spec.keys]
    entries: list[Any] = []
    for part, below in zip(parts, spec.parts, strict=True):
        found = spread(part, below)
        if found is None:
            return None
        entries += found
    return entries


def count(spec: Spec) -> int:
    """How many leaves a structure has."""
    return 1 if spec.build is None else sum(count(part) for part in spec.parts)
