"""Transforms: functions of random values with their inverses and the logarithm of their volume's change.

A transform names its `domain` and `codomain`; `t(x)` computes, `t.inv` is the inverse as a transform of its own, and
`t.log_abs_det_jacobian(x, y)` is log |dy/dx|. With `cache_size=1` the last pair (x, y) is kept, so that the inverse of a
result is its very argument.
"""

from __future__ import annotations

from ._elementwise_transforms import (
    AbsTransform,
    AffineTransform,
    ExpTransform,
    PowerTransform,
    SigmoidTransform,
    SoftplusTransform,
    TanhTransform,
    _clipped_sigmoid,  # noqa: F401
)
from ._joined_transforms import CatTransform, CumulativeDistributionTransform, StackTransform
from ._transform import (
    ComposeTransform,
    IndependentTransform,
    ReshapeTransform,
    Transform,
    identity_transform,
)
from ._transform import _InverseTransform as _InverseTransform
from ._vector_transforms import (
    CorrCholeskyTransform,
    LowerCholeskyTransform,
    PositiveDefiniteTransform,
    SoftmaxTransform,
    StickBreakingTransform,
)
from .utils import _sum_rightmost  # noqa: F401

__all__ = [
    "AbsTransform", "AffineTransform", "CatTransform", "ComposeTransform",
    "CorrCholeskyTransform", "CumulativeDistributionTransform", "ExpTransform", "IndependentTransform",
    "LowerCholeskyTransform", "PositiveDefiniteTransform", "PowerTransform", "ReshapeTransform",
    "SigmoidTransform", "SoftmaxTransform", "SoftplusTransform", "StackTransform",
    "StickBreakingTransform", "TanhTransform", "Transform", "identity_transform",
]  # fmt: skip

for _class in list(globals().values()):  # pickles and messages name this module, as in PyTorch
    if isinstance(_class, type) and issubclass(_class, Transform):
        _class.__module__ = __name__
