"""The place on the tape of views that one call has made: the pieces of `split`, `chunk` and `unbind`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .nodes import Edge, Node, Taped, ViewNode, add_arrays, add_taped
from .places import Look, put


class ViewsNode(Node):
    """Reading several views out of a contiguous value of shape `shape`; its backward puts the gradients back in their places."""

    __slots__ = ("places", "shape")

    def __init__(self, name: str, edge: Edge | None, shape: tuple[int, ...], places: Sequence[Look]):
        super().__init__(name, (edge,), len(places))
        self.shape: tuple[int, ...] = shape
        self.places: Sequence[Look] = places

    @classmethod
    def of(cls, nodes: Sequence[ViewNode]) -> ViewsNode:
        """One node in the place of those of single views."""
        first = nodes[0]
        return cls(first.label, first.edges[0], first.shape, [node.g for node in nodes])

    def single(self, number: int) -> ViewNode:
        """The node of one of the views, as if it had been made alone."""
        return ViewNode(self.label, self.edges[0], self.shape, self.places[number])

    def backward(self, cotangents: list[Any]) -> Sequence[Any]:
        total = None
        for gradient, g in zip(cotangents, self.places, strict=True):
            if gradient is not None:
                part = put(gradient, self.shape, g)
                total = part if total is None else add_arrays(total, part)
        return (total,)

    def backward_taped(self, cotangents: list[Taped | None]) -> Sequence[Taped | None]:
        total: Taped | None = None
        for number, gradient in enumerate(cotangents):
            if gradient is not None:
                (part,) = self.single(number).backward_taped([gradient])
                total = part if total is None or part is None else add_taped(total, part)
        return (total,)


__all__ = ["ViewsNode"]
