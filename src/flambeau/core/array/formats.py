"""Memory formats and layouts: names that users pass. Which order the values have in memory is XLA's business."""

from __future__ import annotations

from typing import Any

from . import geometry


class Named:
    """A constant of the public namespace, which is printed and pickled by its name there."""

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name


class memory_format(Named):
    """A memory format. `order` lists the dimensions from the outermost stride to the innermost, if it prescribes one."""

    def __init__(self, name: str, order: tuple[int, ...] | None = None):
        super().__init__(name)
        self.order = order

    def order_of(self, n: int) -> tuple[int, ...] | None:
        """The order for a tensor of `n` dimensions. Raises RuntimeError if the format is one of another number."""
        if self.order is not None and len(self.order) != n:
            raise RuntimeError(f"required rank {len(self.order)} tensor to use {self.name} format")
        return self.order

    def is_contiguous(self, tensor: Any) -> bool:
        """Whether a tensor's strides are dense in this order."""
        if self.order is None or tensor.ndim != len(self.order):
            return False
        g = tensor._geometry
        shape, strides = tuple(g.shape[i] for i in self.order), tuple(g.strides[i] for i in self.order)
        return geometry.is_contiguous(shape, strides)


class layout(Named):
    """How a tensor's values are kept: all of them (strided), or those that are not zero, by coordinates or by rows."""


contiguous_format: memory_format = memory_format("contiguous_format")
preserve_format: memory_format = memory_format("preserve_format")
channels_last: memory_format = memory_format("channels_last", (0, 2, 3, 1))
channels_last_3d: memory_format = memory_format("channels_last_3d", (0, 2, 3, 4, 1))
strided: layout = layout("strided")
sparse_coo: layout = layout("sparse_coo")
sparse_csr: layout = layout("sparse_csr")
sparse_csc: layout = layout("sparse_csc")
sparse_bsr: layout = layout("sparse_bsr")
sparse_bsc: layout = layout("sparse_bsc")
jagged: layout = layout("jagged")
