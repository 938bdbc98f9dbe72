"""Adamax that is given the gradients."""

from ...optim.adamax import Adamax
from ._functional import FunctionalOptimizer, signed

__all__: list[str] = []


@signed(
    Adamax, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, foreach=False, maximize=False,
)  # fmt: skip
class _FunctionalAdamax(FunctionalOptimizer):
    """`torch.optim.Adamax` with the gradients as arguments of `step`."""
