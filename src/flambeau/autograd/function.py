"""User-defined differentiable functions, under torch's module path."""

from ..core.autograd.function import Function, FunctionCtx, once_differentiable

__all__ = ["Function", "FunctionCtx", "once_differentiable"]
