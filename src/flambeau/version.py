"""Versions, as `torch.version` gives them."""

from . import __version__

cuda = None
hip = None
rocm = None
xpu = None
git_version = "flambeau"
debug = False

__all__ = ["__version__", "cuda", "debug", "git_version", "hip", "rocm", "xpu"]
