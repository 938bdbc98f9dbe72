"""`torch.utils.mobile_optimizer`: refused. It rewrites TorchScript programs for PyTorch's mobile runtime."""

from __future__ import annotations

import enum
from typing import Any, NoReturn

__all__ = ["LintCode", "MobileOptimizerType", "generate_mobile_module_lints", "optimize_for_mobile"]


class LintCode(enum.Enum):
    """What PyTorch's lints find."""

    BUNDLED_INPUT = 1
    REQUIRES_GRAD = 2
    DROPOUT = 3
    BATCHNORM = 4


class MobileOptimizerType(enum.Enum):
    """What PyTorch's optimizer can leave out."""

    CONV_BN_FUSION = 0
    INSERT_FOLD_PREPACK_OPS = 1
    REMOVE_DROPOUT = 2
    FUSE_ADD_RELU = 3
    HOIST_CONV_PACKED_PARAMS = 4
    CONV_1D_TO_2D = 5
    VULKAN_AUTOMATIC_GPU_TRANSFER = 6


def _refused(name: str) -> NoReturn:
    raise NotImplementedError(
        f"{name}: TorchScript's mobile runtime is not here; write the program with torch.export or ONNX"
    )


def optimize_for_mobile(script_module: Any, *args: Any, **kwargs: Any) -> NoReturn:
    """Refused with NotImplementedError."""
    _refused("optimize_for_mobile")


def generate_mobile_module_lints(script_module: Any) -> NoReturn:
    """Refused with NotImplementedError."""
    _refused("generate_mobile_module_lints")
