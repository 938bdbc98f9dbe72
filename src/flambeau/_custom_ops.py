"""The older names of `torch.library`."""

from ._library.calls import get_ctx
from .library import custom_op

__all__ = ["custom_op", "get_ctx"]
