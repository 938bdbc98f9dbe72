"""Adadelta that is given the gradients."""

from ...optim.adadelta import Adadelta
from ._functional import FunctionalOptimizer, signed

__all__: list[str] = []


@signed(
    Adadelta, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0.0, foreach=False, maximize=False,
)  # fmt: skip
class _FunctionalAdadelta(FunctionalOptimizer):
    """`torch.optim.Adadelta` with the gradients as arguments of `step`."""
