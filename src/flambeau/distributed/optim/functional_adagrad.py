"""Adagrad that is given the gradients."""

from ...optim.adagrad import Adagrad
from ._functional import FunctionalOptimizer, signed

__all__: list[str] = []


@signed(
    Adagrad, lr=1e-2, lr_decay=0.0, weight_decay=0.0, initial_accumulator_value=0.0, warmup_lr_multiplier=1.0,
    warmup_num_iters=0.0, eps=1e-10, coalesce_grad=True, foreach=False, fused=False, maximize=False,
)  # fmt: skip
class _FunctionalAdagrad(FunctionalOptimizer):
    """`torch.optim.Adagrad` with the gradients as arguments of `step`."""
