"""What a traced module did for its example, as a graph: how `save` writes code whose branches ask for values.

As in PyTorch's trace such a value is a constant of the program, and a TracerWarning names the line.
"""

from __future__ import annotations

from typing import Any

from ..core.tensor.tensor import Tensor
from ..export import Dim
from ..export._export import export_with
from ..export._recording import Recorder
from ..export.dynamic_shapes import ShapeError
from ..export.exported_program import ExportedProgram
from ..nn.modules.module import Module
from ..utils import _pytree as pytree
from ._asked import KINDS, place, tell
from ._trace import TracerWarning


def recorded(model: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ExportedProgram:
    """The graph of one run, for every first size (the batch) if the code allows it, else for the example's sizes.

    A TracerWarning for each line that asks for values.
    """
    asked: dict[Any, None] = {}

    class Asked(Recorder):
        def asked(self, name: str) -> None:
            asked[(KINDS.get(name, "Python value"), *place())] = None

    tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    program = None
    if tensors and all(t.ndim and t.shape[0] == tensors[0].shape[0] for t in tensors):
        batch = Dim("batch")
        sizes = pytree.tree_map(lambda v: {0: batch} if isinstance(v, Tensor) else None, [*args, *kwargs.values()])
        try:
            program = export_with(Asked, model, args, kwargs, sizes)
        except (ShapeError, RuntimeError):  # the code wants this size
            asked.clear()
    if program is None:
        program = export_with(Asked, model, args, kwargs, None)
    for kind, file, line in asked:
        tell(kind, (file, line), TracerWarning)
    return program


def as_module(program: ExportedProgram) -> Module:
    """The graph as a module that takes the traced one's arguments. AssertionError at a call with a size that it can't take."""
    graph: Any = program.graph_module
    flat = type(graph).forward

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        leaves = pytree.tree_leaves((args, kwargs))
        program._check(leaves)
        return pytree.tree_unflatten(list(flat(self, *leaves)), program.call_spec.out_spec)

    graph.__class__ = type(type(graph).__name__, (type(graph),), {"forward": forward})
    graph.__dict__["_program"] = program
    return graph
