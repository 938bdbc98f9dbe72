"""What scalers of a loss are written with in PyTorch: gradients are unscaled and looked at in one call, the scale follows."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.array.dtypes import float32, int32
from ...core.context.grad_mode import no_grad
from ...core.dispatch.publishing import _publish
from ...core.tensor.tensor import Tensor
from .elementary import isfinite


def _of_one(name: str, tensor: Tensor) -> None:
    if tensor.numel() != 1:  # type: ignore[attr-defined]
        raise RuntimeError(f"{name} must be a 1-element tensor.")
    if tensor.dtype is not float32:
        raise RuntimeError(f"{name} must be a float tensor.")


def _amp_foreach_non_finite_check_and_unscale_(self: Sequence[Tensor], found_inf: Tensor, inv_scale: Tensor) -> None:
    """Multiply the tensors by `inv_scale` in place; `found_inf` is set to 1 where one of them holds an inf or nan."""
    _of_one("inv_scale", inv_scale)
    _of_one("found_inf", found_inf)
    with no_grad():
        by = inv_scale.reshape(())
        for tensor in self:
            if not tensor.dtype.is_floating_point:
                raise NotImplementedError(f"a tensor of {tensor.dtype} is no gradient that could be unscaled")
            bad = ~isfinite(tensor).all()
            found_inf.copy_((found_inf.reshape(()) + bad).clamp(max=1.0).reshape(found_inf.shape))
            tensor.copy_(tensor * by if tensor.ndim else tensor * float(by))


def _amp_update_scale_(
    self: Tensor,
    growth_tracker: Tensor,
    found_inf: Tensor,
    scale_growth_factor: float,
    scale_backoff_factor: float,
    growth_interval: int,
) -> Tensor:
    """Change the scale in place: less after an inf or nan, more after `growth_interval` good steps in a row, while finite."""
    if growth_tracker.numel() != 1:  # type: ignore[attr-defined]
        raise RuntimeError("growth_tracker must be a 1-element tensor.")
    if growth_tracker.dtype is not int32:
        raise RuntimeError("growth_tracker must be an int tensor.")
    _of_one("current_scale", self)
    _of_one("found_inf", found_inf)
    with no_grad():
        good = int(growth_tracker) + 1
        if float(found_inf):
            self.mul_(scale_backoff_factor)
            growth_tracker.zero_()
        elif good < growth_interval:
            growth_tracker.fill_(good)
        else:
            grown = self * scale_growth_factor
            if bool(isfinite(grown).all()):
                self.copy_(grown)
            growth_tracker.zero_()
    return self


for _function in (_amp_foreach_non_finite_check_and_unscale_, _amp_update_scale_):
    _publish(_function.__name__, _function, ("torch",))
