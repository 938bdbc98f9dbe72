"""Lists and dicts that can't be changed: what a node's arguments are made of, so that the graph always knows its users."""

from __future__ import annotations

from typing import Any, NoReturn

from ..utils._pytree import register_pytree_node

__all__ = ["immutable_dict", "immutable_list"]

_ADVICE = (
    "If you are attempting to modify the kwargs or args of a torch.fx.Node object,\n"
    "instead create a new copy of it and assign the copy to the node:\n\n"
    "    new_args = ...  # copy and mutate args\n"
    "    node.args = new_args"
)


def _refuse(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
    raise TypeError(f"{type(self).__name__!r} object does not support mutation. {_ADVICE}")


class immutable_list(list):
    """A list that raises TypeError when it is to be changed, and that can be hashed."""

    __setitem__: Any
    __imul__: Any
    __iadd__: Any
    __delitem__: Any
    __delitem__ = __iadd__ = __imul__ = __setitem__ = _refuse  # type: ignore[assignment]
    sort: Any
    reverse: Any
    remove: Any
    pop: Any
    insert: Any
    extend: Any
    clear: Any
    append: Any
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse  # type: ignore[assignment]

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return (immutable_list, (tuple(self),))


class immutable_dict(dict):
    """A dict that raises TypeError when it is to be changed, and that can be hashed."""

    __setitem__: Any
    __ior__: Any
    __delitem__: Any
    __delitem__ = __ior__ = __setitem__ = _refuse  # type: ignore[assignment]
    update: Any
    setdefault: Any
    popitem: Any
    pop: Any
    clear: Any
    clear = pop = popitem = setdefault = update = _refuse  # type: ignore[assignment]

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return (immutable_dict, (tuple(self.items()),))


register_pytree_node(immutable_list, lambda made: (list(made), None), lambda values, context: immutable_list(values))
register_pytree_node(
    immutable_dict,
    lambda made: (list(made.values()), list(made)),
    lambda values, keys: immutable_dict(zip(keys, values, strict=True)),
)
