"""The errors of operators: PyTorch's in place of those that come out of tracing and XLA."""

from __future__ import annotations

import re
from typing import Any

import jax

from ..array import dtypes
from ..array.devices import is_far
from ..tensor.tensor import wrap
from .promotion import kernel_of


class OfKind(Exception):
    """A RuntimeError of a function of geometries whose text names the kind of tensor: `text` has {kind} there."""

    def __init__(self, text: str):
        super().__init__(text)
        self.text = text

    def of(self, dtype: dtypes.dtype, device: str) -> RuntimeError:
        return RuntimeError(self.text.replace("{kind}", kind_of_tensor(dtype, device)))


_OLD_TYPES = frozenset("Float Double Half Long Int Short Char Byte".split())


def kind_of_tensor(dtype: dtypes.dtype, device: str) -> str:
    """A kind of tensor as PyTorch's C++ prints it: `torch.FloatTensor`, `CPUBoolType`."""
    if dtype.abbr in _OLD_TYPES and device in ("cpu", "cuda"):
        return f"torch.{'cuda.' if device == 'cuda' else ''}{dtype.abbr}Tensor"
    return f"{device.title() if device == 'meta' else device.upper()}{dtype.abbr}Type"


def expansion_clash(shape: tuple[int, ...], given: tuple[int, ...], dtype: dtypes.dtype) -> RuntimeError:
    """The error for values of the shape `given` that can't be expanded to `shape`."""
    if len(given) > len(shape):
        return RuntimeError(
            f"expand({kind_of_tensor(dtype, 'cpu')}{{{list(given)}}}, size={list(shape)}): the number of sizes provided ({len(shape)}) must be "
            f"greater or equal to the number of dimensions in the tensor ({len(given)})"
        )
    new = len(shape) - len(given)
    dim = next(d for d in range(len(shape) - 1, new - 1, -1) if given[d - new] not in (1, shape[d]))
    return RuntimeError(
        f"The expanded size of the tensor ({shape[dim]}) must match the existing size ({given[dim - new]}) at non-singleton "
        f"dimension {dim}.  Target sizes: {list(shape)}.  Tensor sizes: {list(given)}"
    )


# what JAX says of an array whose dtype a function does not take
_OF_A_DTYPE = re.compile(
    r"does not accept dtype|Unsupported dtype|dtype=\S+ is not supported|not well defined for complex"
)


def described(error: Exception, arrays: list[Any], name: str, promotes: bool) -> Exception:
    """The error to raise for one that came out of tracing or XLA."""
    if _OF_A_DTYPE.search(str(error)) and _from_jax(error):
        kinds = [(dtypes.from_numpy(a.dtype), 0 if a.ndim else 1) for a in arrays if hasattr(a, "dtype")]
        return NotImplementedError(
            f"\"{kernel_of(name)}\" not implemented for '{dtypes.promote(kinds).abbr}' (in {name})"
        )
    if type(error) in (RuntimeError, IndexError, NotImplementedError) or getattr(error, "_flambeau", False):
        return error
    if type(error) in (ValueError, TypeError) and not _from_jax(error):
        return error
    text = str(error)
    if isinstance(error, OverflowError) and any(isinstance(a, int) and not -(2**63) <= a < 2**64 for a in arrays):
        return OverflowError("int too big to convert")
    if "incompatible devices" in text:
        if any(is_far(a.sharding) for a in arrays if isinstance(a, jax.Array)):
            return RuntimeError(
                f"aten.{name}: got mixed torch.Tensor and DTensor, need to convert all torch.Tensor to DTensor before calling "
                "distributed operators! (DTensor.from_local(tensor, device_mesh, [Replicate()]) does it, or "
                "torch.distributed.tensor.experimental.implicit_replication() around the code. Tensors on two meshes do not go "
                "together either)"
            )
        places = sorted({str(wrap(a).device) for a in arrays if hasattr(a, "devices")})
        return RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {' and '.join(places)}! "
            f"(in {name})"
        )
    if isinstance(error, jax.errors.JAXTypeError):
        return error
    if promotes or "ncompatible shapes for broadcasting" in text:
        clash = broadcast_clash([a.shape for a in arrays if hasattr(a, "shape")])
        if clash:
            return RuntimeError(clash)
    shapes = ", ".join(f"{list(a.shape)} {a.dtype}" if hasattr(a, "shape") else repr(a) for a in arrays)
    return RuntimeError(f"{name}: {text.splitlines()[0] if text else type(error).__name__} (inputs: {shapes})")


def _from_jax(error: BaseException) -> bool:
    """Whether the error was raised inside JAX rather than by an array function of ours."""
    trace = error.__traceback__
    last = ""
    while trace is not None:
        last = trace.tb_frame.f_globals.get("__name__", "")
        trace = trace.tb_next
    return not last.startswith("flambeau.")


def broadcast_clash(shapes: list[tuple[int, ...]]) -> str | None:
    """PyTorch's words for the first pair of shapes that do not broadcast."""
    for i, a in enumerate(shapes):
        for b in shapes[i + 1 :]:
            span = max(len(a), len(b))
            for dim in range(span - 1, -1, -1):
                x = a[dim - span + len(a)] if dim - span + len(a) >= 0 else 1
                y = b[dim - span + len(b)] if dim - span + len(b) >= 0 else 1
                if x != y and 1 not in (x, y):
                    return f"The size of tensor a ({x}) must match the size of tensor b ({y}) at non-singleton dimension {dim}"
    return None
