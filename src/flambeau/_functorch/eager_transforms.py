"""The transforms of `torch.func` under the path that packages import them from."""

from ..func import functionalize, hessian, jacfwd, jacrev, jvp, linearize, vjp

__all__ = ["functionalize", "hessian", "jacfwd", "jacrev", "jvp", "linearize", "vjp"]
