"""Comparing tensors in tests, and making samples: `torch.testing`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ..core.array import dtypes
from ..core.tensor.tensor import Tensor, wrap
from ._file_check import FileCheck

# default (rtol, atol) by dtype: https://docs.pytorch.org/docs/stable/testing.html
_TOLERANCES = {
    dtypes.float16: (1e-3, 1e-5),
    dtypes.bfloat16: (1.6e-2, 1e-5),
    dtypes.float32: (1.3e-6, 1e-5),
    dtypes.float64: (1e-7, 1e-7),
    dtypes.complex64: (1.3e-6, 1e-5),
    dtypes.complex128: (1e-7, 1e-7),
}


def _tolerances(actual: Tensor, expected: Tensor) -> tuple[float, float]:
    pairs = [_TOLERANCES.get(t.dtype, (0.0, 0.0)) for t in (actual, expected)]
    return max(p[0] for p in pairs), max(p[1] for p in pairs)


def _as_tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else wrap(jax.device_put(np.array(value)))


def _fail(message: str, where: str, msg: Any) -> None:
    text = f"{message}{where and f' (at {where})'}"
    raise AssertionError(msg(text) if callable(msg) else msg or text)


class _Comparison(NamedTuple):
    """What two values are compared by."""

    rtol: float | None
    atol: float | None
    equal_nan: bool
    check_device: bool
    check_dtype: bool
    check_stride: bool
    msg: Any

    def compare(self, a: Any, e: Any, where: str = "") -> None:
        """AssertionError unless the values are close, item by item; `where` says which item."""
        if isinstance(e, Mapping):
            if not isinstance(a, Mapping) or set(a) != set(e):
                _fail("The keys of the mappings do not match", where, self.msg)
            for key in e:
                self.compare(a[key], e[key], f"{where}[{key!r}]")
        elif isinstance(e, Sequence) and not isinstance(e, str):
            if not isinstance(a, Sequence) or len(a) != len(e):
                _fail("The length of the sequences mismatch", where, self.msg)
            for i, (x, y) in enumerate(zip(a, e, strict=True)):
                self.compare(x, y, f"{where}[{i}]")
        else:
            numbers = not isinstance(a, Tensor) and not isinstance(e, Tensor)
            self._compare_attributes(_as_tensor(a), _as_tensor(e), where, numbers)
            self._compare_values(_as_tensor(a), _as_tensor(e), where, numbers)

    def _compare_attributes(self, a: Tensor, e: Tensor, where: str, numbers: bool) -> None:
        if a.shape != e.shape:
            _fail(f"The values for attribute 'shape' do not match: {a.shape} != {e.shape}.", where, self.msg)
        if self.check_device and a.device != e.device:
            _fail(f"The values for attribute 'device' do not match: {a.device} != {e.device}.", where, self.msg)
        if self.check_dtype and not numbers and a.dtype is not e.dtype:
            _fail(f"The values for attribute 'dtype' do not match: {a.dtype} != {e.dtype}.", where, self.msg)
        if self.check_stride and a.stride() != e.stride():
            _fail(f"The values for attribute 'stride()' do not match: {a.stride()} != {e.stride()}.", where, self.msg)

    def _compare_values(self, a: Tensor, e: Tensor, where: str, numbers: bool) -> None:
        if a.is_meta and e.is_meta:  # type: ignore[attr-defined]
            return
        relative, absolute = self.rtol, self.atol
        if relative is None or absolute is None:
            relative, absolute = _tolerances(a, e)
        wide = np.complex128 if a.dtype.is_complex or e.dtype.is_complex else np.float64
        if a.dtype.category <= dtypes.INTEGER and e.dtype.category <= dtypes.INTEGER:
            wide = np.int64  # type: ignore[assignment]
        x, y = (np.asarray(t.detach()._array).astype(wide) for t in (a, e))
        close = np.isclose(x, y, rtol=relative, atol=absolute, equal_nan=self.equal_nan)
        if close.all():
            return
        wrong = ~close
        difference = np.abs(np.where(wrong, x - y, 0))
        index = tuple(int(i) for i in np.unravel_index(np.nanargmax(difference), difference.shape))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.abs(np.where(wrong, (x - y) / y, 0))
        at = "" if not index else f" at index {index}"
        kind = "Scalars" if numbers else "Tensor-likes"
        exact = "equal" if relative == absolute == 0 else "close"
        _fail(
            f"{kind} are not {exact}!\n\nMismatched elements: {wrong.sum()} / {wrong.size} ({wrong.mean():.1%})\n"
            f"Greatest absolute difference: {np.nanmax(difference)}{at} (up to {absolute} allowed)\n"
            f"Greatest relative difference: {np.nanmax(ratio)}{at} (up to {relative} allowed)",
            where,
            self.msg,
        )


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """AssertionError unless `|actual - expected| <= atol + rtol * |expected|` everywhere.

    Sequences and mappings are compared item by item. The tolerances default to the dtype's.
    """
    if (rtol is None) != (atol is None):
        raise ValueError(f"rtol and atol must both be given or both be left out, got rtol={rtol}, atol={atol}")
    _Comparison(rtol, atol, equal_nan, check_device, check_dtype, check_stride, msg).compare(actual, expected)


def assert_allclose(
    actual: Any, expected: Any, rtol: float | None = None, atol: float | None = None, **options: Any
) -> None:
    """The old name of `assert_close`, without its check of dtypes."""
    options = {"equal_nan": True, "check_dtype": False, **options}
    assert_close(_as_tensor(actual), _as_tensor(expected), rtol=rtol, atol=atol, **options)


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
