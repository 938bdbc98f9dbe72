"""Operators: one pure array function each, a room per subject, a file per family. Importing this package attaches the methods to `Tensor`."""

import gc
import importlib
import pkgutil

from ..core.context.overrides import guard_class
from ..core.dispatch.help import explain_methods
from ..core.tensor.tensor import Tensor

_collects = gc.isenabled()
gc.disable()  # all that is made here stays: to look at it over and over, and at JAX's modules, takes a third of the import
try:
    for _module in pkgutil.walk_packages(__path__, f"{__name__}."):
        importlib.import_module(_module.name)
finally:
    if _collects:
        gc.enable()

# what is no function of a tensor's values, or is made of other methods
_NOT_ASKED = frozenset(
    "__new__ __init__ __hash__ __iter__ __torch_function__ _make_subclass as_subclass __setstate__ __dir__ __copy__".split()
)
guard_class(Tensor, _NOT_ASKED)
explain_methods(Tensor, "torch.Tensor")
