"""The same by the path that PyTorch's own module has."""

from . import FullyShardedDataParallel  # noqa: F401
from .api import *  # noqa: F403
