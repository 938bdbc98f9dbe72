"""What `vmap` and `jvp` do where a dispatch mode writes a graph: the function is traced once, for one sample or for the values, and the
operators that this has found are run for all samples (`_samples.py`) or with derivatives (`_derivatives.py`).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ...core.context.grad_mode import enable_grad, no_grad, set_grad_enabled, state
from ...core.tensor.tensor import Tensor
from ...func.batching import Vmap
from ...ops.random.factories import get_rng_state, set_rng_state
from ...utils import _pytree as pytree
from ..node import Node
from ._derivatives import Derivatives, Dual
from ._operator_graph import OperatorGraph
from ._samples import Batches, Samples


class _Inner(OperatorGraph):
    """The graph of a function under a transform."""

    def __init__(self, outer: OperatorGraph, of_samples: bool):
        self.outer = outer
        self.of_samples: bool = of_samples or getattr(outer, "of_samples", False)  # an index has no one value
        self.of_backward = False  # whether what runs now was found in a backward pass
        self.outer_values: list[tuple[Any, Any]] = []
        super().__init__({})

    transformed: Callable[..., Any]

    def _outside(self) -> dict[int, Any]:
        return {}

    def knows(self, tensor: Tensor) -> bool:
        return super().knows(tensor) or self.outer.knows(tensor)

    def _written(self, func: Any, args: Any, kwargs: Any) -> list[tuple[Node, Any]]:
        written = super()._written(func, args, kwargs)
        for node, _ in written:
            if node.op == "get_attr":  # it is written to once more when the graph runs
                self.outer_values.append((node.meta["val"], node.meta["val"].detach().clone()))
        return written

    def put_back(self) -> None:
        """Tensors from outside are again what they were before the function ran."""
        with no_grad():
            for tensor, value in reversed(self.outer_values):
                tensor.copy_(value)

    def _call(self, func: Any, args: Any, kwargs: Any = None, result: Any = None) -> Node:
        node = super()._call(func, args, kwargs, result)
        node.meta["grad"] = state.grad
        node.meta["saved"] = state.run is not None or self.of_backward  # a backward pass runs
        return node


@contextmanager
def _only(mode: _Inner) -> Iterator[None]:
    """The time in which this mode sees what runs, and no other; what is drawn is drawn again afterwards."""
    before, drawn = state.dispatch_modes, get_rng_state()
    state.set_dispatch_modes((mode,))
    try:
        yield
    finally:
        state.set_dispatch_modes(())
        mode.put_back()
        state.set_dispatch_modes(before)
        set_rng_state(drawn)


def _example(tensor: Tensor) -> Tensor:
    """The same values at a place of their own, on the tape if the tensor is."""
    example: Any = tensor.detach().clone()  # type: ignore[attr-defined]
    if not (state.grad and tensor.requires_grad):
        return example  # type: ignore[no-any-return]
    example.requires_grad_()
    with enable_grad():
        return example.clone()  # type: ignore[no-any-return]


def _trace(
    outer: OperatorGraph, body: Callable[[list[Tensor]], list[Tensor]], given: list[Tensor], of_samples: bool
) -> Any:
    """The graph of `body` for some tensors, the nodes of these, and the nodes of what it gives."""
    mode = _Inner(outer, of_samples)
    before = state.dispatch_modes
    state.set_dispatch_modes(())
    try:
        examples = [_example(t) for t in given]
    finally:
        state.set_dispatch_modes(before)
    for place, example in enumerate(examples):
        mode.placeholder(f"given_{place}", example)
    places = [mode.nodes[id(example)] for example in examples]
    with _only(mode):
        results = [mode.argument(t) for t in body(examples)]
    return mode.graph, places, results


def _run(outer: OperatorGraph, graph: Any, known: dict[Node, Any], step: Any) -> None:
    """Run a graph node by node; `step` runs an operator, and wraps what comes from outside."""
    ambient = state.grad
    for node in graph.nodes:
        if node in known or node.op == "output":
            continue
        if node.op == "get_attr":
            value = node.meta["val"]
            if not outer.knows(value):
                outer._attribute("_tensor_constant", value)  # it was made in the function, of numbers
            known[node] = step.outside(value)
        elif node.target is operator.getitem:
            known[node] = known[node.args[0]][node.args[1]]
        else:
            args, kwargs = pytree.tree_map(
                lambda v: known[v] if isinstance(v, Node) else v, (_plain(node.args), _plain(node.kwargs))
            )
            if isinstance(outer, _Inner):
                outer.of_backward = node.meta["saved"]
            with set_grad_enabled(ambient and node.meta["grad"]):
                known[node] = step(node, args, kwargs)
    if isinstance(outer, _Inner):
        outer.of_backward = False


def _plain(value: Any) -> Any:
    """Arguments in Python's own containers."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return (
        type(value)(map(_plain, value))
        if type(value) is tuple
        else list(map(_plain, value))
        if isinstance(value, list)
        else value
    )


def transformed(self: OperatorGraph, transform: Any, body: Callable[..., Any], inputs: list[Any]) -> list[Any]:
    """A run of `body` under a transform (see `func/run.py`), in operators that this mode sees."""
    if isinstance(transform, Vmap):
        return _mapped(self, transform, body, [whole for (whole,) in inputs])
    return _derived(self, body, inputs)


_Inner.transformed = transformed


def _mapped(outer: OperatorGraph, transform: Vmap, body: Any, inputs: list[Tensor]) -> list[Any]:
    before = state.dispatch_modes
    state.set_dispatch_modes(())
    try:
        firsts: list[Any] = [
            x.select(0, 0) if transform.size else x.new_zeros(x.shape[1:])  # type: ignore[attr-defined]
            for x in inputs
        ]
    finally:
        state.set_dispatch_modes(before)
    graph, places, results = _trace(outer, body, firsts, True)
    known: dict[Node, Any] = {place: Samples(x) for place, x in zip(places, inputs, strict=True)}
    _run(outer, graph, known, Batches(transform.size, transform.randomness))
    found = [known[r] for r in results]
    return [
        (True, (f.whole,)) if isinstance(f, Samples) else (False, (f.expand(transform.size, *f.shape),)) for f in found
    ]


def _derived(outer: OperatorGraph, body: Any, inputs: list[tuple[Tensor, Tensor]]) -> list[Any]:
    graph, places, results = _trace(outer, body, [value for value, _ in inputs], False)
    known: dict[Node, Any] = {place: Dual(*pair) for place, pair in zip(places, inputs, strict=True)}
    _run(outer, graph, known, Derivatives(outer))
    found = [known[r] for r in results]
    return [(f.derivative is not None, (f.value, f.derivative)) for f in found]
