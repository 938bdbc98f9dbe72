"""`torch.fx.passes.operator_support`: which nodes a backend can take."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from typing import Any

from ...core.array.dtypes import dtype
from ...nn.modules.module import Module
from ..node import Node
from .shape_prop import TensorMetadata
from .tools_common import CALLABLE_NODE_OPS, get_node_target

__all__ = ["OpSupports", "OperatorSupport", "OperatorSupportBase", "any_chain", "chain", "create_op_support"]

TargetTypeName = str
SupportDict = Mapping[str, Any]
IsNodeSupported = Callable[[Mapping[str, Module], Node], bool]


class OperatorSupportBase(abc.ABC):
    """Says of each node whether a backend can take it."""

    @abc.abstractmethod
    def is_node_supported(self, submodules: Mapping[str, Module], node: Node) -> bool:
        """Whether it can."""


class OperatorSupport(OperatorSupportBase):
    """By a dict: what a node calls, and for which dtypes of arguments (None: for all)."""

    _support_dict: SupportDict

    def __init__(self, support_dict: SupportDict | None = None):
        self._support_dict = support_dict or {}

    def is_node_supported(self, submodules: Mapping[str, Module], node: Node) -> bool:
        """Whether what the node calls is in the dict, with dtypes that fit."""
        if node.op not in CALLABLE_NODE_OPS:
            return True
        target = get_node_target(submodules, node)
        if target not in self._support_dict:
            return False
        wanted = self._support_dict[target]
        if wanted is None:
            return True
        positional, keyword = wanted
        for i, allowed in enumerate(positional):
            if i < len(node.args) and isinstance(node.args[i], Node) and not self._fits(node.args[i], allowed):
                return False
        return all(
            self._fits(node.kwargs[name], allowed)
            for name, allowed in keyword.items()
            if isinstance(node.kwargs.get(name), Node)
        )

    @staticmethod
    def _fits(node: Any, allowed: Any) -> bool:
        return allowed is None or _get_arg_dtype(node) in allowed


def _get_arg_dtype(arg: Node) -> Any:
    meta = arg.meta.get("tensor_meta")
    return meta.dtype if isinstance(meta, TensorMetadata) else arg.meta["type"]


class _FunctionalOperatorSupport(OperatorSupportBase):
    def __init__(self, function: IsNodeSupported):
        self._function = function

    def is_node_supported(self, submodules: Mapping[str, Module], node: Node) -> bool:
        return self._function(submodules, node)


def create_op_support(is_node_supported: IsNodeSupported) -> OperatorSupportBase:
    """By a function."""
    return _FunctionalOperatorSupport(is_node_supported)


def chain(*op_support: OperatorSupportBase) -> OperatorSupportBase:
    """What all of them support."""
    return create_op_support(lambda modules, node: all(s.is_node_supported(modules, node) for s in op_support))


def any_chain(*op_support: OperatorSupportBase) -> OperatorSupportBase:
    """What any of them supports."""
    return create_op_support(lambda modules, node: any(s.is_node_supported(modules, node) for s in op_support))


class OpSupports:
    """Ready-made ones."""

    @classmethod
    def decline_if_input_dtype(cls, dtype: dtype) -> OperatorSupportBase:
        """Not with an argument of this dtype."""

        def supported(submodules: Mapping[str, Module], node: Node) -> bool:
            return all(_get_arg_dtype(arg) != dtype for arg in node.all_input_nodes)

        return create_op_support(supported)

    @classmethod
    def decline_if_node_in_names(cls, disallow_set: set[str]) -> OperatorSupportBase:
        """Not the nodes with these names."""
        return create_op_support(lambda submodules, node: node.name not in disallow_set)
