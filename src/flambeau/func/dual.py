"""Forward-mode derivatives outside of functions: a level in which tensors may have a derivative beside their values.

A level is a region (`region.py`) that is entered and left by hand. Inside, JAX's trace for derivatives is the current one, so
that each operator computes with both. What is on the tape has saved both, too: the gradient of a value, taken inside, has a
derivative itself; that of a derivative, which `unpack` gives out, plays the tape as a region's node does. At the level's
end every tensor and node that still holds both keeps its values.
"""

from __future__ import annotations

import gc
from types import SimpleNamespace
from typing import Any

import jax
from jax._src import core as jax_core
from jax._src.interpreters import ad

from ..core.autograd.function import FunctionNode, Snapshots
from ..core.context.grad_mode import state
from ..core.context.tracing import Untraceable
from ..core.tape.nodes import Edge, Node, is_differentiable
from ..core.tensor.storage import DetachedStorage, Storage
from ..core.tensor.tensor import Tensor, wrap
from .forward import DualRegion, Jvp, different_size
from .recording import Recording
from .region import Exit, Root, put_value
from .run import RegionNode


class _DualTrace(ad.JVPTrace):
    """JAX's trace, in which each result of a value with a derivative has one, if only of zeros (as PyTorch's have)."""

    enabled = True

    def _filled(self, given: Any, made: Any) -> Any:
        if not any(isinstance(v, ad.JVPTracer) and v._trace is self for v in given):
            return made
        if isinstance(made, (list, tuple)):
            return [self._with_zeros(m) for m in made]
        return self._with_zeros(made)

    def _with_zeros(self, made: Any) -> Any:
        if isinstance(made, ad.JVPTracer) and made._trace is self:
            return made
        if not is_differentiable(made.dtype):
            return made
        with jax_core.set_current_trace(self.parent_trace):
            return ad.JVPTracer(self, made, jax.numpy.zeros_like(made))

    def _values(self, given: Any) -> list[Any]:
        return [v.primal if isinstance(v, ad.JVPTracer) and v._trace is self else v for v in given]

    def process_primitive(self, primitive: Any, tracers: Any, *rest: Any) -> Any:
        if not self.enabled:
            return super().process_primitive(primitive, self._values(tracers), *rest)
        stops = primitive.name == "stop_gradient" or primitive is getattr(ad, "stop_gradient_p", None)
        made = super().process_primitive(primitive, tracers, *rest)
        return made if stops else self._filled(tracers, made)

    def process_custom_jvp_call(
        self, primitive: Any, fun: Any, jvp: Any, tracers: Any, *rest: Any, **options: Any
    ) -> Any:
        given = tracers if self.enabled else self._values(tracers)
        made = super().process_custom_jvp_call(primitive, fun, jvp, given, *rest, **options)
        return self._filled(given, made)


class DualRoot(Root):
    """Where a value enters the level: its gradient goes on to where it comes from."""

    __slots__ = ()

    def __init__(self, edge: Edge | None):
        super().__init__(edge)
        self.label = "ViewBackward0"


class DualLevel(DualRegion):
    """The level that this thread is in."""

    stays_open = True

    def __init__(self) -> None:
        if state.trace is not None:
            raise Untraceable("forward_ad.dual_level() inside of a compiled function: use torch.func.jvp there")
        self._outside = jax_core.trace_ctx.trace
        self.trace: _DualTrace = _DualTrace(self._outside, jax_core.TraceTag())
        super().__init__(SimpleNamespace(_trace=self.trace))
        state.transforms = self
        jax_core.trace_ctx.set_trace(self.trace)

    def leave_level(self) -> None:
        """End it: whatever holds a value with its derivative keeps the value."""
        state.transforms = self.parent
        jax_core.trace_ctx.set_trace(self._outside)
        _sweep(self)

    def before_grad(self, leaf: Tensor, array: Any) -> Any:
        """A leaf keeps the gradient's values."""
        array = self.value(array)
        return array if self.parent is None else self.parent.before_grad(leaf, array)

    def value(self, array: Any) -> Any:
        """An array without its derivative."""
        return array.primal if self.owns(array) else array

    def make(self, tensor: Tensor, tangent: Tensor) -> Tensor:
        """A tensor with this derivative. RuntimeError if one of the two has one already, or the shapes differ."""
        array, direction = tensor._array, tangent._array
        if self.owns(array):
            raise RuntimeError(
                "Making a dual Tensor based on a Tensor that already has a forward gradient at the same level 0 is not "
                "supported."
            )
        if self.owns(direction):
            raise RuntimeError(
                "Setting a forward grad that itself has a forward gradient at the same level0 is not supported."
            )
        if tensor.shape != tangent.shape:
            raise RuntimeError(different_size(tensor, tangent))
        if tangent.is_complex() and not tensor.is_complex():
            raise RuntimeError("make_dual(): a real tensor can't have a complex tangent here")
        edges = (tensor._tape_edge(), tangent._tape_edge())
        with jax_core.set_current_trace(self._outside):
            direction = direction.astype(array.dtype)
        made = wrap(ad.JVPTracer(self.trace, array, direction))
        if state.grad and any(e is not None for e in edges):
            root = DualRoot(edges[0])
            self.roots[root] = Exit(edges, True)
            made._edge = (root, 0)
        return made

    def dual_parts(self, tensor: Tensor) -> tuple[Tensor, Tensor] | None:
        """What `unpack` gives."""
        return self.unpack(tensor)

    def unpack(self, tensor: Tensor) -> tuple[Tensor, Tensor] | None:
        """A tensor's values and its derivative, both on the tape if it is; None if it has no derivative."""
        array = tensor._array
        if not self.owns(array):
            return None
        value, direction = wrap(array.primal), wrap(array.tangent)
        edge = tensor._tape_edge()
        if edge is not None and state.grad:
            through = Root(edge)
            through.label = "Identity"
            value._edge = (through, 0)
            recording = Recording(self, [tensor])
            pairs = [(a.primal, a.tangent) for a in recording.own]
            direction._edge = (RegionNode(Jvp(), recording, pairs, [(wrap(array.primal), direction)]), 1)
        return value, direction


def _sweep(level: DualLevel) -> None:
    """Take the derivatives out of all that was made while the level was on, and is still held by anybody."""
    kinds: dict[type, Any] = {}
    for thing in gc.get_objects():
        kind = type(thing)
        settle = kinds.get(kind, kinds)
        if settle is kinds:
            settle = kinds[kind] = next((f for base, f in _SETTLED if issubclass(kind, base)), None)
        if settle is not None:
            settle(level, thing)


def _settle_storage(level: DualLevel, storage: Any) -> None:
    if type(storage) is Storage and level.owns(getattr(storage, "value", None)):
        put_value(storage, storage.value.primal)


def _settle_tensor(level: DualLevel, tensor: Any) -> None:
    if level.owns(getattr(tensor, "_cache", None)):
        tensor._cache, tensor._cache_version = None, -1
    storage = getattr(tensor, "_storage", None)
    while isinstance(storage, DetachedStorage):
        storage = tensor._storage = storage.source


def _settle_node(level: DualLevel, node: Any) -> None:
    if (
        getattr(node, "order", -1) >= level.start
        and not isinstance(node, FunctionNode)
        and type(getattr(node, "saved", ())) in (list, tuple)
    ):
        node.exchange(level.value, lambda edge: edge)


def _settle_snapshots(level: DualLevel, saved: Any) -> None:
    saved.members = [(t, level.value(whole), view, edge) for t, whole, view, edge in saved.members]


_SETTLED = (
    (Tensor, _settle_tensor),
    (Storage, _settle_storage),
    (Snapshots, _settle_snapshots),
    (Node, _settle_node),
)

__all__ = ["DualLevel"]
