"""Trees of containers: taken apart into leaves, put together again, mapped. What `torch.utils._pytree` has.

Containers are lists, tuples, named tuples, dictionaries (their keys in the order in which they stand), deques, and what was
registered. None and all else are leaves.
"""

from __future__ import annotations

import json
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..core.dispatch.messages import message
from . import _pytree_nodes
from ._pytree_nodes import (  # noqa: F401
    _BY_NAME,
    _WRITTEN,
    SUPPORTED_NODES,
    ConstantNode,
    GetAttrKey,
    KeyEntry,
    KeyPath,
    MappingKey,
    NodeDef,
    SequenceKey,
    _deregister_pytree_node,
    _get_node_type,
    _is_namedtuple_instance,
    _NamedTuple,
    _private_register_pytree_node,
    _register_namedtuple,
    _register_pytree_node,
    is_constant_class,
    is_namedtuple,
    is_namedtuple_class,
    is_namedtuple_instance,
    is_structseq,
    is_structseq_class,
    is_structseq_instance,
    key_get,
    keystr,
    register_constant,
    register_dataclass,
    register_pytree_node,
)

if not TYPE_CHECKING:  # type checkers take every name
    __all__ = (
        """SUPPORTED_NODES ConstantNode GetAttrKey KeyEntry KeyPath LeafSpec MappingKey NodeDef PyTreeSpec SequenceKey
        TreeSpec _NamedTuple _broadcast_to_and_flatten _deregister_pytree_node _get_node_type _is_leaf
        _is_namedtuple_instance _private_register_pytree_node _register_namedtuple _register_pytree_node arg_tree_leaves
        is_constant_class is_namedtuple is_namedtuple_class is_namedtuple_instance is_structseq is_structseq_class
        is_structseq_instance key_get keystr map_only register_constant register_dataclass register_pytree_node tree_all
        tree_all_only tree_any tree_any_only tree_flatten tree_flatten_with_path tree_is_leaf tree_iter tree_leaves
        tree_leaves_with_path tree_map tree_map_ tree_map_only tree_map_only_ tree_map_with_path tree_structure
        tree_unflatten treespec_dict treespec_dumps treespec_leaf treespec_loads treespec_pprint treespec_tuple"""
    ).split()

PyTree = Context = Any
_Leaf = Callable[[Any], bool] | None

# --- structures -------------------------------------------------------------------------------------------------------


class TreeSpec:
    """The structure of a tree: the kind of its container (None: a leaf), a context, and the structures of its children."""

    __slots__ = ("_children", "context", "num_children", "num_leaves", "num_nodes", "type")

    def __init__(self, type: Any, context: Any, children_specs: list[TreeSpec]):
        self.type = type
        self.context = context
        self._children = list(children_specs)
        self.num_children = len(self._children)
        self.num_nodes: int = 1 + sum(child.num_nodes for child in self._children)
        self.num_leaves: int = 1 if type is None else sum(child.num_leaves for child in self._children)

    @property
    def children_specs(self) -> list[TreeSpec]:
        return self._children

    def children(self) -> list[TreeSpec]:
        """The structures of the children."""
        return list(self._children)

    def child(self, index: int) -> TreeSpec:
        """The structure of one child."""
        return self._children[index]

    def is_leaf(self) -> bool:
        """Whether it is that of a leaf."""
        return self.type is None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TreeSpec):
            return NotImplemented
        return self.type is other.type and self.context == other.context and self._children == other._children

    def __hash__(self) -> int:
        return hash((self.type, len(self._children), tuple(self._children)))

    def __repr__(self, indent: int = 0) -> str:
        if self.type is None:
            return "*"
        within = "".join(
            (f"\n{' ' * (indent + 2)}" if i else "")
            + child.__repr__(indent + 2)
            + ("," if i + 1 < len(self._children) else "")
            for i, child in enumerate(self._children)
        )
        name = "namedtuple" if self.type is _NamedTuple else self.type.__name__
        return f"TreeSpec({name}, {self.context}, [{within}])"

    def flatten_up_to(self, tree: Any) -> list[Any]:
        """The subtrees that stand where this structure has leaves. ValueError where the tree differs above them."""
        if self.type is None:
            return [tree]
        kind = _get_node_type(tree)
        if kind is not self.type and not (kind in _DICTS and self.type in _DICTS):
            raise ValueError(f"Node type mismatch; expected {self.type!r}, but got {kind!r}.")
        children, context = SUPPORTED_NODES[kind].flatten_fn(tree)
        if kind in _DICTS:
            wanted = self.context[1] if self.type is defaultdict else self.context
            if set(wanted) != set(tree):
                missing, more = set(wanted) - set(tree), set(tree) - set(wanted)
                told = (f"; missing key(s): {missing}" if missing else "") + (f"; extra key(s): {more}" if more else "")
                raise ValueError(f"Node keys mismatch{told}.")
            children = [tree[key] for key in wanted]
        elif len(children) != self.num_children:
            raise ValueError(f"Node arity mismatch; expected {self.num_children}, but got {len(children)}.")
        elif context != self.context and kind is not deque:
            raise ValueError(f"Node context mismatch for custom node type {self.type!r}.")
        return [
            found for child, spec in zip(children, self._children, strict=True) for found in spec.flatten_up_to(child)
        ]

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        """A tree of this structure. ValueError for another number of leaves."""
        held = list(leaves)
        if len(held) != self.num_leaves:
            raise ValueError(
                f"treespec.unflatten(leaves): `leaves` has length {len(held)} but the spec refers to a pytree that holds "
                f"{self.num_leaves} items ({self})."
            )
        return self._built(iter(held))

    def _built(self, leaves: Iterator[Any]) -> Any:
        if self.type is None:
            return next(leaves)
        return SUPPORTED_NODES[self.type].unflatten_fn([child._built(leaves) for child in self._children], self.context)


PyTreeSpec = TreeSpec
_DICTS = (dict, OrderedDict, defaultdict)


class LeafSpec(TreeSpec):
    """The structure of a leaf."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(None, None, [])

    def __hash__(self) -> int:
        return hash(LeafSpec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TreeSpec) and other.type is None


_LEAF_SPEC = LeafSpec()


def treespec_leaf() -> LeafSpec:
    """The structure of a leaf."""
    return _LEAF_SPEC


def treespec_tuple(iterable: Iterable[TreeSpec] = (), /) -> TreeSpec:
    """The structure of a tuple of these."""
    return TreeSpec(tuple, None, list(iterable))


def treespec_dict(mapping: Any = (), /, **kwargs: TreeSpec) -> TreeSpec:
    """The structure of a dictionary of these."""
    held = dict(mapping, **kwargs)
    return TreeSpec(dict, list(held), list(held.values()))


def treespec_pprint(treespec: TreeSpec) -> str:
    """The structure with a star for each leaf, as the tree itself would be printed."""

    class Star:
        def __repr__(self) -> str:
            return "*"

    from pprint import pformat

    return pformat(treespec.unflatten([Star() for _ in range(treespec.num_leaves)]))


# --- apart and together -----------------------------------------------------------------------------------------------


def tree_is_leaf(tree: Any, is_leaf: _Leaf = None) -> bool:
    """Whether it is a leaf: no container, or one of which `is_leaf` says so."""
    return (is_leaf is not None and is_leaf(tree)) or _get_node_type(tree) not in SUPPORTED_NODES


_is_leaf = tree_is_leaf


def _taken(tree: Any, leaves: list[Any], is_leaf: _Leaf) -> TreeSpec:
    if tree_is_leaf(tree, is_leaf):
        leaves.append(tree)
        return _LEAF_SPEC
    kind = _get_node_type(tree)
    children, context = SUPPORTED_NODES[kind].flatten_fn(tree)
    return TreeSpec(kind, context, [_taken(child, leaves, is_leaf) for child in children])


def tree_flatten(tree: Any, is_leaf: _Leaf = None) -> tuple[list[Any], TreeSpec]:
    """The leaves in order, and the structure."""
    leaves: list[Any] = []
    spec = _taken(tree, leaves, is_leaf)
    return leaves, spec


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> Any:
    """A tree of this structure with these leaves. ValueError for another number of them, TypeError for no structure."""
    if not isinstance(treespec, TreeSpec):
        raise TypeError(f"Expected `treespec` to be an instance of PyTreeSpec but got item of type {type(treespec)}.")
    return treespec.unflatten(leaves)


def tree_iter(tree: Any, is_leaf: _Leaf = None) -> Iterator[Any]:
    """The leaves, one by one."""
    if tree_is_leaf(tree, is_leaf):
        yield tree
    else:
        for child in SUPPORTED_NODES[_get_node_type(tree)].flatten_fn(tree)[0]:
            yield from tree_iter(child, is_leaf)


def tree_leaves(tree: Any, is_leaf: _Leaf = None) -> list[Any]:
    """The leaves in order."""
    return list(tree_iter(tree, is_leaf))


def arg_tree_leaves(*args: Any, **kwargs: Any) -> list[Any]:
    """The leaves of all arguments."""
    return [leaf for part in (*args, *kwargs.values()) for leaf in tree_iter(part)]


def tree_structure(tree: Any, is_leaf: _Leaf = None) -> TreeSpec:
    """The structure."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: _Leaf = None) -> Any:
    """A tree of what `func` gives for each leaf, with what stands in its place in `rests`."""
    leaves, spec = tree_flatten(tree, is_leaf)
    columns = [leaves, *(spec.flatten_up_to(rest) for rest in rests)]
    return spec.unflatten(map(func, *columns))


def tree_map_(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: _Leaf = None) -> Any:
    """Call `func` for each leaf, and give the tree itself."""
    leaves, spec = tree_flatten(tree, is_leaf)
    for row in zip(leaves, *(spec.flatten_up_to(rest) for rest in rests), strict=True):
        func(*row)
    return tree


def _asked(kinds: Any) -> Callable[[Any], bool]:
    if isinstance(kinds, (type, tuple)) or type(kinds).__name__ == "UnionType":
        return lambda value: isinstance(value, kinds)
    if callable(kinds):
        return kinds
    raise TypeError(message("pytree_types"))


def map_only(kinds: Any, /) -> Callable[[Any], Any]:
    """A decorator: the function leaves what is not of these types (or fails this question) as it is."""
    fits = _asked(kinds)
    return lambda func: lambda value: func(value) if fits(value) else value


def tree_map_only(kinds: Any, /, func: Callable[[Any], Any], tree: Any, is_leaf: _Leaf = None) -> Any:
    """`tree_map` for leaves of these types (or of which this question is true); the others stay."""
    return tree_map(map_only(kinds)(func), tree, is_leaf=is_leaf)


def tree_map_only_(kinds: Any, /, func: Callable[[Any], Any], tree: Any, is_leaf: _Leaf = None) -> Any:
    """`tree_map_` for leaves of these types."""
    return tree_map_(map_only(kinds)(func), tree, is_leaf=is_leaf)


def tree_all(pred: Callable[[Any], bool], tree: Any, is_leaf: _Leaf = None) -> bool:
    """Whether it is true of all leaves."""
    return all(map(pred, tree_iter(tree, is_leaf)))


def tree_any(pred: Callable[[Any], bool], tree: Any, is_leaf: _Leaf = None) -> bool:
    """Whether it is true of some leaf."""
    return any(map(pred, tree_iter(tree, is_leaf)))


def tree_all_only(kinds: Any, /, pred: Callable[[Any], bool], tree: Any, is_leaf: _Leaf = None) -> bool:
    """Whether it is true of all leaves of these types."""
    return all(pred(leaf) for leaf in tree_iter(tree, is_leaf) if isinstance(leaf, kinds))


def tree_any_only(kinds: Any, /, pred: Callable[[Any], bool], tree: Any, is_leaf: _Leaf = None) -> bool:
    """Whether it is true of some leaf of these types."""
    return any(pred(leaf) for leaf in tree_iter(tree, is_leaf) if isinstance(leaf, kinds))


def _paths(path: KeyPath, tree: Any, is_leaf: _Leaf) -> Iterator[tuple[KeyPath, Any]]:
    if tree_is_leaf(tree, is_leaf):
        yield path, tree
        return
    kind = _get_node_type(tree)
    with_keys = SUPPORTED_NODES[kind].flatten_with_keys_fn
    if with_keys is None:
        raise ValueError(
            f"Did not find a flatten_with_keys_fn for type: {kind}. Please pass a flatten_with_keys_fn argument to "
            "register_pytree_node."
        )
    for key, child in with_keys(tree)[0]:
        yield from _paths((*path, key), child, is_leaf)


def tree_flatten_with_path(tree: Any, is_leaf: _Leaf = None) -> tuple[list[tuple[KeyPath, Any]], TreeSpec]:
    """The leaves, each with its path, and the structure."""
    return list(_paths((), tree, is_leaf)), tree_structure(tree, is_leaf)


def tree_leaves_with_path(tree: Any, is_leaf: _Leaf = None) -> list[tuple[KeyPath, Any]]:
    """The leaves, each with its path."""
    return list(_paths((), tree, is_leaf))


def tree_map_with_path(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: _Leaf = None) -> Any:
    """`tree_map` of a function that is given the path first."""
    found, spec = tree_flatten_with_path(tree, is_leaf)
    columns = [[path for path, _ in found], [leaf for _, leaf in found], *(spec.flatten_up_to(rest) for rest in rests)]
    return spec.unflatten(map(func, *columns))


def _broadcast_to_and_flatten(tree: Any, treespec: TreeSpec, is_leaf: _Leaf = None) -> list[Any] | None:
    """One entry of `tree` for each leaf of the structure; a leaf stands for all below it. None if they do not go together."""
    if tree_is_leaf(tree, is_leaf):
        return [tree] * treespec.num_leaves
    kind = _get_node_type(tree)
    if treespec.type is None or kind is not treespec.type:
        return None
    children, context = SUPPORTED_NODES[kind].flatten_fn(tree)
    if len(children) != treespec.num_children or context != treespec.context:
        return None
    entries: list[Any] = []
    for child, spec in zip(children, treespec.children_specs, strict=True):
        below = _broadcast_to_and_flatten(child, spec, is_leaf)
        if below is None:
            return None
        entries += below
    return entries


# --- written ----------------------------------------------------------------------------------------------------------


def _to_json(spec: TreeSpec) -> dict[str, Any]:
    if spec.type is None:
        return {"type": None, "context": None, "children_spec": []}
    written = _WRITTEN.get(spec.type)
    if written is None or written.name is None:
        raise NotImplementedError(
            f"No registered serialization name for {spec.type} found. Please update your _register_pytree_node call with a "
            "`serialized_type_name` kwarg."
        )
    if written.to_dumpable is None:
        try:
            context = json.dumps(spec.context)
        except TypeError as error:
            raise TypeError(
                "Unable to serialize context. Please make the context json dump-able, or register a custom serializer using "
                "_register_pytree_node."
            ) from error
    else:
        context = written.to_dumpable(spec.context)
    return {
        "type": written.name,
        "context": context,
        "children_spec": [_to_json(child) for child in spec.children_specs],
    }


def _from_json(written: Mapping[str, Any]) -> TreeSpec:
    if written["type"] is None:
        return _LEAF_SPEC
    if written["type"] not in _BY_NAME:
        raise NotImplementedError(f"Deserializing {written['type']} in pytree is not registered.")
    kind = _BY_NAME[written["type"]]
    back = _WRITTEN[kind].from_dumpable
    context = json.loads(written["context"]) if back is None else back(written["context"])
    return TreeSpec(kind, context, [_from_json(child) for child in written["children_spec"]])


def treespec_dumps(treespec: TreeSpec, protocol: int | None = None) -> str:
    """A structure as JSON. TypeError for anything else, ValueError for an unknown protocol (1 is known)."""
    if not isinstance(treespec, TreeSpec):
        raise TypeError(f"Expected `treespec` to be an instance of PyTreeSpec but got item of type {type(treespec)}.")
    if protocol not in (None, 1):
        raise ValueError(f"Unknown protocol {protocol}. Available protocols: [1]")
    return json.dumps([1, _to_json(treespec)])


def treespec_loads(serialized: str) -> TreeSpec:
    """The structure that `treespec_dumps` wrote."""
    protocol, written = json.loads(serialized)
    if protocol != 1:
        raise ValueError(f"Unknown protocol {protocol}. Available protocols: [1]")
    return _from_json(written)


def __getattr__(name: str) -> Any:
    if name.endswith(("_flatten", "_unflatten", "_flatten_with_keys")):
        return getattr(_pytree_nodes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r} (yet)")
