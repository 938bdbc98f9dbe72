"""Comparing tensors in tests, and making samples: `torch.testing`."""

from __future__ import annotations

import math
from typing import Any

from ..core.array import dtypes
from ..core.context.warned import warn
from ..core.tensor.tensor import Tensor
from ._comparison import as_tensor, assert_close
from ._file_check import FileCheck

# relative and absolute, of `assert_allclose`; all other dtypes have to be equal
_OLD_TOLERANCES = {dtypes.float16: (1e-3, 1e-3), dtypes.float32: (1e-4, 1e-5), dtypes.float64: (1e-5, 1e-8)}


def assert_allclose(
    actual: Any, expected: Any, rtol: float | None = None, atol: float | None = None, **options: Any
) -> None:
    """The old name of `assert_close`, without its check of dtypes."""
    warn(
        "`torch.testing.assert_allclose()` is deprecated since 1.12 and will be removed in a future release. "
        "Please use `torch.testing.assert_close()` instead.",
        FutureWarning,
    )
    options = {"equal_nan": True, "check_dtype": False, **options}
    actual, expected = as_tensor(actual), as_tensor(expected)
    if rtol is None and atol is None:
        rtol, atol = map(max, zip(*(_OLD_TOLERANCES.get(t.dtype, (0.0, 0.0)) for t in (actual, expected)), strict=True))
    assert_close(actual, expected, rtol=rtol, atol=atol, **options)


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
    """A tensor of random values from `low` (by default -9, or the least that the dtype has) up to `high` (9), from the default
    generator: those that PyTorch draws.
    """
    from ..ops.making.creation import empty
    from ..ops.random.factories import randint
    from ..ops.shape.complex_parts import view_as_real

    size = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
    wide = (*size[:-1], size[-1] * 2) if noncontiguous and math.prod(size) > 1 else size
    if dtype is dtypes.bool:
        low, high = (0 if low is None else low), (2 if high is None else high)
    elif dtype.category == dtypes.INTEGER:
        unsigned = not dtype.is_signed
        low, high = ((0 if unsigned else -9) if low is None else low), (10 if high is None else high)
    if low is not None and high is not None and low >= high:
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    if requires_grad and dtype.category <= dtypes.INTEGER:
        raise ValueError(
            f"`requires_grad=True` is not supported for boolean and integral dtypes, but got dtype={dtype}"
        )
    if dtype.category <= dtypes.INTEGER:
        made = randint(math.ceil(low), math.ceil(high), wide).to(dtype)  # type: ignore[arg-type]
    else:
        made = empty(wide, dtype=dtype)
        (view_as_real(made) if dtype.is_complex else made).uniform_(
            -9 if low is None else low, 9 if high is None else high
        )
    if wide != size:
        made = made[..., 1::2]
    if exclude_zero:
        made[made == 0] = 1 if dtype.category <= dtypes.INTEGER else dtypes.finfo(dtype).tiny
    if memory_format is not None:
        made = made.clone(memory_format=memory_format)
    made = made.to(device=device)
    return made.requires_grad_() if requires_grad else made


__all__ = ["FileCheck", "assert_allclose", "assert_close", "make_tensor"]
