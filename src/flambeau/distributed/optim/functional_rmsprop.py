"""RMSprop that is given the gradients."""

from ...optim.rmsprop import RMSprop
from ._functional import FunctionalOptimizer, signed

__all__: list[str] = []


@signed(
    RMSprop, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False, foreach=False, maximize=False,
)  # fmt: skip
class _FunctionalRMSprop(FunctionalOptimizer):
    """`torch.optim.RMSprop` with the gradients as arguments of `step`."""
