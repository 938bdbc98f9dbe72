"""The names of `torch._utils` that programs use."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from .checkpoint import names as _names
from .checkpoint import rebuild as _rebuild
from .core.array.devices import device as _device
from .core.array.devices import jax_devices
from .core.tensor.tensor import Tensor


def _refusing(reason: str) -> Any:
    def refuse(*args: Any) -> NoReturn:
        raise RuntimeError(reason)

    return refuse


globals().update({name: _refusing(reason) for name, reason in _names.FOREIGN.items()})
globals().update({name: made for name, made in vars(_rebuild).items() if name.startswith("_rebuild_")})
_rebuild_xla_tensor = _rebuild._rebuild_device_tensor_from_numpy


def _element_size(dtype: Any) -> int:
    """The bytes of one element."""
    return dtype.itemsize


def _get_device_index(device: Any, optional: bool = False, allow_cpu: bool = False) -> int | None:
    """The index that an int, a name or a device tells; -1 for the CPU with `allow_cpu`. ValueError otherwise."""
    named = _device(device) if isinstance(device, str) else device
    if isinstance(named, _device):
        if not allow_cpu and named.type == "cpu":
            raise ValueError(f"Expected a non cpu device, but got: {device}")
        if named.index is not None or named.type == "cpu":
            return -1 if named.type == "cpu" else named.index
        return 0
    if isinstance(named, int):
        return named
    if optional and named is None:
        return importlib.import_module("flambeau.cuda").current_device() if jax_devices("cuda") else None
    raise ValueError(f"Expected a torch.device with a specified index or an integer, but got:{device}")


def _get_available_device_type() -> str | None:
    """The kind of accelerator, None without one."""
    return "cuda" if jax_devices("cuda") else None


def _get_device_module(device_type: str) -> Any:
    """The module of a kind of device: `torch.cuda` for 'cuda'. RuntimeError for an unknown kind."""
    try:
        return importlib.import_module(f"flambeau.{device_type}")
    except ModuleNotFoundError:
        raise RuntimeError(
            f"Device '{device_type}' does not have a corresponding module registered as 'torch.{device_type}'."
        ) from None


def _get_all_device_indices() -> list[int]:
    """The indices of all GPUs."""
    return list(range(len(jax_devices("cuda"))))


def _flatten_dense_tensors(tensors: Sequence[Tensor]) -> Tensor:
    """All elements in one vector."""
    torch = importlib.import_module("flambeau")
    if len(tensors) == 1:
        return tensors[0].contiguous().view(-1)
    return torch.cat([tensor.contiguous().view(-1) for tensor in tensors]) if tensors else torch.empty(0)


def _unflatten_dense_tensors(flat: Tensor, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """A vector's parts in the shapes of these tensors: views."""
    made, at = [], 0
    for tensor in tensors:
        made.append(flat.narrow(0, at, tensor.numel()).view_as(tensor))
        at += tensor.numel()
    return tuple(made)


def _take_tensors(tensors: Iterable[Tensor], size_limit: int) -> Iterable[list[Tensor]]:
    """Tensors in groups of one type, each group of at most `size_limit` bytes, or of one tensor."""
    held: dict[str, tuple[list[Tensor], int]] = {}
    for tensor in tensors:
        size = tensor.numel() * tensor.element_size()
        group, total = held.get(tensor.type(), ([], 0))
        if group and total + size > size_limit:
            yield group
            group, total = [], 0
        held[tensor.type()] = ([*group, tensor], total + size)
    yield from (group for group, _ in held.values() if group)


def _import_dotted_name(name: str) -> Any:
    """The object of a dotted name."""
    first, *rest = name.split(".")
    found = __import__(first)
    for part in rest:
        found = getattr(found, part)
    return found


class KeyErrorMessage(str):
    """A KeyError's text that prints as it is."""

    def __repr__(self) -> str:
        return str(self)


class ExceptionWrapper:
    """An exception of another thread or process: its type and its traceback as text."""

    def __init__(self, exc_info: Any = None, where: str = "in background"):
        kind, error, trace = exc_info or sys.exc_info()
        self.exc_type: Any = kind
        self.exc_msg = "".join(traceback.format_exception(kind, error, trace))
        self.where = where

    def reraise(self) -> None:
        """Raise the exception here, with its own traceback in its text."""
        text = f"Caught {self.exc_type.__name__} {self.where}.\nOriginal {self.exc_msg}"
        if self.exc_type is KeyError:
            text = KeyErrorMessage(text)
        elif getattr(self.exc_type, "message", None):
            raise self.exc_type(message=text)
        try:
            made = self.exc_type(text)
        except Exception:
            raise RuntimeError(text) from None  # a class that takes more than a text
        raise made


class classproperty:
    """A property of the class itself."""

    def __init__(self, func: Any):
        self.fget: Any = func if isinstance(func, (classmethod, staticmethod)) else classmethod(func)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self.fget.__get__(instance, owner or type(instance))()


def is_compiling() -> bool:
    """Whether a compiled function is being traced."""
    return importlib.import_module("flambeau.compiler").is_compiling()
