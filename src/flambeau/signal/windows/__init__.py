"""`torch.signal.windows`: window functions, symmetric unless told otherwise."""

from ... import ops
from ...core.dispatch.operator import namespaces

globals().update(namespaces.get("signal.windows", {}))
__all__ = sorted(namespaces.get("signal.windows", {}))
