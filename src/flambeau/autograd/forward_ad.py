"""Derivatives in the direction of the computation: tensors that carry one beside their values.

https://docs.pytorch.org/tutorials/intermediate/forward_ad_usage.html
"""

from __future__ import annotations

from typing import NamedTuple

from ..core.context.grad_mode import _GradMode
from ..core.dispatch.help import explain_namespace as _explain
from ..core.tensor.tensor import Tensor
from ..func.dual import DualLevel

_current_level = -1
_levels: list[DualLevel] = []


def enter_dual_level() -> int:
    """Begin a level in which tensors may have derivatives; gives its number. RuntimeError if there is one already."""
    global _current_level
    if _levels:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    _levels.append(DualLevel())
    _current_level = 0
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """End the level: its tensors keep their values, without derivatives. RuntimeError if it is not that on top."""
    global _current_level
    if level is None:
        level = _current_level
    if level < 0:
        raise RuntimeError("Dual level must be a positive number.")
    if level != _current_level:
        raise RuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created. This is not supported."
        )
    _current_level = -1
    _levels.pop().leave_level()


class dual_level(_GradMode):
    """A level for a `with` block, or for a function."""

    def __enter__(self) -> int:  # type: ignore[override]
        return enter_dual_level()

    def __exit__(self, *exc: object) -> None:
        exit_dual_level()


class UnpackedDualTensor(NamedTuple):
    """What `unpack_dual` gives: the values, and the derivative (None if there is none)."""

    primal: Tensor
    tangent: Tensor | None


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """A tensor with the values of `tensor` whose derivative is `tangent`, of the same shape and taken in its dtype.

    Raises RuntimeError outside of a level, ValueError for tensors that have no derivatives.
    """
    if level is None:
        level = _current_level
    if level < 0:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first."
        )
    for name, value in (("primal", tensor), ("tangent", tangent)):
        if not (value.is_floating_point() or value.is_complex()):
            raise ValueError(f"Expected {name} to be floating point or complex, but got: {value.dtype}")
    if level != _current_level:
        raise RuntimeError("Invalid level given to _make_dual")
    return _levels[-1].make(tensor, tangent)


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """A tensor's values and its derivative."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"_unpack_dual(): argument 'dual' (position 1) must be Tensor, not {type(tensor).__name__}")
    level = _current_level if level is None else level
    found = _levels[-1].unpack(tensor) if _levels and level == _current_level else None
    return UnpackedDualTensor(tensor, None) if found is None else UnpackedDualTensor(*found)


class _set_fwd_grad_enabled(_GradMode):
    """Whether derivatives are computed: what is computed in a block without has none."""

    def __init__(self, mode: bool):
        self._mode = mode

    def __enter__(self) -> None:
        self._held = [(level.trace, level.trace.enabled) for level in _levels]
        for trace, _ in self._held:
            trace.enabled = self._mode

    def __exit__(self, *exc: object) -> None:
        for trace, before in self._held:
            trace.enabled = before

    def clone(self) -> _GradMode:
        return type(self)(self._mode)


def _is_fwd_grad_enabled() -> bool:
    return all(level.trace.enabled for level in _levels)


__all__: list[str] = [
    "UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual",
]  # fmt: skip

_explain(globals(), "torch.autograd.forward_ad")
