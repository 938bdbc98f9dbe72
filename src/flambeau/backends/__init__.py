"""Switches of torch's backends, for scripts that set them. XLA decides for itself; none of them changes a result."""

from . import cpu, cuda, cudnn, mkl, mkldnn, mps, openmp, opt_einsum, quantized

fp32_precision = "none"  # what products of float32 may be computed in: always float32 here

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp", "opt_einsum", "quantized"]
