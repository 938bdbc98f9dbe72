"""Batch normalization.

Arguments of all of them: `num_features` channels (dimension 1), `eps` added to the variance, `momentum` of the running
statistics (None: their plain average over all batches), `affine` for a weight and (with `bias`) a bias per channel,
`track_running_stats` for statistics to be kept and used in evaluation.
"""

from __future__ import annotations

from typing import Any

from ...core.array.dtypes import bfloat16, float16, int64
from ...core.context.grad_mode import no_grad
from ...core.tensor.tensor import Tensor
from ...ops.making.creation import ones, tensor, zeros
from ...ops.shape.joining import cat
from ...processes import differentiable, groups
from .. import functional as F
from .. import init
from ..parameter import Parameter, UninitializedBuffer, UninitializedParameter
from .lazy import LazyModuleMixin
from .module import Module

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
    "SyncBatchNorm",
]


class _NormBase(Module):
    """Parameters and running statistics, one value per channel: what batch and instance normalization share."""

    # or None: this way a checker does not warn at every use
    weight: Parameter | Any
    bias: Parameter | Any
    running_mean: Tensor | Any
    running_var: Tensor | Any
    num_batches_tracked: Tensor | Any

    _version = 2
    _dims: tuple[int, ...] = ()  # numbers of dimensions that an input may have

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        for name, wanted, make in (("weight", affine, ones), ("bias", affine and bias, zeros)):
            self.register_parameter(name, Parameter(make(num_features, device=device, dtype=dtype)) if wanted else None)
        statistics: dict[str, Any] = dict.fromkeys(("running_mean", "running_var", "num_batches_tracked"))
        if track_running_stats:
            statistics["running_mean"] = zeros(num_features, device=device, dtype=dtype)
            statistics["running_var"] = ones(num_features, device=device, dtype=dtype)
            statistics["num_batches_tracked"] = tensor(0, dtype=int64, device=device)
        for name, value in statistics.items():
            self.register_buffer(name, value)
        if type(self).reset_parameters is not _NormBase.reset_parameters:  # else all is as that would make it
            self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget the batches that were seen."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Set the weight to 1, the bias to 0, and forget the batches that were seen."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_input_dim(self, input: Tensor) -> None:
        if self._dims and input.dim() not in self._dims:
            expected = " or ".join(f"{d}D" for d in self._dims)
            raise ValueError(f"expected {expected} input (got {input.dim()}D input)")

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, missing_keys: Any, unexpected_keys: Any,
        error_msgs: Any,
    ) -> None:  # fmt: skip
        # state dicts of version 1 did not count batches
        if (local_metadata.get("version") or 1) < 2 and self.track_running_stats:
            count = self.num_batches_tracked
            fresh = tensor(0, dtype=int64) if count is None else count.detach()
            state_dict.setdefault(prefix + "num_batches_tracked", fresh)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )


class _BatchNorm(_NormBase):
    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        training, tracks = self.training, self.track_running_stats
        momentum: Any = 0.0 if self.momentum is None else self.momentum
        if training and tracks and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                momentum = 1.0 / self.num_batches_tracked
        mean, variance = self.running_mean, self.running_var
        if training and not tracks:
            mean = variance = None
        by_batch = training or (self.running_mean is None and self.running_var is None)
        return F.batch_norm(input, mean, variance, self.weight, self.bias, by_batch, momentum, self.eps)


class BatchNorm1d(_BatchNorm):
    """Batch normalization of `(N, C)` or `(N, C, L)`."""

    _dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalization of `(N, C, H, W)`."""

    _dims = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalization of `(N, C, D, H, W)`."""

    _dims = (5,)


class SyncBatchNorm(_BatchNorm):
    """Batch normalization of `(N, C, *)` by the mean and the variance of all processes' batches.

    In evaluation, and with one process, it does what `BatchNorm` does.
    """

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, process_group: Any = None, device: Any = None, dtype: Any = None, *,
        bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self.process_group = process_group

    def _check_input_dim(self, input: Tensor) -> None:
        if (rank := input.dim()) < 2:
            raise ValueError(f"expected at least 2D input (got {rank}D input)")

    def forward(self, input: Tensor) -> Tensor:
        by_batch = self.training or (self.running_mean is None and self.running_var is None)
        if not (
            by_batch and self.training and groups.is_initialized() and groups.get_world_size(self.process_group) > 1
        ):
            return super().forward(input)
        self._check_input_dim(input)
        dims = [d for d in range(input.dim()) if d != 1]
        wide = input.float() if input.dtype in (float16, bfloat16) else input
        shape = [1, -1] + [1] * (input.dim() - 2)
        counted = cat([wide.sum(dims), wide.new_full((1,), input.numel() // max(input.shape[1], 1))])
        total = differentiable.all_reduce(counted, group=self.process_group)
        count = total[-1].detach()
        mean = total[:-1] / count
        centred = wide - mean.view(shape)
        variance = differentiable.all_reduce((centred * centred).sum(dims), group=self.process_group) / count
        self._count(mean.detach(), (variance * (count / (count - 1))).detach())
        made = centred * (variance + self.eps).rsqrt().view(shape)
        if self.weight is not None:
            made = made * self.weight.view(shape)
        if self.bias is not None:
            made = made + self.bias.view(shape)
        return made.to(input.dtype)

    def _count(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics towards a batch's."""
        if not self.track_running_stats:
            return
        momentum: Any = self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if momentum is None:
                momentum = 1.0 / self.num_batches_tracked
        with no_grad():
            for running, value in ((self.running_mean, mean), (self.running_var, variance)):
                running.copy_((1 - momentum) * running + momentum * value.to(running.dtype))

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """The module with a `SyncBatchNorm` of the same parameters and statistics for each of its `BatchNorm`s."""
        made = module
        if isinstance(module, _BatchNorm):
            options = (module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats)
            made = cls(*options, process_group, bias=module.bias is not None)
            for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
                setattr(made, name, getattr(module, name))
            made.training = module.training
        for name, child in module.named_children():
            made.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return made


class _LazyNormBase(LazyModuleMixin):
    """What makes a normalization lazy: `num_features` is the channel dimension of the first input."""

    def __init__(
        self, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True, track_running_stats: bool = True,
        device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(0, eps, momentum, False, False, device, dtype, bias=bias)
        self.affine = affine
        self.track_running_stats = track_running_stats
        if affine:
            self.weight: Any = UninitializedParameter(device=device, dtype=dtype)
            if bias:
                self.bias: Any = UninitializedParameter(device=device, dtype=dtype)
        if track_running_stats:
            self.running_mean: Any = UninitializedBuffer(device=device, dtype=dtype)
            self.running_var: Any = UninitializedBuffer(device=device, dtype=dtype)
            self.num_batches_tracked: Any = tensor(0, dtype=int64, device=device)

    def reset_parameters(self) -> None:
        layer: Any = self
        if layer.num_features and not layer.has_uninitialized_params():
            super().reset_parameters()  # type: ignore[misc]

    def _channels(self, input: Tensor) -> int:
        return input.shape[1]

    def initialize_parameters(self, input: Tensor) -> None:  # type: ignore[override]
        layer: Any = self
        if not layer.has_uninitialized_params():
            return
        layer._check_input_dim(input)
        layer.num_features = self._channels(input)
        for name in ("weight", "bias", "running_mean", "running_var"):
            value = getattr(layer, name)
            if value is not None:
                value.materialize((layer.num_features,))
        layer.reset_parameters()


class LazyBatchNorm1d(_LazyNormBase, BatchNorm1d):
    """A `BatchNorm1d` that learns `num_features` from its first input."""

    cls_to_become: type = BatchNorm1d


class LazyBatchNorm2d(_LazyNormBase, BatchNorm2d):
    """A `BatchNorm2d` that learns `num_features` from its first input."""

    cls_to_become: type = BatchNorm2d


class LazyBatchNorm3d(_LazyNormBase, BatchNorm3d):
    """A `BatchNorm3d` that learns `num_features` from its first input."""

    cls_to_become: type = BatchNorm3d
