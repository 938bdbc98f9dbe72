"""`torch.functional`: functions of `torch` that PyTorch has in Python."""

from .core.dispatch.operator import namespaces as _namespaces

_NAMES = (
    "atleast_1d atleast_2d atleast_3d broadcast_shapes broadcast_tensors cartesian_prod block_diag cdist chain_matmul einsum "
    "istft lu norm meshgrid pca_lowrank split stft svd_lowrank tensordot unique unique_consecutive unravel_index"
).split()

__all__ = [name for name in _NAMES if name in _namespaces["torch"]]
globals().update({name: _namespaces["torch"][name] for name in __all__})
