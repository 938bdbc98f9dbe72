"""`torch.ao.quantization`: stubs and the joining of layers. All else is refused by name; the names are there, so that packages that
mention one can be imported.

Quantized tensors and kernels are not here; `torch.fake_quantize_per_tensor_affine` computes with rounded values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._parts import publish
from ._parts import PARTS, PUBLIC
from ._refused import refused
from .fuse_modules import fuse_modules, fuse_modules_qat
from .fuser_method_mappings import (
    fuse_conv_bn,
    fuse_conv_bn_relu,
    fuse_convtranspose_bn,
    fuse_linear_bn,
    get_fuser_method,
    get_fuser_method_new,
)
from .stubs import DeQuantStub, QuantStub, QuantWrapper

__all__ = list(PUBLIC)

if not TYPE_CHECKING:
    __getattr__ = refused

publish(__name__, PARTS, refused)
