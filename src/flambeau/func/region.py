"""A run of a function of Tensors under one of JAX's transforms (`jax.vmap`, `jax.jvp`), and its place on the tape.

Inside, tensors wrap JAX's tracers. The tape is kept there as everywhere, but what it has saved are tracers too, which
mean nothing afterwards. So when the function has returned, the tape from its results back to where it left the region
is taken down as a recording (`recording.py`), and the tracers that it needs become further results of the transform.
For the tape outside the whole run is one `RegionNode`. Its backward plays the recording within the same transform:

- the gradient of a mapped function is its gradient, mapped;
- of a directional derivative `(y, dy) = jvp(f)(x, dx)`, the tape played on dual numbers, from the seed
  `(grad of dy) + e (grad of y)`, gives `(grad of dx) + e (grad of x)`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..core.context import tracing
from ..core.context.grad_mode import state
from ..core.context.transforms import TransformedCall
from ..core.tape.nodes import Edge, Node, Taped, _count, is_differentiable
from ..core.tensor.storage import DetachedStorage
from ..core.tensor.tensor import Tensor, wrap


@contextmanager
def inside(region: TransformedCall | None) -> Iterator[None]:
    """Make a region the innermost one (again)."""
    previous = state.transforms
    state.transforms = region
    try:
        yield
    finally:
        state.transforms = previous


class Root(Node):
    """Where an input of a transformed function enters the tape. What arrives goes on to where the input comes from."""

    __slots__ = ("live",)

    def __init__(self, edge: Edge | None = None):
        super().__init__("InputBackward", (edge,))
        self.live: bool = True  # while the function runs

    def backward(self, cotangents: list[Any]) -> Sequence[Any]:
        return cotangents

    def backward_taped(self, cotangents: list[Taped | None]) -> Sequence[Taped | None]:
        return cotangents


class Exit(NamedTuple):
    """Where gradients leave a region: the outer edges of an input, or of something that the function closes over."""

    edges: tuple[Edge | None, ...]
    own: bool  # whether it is an input of the transform


class Region(TransformedCall):
    """One run of a function under a transform. While it runs, `grad_mode.state.transforms` is the innermost one."""

    takes_derivatives = False  # whether the transform itself differentiates

    def __init__(self, marker: Any) -> None:
        self.parent: TransformedCall | None = state.transforms
        self.differentiates: bool = self.takes_derivatives or bool(self.parent and self.parent.differentiates)
        self.level: Any = marker._trace  # tells this transform's tracers from others
        self.start: int = next(_count)  # nodes of the tape with a smaller number are not of this run
        self.roots: dict[Root, Exit] = {}
        self.written: Any = weakref.WeakKeyDictionary()  # storage -> its value before, and the tensor written through

    def owns(self, array: Any) -> bool:
        """Whether a value is one of this transform's tracers."""
        return getattr(array, "_trace", None) is self.level

    def depends(self, tensor: Tensor) -> bool:
        """Whether a result has to leave through the transform.

        A value that does not depend on the inputs may still have nodes that have saved tracers.
        """
        edge = tensor._tape_edge()
        return self.owns(tensor._array) or (edge is not None and edge[0].order >= self.start)

    def enter(self, array: Any, edges: tuple[Edge | None, ...]) -> Tensor:
        """The tensor that the function gets for an input."""
        made = wrap(array)
        if state.grad and any(e is not None for e in edges) and is_differentiable(array.dtype):
            root = Root()
            self.roots[root] = Exit(edges, True)
            made._edge = (root, 0)
        return made

    # --- what the core asks ---------------------------------------------------------------------------------------

    def before_write(self, tensor: Tensor) -> None:
        """Note that a tensor is about to be written to: no tracer may stay in one from outside."""
        storage = tensor._storage
        while isinstance(storage, DetachedStorage):
            storage = storage.source
        if storage not in self.written:
            base = None if tensor._base is None else weakref.ref(tensor._base)
            self.written[storage] = (value_of(storage), weakref.ref(tensor), tensor._edge, base)
        if self.parent is not None:
            self.parent.before_write(tensor)

    def before_grad(self, leaf: Tensor, array: Any) -> Any:
        """Refuse to put a tracer into the `.grad` of a leaf from outside."""
        edge = leaf._tape_edge()
        if edge is not None and edge[0].order < self.start and isinstance(array, jax.core.Tracer):
            raise RuntimeError(
                "backward() inside a function that is transformed by torch.func reaches a tensor from outside of it: return "
                "the gradient (torch.func.grad, torch.func.vjp) or call backward() outside"
            )
        return array if self.parent is None else self.parent.before_grad(leaf, array)

    def host_value(self, draw: Callable[[], Any]) -> Any:
        """A random draw, made by the host."""
        return self.parent.host_value(draw) if self.parent is not None else tracing.recorded_value(draw)

    def apply(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call of an autograd.Function, by the rule that it has for this transform, if the transform has to do with it."""
        if any(isinstance(a, Tensor) and self.owns(a._array) for a in args):
            return function._apply(args, kwargs, self.apply_rule(function, args, kwargs))
        return function._apply(args, kwargs) if self.parent is None else self.parent.apply(function, args, kwargs)

    def apply_rule(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result by the Function's own rule; None if it has none and needs none."""
        return None

    def concrete(self, array: Any) -> Any:
        """A value that Python code wants to look at."""
        return array if self.parent is None else self.parent.concrete(array)


def value_of(storage: Any) -> Any:
    trace = state.trace
    if trace is not None and storage in trace.values:
        return trace.values[storage]
    return storage.value


def put_value(storage: Any, value: Any) -> None:
    """Replace a storage's value, in the trace if there is one."""
    trace = state.trace
    if trace is not None and storage in trace.values:
        trace.values[storage] = value
    else:
        storage.set(value)


def map_pairs(function: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    """`function` on two results, or on the pairs of two tuples of results."""
    if isinstance(a, (tuple, list)):
        return tuple(map(function, a, b))
    return function(a, b)


Logical = tuple[Any, ...]  # what one value is outside: (tensor,) of all samples; (value, derivative)


class Transform:
    """One of JAX's transforms, as the regions use it."""

    width = 1  # how many tensors outside stand for one inside

    def region(self, marker: Any) -> Region:
        raise NotImplementedError

    def call(self, function: Callable[..., Any], inputs: list[list[Any]]) -> tuple[list[Any], ...]:
        """`function(marker, arrays)` transformed; for each of the `width` parts, the list of the results' arrays."""
        raise NotImplementedError

    def apart(self, result: Tensor) -> Logical:
        """What a result is outside that does not depend on the inputs."""
        raise NotImplementedError

    def seed(self, gradients: list[Tensor | None], metas: list[Any]) -> Logical:
        """Gradients of one output's parts, as an input for playing the recording backwards."""
        raise NotImplementedError

    def leave(self, gradient: Logical | None, exit: Exit) -> list[Tensor | None]:
        """What arrived at an exit, as gradients for its edges."""
        raise NotImplementedError

    def settle(self, region: Region, changed: list[Any], finals: list[Any]) -> None:
        """Deal with tensors from outside that hold tracers now; `finals` are the arrays that these came to."""
        raise NotImplementedError


def restore(region: Region) -> None:
    """Take tracers out of the tensors that were written to."""
    for storage, (before, *_) in list(region.written.items()):
        if region.owns(value_of(storage)):
            put_value(storage, before)
            forget_tape(region, storage)


def forget_tape(region: Region, storage: Any) -> None:
    """Put a tensor that was written to inside back to its place on the tape outside."""
    _, ref, edge, base = region.written[storage]
    tensor = ref()
    if tensor is not None:
        tensor._edge, tensor._base = edge, None if base is None else base()


def zeros_like(tensor: Tensor) -> Tensor:
    """Zeros, off the tape."""
    if state.dispatch_modes:  # which see an operator
        return tensor.new_zeros(tensor.shape)  # type: ignore[attr-defined, no-any-return]
    return wrap(jnp.zeros(tuple(tensor.shape), tensor._np_dtype))


def zeros(meta: tuple[tuple[int, ...], np.dtype]) -> Tensor:
    """Zeros of a shape and dtype, off the tape."""
    return wrap(jnp.zeros(*meta))
