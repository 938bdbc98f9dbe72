"""Tensors in other dtypes, on other devices, in other memory formats."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import numpy as np

from ...core.array import devices, dtypes, formats
from ...core.array.dtypes import dtype
from ...core.array.geometry import contiguous_strides
from ...core.array.narrow import NARROW
from ...core.autograd.engine import _identity
from ...core.context.grad_mode import state as grad_state
from ...core.context.overrides import PASS
from ...core.context.warned import warn_once
from ...core.dispatch.call import with_key
from ...core.dispatch.operator import Array, operator
from ...core.dispatch.overloads import taken
from ...core.dispatch.promotion import convert
from ...core.tape.nodes import ViewNode
from ...core.tensor.sparse import is_sparse, values_of, with_values
from ...core.tensor.storage import HostStorage, Storage
from ...core.tensor.tensor import Tensor, wrap
from ..support.checks import refuse_no_tensor
from .constants import laid_out, memory_order
from .creation import empty_like


def _method(function: Any) -> Any:
    setattr(Tensor, function.__name__, function)
    return function


@operator(methods=False, public=(), grad="ToCopyBackward0", narrow=True)
def _cast(input: Array, target: Any) -> Array:
    if input.dtype in NARROW and target not in NARROW and np.dtype(target).kind not in "iu":
        input = input.astype(np.float32)
    return convert(input, target)


def cast(self: Tensor, target: dtype, copy: bool = False) -> Tensor:
    """The tensor in another dtype; itself if it has it already and no copy is asked for."""
    if self.dtype is target:
        return _identity(self) if copy else self
    if self.dtype.is_complex and not target.is_complex and target is not dtypes.bool:
        tell_of_imaginary()
    if grad_state.around or self._view is not None or builtins.type(self._storage) not in _ORDINARY:
        return _cast(self, target.numpy)
    form = _forms.get(target)
    if form is None:
        _, key = _cast.operator.signature.bind("cast", (self, target.numpy), {})  # type: ignore[attr-defined]
        form = _forms[target] = with_key(_cast.operator, key)  # type: ignore[attr-defined]
    return form(self)


_ORDINARY = (Storage, HostStorage)
_forms: dict[dtype, Callable[..., Any]] = {}  # of `_cast`, whose arguments nobody has to bind


def tell_of_imaginary() -> None:
    """Warn that only the real parts of complex numbers are kept."""
    warn_once("Casting complex values to real discards the imaginary part")


def move(self: Tensor, where: devices.device) -> Tensor:
    """The tensor on another device, under autograd."""
    if is_sparse(self):
        return with_values(self, move(values_of(self), where))
    if where.type == "meta":
        made = empty_like(self.detach(), device=where)  # of the same strides
    else:
        made = wrap(devices.put(self._array, devices.to_jax(where)))
    edge = self._tape_edge()
    if edge is not None:
        from ...core.context.grad_mode import is_grad_enabled

        if is_grad_enabled():
            made._edge = (_MoveNode("ToCopyBackward0", edge, tuple(self.shape), self.device), 0)  # type: ignore[arg-type]
    return made


class _MoveNode(ViewNode):
    """A move between devices; the gradient moves back."""

    __slots__ = ()

    def backward(self, cotangents: list[Any]) -> Any:
        return (devices.put(cotangents[0], devices.to_jax(self.g)),)

    def backward_taped(self, cotangents: list[Any]) -> Any:
        array, edge = cotangents[0]
        back = wrap(array)
        back._edge = edge
        moved = move(back, self.g)  # type: ignore[arg-type]
        return [(moved._array, moved._tape_edge())]


@_method
def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """To a dtype, a device, a memory format, or those of another tensor; itself if nothing changes and `copy` is not set.

    RuntimeError if the memory format is one of another number of dimensions.
    """
    memory_format = kwargs.pop("memory_format", None)
    if not (memory_format is None or isinstance(memory_format, formats.memory_format)):
        raise TypeError(f"to() received an invalid combination of arguments: memory_format={memory_format!r}")
    where, target, copy = parse_to(*args, **kwargs)
    made = self
    if where is not None and where.type == "cuda" and where.index is None:
        where = devices.device("cuda", 0)
    if grad_state.dispatch_modes and (found := taken("to", self, where, target, copy, memory_format)) is not PASS:
        return found  # type: ignore[no-any-return]
    if where is not None and where != self.device:
        made = move(made, where)
    if target is not None and target is not self.dtype:
        made = cast(made, target)
    if memory_format not in (None, formats.preserve_format) and _format_of(made) is not memory_format:
        order = memory_order(made, memory_format)
        fresh = _cast(made, made._np_dtype) if made is self else made
        return fresh if order is None else laid_out(fresh, order)
    return _identity(made) if copy and made is self else made


def _format_of(tensor: Tensor) -> formats.memory_format:
    """The format that a tensor's strides tell of."""
    if tensor.stride() != contiguous_strides(
        tuple(tensor.shape)
    ):  # (both may be dense where a dimension has one element)
        for form in (formats.channels_last, formats.channels_last_3d):
            if form.is_contiguous(tensor):
                return form
    return formats.contiguous_format


def parse_to(*args: Any, **kwargs: Any) -> tuple[devices.device | None, dtype | None, bool]:
    """The device, dtype and copy flag of a call of `to`. Raises TypeError for anything else."""
    where, target = kwargs.pop("device", None), kwargs.pop("dtype", None)
    copy = kwargs.pop("copy", False)
    kwargs.pop("non_blocking", None)
    kwargs.pop("memory_format", None)
    other = kwargs.pop("other", None)
    rest = list(args)
    if rest:
        first = rest.pop(0)
        if isinstance(first, Tensor):
            other = first
        elif isinstance(first, dtype):
            target = first
        elif isinstance(first, (bool, float, complex)):  # a number is a tensor to PyTorch; an int is a device first
            target = dtypes.of_number(first)
        elif first is not None:
            where = first
            if rest and (rest[0] is None or isinstance(rest[0], dtype)):
                target = rest.pop(0)
        elif rest and (rest[0] is None or isinstance(rest[0], dtype)):
            target = rest.pop(0)
        rest and rest.pop(0)  # non_blocking
        copy = rest.pop(0) if rest else copy
    if kwargs or rest or (target is not None and not isinstance(target, dtype)):
        raise TypeError(f"to() received an invalid combination of arguments: {args} {kwargs}")
    if other is not None:
        return other.device, other.dtype, copy
    return (None if where is None else devices.device(where)), target, copy


@_method
def cpu(self: Tensor, *, memory_format: Any = None) -> Tensor:
    """On the CPU; itself if it is there."""
    return self.to(devices.CPU, memory_format=memory_format)


@_method
def cuda(self: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Tensor:
    """On a GPU. Raises AssertionError if JAX has none."""
    where = devices.device("cuda", 0) if device is None else devices.device(device)
    return self.to(where, memory_format=memory_format)


def _to_dtype(name: str, target: dtype) -> None:
    def method(self: Tensor, *, memory_format: Any = None) -> Tensor:
        return cast(self, target) if memory_format is None else to(self, target, memory_format=memory_format)

    method.__name__ = name
    method.__doc__ = f"This tensor as {target}."
    setattr(Tensor, name, method)


for _name, _target in {
    **dtypes.ALIASES,
    "bool": dtypes.bool,
    "byte": dtypes.uint8,
    "char": dtypes.int8,
    "bfloat16": dtypes.bfloat16,
}.items():
    _to_dtype(_name, _target)


@_method
def type(self: Tensor, dtype: Any = None, non_blocking: bool = False, **kwargs: Any) -> Any:
    """The name of the tensor type (`'torch.FloatTensor'`), or the tensor in another dtype or tensor type."""
    if dtype is None:
        sparse = "sparse." if is_sparse(self) else ""
        module = f"torch.{sparse}" if self.device.type == "cpu" else f"torch.{self.device.type}.{sparse}"
        return f"{module}{self.dtype.abbr}Tensor"
    if isinstance(dtype, dtypes.dtype):
        return cast(self, dtype)
    if not isinstance(dtype, (str, builtins.type)):
        raise TypeError("dtype must be a type, str, or dtype object")
    name = dtype if isinstance(dtype, str) else f"torch.{dtype.__name__}"
    for candidate in dtypes.DTYPES:
        if name.rpartition(".")[2] == f"{candidate.abbr}Tensor":
            return cast(self, candidate).to("cuda") if ".cuda." in name else cast(self, candidate)
    raise ValueError(f"invalid type: {dtype!r}")


@_method
def type_as(self: Tensor, other: Tensor) -> Tensor:
    """This tensor in another one's dtype and on its device."""
    refuse_no_tensor("type_as", "other", other)
    return self.to(other.device, other.dtype)
