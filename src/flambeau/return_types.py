"""`torch.return_types`: the named results of operators that return several tensors."""

from . import ops  # noqa: F401
from .core.array.return_types import registry

globals().update(registry)
