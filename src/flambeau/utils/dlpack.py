"""Tensors from and to other libraries, under torch's module path."""

from __future__ import annotations

import enum
from typing import Any

from ..core.tensor.tensor import Tensor
from ..ops.making.conversion import from_dlpack


def to_dlpack(tensor: Tensor) -> Any:
    """The tensor as a capsule, which another library's `from_dlpack` takes."""
    return tensor.__dlpack__()


class DLDeviceType(enum.IntEnum):
    """The kinds of devices in DLPack's header (https://dmlc.github.io/dlpack/latest/c_api.html)."""

    kDLCPU = 1
    kDLCUDA = 2
    kDLCUDAHost = 3
    kDLOpenCL = 4
    kDLVulkan = 7
    kDLMetal = 8
    kDLVPI = 9
    kDLROCM = 10
    kDLROCMHost = 11
    kDLExtDev = 12
    kDLCUDAManaged = 13
    kDLOneAPI = 14
    kDLWebGPU = 15
    kDLHexagon = 16
    kDLMAIA = 17


__all__ = ["DLDeviceType", "from_dlpack", "to_dlpack"]
