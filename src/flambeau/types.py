"""Names for annotations: what is given as a number, a device, a file, a shape."""

from __future__ import annotations

import builtins
import os
from collections.abc import Sequence
from typing import IO, Union

from .core.array import devices, dtypes
from .core.array.formats import layout as _layout  # noqa: F401
from .core.array.size import Size
from .core.tensor.storage import Storage
from .core.tensor.tensor import Tensor

Number = Union[builtins.int, builtins.float, builtins.bool]
Device = Union[devices.device, str, builtins.int, None]
FileLike = Union[str, os.PathLike, IO[bytes]]

_int, _float, _bool = builtins.int, builtins.float, builtins.bool
_complex = builtins.complex
_dtype = dtypes.dtype
_device = devices.device
_size = Union[Size, list[builtins.int], tuple[builtins.int, ...]]
_TensorOrTensors = Union[Tensor, Sequence[Tensor]]

__all__ = ["Device", "FileLike", "Number", "Storage"]
