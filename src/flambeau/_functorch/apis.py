"""`vmap`, `grad` and `grad_and_value` under the path that packages import them from."""

from ..func import grad, grad_and_value, vmap

__all__ = ["grad", "grad_and_value", "vmap"]
