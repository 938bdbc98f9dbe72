"""Padding layers. `padding` is one number for every side, or (before, after) pairs from the last dimension on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...core.tensor.tensor import Tensor
from .. import functional as F
from .module import Module
from .utils import _ntuple

__all__ = [
    "CircularPad1d", "CircularPad2d", "CircularPad3d",
    "ConstantPad1d", "ConstantPad2d", "ConstantPad3d",
    "ReflectionPad1d", "ReflectionPad2d", "ReflectionPad3d",
    "ReplicationPad1d", "ReplicationPad2d", "ReplicationPad3d",
    "ZeroPad1d", "ZeroPad2d", "ZeroPad3d",
]  # fmt: skip


class _PadNd(Module):
    """Pads the last `_dims` dimensions in the way that `_mode` names."""

    _dims: int
    _mode: str

    def __init__(self, padding: int | tuple[int, ...]) -> None:
        super().__init__()
        self.padding: tuple[Any, ...] = _ntuple(2 * self._dims)(padding)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        return str(self.padding)


class _CircularPadNd(_PadNd):
    def forward(self, input: Tensor) -> Tensor:
        n = self._dims
        if input.ndim not in (n + 1, n + 2):
            raise ValueError(f"expected {n + 1}D or {n + 2}D input (got {input.ndim}D input)")
        return super().forward(input)


class _ConstantPadNd(_PadNd):
    def __init__(self, padding: int | tuple[int, ...], value: float) -> None:
        Module.__init__(self)
        self.value = value
        self.padding: tuple[Any, ...] = _ntuple(2 * self._dims)(padding)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPadNd(_ConstantPadNd):
    def __init__(self, padding: int | tuple[int, ...]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return str(self.padding)


def _declare(base: type, kind: str, mode: str, doc: str, special_of: str = "") -> None:
    """The three classes of a kind: they differ only in how many dimensions they pad. `special_of` is a kind that has more."""
    for n in (1, 2, 3):
        name = f"{kind}Pad{n}d"
        text = f"Pads the last {n} dimension{'s' * (n > 1)} {doc}."
        members: dict[str, Any] = {"_dims": n, "_mode": mode, "__doc__": text, "__module__": __name__}
        bases = (base, globals()[f"{special_of}Pad{n}d"]) if special_of else (base,)
        globals()[name] = type(name, bases, members)


_declare(_PadNd, "Reflection", "reflect", "with the input's reflection at its border")
_declare(_PadNd, "Replication", "replicate", "with the values at the input's border")
_declare(_CircularPadNd, "Circular", "circular", "with the input's other end")
_declare(_ConstantPadNd, "Constant", "constant", "with `value`")
_declare(_ZeroPadNd, "Zero", "constant", "with zeros", special_of="Constant")

if TYPE_CHECKING:  # the classes that `_declare` makes, for type checkers

    class ReflectionPad1d(_PadNd): ...

    class ReflectionPad2d(_PadNd): ...

    class ReflectionPad3d(_PadNd): ...

    class ReplicationPad1d(_PadNd): ...

    class ReplicationPad2d(_PadNd): ...

    class ReplicationPad3d(_PadNd): ...

    class CircularPad1d(_CircularPadNd): ...

    class CircularPad2d(_CircularPadNd): ...

    class CircularPad3d(_CircularPadNd): ...

    class ConstantPad1d(_ConstantPadNd): ...

    class ConstantPad2d(_ConstantPadNd): ...

    class ConstantPad3d(_ConstantPadNd): ...

    class ZeroPad1d(_ZeroPadNd): ...

    class ZeroPad2d(_ZeroPadNd): ...

    class ZeroPad3d(_ZeroPadNd): ...
