"""Copies and pickles of tensors: what they share, and what they keep beside the values."""

from __future__ import annotations

import copyreg
import warnings
from copy import deepcopy
from typing import Any

from ..array.geometry import Geometry
from ..context.grad_mode import state as grad_state
from .declared import DeclaredStorage
from .sparse import SparseStorage, is_sparse, make, stored
from .storage import Kept, Storage, copy_of_parts
from .tensor import _INTERNAL, Tensor, blank
from .wrappers import declared


def warn_if_has_hooks(tensor: Tensor) -> None:
    """A UserWarning for each hook of this leaf that a pickle leaves behind and that is not marked as meant to be."""
    edge = tensor._edge
    hooks = None if edge is None or edge[0].pre_hooks is None else edge[0].pre_hooks.get(edge[1])
    for hook in (hooks or {}).values():
        if not hasattr(hook, "__torch_unserializable__"):
            warnings.warn(
                f"backward hook {hook!r} on tensor will not be serialized.  If this is expected, you can decorate the "
                "function with @torch.utils.hooks.unserializable_hook to suppress this warning",
                stacklevel=3,
            )


def _reduce(self: Tensor, protocol: Any) -> Any:
    warn_if_has_hooks(self)
    return reduced(self)


def reduced(self: Tensor) -> Any:
    """What `pickle` keeps of a tensor."""
    if type(self._storage) is DeclaredStorage:
        about = (
            self.dtype,
            tuple(self.shape),
            self.stride(),
            self.storage_offset(),
            str(self.device),
            self.requires_grad,
        )
        return _rebuild_declared, (type(self), about, own_state(self))
    if is_sparse(self):
        held = stored(self)
        parts = (held.indices, held.values, held.shape, held.coalesced, held.layout)
        return _rebuild_sparse, (type(self), parts, self.requires_grad, own_state(self))
    return _rebuild, (type(self), Kept(self._storage), self._view, self.requires_grad, own_state(self))


def _set_state(self: Tensor, state: Any) -> None:
    """Set Python attributes: a dict of them, or a pair of it and one for the slots."""
    for part in state if isinstance(state, tuple) else (state,):
        for name, value in (part or {}).items():
            setattr(self, name, value)


def _deep_copy(self: Tensor, memo: dict[int, Any]) -> Any:
    if id(self) in memo:
        return memo[id(self)]
    if not self.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment.  "
            "If you were attempting to deepcopy a module, this may be because of a torch.nn.utils.weight_norm usage, "
            "see https://github.com/pytorch/pytorch/pull/103001"
        )
    kind = type(self)
    if type(self._storage) is DeclaredStorage:
        return _deep_copy_declared(self, memo)
    if kind is not Tensor and type(self.new_empty([])) is not kind:
        raise RuntimeError(
            "The default implementation of __deepcopy__() for non-wrapper subclasses only works for subclass types that "
            "implement new_empty() and for which that function returns another instance of the same subclass. You should "
            "either properly implement new_empty() for your subclass or override __deepcopy__() if it is intended "
            "behavior for new_empty() to return an instance of a different type."
        )
    # storages are copied once, so that what shared memory shares it in the copy too
    key = ("flambeau storage", id(self._storage))
    storage = memo.get(key)  # type: ignore[call-overload]
    if storage is None and is_sparse(self):
        held = stored(self)
        parts = deepcopy((held.indices, held.values), memo)
        storage = memo[key] = SparseStorage(*parts, held.shape, held.coalesced, held.layout)  # type: ignore[index]
    elif storage is None:
        trace = grad_state.trace
        storage = copy_of_parts(self._storage) if trace is None else None
        if storage is None:
            storage = Storage(self._storage.value if trace is None else trace.read(self))
        memo[key] = storage  # type: ignore[index]
    made = memo[id(self)] = blank(kind, storage, self._view)
    if self.requires_grad:
        made.requires_grad_()
    if self._grad is not None:
        made._grad = deepcopy(self._grad, memo)
    attributes, slots = _attributes(self)
    made.__dict__.update(deepcopy(attributes, memo))
    for name, value in slots.items():
        setattr(made, name, deepcopy(value, memo))
    return made


def _deep_copy_declared(self: Any, memo: dict[int, Any]) -> Any:
    made = self.clone()
    if type(made) is not type(self):
        raise RuntimeError(
            "The default implementation of __deepcopy__() for wrapper subclasses only works for subclass types that implement "
            "clone() and for which cloning returns another instance of the same subclass. You should either properly implement "
            "clone() for your subclass or override __deepcopy__() if it is intended behavior for clone() to return an instance of "
            "a different type."
        )
    memo[id(self)] = made
    made._edge, made._base = None, None
    if self.requires_grad:
        made.requires_grad_()
    if self._grad is not None:
        made._grad = deepcopy(self._grad, memo)
    attributes, slots = _attributes(self)
    for name, value in (*attributes.items(), *slots.items()):
        setattr(made, name, deepcopy(value, memo))
    return made


def _attributes(tensor: Tensor) -> tuple[dict[str, Any], dict[str, Any]]:
    """The attributes that are the user's: those in `__dict__`, and those in the slots of a subclass."""
    slots = [name for name in copyreg._slotnames(type(tensor)) if name not in _INTERNAL]  # type: ignore[attr-defined]
    return tensor.__dict__, {name: getattr(tensor, name) for name in slots if hasattr(tensor, name)}


def own_state(tensor: Tensor) -> Any:
    """What is kept of a tensor beside its values: what `__getstate__` says, or the attributes; empty if there are none."""
    own = getattr(type(tensor), "__getstate__", None)
    if own is not None and own is not getattr(object, "__getstate__", None):
        return own(tensor)
    attributes, slots = _attributes(tensor)
    return (attributes, slots) if slots else attributes


def _rebuild_sparse(cls: type, parts: Any, requires_grad: bool, state: Any) -> Any:
    seen = make(*parts)
    return _with_state(blank(cls, seen._storage, seen._view), requires_grad, state)


def _rebuild_declared(cls: type, about: Any, state: Any) -> Any:
    dtype, shape, strides, offset, device, requires_grad = about
    made = declared(cls, shape, strides=strides, storage_offset=offset, dtype=dtype, device=device)
    return _with_state(made, requires_grad, state)


def _rebuild(cls: type, kept: Kept, view: Geometry | None, requires_grad: bool, state: Any) -> Any:
    return _with_state(blank(cls, kept.storage, view), requires_grad, state)


def _with_state(made: Any, requires_grad: bool, state: Any) -> Any:
    if requires_grad:
        made.requires_grad_()
    if state:
        made.__setstate__(state)
    return made


Tensor.__reduce_ex__ = _reduce  # type: ignore[method-assign, assignment]
Tensor.__setstate__ = _set_state  # type: ignore[attr-defined]
Tensor.__deepcopy__ = _deep_copy  # type: ignore[attr-defined]
