"""`torch.utils.backend_registration`: refused. A device comes from a plugin of JAX (PJRT), under its own name."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["generate_methods_for_privateuse1_backend", "rename_privateuse1_backend"]

_privateuse1_backend_name = "privateuseone"


def _refused(name: str) -> NoReturn:
    raise NotImplementedError(
        f"{name}: devices come from JAX's plugins (PJRT) here, not from C++ code registered with PyTorch"
    )


def rename_privateuse1_backend(backend_name: str) -> NoReturn:
    """Refused with NotImplementedError."""
    _refused("rename_privateuse1_backend")


def generate_methods_for_privateuse1_backend(
    for_tensor: bool = True,
    for_module: bool = True,
    for_packed_sequence: bool = True,
    for_storage: bool = False,
    unsupported_dtype: Any = None,
) -> NoReturn:
    """Refused with NotImplementedError."""
    _refused("generate_methods_for_privateuse1_backend")
