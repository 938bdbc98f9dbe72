"""Layers by files, as PyTorch has them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from ..._refused import names_of, refused
from .functional_modules import FloatFunctional, FXFloatFunctional

__all__ = sorted({*names_of("quantized"), "FloatFunctional", "FXFloatFunctional"})

if not TYPE_CHECKING:
    __getattr__ = functools.partial(refused, "quantized")
