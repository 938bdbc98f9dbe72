"""`torch.signal.windows`: window functions, symmetric unless told otherwise."""

from ... import ops
from ...core.dispatch.operator import namespaces

globals().update(namespaces.get("signal.windows", {}))
from . import windows  # noqa: E402

__all__ = sorted(namespaces.get("signal.windows", {}))
