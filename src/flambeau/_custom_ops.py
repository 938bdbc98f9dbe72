"""`torch._custom_ops`: the older door to `torch.library`."""

from ._library.calls import get_ctx
from .library import custom_op
from .library import register_fake as impl_abstract

__all__ = ["custom_op", "get_ctx", "impl_abstract"]
