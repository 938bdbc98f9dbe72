"""The backward pass under dispatch modes: gradients are computed by operators that the modes are asked about.

A node's gradient is written in ATen's operators where there is a form for its operator (`forms`, `view_forms`; see
`ops/taken_back.py`). Elsewhere it is one operator that is called as the node is, of the gradients and of what the node has saved.
"""

from __future__ import annotations

import contextlib
import functools
import operator
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..array import formats
from ..array.meta import MetaArray
from ..array.owned import OwnedArray
from ..context import overrides
from ..context.grad_mode import state as grad_state
from ..context.overrides import PASS, OperatorHandle
from ..dispatch import classes
from ..dispatch.classes import classes_asked
from ..dispatch.overloads import ops, seen_by_mode
from ..dispatch.signature import ARRAY, ARRAYS, FLOAT, SCALAR
from ..tape.nodes import CopySlices, Node, OperatorNode, Taped, ViewNode, freed, is_differentiable, taped_call
from ..tape.places import Through
from ..tape.several import ViewsNode
from ..tensor.sparse import SparseArray, from_array, to_array
from ..tensor.tensor import Tensor, wrap
from ..tensor.wrappers import tensor_of_owned

forms: dict[
    str, Callable[[Any, Call], Any]
] = {}  # by the operator's name: a gradient, or gradients by argument; or PASS
view_forms: dict[str, Callable[[Any, Any], Any]] = {}  # by the node's name: of the gradient and the node
_results: weakref.WeakKeyDictionary[Node, tuple[Any, ...]] = weakref.WeakKeyDictionary()
_beside: weakref.WeakKeyDictionary[Node, tuple[Tensor, ...]] = weakref.WeakKeyDictionary()


def note_results(node: Node, outputs: Any) -> None:
    """Remember what a node that is recorded under a dispatch mode gave: many gradients are computed from it."""
    if isinstance(node, OperatorNode):
        _results[node] = tuple(outputs)


def note_beside(made: Any) -> Any:
    """The first of an operator's results; the others are kept for the backward pass."""
    edge = made[0]._tape_edge()
    if edge is not None:
        _beside[edge[0]] = tuple(m.detach() if isinstance(m, Tensor) and m.requires_grad else m for m in made[1:])
    return made[0]


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """While inside, no dispatch mode is asked: for what PyTorch has kept from the forward pass, and is computed again here."""
    modes = grad_state.dispatch_modes
    grad_state.set_dispatch_modes(())
    try:
        yield
    finally:
        grad_state.set_dispatch_modes(modes)


class _Whole(Exception):
    """A gradient that is itself to be recorded has no form in ATen's operators: it is one operator."""


def see(name: str, *args: Any, **kwargs: Any) -> Any:
    """Let the mode run an ATen operator. A gradient that is recorded is recorded as the derivative of the node."""
    packet, _, overload = name.partition(".")
    handle = getattr(getattr(ops.aten, packet), overload or "default")
    positional, named = handle._schema.canonical(args, kwargs, handle.overloadpacket.takes_numbers)
    run = handle.computed
    if grad_state.grad and "backward" in packet and grad_state.run is not None:
        run = _recorded(handle, positional, named)
    return seen_by_mode(handle, run, positional, named)


def _recorded(handle: Any, args: Any, kwargs: Any) -> Callable[..., Any]:
    """What runs an operator that is the whole gradient of the node that runs now, so that it has a gradient that is seen, too."""
    node, whole = grad_state.run.whole
    masks = [a for a in args if isinstance(a, list) and a and all(type(v) is bool for v in a)]
    if not masks and len(node.edges) != 1:
        raise _Whole

    def run(*given: Any, **named: Any) -> Any:
        if len(given) != len(args) or any(a is not b for a, b in zip(given, args, strict=True)):
            return handle.computed(*given, **named)  # the mode gave others
        made = iter(whole())
        return tuple(next(made) if wanted else None for wanted in masks[-1]) if masks else next(made)

    return run


def _of_this_pass() -> dict[int, Tensor]:
    return {} if grad_state.run is None else grad_state.run.tensors


def tensor_for(taped: Taped) -> Tensor:
    """A value of this backward pass as the tensor that an operator has given, or as one of its own."""
    array, edge = taped
    if type(array) is OwnedArray:
        return tensor_of_owned(array, edge)  # type: ignore[no-any-return]
    known = _of_this_pass().get(id(array))
    if known is not None and known._array is array and (not grad_state.grad or known._tape_edge() == edge):
        return known  # type: ignore[no-any-return]
    made = wrap(array)
    made._edge = edge
    _of_this_pass()[id(array)] = made
    return made


def taped_for(tensor: Tensor) -> Taped:
    """The way back."""
    array = to_array(tensor)
    if type(array) is not OwnedArray:
        _of_this_pass()[id(array)] = tensor
    return array, tensor._tape_edge() if grad_state.grad else None


class Call:
    """A recorded call whose gradients are asked for: its arguments by name, as tensors, numbers and static values."""

    def __init__(self, node: OperatorNode, taped: bool):
        self.node = node
        self.edges: dict[int, Any] = dict(zip(node.wanted, node.edges, strict=True))
        self.taped = taped
        self.saved: Sequence[Any] = node.saved
        self.places: dict[str, list[int]] = {}
        self.given: dict[str, Any] = {}
        position = 0
        for name, part in zip(*node.program.arguments, strict=True):  # type: ignore[misc]
            if part in (ARRAY, SCALAR, FLOAT):
                self.places[name] = [position]
                position += 1
            elif part[0] == ARRAYS:
                self.places[name] = list(range(position, position + part[1]))
                self.given[name] = None
                position += part[1]
            else:
                self.given[name] = part[1]

    def __getattr__(self, name: str) -> Any:
        places = self.__dict__.get("places", {}).get(name)
        if places is None:
            if name not in self.__dict__.get("given", {}):
                raise AttributeError(name)
            return self.given[name]
        found = [self._value(p) for p in places]
        return found if name in self.given else found[0]

    def _value(self, place: int) -> Any:
        array = self.saved[place]
        if getattr(array, "shape", None) is None or (not array.shape and getattr(array, "weak_type", False)):
            return array.item() if hasattr(array, "item") else array
        return tensor_for((array, self.edges.get(place) if self.taped else None))

    def needs(self, name: str) -> bool:
        """Whether the gradient by this argument is asked for."""
        return any(p in self.edges for p in self.places.get(name, ()))

    @property
    def results(self) -> list[Tensor]:
        """What the call gave."""
        found = _results.get(self.node)
        if found is None:
            found = self.node.program.anywhere(*self.saved)
            found = found if isinstance(found, tuple) else (found,)
        on = [(self.node, i) if self.taped and is_differentiable(a.dtype) else None for i, a in enumerate(found)]
        return [tensor_for((array, edge)) for array, edge in zip(found, on, strict=True)]

    @property
    def result(self) -> Tensor:
        """The first of it, as PyTorch unpacks it."""
        made = self.results[0]
        return made if self.taped else see("detach", made)  # type: ignore[no-any-return]

    @property
    def kept(self) -> tuple[Tensor, ...] | None:
        """The further results of the ATen operator that the call was, if they were kept."""
        return _beside.get(self.node)

    def beside(self, compute: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """The same, computed again if they were not kept, or are to be on the tape."""
        if self.taped:
            return compute()  # on the tape, and seen
        if self.kept is not None:
            return self.kept
        with quietly():
            return compute()

    def in_order(self, made: Any) -> list[Any]:
        """Gradients by argument as those of the node's inputs."""
        if not isinstance(made, dict):
            made = {next(iter(self.places)): made}
        flat: dict[int, Any] = {}
        for name, value in made.items():
            several = value if isinstance(value, (list, tuple)) else [value]
            flat.update(zip(self.places[name], several, strict=True))
        return [flat[place] for place in self.node.wanted]


def sum_seen(a: Taped, b: Taped) -> Taped:
    """The sum of two gradients, as an operator."""
    with _asking((a, b)):
        return taped_for(tensor_for(a) + tensor_for(b))


def grad_seen(held: Tensor | None, value: Taped, taped: bool) -> Tensor:
    """What a leaf's `.grad` becomes, as operators."""
    with _asking((value,), held):
        more = tensor_for(value)
        if held is None:
            made = more if taped else see("detach", more)
            return from_array(to_array(made), value[1])
        if taped or held._tape_edge() is not None or type(more) is not type(held):
            return held + more  # type: ignore[operator, no-any-return]
        return see("add_.Tensor", held, more)  # type: ignore[no-any-return]


def can_be_seen(values: Any) -> bool:
    """Whether these gradients are tensors that operators take, and somebody is to see it."""
    if not grad_state.dispatch_modes and not owned_among(values):
        return False
    return not any(v is not None and type(v[0]) is SparseArray for v in values)


def owned_among(values: Any) -> bool:
    """Whether there are tensors among gradients whose classes compute for themselves."""
    return any(v is not None and type(v[0]) is OwnedArray for v in values)


def _asking(values: Any, held: Any = None) -> Any:
    """A context in which classes with a `__torch_dispatch__` are asked, if there are tensors of such among these."""
    owned = overrides.dispatching and (owned_among(values) or type(held) in overrides.dispatching)
    return classes_asked() if owned else contextlib.nullcontext()


def backward_seen(node: Node, slots: list[Taped | None], taped: bool) -> list[Taped | None] | None:
    """A node's gradients by operators; None for a node that calls operators itself, or of which only itself knows."""
    if overrides.dispatching and _of_classes(node, slots):
        with classes_asked():
            return _by_operators(node, slots, taped, whole=False)
    return _by_operators(node, slots, taped) if can_be_seen(slots) else None


def _of_classes(node: Node, slots: list[Taped | None]) -> bool:
    if not isinstance(node, (OperatorNode, ViewNode, ViewsNode, CopySlices)):
        return False
    saved = node.saved if isinstance(node, OperatorNode) else ()
    if not owned_among(slots) and not (type(saved) is list and any(type(a) is OwnedArray for a in saved)):
        return False
    if saved is None:
        raise freed(node.label)
    return True


def _by_operators(node: Node, slots: list[Taped | None], taped: bool, whole: bool = True) -> list[Taped | None] | None:
    if isinstance(node, OperatorNode) and node.saved is not None:
        made = _of_operator(node, slots, taped, whole)
    elif isinstance(node, (ViewNode, CopySlices)):
        made = _of_view(node, slots)
    elif isinstance(node, ViewsNode):
        parts = [_of_view(node.single(i), [slot])[0] for i, slot in enumerate(slots) if slot is not None]
        made = [functools.reduce(operator.add, parts)]
    else:
        return None
    return [None if m is None else taped_for(m) for m in made]


def _of_operator(node: OperatorNode, slots: list[Taped | None], taped: bool, whole: bool = True) -> list[Any]:
    form = forms.get(node.program.name.rstrip("_"))
    alone = slots[0] is not None and all(s is None for s in slots[1:])
    program, given = node._derivative(slots), [tensor_for(s) for s in slots if s is not None]
    edges = dict(zip(node.wanted, node.edges, strict=True))
    saved: list[Any] = (
        []
        if not whole
        else [
            tensor_for((a, edges.get(i) if taped else None)) if hasattr(a, "shape") else a
            for i, a in enumerate(node.saved)
        ]
    )

    def run(*values: Any) -> list[Tensor]:
        ordered = [*values[len(given) :], *values[: len(given)]]
        arrays = [v._array if isinstance(v, Tensor) else v for v in ordered]
        on = {i: v._tape_edge() for i, v in enumerate(ordered) if isinstance(v, Tensor) and grad_state.grad}
        return [_tensor(m) for m in taped_call(program, arrays, on)]

    if form is not None and alone and node.program.arguments is not None:
        call, grad_state.run.whole = Call(node, taped), (node, lambda: run(*given, *saved))
        try:
            made = form(given[0], call)
        except _Whole:
            made = PASS
        if made is not PASS:
            return call.in_order(made)
    return _one_operator(node, run, (*given, *saved))


def _one_operator(node: Node, run: Callable[..., list[Any]], args: tuple[Any, ...]) -> list[Any]:
    """A node's gradients by an operator that is called as the node is."""

    def call(*values: Any) -> Any:
        made = run(*values)
        return made[0] if len(made) == 1 else tuple(made)

    made = seen_by_mode(OperatorHandle(node.label, call), call, args, {})
    return list(made) if isinstance(made, (tuple, list)) else [made]


def _tensor(taped: Taped) -> Tensor:
    made = wrap(taped[0])
    made._edge = taped[1]
    return made


def _of_view(node: Any, slots: list[Taped | None]) -> list[Any]:
    gradient = tensor_for(slots[0])  # type: ignore[arg-type]

    def run(value: Tensor) -> list[Any]:
        edge = value._tape_edge() if grad_state.grad else None
        return [None if m is None or m[0] is None else _tensor(m) for m in node.backward_taped([(value._array, edge)])]

    form = view_forms.get(node.label)
    if form is not None and not isinstance(node.g, Through) and node.g.bits is None:
        grad_state.run.whole = node, lambda: run(gradient)
        made = form(gradient, node)
        if made is not PASS:
            return [made]
    return _one_operator(node, run, (gradient,))


def ones_seen(root: Any) -> Taped | None:
    """The gradient of a number by itself; None if nobody is to see it."""
    if isinstance(root, Tensor) and type(root) in overrides.dispatching:
        with classes_asked():
            made = see("ones_like", root, pin_memory=False, memory_format=formats.preserve_format)
        return to_array(made), None
    if not grad_state.dispatch_modes or not isinstance(root, Tensor) or type(root._storage.value) is MetaArray:
        return None
    made = see("ones_like", root, pin_memory=False, memory_format=formats.preserve_format)
    return made._array, None


classes.note_results = note_results

__all__ = [
    "Call", "backward_seen", "can_be_seen", "forms", "grad_seen", "note_beside", "note_results", "ones_seen", "quietly", "see",
    "sum_seen", "tensor_for", "view_forms",
]  # fmt: skip
