"""Print options under the module name that PyTorch gives them."""

from flambeau.core.array.printing import get_printoptions, printoptions, set_printoptions

__all__ = ["get_printoptions", "printoptions", "set_printoptions"]
