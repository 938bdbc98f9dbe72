"""Comparing tensors in tests, and making samples: `torch.testing`."""

from __future__ import annotations

from typing import Any

from ..core.array import dtypes
from ..core.tensor.tensor import Tensor
from ._comparison import as_tensor, assert_close
from ._file_check import FileCheck


def assert_allclose(
    actual: Any, expected: Any, rtol: float | None = None, atol: float | None = None, **options: Any
) -> None:
    """The old name of `assert_close`, without its check of dtypes."""
    options = {"equal_nan": True, "check_dtype": False, **options}
    assert_close(as_tensor(actual), as_tensor(expected), rtol=rtol, atol=atol, **options)


def make_tensor(
    *shape: Any,
    dtype: dtypes.dtype,
    device: Any = None,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """A tensor of random values between `low` and `high` (by default -9 to 9; 0 to 9 for uint8), from the default generator."""
    from ..ops.making.ranges import complex as from_parts
    from ..ops.random.factories import rand, randint

    size = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
    low = (0 if dtype is dtypes.uint8 else -9) if low is None else low
    high = 9 if high is None else high
    wide = (*size[:-1], size[-1] * 2) if noncontiguous and size else size
    if dtype is dtypes.bool:
        made = randint(0, 2, wide).to(dtype)
    elif dtype.category == dtypes.INTEGER:
        made = randint(int(low), int(high) + 1, wide).to(dtype)
    elif dtype.is_complex:
        parts = [rand(wide, dtype=dtype.to_real()) * (high - low) + low for _ in range(2)]
        made = from_parts(*parts)
    else:
        made = (rand(wide, dtype=dtypes.float64) * (high - low) + low).to(dtype)
    if noncontiguous and size:
        made = made[..., ::2]
    if exclude_zero:
        made[made == 0] = 1
    made = made.to(device=device)
    return made.requires_grad_() if requires_grad else made


__all__ = ["FileCheck", "assert_allclose", "assert_close", "make_tensor"]
