"""`torch.fx._pytree`: take arguments apart by a description that was made from others of the same structure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..utils._pytree import SUPPORTED_NODES, TreeSpec

SUPPORTED_NODES_FLATTEN: dict[type, Callable[[Any, TreeSpec], list[Any]]] = {
    dict: lambda d, spec: [d[key] for key in spec.context],
    list: lambda d, spec: [d[i] for i in range(spec.num_children)],
    tuple: lambda d, spec: [d[i] for i in range(spec.num_children)],
    NamedTuple: lambda d, spec: [d[i] for i in range(spec.num_children)],  # type: ignore[dict-item]
}


def register_pytree_flatten_spec(
    cls: type,
    flatten_fn_spec: Callable[[Any, TreeSpec], list[Any]],
    flatten_fn_exact_match_spec: Callable[[Any, TreeSpec], bool] | None = None,
) -> None:
    """Say how a class is taken apart by a description."""
    SUPPORTED_NODES_FLATTEN[cls] = flatten_fn_spec


def _deregister_pytree_flatten_spec(cls: type) -> None:
    SUPPORTED_NODES_FLATTEN.pop(cls, None)


def tree_flatten_spec(pytree: Any, spec: TreeSpec) -> list[Any]:
    """The leaves at the places that the description names; what else there is is left out."""
    if spec.is_leaf():
        return [pytree]
    if spec.type in SUPPORTED_NODES_FLATTEN:
        children = SUPPORTED_NODES_FLATTEN[spec.type](pytree, spec)
    elif spec.type in SUPPORTED_NODES:
        children = SUPPORTED_NODES[spec.type].flatten_fn(pytree)[0]
    else:
        raise RuntimeError(
            f"{type(pytree)} does not have a flatten_fn_spec associated with it. Please register one with "
            "torch.fx._pytree.register_pytree_flatten_spec. If you have serialized your model, make sure that any custom pytrees "
            "have been registered before loading it"
        )
    return [
        leaf
        for child, part in zip(children, spec.children_specs, strict=True)
        for leaf in tree_flatten_spec(child, part)
    ]
