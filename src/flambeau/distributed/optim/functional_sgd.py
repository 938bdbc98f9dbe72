"""SGD that is given the gradients."""

from ...optim.sgd import SGD
from ._functional import ParameterwiseOptimizer, signed

__all__: list[str] = []


@signed(
    SGD, lr=1e-2, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False, foreach=False, fused=False,
)  # fmt: skip
class _FunctionalSGD(ParameterwiseOptimizer):
    """`torch.optim.SGD` with the gradients as arguments of `step`."""
