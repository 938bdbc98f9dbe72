"""What arrives at leaves is added to their `.grad`."""

from __future__ import annotations

import threading
from typing import Any

from ..array import dtypes
from ..context.grad_mode import state as grad_state
from ..context.overrides import dispatching
from ..context.tracing import Untraceable
from ..tape import taking
from ..tape.nodes import OWN, AccumulateGrad, Taped, add_arrays, is_differentiable
from ..tensor.sparse import SparseArray, SparseLook, add_arrays_sparse, from_array, pattern, stored, to_array
from ..tensor.storage import LaidStorage, PartsStorage
from ..tensor.tensor import Tensor, blank
from .hooking import run_done_hook, run_post_hooks
from .seen import can_be_seen, grad_seen
from .sparse import add_gradients, carried_gradient

_adding = threading.RLock()  # two threads that read the same `.grad` would lose what one of them adds


def dtype_of(value: Taped) -> Any:
    """The dtype of a gradient on its way."""
    array = value[0]
    return (array.values if type(array) is SparseArray else array).dtype


def cast(value: Taped, dtype: Any) -> Taped:
    """A gradient on its way, in this dtype."""
    if dtype_of(value) == dtype:
        return value
    made = from_array(*value).to(dtypes.from_numpy(dtype))
    return to_array(made), made._tape_edge()


def fitted(node: AccumulateGrad, value: Taped) -> Taped:
    """A gradient that comes to a leaf, in the dtype that the leaf takes."""
    leaf = node.leaf()
    if leaf is None or node.takes is None:
        return value
    takes = leaf._np_dtype if node.takes is OWN else node.takes
    if takes != leaf._np_dtype and grad_state.trace is not None:
        raise Untraceable("a leaf has a grad_dtype of its own, which compiled functions don't know")
    if not is_differentiable(takes):
        raise RuntimeError(
            f"grad_dtype is {dtypes.from_numpy(takes)} for a tensor that a gradient comes to: it has to be a floating point or "
            "complex dtype, or None"
        )
    return cast(value, takes)


def add_to_grad(leaf: Tensor, value: Taped, taped: bool) -> None:
    """Add a gradient that has arrived to the leaf's `.grad`; several threads may do so at a time."""
    if grad_state.transforms:
        value = (grad_state.transforms.before_grad(leaf, value[0]), value[1])
    if grad_state.trace is not None:
        grad_state.trace.read_grad(leaf)
    own = not taking.asked or dtype_of(value) == leaf._np_dtype
    if own and type(leaf._storage) is LaidStorage and leaf._view is None and type(value[0]) is not SparseArray:
        value = (leaf._storage.as_laid(value[0]), value[1])
    with _adding:
        _add(leaf, value, taped)


def accumulate_at(node: AccumulateGrad, value: Taped | None, taped: bool) -> None:
    """What happens at a leaf that a gradient has come to, or whose turn it is without one."""
    leaf = node.leaf()
    if leaf is None or leaf._edge is None:  # gone, or told since to require no gradient
        return
    if type(leaf._edge[0]) is not AccumulateGrad:  # it was told so, and then written to
        raise RuntimeError("leaf variable has been moved into the graph interior")
    if value is not None:
        add_to_grad(leaf, value, taped)
    if node.done_hooks:
        for hook in list(node.done_hooks.values()):
            run_done_hook(hook, leaf)
    if node.post_hooks:
        run_post_hooks(node, [], [value])


def _add(leaf: Tensor, value: Taped, taped: bool) -> None:
    held, in_parts = leaf._grad, type(leaf._storage) is PartsStorage and leaf._view is None and value[1] is None
    in_parts = in_parts and grad_state.trace is None  # a trace's are cut when they are given out
    in_parts = in_parts and dtype_of(value) == leaf._np_dtype
    if type(leaf._view) is SparseLook and isinstance(stored(leaf).indices, tuple):  # compressed: always the same places
        more = pattern(leaf.detach(), from_array(*value))
        leaf._grad = more if held is None else held + more
        return
    if type(leaf._view) is SparseLook:
        value = carried_gradient(leaf, value)
    if (grad_state.dispatch_modes or dispatching) and not in_parts and can_be_seen((value,)):
        leaf._grad = grad_seen(held, value, taped)
    elif held is None:
        leaf._grad = blank(Tensor, leaf._storage.beside(value[0])) if in_parts else from_array(*value)  # type: ignore[attr-defined]
    elif taped or held._tape_edge() is not None:
        leaf._grad = from_array(*add_gradients((to_array(held), held._tape_edge()), value, True))
    elif taking.asked and held._np_dtype != dtype_of(value):  # a leaf that takes any: what is there keeps its dtype
        held.add_(from_array(*value))
    elif type(held._view) is SparseLook:
        total = from_array(add_arrays_sparse(to_array(held), value[0]))
        if type(total._view) is SparseLook:
            stored(held).become(stored(total))
        else:
            leaf._grad = total
    elif type(value[0]) is SparseArray:
        held._write(add_arrays_sparse(held._array, value[0]))
    else:
        held._write(add_arrays(held._array, value[0]))
