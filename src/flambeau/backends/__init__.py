"""Switches of torch's backends, for scripts that set them. XLA decides for itself; none of them changes a result."""

from contextlib import AbstractContextManager as _AbstractContextManager

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
from ._frozen import within as _within
from ._precision import Cudnn as _Cudnn
from ._precision import Generic as _Generic
from ._precision import Mkldnn as _Mkldnn

__all__ = [
    "cpu",
    "cuda",
    "cudnn",
    "cusparselt",
    "flags",
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

_freezable({__name__: _Generic, cudnn.__name__: _Cudnn, mkldnn.__name__: _Mkldnn})


def flags(fp32_precision: str = "none") -> _AbstractContextManager[None]:
    """Another precision of float32's products inside the `with` block. It is remembered, and changes no result."""
    return _within(__name__, fp32_precision=fp32_precision)
