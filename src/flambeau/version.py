"""Versions, as `torch.version` gives them."""

from . import __version__

cuda = None
hip = None
git_version = "flambeau"
debug = False

__all__ = ["__version__", "cuda", "debug", "git_version", "hip"]
