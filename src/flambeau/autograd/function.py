"""User-defined differentiable functions, under torch's module path."""

from ..core.autograd.function import Function, FunctionCtx, InplaceFunction, NestedIOFunction, once_differentiable

__all__ = ["Function", "FunctionCtx", "InplaceFunction", "NestedIOFunction", "once_differentiable"]
