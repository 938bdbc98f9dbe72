"""Switches of torch's backends, for scripts that set them. XLA decides for itself; none of them changes a result."""

from . import (
    cpu,
    cuda,
    cudnn,
    cusparselt,
    kleidiai,
    mha,
    mkl,
    mkldnn,
    mps,
    nnpack,
    openmp,
    opt_einsum,
    python_native,
    quantized,
)
from ._frozen import allow_mutation as __allow_nonbracketed_mutation
from ._frozen import disable_global_flags, flags_frozen
from ._frozen import freezable as _freezable

fp32_precision = "none"  # what products of float32 may be computed in: always float32 here

__all__ = [
    "cpu",
    "cuda",
    "cudnn",
    "cusparselt",
    "kleidiai",
    "mha",
    "mkl",
    "mkldnn",
    "mps",
    "nnpack",
    "openmp",
    "opt_einsum",
    "python_native",
    "quantized",
]

_freezable(__name__, cudnn.__name__, mkldnn.__name__)
