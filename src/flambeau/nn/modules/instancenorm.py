"""Instance normalization. The arguments are batch normalization's, with other defaults."""

from __future__ import annotations

import warnings
from typing import Any

from ...core.dispatch.messages import message
from ...core.tensor.tensor import Tensor
from .. import functional as F
from .batchnorm import _LazyNormBase, _NormBase

__all__ = [
    "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "LazyInstanceNorm1d", "LazyInstanceNorm2d",
    "LazyInstanceNorm3d",
]  # fmt: skip


class _InstanceNorm(_NormBase):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def _channel_dim(self, input: Tensor) -> int:
        """Where the channels are, counted from the end: an input may lack the batch dimension."""
        return 1 - max(self._dims)

    def _channels(self, input: Tensor) -> int:
        return input.shape[self._channel_dim(input)]

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, missing_keys: Any, unexpected_keys: Any,
        error_msgs: Any,
    ) -> None:  # fmt: skip
        if local_metadata.get("version") is None and not self.track_running_stats:
            stray = [prefix + name for name in ("running_mean", "running_var") if prefix + name in state_dict]
            if stray:
                error_msgs.append(
                    f"Unexpected running stats buffer(s) {' and '.join(map(repr, stray))} for "
                    f"{type(self).__name__} with track_running_stats=False. Old checkpoints may hold them: remove "
                    "these keys from the state dict, or build the layer with track_running_stats=True."
                )
                for key in stray:
                    state_dict.pop(key)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        channels = self._channels(input)
        if channels != self.num_features:
            at = f"input's size at dim={input.dim() + self._channel_dim(input)}"
            if self.affine:
                raise ValueError(f"expected {at} to match num_features ({self.num_features}), but got: {channels}.")
            warnings.warn(
                message("instance_norm_features", at=at, affine=self.affine),
                stacklevel=2,
            )
        unbatched = input.dim() == min(self._dims)
        by_input = self.training or not self.track_running_stats
        result = F.instance_norm(
            input.unsqueeze(0) if unbatched else input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            by_input,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return result.squeeze(0) if unbatched else result


class InstanceNorm1d(_InstanceNorm):
    """Instance normalization of `(N, C, L)` or `(C, L)`."""

    _dims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Instance normalization of `(N, C, H, W)` or `(C, H, W)`."""

    _dims = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Instance normalization of `(N, C, D, H, W)` or `(C, D, H, W)`."""

    _dims = (4, 5)


class _LazyInstanceNorm(_LazyNormBase):
    def _channels(self, input: Tensor) -> int:
        layer: Any = self
        return _InstanceNorm._channels(layer, input)


class LazyInstanceNorm1d(_LazyInstanceNorm, InstanceNorm1d):
    """An `InstanceNorm1d` that learns `num_features` from its first input."""

    cls_to_become: type = InstanceNorm1d


class LazyInstanceNorm2d(_LazyInstanceNorm, InstanceNorm2d):
    """An `InstanceNorm2d` that learns `num_features` from its first input."""

    cls_to_become: type = InstanceNorm2d


class LazyInstanceNorm3d(_LazyInstanceNorm, InstanceNorm3d):
    """An `InstanceNorm3d` that learns `num_features` from its first input."""

    cls_to_become: type = InstanceNorm3d
