"""`torch._C._nn`: the functions of `nn.functional` that PyTorch has in C++, as they are called in generated code."""

from __future__ import annotations

from typing import Any

from ..nn import functional

log_sigmoid = functional.logsigmoid


def _parse_to(*args: Any, **kwargs: Any) -> tuple[Any, Any, bool, Any]:
    """What the arguments of `Tensor.to` say: device, dtype, `non_blocking` and memory format."""
    from ..core.array.devices import device as device_type
    from ..core.array.dtypes import dtype as dtype_type
    from ..core.tensor.tensor import Tensor

    device, dtype, rest = kwargs.pop("device", None), kwargs.pop("dtype", None), list(args)
    other = rest.pop(0) if rest and isinstance(rest[0], Tensor) else kwargs.pop("other", None)
    if other is not None:
        device, dtype = other.device, other.dtype
    elif rest and isinstance(rest[0], dtype_type):
        dtype = rest.pop(0)
    elif rest and not isinstance(rest[0], bool):
        device = rest.pop(0)
        if rest and not (rest[0] is None or isinstance(rest[0], dtype_type)):
            raise TypeError(
                f"to() received an invalid combination of arguments - got {args}: a dtype follows the device"
            )
        dtype = rest.pop(0) if rest else dtype
    blocking = bool(rest.pop(0) if rest else kwargs.pop("non_blocking", False))
    kwargs.pop("copy", None)
    memory_format = kwargs.pop("memory_format", None)
    if kwargs or len(rest) > 1:
        raise TypeError(f"to() received an invalid combination of arguments - got {args} and {list(kwargs)}")
    return None if device is None else device_type(device), dtype, blocking, memory_format


def __getattr__(name: str) -> Any:
    found = getattr(functional, name, None)
    if found is None or name.startswith("__"):
        raise AttributeError(f"module {__package__}._nn has no attribute {name!r}")
    return found
