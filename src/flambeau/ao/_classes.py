"""What class a layer is of."""

from __future__ import annotations

from typing import Any


def exactly(module: Any) -> type:
    """The layer's class; of a parametrized layer, the class that it was."""
    kind = type(module)
    return kind.__mro__[1] if "parametrizations" in module._modules else kind
