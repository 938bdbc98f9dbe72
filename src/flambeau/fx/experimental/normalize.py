"""`torch.fx.experimental.normalize`: graphs whose calls all have the same form."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, ClassVar

import flambeau

from ..graph_module import GraphModule
from ..interpreter import Transformer
from ..node import Argument, Node, Target, map_aggregate
from ..operator_schemas import create_type_hint, normalize_function, normalize_module
from ..proxy import Proxy

__all__ = ["NormalizeArgs", "NormalizeOperators"]


class NormalizeArgs(Transformer):
    """Calls of public functions and of layers with their arguments by name and with all defaults.

    `NormalizeArgs(module).transform()` is a new GraphModule. With `normalize_to_only_use_kwargs=False` arguments that are given by
    their place stay so. What has no signature that Python knows, and what is written with an operator, stays as it is.
    """

    def __init__(self, module: GraphModule, normalize_to_only_use_kwargs: bool = True):
        super().__init__(module)
        self.node_map: dict[Proxy, Node] = {}
        self.normalize_to_only_use_kwargs: bool = normalize_to_only_use_kwargs

    def run_node(self, n: Node) -> Any:
        """The node of the new graph; `node_map` says which one of the old graph it came from."""
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        if n.op != "call_function":
            made = super().run_node(n)
        else:
            types = (map_aggregate(n.args, _kind), {k: map_aggregate(a, _kind) for k, a in n.kwargs.items()})
            types = (tuple(map(create_type_hint, types[0])), {k: create_type_hint(v) for k, v in types[1].items()})
            made = self.call_function(n.target, args, kwargs, *types)
        if n.op != "output":
            self.node_map[made] = n
            made.node.meta, made.node.type = n.meta, n.type
        return made

    def call_function(
        self, target: Target, args: tuple[Argument, ...], kwargs: dict[str, Any],
        arg_types: tuple[Any, ...] | None = None, kwarg_types: dict[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        """The call of a function in its usual form."""
        assert callable(target)
        known = getattr(operator, getattr(target, "__name__", ""), None) is not target and target is not getattr
        form = normalize_function(target, args, kwargs, arg_types, kwarg_types,
                                  self.normalize_to_only_use_kwargs) if known else None  # fmt: skip
        return super().call_function(target, *(form or (args, kwargs)))

    def call_module(self, target: Target, args: tuple[Argument, ...], kwargs: dict[str, Any]) -> Any:
        """The call of a layer in its usual form."""
        assert isinstance(target, str)
        form = normalize_module(self.module, target, args, kwargs, self.normalize_to_only_use_kwargs)
        return super().call_module(target, *(form or (args, kwargs)))


def _kind(value: Any) -> Any:
    return value.type if isinstance(value, Node) else type(value)


class NormalizeOperators(NormalizeArgs):
    """As `NormalizeArgs`, and calls of `torch.add(x, y)` and its like are written as `x + y`.

    `annotate_functionals`, `annotate_modules` and `annotate_get_attrs` change nothing, as in PyTorch.
    """

    binary_magic_method_remap: ClassVar[dict[Callable[..., Any], Callable[..., Any]]] = {
        getattr(flambeau, name): getattr(operator, written)
        for name, written in (
            ("add", "add"), ("mul", "mul"), ("sub", "sub"), ("div", "truediv"), ("floor_divide", "floordiv"), ("remainder", "mod"),
            ("eq", "eq"), ("ne", "ne"), ("lt", "lt"), ("le", "le"), ("gt", "gt"), ("ge", "ge"),
        )
    }  # fmt: skip

    def __init__(
        self, module: GraphModule, annotate_functionals: bool = True, annotate_modules: bool = True, annotate_get_attrs: bool = True
    ):  # fmt: skip
        super().__init__(module, normalize_to_only_use_kwargs=False)

    def call_function(
        self, target: Target, args: tuple[Argument, ...], kwargs: dict[str, Any],
        arg_types: tuple[Any, ...] | None = None, kwarg_types: dict[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        """The call of a function, as Python's operator where there is one for it."""
        written = self.binary_magic_method_remap.get(target)  # type: ignore[arg-type]
        if written is not None and len(args) == 2 and not kwargs:
            return Transformer.call_function(self, written, args, kwargs)
        return Transformer.call_function(self, target, args, kwargs)
