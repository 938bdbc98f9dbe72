"""flambeau: PyTorch's module system on XLA. The public names are torch's."""

from __future__ import annotations

from . import core, ops  # noqa: F401
from .core.autograd import grad as _grad  # noqa: F401
from .core.devices import device, get_default_device, set_default_device
from .core.dtypes import ALIASES as _ALIASES
from .core.dtypes import DTYPES as _DTYPES
from .core.dtypes import (
    can_cast,
    dtype,
    finfo,
    get_default_dtype,
    iinfo,
    promote_types,
    set_default_dtype,
)
from .core.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from .core.operator import namespaces as _namespaces
from .core.size import Size
from .core.tensor import Tensor

globals().update({t.name: t for t in _DTYPES})
globals().update(_ALIASES)
globals().update(_namespaces["torch"])
