"""Rprop that is given the gradients."""

from ...optim.rprop import Rprop
from ._functional import FunctionalOptimizer, signed

__all__: list[str] = []


@signed(
    Rprop, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50), foreach=False, maximize=False,
)  # fmt: skip
class _FunctionalRprop(FunctionalOptimizer):
    """`torch.optim.Rprop` with the gradients as arguments of `step`."""
