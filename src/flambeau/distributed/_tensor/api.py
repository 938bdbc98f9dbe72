"""The older path of `DTensor` and what makes them."""

from ..tensor import DTensor, distribute_module, distribute_tensor, empty, full, ones, rand, randn, zeros

__all__ = ["DTensor", "distribute_module", "distribute_tensor", "empty", "full", "ones", "rand", "randn", "zeros"]
