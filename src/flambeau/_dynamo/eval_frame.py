"""`torch._dynamo.eval_frame`: the class of compiled modules."""

from __future__ import annotations

from ..compiler import disable, is_compiling
from ..compiler.module import OptimizedModule

__all__ = ["OptimizedModule", "disable", "is_compiling", "is_dynamo_supported"]


def is_dynamo_supported() -> bool:
    """Whether functions can be compiled: always."""
    return True
