"""`torch.fx.passes.param_fetch`: put the settings and parameters of layers into the `meta` of the nodes that call them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import nn
from ...nn.modules.module import Module
from .._names import of_torch
from ..graph_module import GraphModule

__all__ = ["default_matching", "extract_attrs_for_lowering", "lift_lowering_attrs_to_nodes"]


def default_matching(name: str, target_version: int) -> str:
    """The name as it is."""
    return name


_CONV = "weight bias kernel_size stride padding dilation groups padding_mode".split()
_NORM = "weight bias running_mean running_var eps".split()
_POOL = "kernel_size stride padding dilation return_indices ceil_mode".split()
module_fetch_book: dict[type, tuple[int, list[str], Callable[[str, int], str]]] = {
    nn.Linear: (1, ["weight", "bias"], default_matching),
    nn.Conv2d: (1, _CONV, default_matching),
    nn.BatchNorm2d: (2, _NORM, default_matching),
    nn.AdaptiveAvgPool2d: (1, [], default_matching),
    nn.MaxPool2d: (1, _POOL, default_matching),
    nn.ReLU: (1, ["inplace"], default_matching),
}


def extract_attrs_for_lowering(mod: Module) -> dict[str, Any]:
    """A layer's settings and parameters by name. RuntimeError for a layer, or a version of one, that `module_fetch_book` lacks."""
    attrs: dict[str, Any] = {"name": type(mod).__module__ + "." + type(mod).__name__}
    if type(mod) not in module_fetch_book:
        raise RuntimeError(
            f"{of_torch(attrs['name'])} is not in the module_fetch_book yet, please add it to the module_fetch_book"
        )
    version, names, matching = module_fetch_book[type(mod)]
    own = getattr(mod, "_version", None)
    if own is not None and version < own:
        raise RuntimeError(
            f"Fetcher version {version} try to fetch {type(mod)} version {own}, please upgrade the module_fetch_book"
        )
    attrs.update({name: getattr(mod, matching(name, own)) for name in names})  # type: ignore[arg-type]
    return attrs


def lift_lowering_attrs_to_nodes(fx_module: GraphModule) -> None:
    """Put them into `attrs_for_lowering` of the nodes, in GraphModules inside as well."""
    submodules = dict(fx_module.named_modules())
    for node in fx_module.graph.nodes:
        if node.op == "call_module":
            called = submodules[str(node.target)]
            if isinstance(called, GraphModule):
                lift_lowering_attrs_to_nodes(called)
            else:
                node.attrs_for_lowering = extract_attrs_for_lowering(called)  # type: ignore[attr-defined]
