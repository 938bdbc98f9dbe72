"""`torch.ao.quantization`: observers, rounding while training, stubs and the joining of layers. All else is refused by name; the names
are there, so that packages that mention one can be imported.

Quantized tensors and kernels are not here: a model is prepared and trained with rounded values, and `convert` refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._parts import publish
from . import fake_quantize as _fake_quantize
from . import observer as _observer
from . import qconfig as _qconfig
from . import quantization_mappings as _mappings
from . import quantize as _quantize
from ._parts import PARTS, PUBLIC
from ._refused import refused
from .fake_quantize import *
from .fuse_modules import fuse_modules, fuse_modules_qat
from .fuser_method_mappings import (
    fuse_conv_bn,
    fuse_conv_bn_relu,
    fuse_convtranspose_bn,
    fuse_linear_bn,
    get_fuser_method,
    get_fuser_method_new,
)
from .observer import *
from .qconfig import *
from .quantization_mappings import *
from .quantize import *
from .stubs import DeQuantStub, QuantStub, QuantWrapper

__all__ = list(PUBLIC)
quantize = refused("quantize")  # the function comes before the file of that name

if not TYPE_CHECKING:
    __getattr__ = refused

publish(__name__, PARTS, refused)
