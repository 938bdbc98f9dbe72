"""`torch.ao.nn.quantized`: of it the modules that compute with floats; the quantized ones are refused by name."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from .._refused import names_of, publish_group, refused
from .modules.functional_modules import FloatFunctional, FXFloatFunctional

__all__ = sorted({*names_of("quantized"), "FloatFunctional", "FXFloatFunctional"})

if not TYPE_CHECKING:
    __getattr__ = functools.partial(refused, "quantized")

for _group in ("quantized", "quantized.dynamic", "quantized.reference"):
    publish_group(_group, __name__)
