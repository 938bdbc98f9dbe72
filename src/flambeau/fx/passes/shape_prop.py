"""`torch.fx.passes.shape_prop`: run a graph on example values, and note the shape and dtype of every node."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...core.array.dtypes import dtype
from ...core.array.formats import channels_last, channels_last_3d, contiguous_format, memory_format
from ...core.array.size import Size
from ...core.tensor.tensor import Tensor
from ..graph_module import GraphModule
from ..interpreter import Interpreter
from ..node import Node, map_aggregate

__all__ = ["ShapeProp", "TensorMetadata"]


class TensorMetadata(NamedTuple):
    """What is known of a tensor without its values."""

    shape: Size
    dtype: dtype
    requires_grad: bool
    stride: tuple[int, ...]
    memory_format: memory_format | None
    is_quantized: bool
    qparams: dict[str, Any]


def _extract_tensor_metadata(result: Tensor, include_contiguity: bool = True) -> TensorMetadata:
    """A tensor's `TensorMetadata`."""
    form = None
    if include_contiguity:
        formats = (contiguous_format, channels_last, channels_last_3d)
        rank = {channels_last: 4, channels_last_3d: 5}
        fitting = (f for f in formats if rank.get(f, result.dim()) == result.dim())
        form = next((f for f in fitting if result.is_contiguous(memory_format=f)), None)
    return TensorMetadata(
        Size(result.shape), result.dtype, result.requires_grad, tuple(result.stride()), form, False, {}
    )


class ShapeProp(Interpreter):
    """Runs a GraphModule on example arguments and puts a `TensorMetadata` into `meta["tensor_meta"]` of each node.

    With `fake_mode`, a `FakeTensorMode`, nothing is computed. It takes parameters of layers if it allows inputs that are not fake.
    """

    def __init__(self, gm: GraphModule, fake_mode: Any = None):
        super().__init__(gm)
        self.fake_mode = fake_mode
        self.real_module: Any = self.module

    def run_node(self, n: Node) -> Any:
        """Run a node and note what comes out."""
        try:
            result = super().run_node(n)
        except Exception as error:
            raise RuntimeError(f"ShapeProp error for: node={n.format_node()} with meta={n.meta}") from error
        found = False

        def extract(value: Any) -> Any:
            nonlocal found
            if isinstance(value, Tensor):
                found = True
                return _extract_tensor_metadata(value)
            return value

        meta = map_aggregate(result, extract)
        if found:
            n.meta["tensor_meta"] = meta
        n.meta["type"] = type(result)
        return result

    def propagate(self, *args: Any) -> Any:
        """The result for these arguments, with all nodes' shapes noted on the way."""
        if self.fake_mode is None:
            return super().run(*args)
        fake = [self.fake_mode.from_tensor(a) if isinstance(a, Tensor) else a for a in args]
        with self.fake_mode:
            return super().run(*fake)

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A parameter or buffer, fake if the others are."""
        held = super().get_attr(target, args, kwargs)
        return self.fake_mode.from_tensor(held) if self.fake_mode is not None and isinstance(held, Tensor) else held
