"""Functions whose arguments are nested containers of inputs: their leaves are the placeholders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..nn.modules.module import Module
from ..utils import _pytree as pytree
from .graph import CodeGen, _PyTreeCodeGen, _PyTreeInfo


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """The container with `function(leaf)` for each leaf; None is one."""
    return pytree.tree_map(function, tree)


def flattened(
    function: Callable[..., Any], args: list[Any], names: list[str]
) -> tuple[Callable[..., Any], list[Any], CodeGen]:
    """The function of the leaves of its arguments, these, and the way to generate code for it.

    A leaf that is fixed to a value has a placeholder all the same, so that the caller gives it.
    """
    module = args[:1] if args and isinstance(args[0], Module) else []
    leaves, spec = pytree.tree_flatten(tuple(args[len(module) :]))
    codegen = _PyTreeCodeGen(_PyTreeInfo(list(names), pytree.TreeSpec(list, None, spec.children()), None))

    def of_leaves(*flat: Any) -> Any:
        result = function(*module, *pytree.tree_unflatten(flat, spec))
        out, out_spec = pytree.tree_flatten(result)
        codegen.pytree_info = codegen.pytree_info._replace(out_spec=out_spec)
        return out

    return of_leaves, leaves, codegen
