"""Adam that is given the gradients."""

from ...optim.adam import Adam
from ._functional import ParameterwiseOptimizer, signed

__all__: list[str] = []


@signed(
    Adam, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, amsgrad=False, maximize=False, foreach=False, fused=False,
)  # fmt: skip
class _FunctionalAdam(ParameterwiseOptimizer):
    """`torch.optim.Adam` with the gradients as arguments of `step`."""
