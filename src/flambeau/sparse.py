"""`torch.sparse`: the operators on sparse tensors that declare themselves public here."""

from . import ops  # noqa: F401
from .core.dispatch.operator import namespaces

globals().update(namespaces.get("sparse", {}))
__all__ = sorted(namespaces.get("sparse", {}))
