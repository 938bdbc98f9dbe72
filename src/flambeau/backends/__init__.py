"""Switches of torch's backends, for scripts that set them. XLA decides for itself; none of them changes a result."""

from types import SimpleNamespace

cudnn = SimpleNamespace(
    enabled=False,
    benchmark=False,
    deterministic=True,
    allow_tf32=False,
    is_available=lambda: False,
    version=lambda: None,
)
mkldnn = SimpleNamespace(enabled=False, is_available=lambda: False)
openmp = SimpleNamespace(is_available=lambda: False)
mps = SimpleNamespace(is_available=lambda: False, is_built=lambda: False)
cuda = SimpleNamespace(
    is_built=lambda: False, matmul=SimpleNamespace(allow_tf32=False, allow_fp16_reduced_precision_reduction=False)
)
