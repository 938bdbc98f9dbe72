"""AdamW that is given the gradients."""

from ...optim.adamw import AdamW
from ._functional import ParameterwiseOptimizer, signed

__all__: list[str] = []


@signed(
    AdamW, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, amsgrad=False, maximize=False, foreach=False, fused=False,
)  # fmt: skip
class _FunctionalAdamW(ParameterwiseOptimizer):
    """`torch.optim.AdamW` with the gradients as arguments of `step`."""
