"""The tape: what was computed from what, and how gradients go back through it.

A value on the tape has an edge, `(node, output number)`; a value without one is a constant. Nodes work on arrays
(`backward`), or on arrays with edges of their own (`backward_taped`) when the backward pass is itself to be recorded.
This file knows nothing of Tensors.
"""

from __future__ import annotations

import contextlib
import itertools
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from ...native import images
from ..array.meta import MetaArray
from ..context.grad_mode import state as grad_state
from .places import Look, cleared, put, take
from .programs import Program

Edge = tuple[Any, int]
Taped = tuple[Any, Edge | None]

_count = itertools.count()


def camel(name: str) -> str:
    """`max_pool2d` as `MaxPool2d`: how nodes are called."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def is_differentiable(np_dtype: np.dtype) -> bool:
    """Whether values of this NumPy dtype have gradients: floating point (bfloat16 included) or complex."""
    return np_dtype.kind in "fcV"


class Node:
    """One recorded computation. `edges[i]` says where the gradient of its i-th input goes."""

    module = "builtins"  # where its class is said to be
    runs_without = False  # whether it is called where no gradient has come to any of its outputs
    inner: frozenset[int] = frozenset()  # outputs that other ones of this node were computed from, which no edge tells

    __slots__ = ("label", "edges", "order", "outputs", "pre_hooks", "post_hooks", "metadata_", "__weakref__")

    def __init__(self, name: str, edges: Sequence[Edge | None], outputs: int = 1):
        self.label: str = name
        self.edges: Sequence[Edge | None] = edges
        self.order: int = next(_count)
        self.outputs: int = outputs
        self.pre_hooks: dict[int, Any] | None = None
        self.post_hooks: dict[int, Any] | None = None

    def name(self) -> str:
        """What the node is called: `AddBackward0`."""
        return f"torch::autograd::{self.label}" if self.label == "CopyBackwards" else self.label

    def backward(self, cotangents: list[Any]) -> Sequence[Any]:
        """Arrays (or None) for the outputs -> arrays (or None) for the inputs."""
        raise NotImplementedError

    def backward_taped(self, cotangents: list[Taped | None]) -> Sequence[Taped | None]:
        """The same for values with edges."""
        raise NotImplementedError

    def release(self) -> None:
        """Forget what was saved for the backward pass."""

    def exchange(self, array: Callable[[Any], Any], edge: Callable[[Any], Any]) -> None:
        """Put other arrays and edges in the places of those that it has (of a copy; see func/recording.py)."""
        self.edges = tuple(map(edge, self.edges))


class Saved(Sequence[Any]):
    """What a node has saved, in another form than a tuple; looking at it makes the values."""

    __slots__ = ()

    def __getitem__(self, i: Any) -> Any:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Any]:
        return map(self.__getitem__, range(len(self)))


@contextlib.contextmanager
def one_operator() -> Iterator[None]:
    """Tell of the nodes that are recorded meanwhile at the end only: what is done in between belongs to them.

    Whoever is told may break off there (see utils/_recomputation.py).
    """
    watchers = grad_state.watchers
    if not watchers:
        yield
        return
    recorded: list[tuple[Node, Any]] = []
    grad_state.watchers = (lambda node, outputs: recorded.append((node, outputs)),)
    try:
        yield
    finally:
        grad_state.watchers = watchers
    for node, outputs in recorded:
        for watch in watchers:
            watch(node, outputs)


FREED = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already been "
    "freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify "
    "retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors "
    "after calling backward."
)


def freed(label: str) -> RuntimeError:
    """The error of a second pass through a graph whose values are gone, which the node of this label has met."""
    error = RuntimeError(FREED)
    error.add_note(
        f"(Met at {label}. Compute the loss anew before each backward(); what is carried from one step to the next, as a hidden state "
        "is, has to be cut off there: h = h.detach().)"
    )
    return error


class OperatorNode(Node):
    """A program's call: its arguments are kept, its backward is the program's derivative."""

    __slots__ = ("program", "released", "saved", "wanted")

    def __init__(self, program: Program, saved: Any, wanted: tuple[int, ...], edges: Any, outputs: int, name: str):
        self.program: Program = program
        self.saved: Any = saved
        self.wanted: tuple[int, ...] = wanted
        self.label = name
        self.edges: Sequence[Edge | None] = edges
        self.order: int = next(_count)
        self.outputs = outputs
        self.pre_hooks: Any = None
        self.post_hooks: Any = None

    def _derivative(self, cotangents: list[Any]) -> Program:
        given = (0,) if len(cotangents) == 1 else tuple(i for i, c in enumerate(cotangents) if c is not None)
        return self.program.derivative(self.wanted, given)

    def _arguments(self, program: Program, cotangents: list[Any]) -> Sequence[Any]:
        """The arguments of the call; after `release`, others of their shapes if the derivative does not look at them."""
        if self.saved is not None:
            return self.saved
        if self.released is None:
            raise freed(self.label)
        stand_ins = [jnp.zeros(a.shape, a.dtype) if hasattr(a, "shape") else a for a in self.released]
        used = program.uses((*stand_ins, *cotangents))
        if any(i < len(stand_ins) for i in used):
            raise freed(self.label)
        return stand_ins

    def _asked(self, cotangents: list[Any]) -> tuple[Program, tuple[int, ...] | None]:
        """The program of those gradients that the engine is after, and their places among all; None for all of them."""
        run = grad_state.run
        if run is None or not run.targeted or run.running is not self:
            return self._derivative(cotangents), None
        places = tuple([i for i, edge in enumerate(self.edges) if edge is None or run.reaches(edge[0])])
        if len(places) == len(self.edges):
            return self._derivative(cotangents), None
        given = tuple([i for i, c in enumerate(cotangents) if c is not None])
        return self.program.derivative(tuple([self.wanted[i] for i in places]), given), places

    def _among_all(self, made: Sequence[Any], places: tuple[int, ...] | None) -> Sequence[Any]:
        if places is None:
            return made
        found = dict(zip(places, made, strict=True))
        return [found.get(i) for i in range(len(self.edges))]

    def backward(self, cotangents: list[Any]) -> Sequence[Any]:
        run, places = self._asked(cotangents)
        given = [c for c in cotangents if c is not None]
        made = run.anywhere(*(self._arguments(run, given) if self.saved is None else self.saved), *given)
        return self._among_all(made, places)

    def backward_taped(self, cotangents: list[Taped | None]) -> Sequence[Taped | None]:
        program, places = self._asked(cotangents)
        given = [c for c in cotangents if c is not None]
        saved = self._arguments(program, [c[0] for c in given])
        arguments = (*saved, *(c[0] for c in given))
        edges = dict(zip(self.wanted, self.edges, strict=True))
        edges.update((len(saved) + i, c[1]) for i, c in enumerate(given))
        return self._among_all(taped_call(program, arguments, edges), places)

    def exchange(self, array: Callable[[Any], Any], edge: Callable[[Any], Any]) -> None:
        super().exchange(array, edge)
        self.saved = tuple(map(array, self.saved))

    def release(self) -> None:
        if self.saved is not None:
            plain = type(self.saved) in (list, tuple)  # what is made anew for each backward pass is not looked at
            self.released: list[Any] | None = [getattr(a, "aval", a) for a in self.saved] if plain else None
            self.saved = None


def taped_call(program: Program, arguments: Sequence[Any], edges: dict[int, Edge | None]) -> list[Taped]:
    """Run a program on arrays of which some have edges, and record it."""
    made = program.anywhere(*arguments)
    made = made if isinstance(made, tuple) else (made,)
    live = {i: e for i, e in sorted(edges.items()) if e is not None}
    if live:
        used = program.uses(arguments)
        live = {i: e for i, e in live.items() if i in used}
    if not live:
        return [(m, None) for m in made]
    label = program.label or camel(program.name) + "0"
    label = label if isinstance(label, str) else label(arguments)
    node = OperatorNode(program, arguments, tuple(live), tuple(live.values()), len(made), label)
    for watch in grad_state.watchers:
        watch(node, made)
    return [(m, (node, i)) for i, m in enumerate(made)]


def NOBODY() -> None:
    """In the place of a reference to a leaf: nobody keeps the gradient."""


OWN = object()  # what an AccumulateGrad takes: gradients of its leaf's own dtype


class AccumulateGrad(Node):
    """The end of the tape at a leaf tensor: the engine adds what arrives to the leaf's `.grad`."""

    __slots__ = ("leaf", "done_hooks", "takes")

    @staticmethod
    def written(shape: Any, view: bool = False) -> RuntimeError:
        """The error of a write to a leaf that asks for its gradient, or to a view of one."""
        leaf = "a view of a leaf" if view else "a leaf"
        error = RuntimeError(f"{leaf} Variable that requires grad is being used in an in-place operation.")
        error.add_note(f"(Its shape is {list(shape)}. Write under `with torch.no_grad():`, or into its clone().)")
        return error

    @staticmethod
    def check(flag: Any, edge: Edge | None, np_dtype: np.dtype) -> None:
        """Raise RuntimeError if `requires_grad` of a tensor with this edge can't be set so."""
        if type(flag) is not bool:
            raise RuntimeError("requires_grad must be a bool")
        if not flag:
            return
        if edge is not None and type(edge[0]) is not AccumulateGrad:
            raise AccumulateGrad.missing(stops=False)
        if not is_differentiable(np_dtype):
            raise RuntimeError("only Tensors of floating point and complex dtype can require gradients")

    @staticmethod
    def missing(stops: bool) -> RuntimeError:
        """The error of setting the flag of a tensor that is computed; whether that `stops` the gradient."""
        cure = (
            " If you want to use a computed variable in a subgraph that doesn't require differentiation use "
            "var_no_grad = var.detach()."
        )
        return RuntimeError("you can only change requires_grad flags of leaf variables." + cure * stops)

    def __init__(self, leaf: Any):
        super().__init__("AccumulateGrad", ())
        self.leaf: Any = leaf if leaf is NOBODY else weakref.ref(leaf)
        self.done_hooks: dict[int, Any] | None = None
        self.takes: Any = OWN  # the dtype that gradients are cast to, or None (see taking.py)

    @property
    def variable(self) -> Any:
        return self.leaf()

    def name(self) -> str:
        return "torch::autograd::AccumulateGrad"


class ViewNode(Node):
    """Reading a view `g` out of a contiguous value of shape `shape`; its backward puts the gradient back in place."""

    __slots__ = ("shape", "g")

    def __init__(self, name: str, edge: Edge | None, shape: tuple[int, ...], g: Look):
        super().__init__(name, (edge,))
        self.shape: tuple[int, ...] = shape
        self.g: Look = g

    def backward(self, cotangents: list[Any]) -> Sequence[Any]:
        return (put(cotangents[0], self.shape, self.g),)

    def backward_taped(self, cotangents: list[Taped | None]) -> Sequence[Taped | None]:
        array, edge = cotangents[0]  # type: ignore[misc]
        out = put(array, self.shape, self.g)
        return [(out, edge and (PutNode(self.label + "Backward", edge, self.shape, self.g), 0))]


class PutNode(ViewNode):
    """The transpose of `ViewNode`."""

    __slots__ = ()

    def backward(self, cotangents: list[Any]) -> Sequence[Any]:
        return (take(cotangents[0], self.g),)

    def backward_taped(self, cotangents: list[Taped | None]) -> Sequence[Taped | None]:
        array, edge = cotangents[0]  # type: ignore[misc]
        out = take(array, self.g)
        return [(out, edge and (ViewNode(self.label + "Backward", edge, self.shape, self.g), 0))]


def hooked(edge: Edge | None, base: Edge | None) -> bool:
    """Whether there are hooks on the views between an edge and that of their base."""
    while edge is not None and edge != base:
        node = edge[0]
        if node.pre_hooks or node.post_hooks:
            return True
        edge = node.edges[0] if isinstance(node, ViewNode) or hasattr(node, "places") else None
    return False


class CopySlices(Node):
    """A write through a view `g` of a contiguous base: inputs are the base before the write and the written values."""

    __slots__ = ("g", "shape")

    def __init__(self, base: Edge | None, new: Edge | None, shape: tuple[int, ...], g: Look):
        super().__init__("CopySlices", (base, new))
        self.g: Look = g
        self.shape: tuple[int, ...] = shape

    def name(self) -> str:
        return "torch::autograd::CopySlices"

    def backward(self, cotangents: list[Any]) -> Sequence[Any]:
        grad = cotangents[0]
        kept = cleared(grad, self.g) if self.edges[0] else None
        return kept, take(grad, self.g) if self.edges[1] else None

    def backward_taped(self, cotangents: list[Taped | None]) -> Sequence[Taped | None]:
        array, edge = cotangents[0]  # type: ignore[misc]
        kept, new = self.backward([array])
        if edge is None:
            return (kept, None), (new, None)
        return (kept, (ZeroSlice(edge, self.g), 0)), (
            new,
            (ViewNode("AsStridedBackward0", edge, self.shape, self.g), 0),
        )


class ZeroSlice(Node):
    """The value with zeros written through the view `g`; its own transpose."""

    __slots__ = ("g",)

    def __init__(self, edge: Edge, g: Look):
        super().__init__("CopySlicesBackward", (edge,))
        self.g: Look = g

    def backward(self, cotangents: list[Any]) -> Sequence[Any]:
        return (cleared(cotangents[0], self.g),)

    def backward_taped(self, cotangents: list[Taped | None]) -> Sequence[Taped | None]:
        array, edge = cotangents[0]  # type: ignore[misc]
        return [(self.backward([array])[0], edge and (ZeroSlice(edge, self.g), 0))]


class Unrelated(Node):
    """Values that do not hang on those they were made from: random draws, what is overwritten. `metas` are their inputs'."""

    __slots__ = ("metas",)

    def __init__(self, name: str, edges: Sequence[Edge | None], metas: Sequence[tuple[tuple[int, ...], np.dtype]]):
        super().__init__(name, edges)
        self.metas: Sequence[tuple[tuple[int, ...], np.dtype]] = metas

    def backward(self, cotangents: list[Any]) -> Sequence[Any]:
        meta = type(cotangents[0]) is MetaArray if cotangents else False
        return [MetaArray(*found) if meta else jnp.zeros(*found) for found in self.metas]

    def backward_taped(self, cotangents: list[Taped | None]) -> Sequence[Taped | None]:
        return [(zeros, None) for zeros in self.backward([cotangents[0] and cotangents[0][0]])]


class Refusing(Node):
    """The place on the tape of what can't be differentiated: whoever comes here is told so."""

    __slots__ = ("reason", "shown")

    def __init__(self, name: str, edges: Sequence[Edge | None], outputs: int, reason: str, shown: str | None = None):
        super().__init__(name, edges, outputs)
        self.reason: str = reason
        self.shown: str = shown or name

    def name(self) -> str:
        return self.shown

    def backward(self, cotangents: list[Any]) -> Sequence[Any]:
        raise RuntimeError(self.reason)

    backward_taped = backward


class Underivable(Refusing):
    """The place on the tape of what an operator without a derivative gives."""

    __slots__ = ()

    def __init__(self, label: str, edge: Edge | None, name: str):
        super().__init__(label, (edge,), 1, f"the derivative for '{name}' is not implemented.")

    def backward(self, cotangents: list[Any]) -> Sequence[Any]:
        raise NotImplementedError(self.reason)

    backward_taped = backward


def _sum(a: Any, b: Any) -> Any:
    return a + b


_SUM = Program(_sum, "add", identity=_sum, direct=images.added)


def add_arrays(a: Any, b: Any) -> Any:
    """The sum of two gradients; of two images an image."""
    return _SUM.anywhere(a, b)


class _Add(Node):
    __slots__ = ()

    def backward(self, cotangents: list[Any]) -> Sequence[Any]:
        return [cotangents[0] if e else None for e in self.edges]

    def backward_taped(self, cotangents: list[Taped | None]) -> Sequence[Taped | None]:
        return [cotangents[0] if e else None for e in self.edges]


def add_taped(a: Taped, b: Taped) -> Taped:
    """The sum of two gradients that are on the tape themselves."""
    total = add_arrays(a[0], b[0])
    if a[1] is None and b[1] is None:
        return total, None
    return total, (_Add("AddBackward0", (a[1], b[1])), 0)


_classes: dict[tuple[type, str], type] = {}


def shown(node: Node) -> Node:
    """A node as the user gets it: of a class that is called as the node is (drawings of graphs go by that)."""
    kind = type(node)
    if kind.__name__ != node.label and not isinstance(node, AccumulateGrad):
        own = _classes.get((kind, node.label))
        if own is None:
            own = _classes[kind, node.label] = type(node.label, (kind,), {"__slots__": (), "__module__": kind.module})
        node.__class__ = own  # type: ignore[assignment]
    return node
