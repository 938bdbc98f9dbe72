"""Switches of torch's backends, for scripts that set them. XLA decides for itself; none of them changes a result."""

from . import cuda, cudnn, mkl, mkldnn, mps, openmp

__all__ = ["cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp"]
