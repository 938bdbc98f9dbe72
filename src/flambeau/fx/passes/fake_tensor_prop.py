"""`torch.fx.passes.fake_tensor_prop`: run a graph for its shapes alone, and keep each node's fake result."""

from __future__ import annotations

from typing import Any

from ..._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from ...core.tensor.tensor import Tensor
from ..graph_module import GraphModule
from ..interpreter import Interpreter
from ..node import Node

__all__ = ["FakeTensorProp"]


class FakeTensorProp(Interpreter):
    """Runs a GraphModule on fake tensors (by default of a `FakeTensorMode()`), whose results stand in `meta["val"]` of the nodes.

    Parameters of its layers are tensors with values: the mode takes them if it was made with `allow_non_fake_inputs=True`.
    """

    def __init__(self, module: GraphModule, mode: FakeTensorMode | None = None):
        super().__init__(module)
        self._mode: FakeTensorMode = FakeTensorMode() if mode is None else mode

    def run_node(self, n: Node) -> Any:
        """Run a node and keep what comes out."""
        result = super().run_node(n)
        n.meta["val"] = result
        return result

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A parameter or buffer as a fake tensor."""
        held = super().get_attr(target, args, kwargs)
        return self._mode.from_tensor(held) if isinstance(held, Tensor) else held

    def propagate(self, *args: Any) -> Any:
        """The fake result for arguments with values, or fake ones."""
        fake = [
            a if not isinstance(a, Tensor) or isinstance(a, FakeTensor) else self._mode.from_tensor(a) for a in args
        ]
        return self.propagate_dont_convert_inputs(*fake)

    def propagate_dont_convert_inputs(self, *args: Any) -> Any:
        """The same for arguments that are fake ones already."""
        with self._mode:
            return super().run(*args)
