"""Sequences and grids: `arange`, `linspace`, `eye`, index triangles, products of coordinates; complex from parts."""

from __future__ import annotations

import builtins
import functools
import math
import operator as python_operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...core.array import devices, dtypes
from ...core.context.generator import COPIED, empty_on_host
from ...core.context.grad_mode import state as grad_state
from ...core.context.normals import fused
from ...core.context.telling import warn
from ...core.context.warned import warn_once
from ...core.dispatch.at_once import made as on_the_host
from ...core.dispatch.call import store
from ...core.dispatch.limits import fitting_number, looks_large
from ...core.dispatch.operator import Array, Static, composite, operator
from ...core.tensor.storage import HostStorage
from ...core.tensor.tensor import Tensor
from .constants import check_options, extent_of
from .creation import deliver, number_of

# --- sequences -------------------------------------------------------------------------------------------------------


_made_before: dict[Any, np.ndarray] = {}
_FEW_BYTES, _MANY = 1 << 15, 256  # of a sequence that is kept, and how many are


def _remembered(function: Any) -> Any:
    """A maker of sequences that keeps what it has made of the same numbers, if nothing but a dtype is told besides."""

    @functools.wraps(function)
    def make(*args: Any, **options: Any) -> Tensor:
        key = _key_of(function, args, options)
        if key is None:
            return function(*args, **options)  # type: ignore[no-any-return]
        values = _made_before.get(key)
        if values is not None:
            return on_the_host(values.copy())
        made = function(*args, **options)
        storage = made._storage
        new = storage.host if type(storage) is HostStorage else None
        if new is not None and new.nbytes <= _FEW_BYTES:
            if len(_made_before) >= _MANY:
                _made_before.clear()
            _made_before[key] = new.copy()
        return made  # type: ignore[no-any-return]

    return make


def _key_of(function: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """What tells what is made; None where that is no plain call."""
    if (
        grad_state.around
        or grad_state.trace is not None
        or grad_state.transforms
        or devices.get_default_device() is not devices.CPU
    ):
        return None
    if options and (len(options) > 1 or type(options.get("dtype")) is not dtypes.dtype):
        return None
    kinds = tuple(map(type, args))
    for value, kind in zip(args, kinds, strict=True):
        if kind is not int and (kind is not float or value == 0):  # there are two zeros
            return None
    return function, args, kinds, options.get("dtype"), dtypes.get_default_dtype()


@composite(methods=False)
@_remembered
def arange(
    *args: Any, start: Any = None, end: Any = None, step: Any = None, out: Tensor | None = None, dtype: Any = None,
    layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """The numbers from `start` (0) up to but without `end`, by `step` (1): `arange(end)`, `arange(start, end, step)`.

    int64 if all are integers, else the default dtype.
    """
    check_options("arange", layout, pin_memory)
    if not 0 <= len(args) <= 3 or (not args and end is None):
        raise TypeError(f"arange() takes (end) or (start, end, step=1), got {len(args)} positional arguments")
    given = {"start": start, "end": end, "step": step}
    names = ("start", "end", "step") if len(args) > 1 or (len(args) == 1 and end is not None) else ("end",)
    for name, value in zip(names, args, strict=False):
        if given[name] is not None:
            raise TypeError(f"arange() got multiple values for argument '{name}'")
        given[name] = value
    low, high, by = (
        number_of("arange", name, default if given[name] is None else given[name])
        for name, default in (("start", 0), ("end", None), ("step", 1))
    )
    if builtins.complex in (type(low), type(high), type(by)):
        value = next(v for v in (low, high, by) if isinstance(v, builtins.complex))
        raise RuntimeError(f"value cannot be converted to type double without overflow: {value}")
    _check_range(low, high, by)
    whole = type(low) is type(high) is type(by) is int or all(isinstance(v, int) for v in (low, high, by))
    default = dtypes.int64 if whole else dtypes.get_default_dtype()
    if isinstance(dtype, dtypes.dtype) and (dtype in dtypes.NARROW or dtype.category == dtypes.COMPLEX):
        raise NotImplementedError(
            f"\"arange_cpu\" not implemented for '{dtype.abbr}' (make it in torch.float32 and convert it)"
        )
    fill = lambda target: _steps(low, high, by, target)  # noqa: E731
    before = None if out is None else tuple(out.shape)
    made = deliver(fill, default, dtype, device, requires_grad, out)
    if before is not None and math.prod(before) not in (0, made.numel()):
        warn_once(
            f"The number of elements in the out tensor of shape {list(before)} is {math.prod(before)} which does not match the computed "
            f"number of elements {made.numel()}: it has been resized"
        )
    return made


def _check_range(low: Any, high: Any, by: Any) -> None:
    if by == 0 or by != by:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"unsupported range: {low} -> {high}")
    if (high - low) * by < 0:
        raise RuntimeError(
            f"upper bound and lower bound inconsistent with step sign: start={low}, end={high}, step={by}"
        )


def _steps(low: Any, high: Any, by: Any, target: np.dtype) -> np.ndarray:
    if target.kind in "iu" or target == dtypes.bfloat16.numpy:
        _refuse_beyond(np.dtype(np.int64 if target.kind in "iu" else np.float32), low, high, by)
    if target.kind == "b":
        raise NotImplementedError("\"arange_cpu\" not implemented for 'Bool'")
    if target.kind in "iu":
        low, high, by = int(low), int(high), int(by)
        _check_range(low, high, by)
        count = -(-(high - low) // by)
        values = np.arange(count, dtype=np.int64)
        if by != 1:
            values *= np.int64(by)
        if low:
            values += np.int64(low)
        return _aligned(values, target)
    n = math.ceil((high - low) / by)
    # PyTorch's vectors of 32 bytes, two at a time: each starts anew from a rounded double. What is left over has no vectors
    lanes = 32 // target.itemsize if target.kind == "f" or target.itemsize == 2 else 1
    at = np.arange(n, dtype=np.float64)
    made = empty_on_host((n,), target)
    whole = n - n % (2 * lanes)
    with np.errstate(over="ignore", invalid="ignore"):  # what is beyond the dtype is infinite
        made[whole:] = _line(at[whole:], by, np.float64(low))
        if whole:
            starts = _line(at[:whole:lanes], by, np.float64(low)).astype(target).astype(np.float64)[:, None]
            lines = _line(at[:lanes], by, starts)
            made[:whole] = np.where(np.isinf(starts), starts, lines).astype(target).reshape(-1)
    return made


def _line(at: np.ndarray, by: Any, start: Any) -> np.ndarray:
    """`at * by + start`, rounded once, for whole numbers `at` in order; for the largest numbers in parts of them, as `fused` needs room."""
    if float(np.float32(by)) == float(by) and (not at.size or max(at[0], at[-1]) < 2**29):
        return at * np.float64(by) + start  # the product is exact
    part = 2.0**-64 if np.max(np.abs(start)) > 1e280 or abs(by) > 1e280 else 1.0
    return fused(at, np.float64(by) * part, start * part) / part


def _aligned(values: np.ndarray, target: np.dtype) -> np.ndarray:
    """The values, which nobody else holds, as JAX can keep them."""
    if values.dtype == target and values.nbytes < COPIED:
        return values
    made = empty_on_host(values.shape, target)
    made[...] = values
    return made


@composite(methods=False)
def range(
    start: Any = 0, end: Any = None, step: Any = 1, *, out: Tensor | None = None, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Deprecated: `arange` with its end included, always in a floating dtype unless told otherwise. TypeError without an end."""
    check_options("range", layout)
    if end is None:
        raise TypeError('range() missing 1 required positional arguments: "end"')
    warn(
        "torch.range is deprecated and will be removed in a future release because its behavior is inconsistent with "
        "Python's range builtin. Instead, use torch.arange, which produces values in [start, end)."
    )
    low, high, by = number_of("range", "start", start), number_of("range", "end", end), number_of("range", "step", step)
    _check_range(low, high, by)
    n = math.floor((high - low) / by) + 1
    fill = lambda target: _aligned(low + np.arange(n) * by, target)  # noqa: E731
    return deliver(fill, None, dtype, device, requires_grad, out)


def _count(name: str, steps: Any) -> int:
    try:
        n = python_operator.index(steps)
    except TypeError:
        raise TypeError(f"{name}(): argument 'steps' must be int, not {type(steps).__name__}") from None
    if n < 0:
        raise RuntimeError(f"number of steps must be non-negative, got {n}")
    return n


def _ends(name: str, start: Any, end: Any) -> tuple[Any, Any]:
    """The numbers that the ends are, or tensors of them where a trace holds the values back."""
    ranks = {k: v.ndim for k, v in (("start", start), ("end", end)) if isinstance(v, Tensor)}
    if any(ranks.values()):
        got = " and ".join(f"{label} with {rank} dimension(s)" for label, rank in ranks.items())
        raise RuntimeError(f"{name} only supports 0-dimensional start and end tensors, but got {got}.")
    if any(isinstance(v, Tensor) and isinstance(v._array, jax.core.Tracer) for v in (start, end)):
        return tuple(v if isinstance(v, Tensor) else number_of(name, "end", v) for v in (start, end))  # type: ignore[return-value]
    return number_of(name, "start", start), number_of(name, "end", end)


@operator(methods=False, public=())
def _between(start: Array, end: Array, steps: int, base: Static[float | None], dtype: Any) -> Array:
    """What `linspace`, and `logspace` to a base, give between ends whose values nobody knows yet. It has no slopes."""
    target = np.dtype(dtype)
    exact = np.dtype(builtins.complex if target.kind == "c" else float)
    low, high = (jax.lax.stop_gradient(v) for v in (start, end))
    if target.kind in "iu":
        low, high = jnp.trunc(low), jnp.trunc(high)
    elif base is None:
        low, high = low.astype(target), high.astype(target)
    step = (high - low) / max(steps - 1, 1)
    low, high, step = (v.astype(exact) for v in (low, high, step))
    at = np.arange(steps)
    values = jnp.where(at < max(steps // 2, 1), low + step * at, high - step * (steps - 1 - at))
    values = values if base is None else jnp.power(jnp.asarray(base, exact), values)
    return (jnp.trunc(values) if target.kind in "iu" else values).astype(target)


def _held_back(ends: tuple[Any, Any], steps: int, base: float | None, options: tuple[Any, ...]) -> Tensor | None:
    """The result for ends whose values a trace holds back; None for others."""
    dtype, device, requires_grad, out = options
    if not any(isinstance(v, Tensor) for v in ends):
        return None
    target = dtypes.as_dtype(dtype) or (out.dtype if out is not None else None)
    if target is None:
        inexact = any(v.is_complex() if isinstance(v, Tensor) else isinstance(v, builtins.complex) for v in ends)
        target = dtypes.default_complex() if inexact else dtypes.get_default_dtype()
    made = _between(*ends, steps, base, target)
    if out is not None:
        store(out, made)
        return out
    return (made if device is None else made.to(device)).requires_grad_(requires_grad)


def _refuse_bools(name: str, dtype: Any, n: int) -> None:
    if dtype in (dtypes.bool, bool) and n > 1:
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for 'Bool'")


def evenly(a: Any, b: Any, n: int, target: np.dtype) -> np.ndarray:
    """`n` values from a to b: the first half counted from a, the second from b."""
    if n <= 1:
        return _aligned(np.full(n, a), target)
    gaps, half = n - 1, n // 2
    if target.kind == "f" and target.itemsize > 2:
        first, last = (np.float64(target.type(v)) for v in (a, b))
        gap = np.float64(target.type(target.type(last - first) / target.type(gaps)))
        at, made = np.arange(n - half, dtype=np.float64), empty_on_host((n,), target)
        made[:half] = _line(at[:half], gap, first)
        made[half:] = _line(at[::-1], -gap, last)
        return made
    at = np.arange(n, dtype=np.float64)
    back = gaps - at
    front = at < half
    if target.kind == "c":
        step = (b - a) / gaps
        return _aligned(np.where(front, a + step * at, b - step * back), target)
    if target.kind in "iu":
        return _aligned(np.trunc(evenly(int(a), int(b), n, np.dtype(float))), target)
    low, high = (np.asarray(v, np.float64).astype(target)[()] for v in (a, b))
    step = ((high - low) / target.type(gaps)).astype(target)
    at, back = at.astype(target), back.astype(target)  # every operation on 16-bit floats is rounded
    return _aligned(np.where(front, low + step * at, high - step * back), target)


def _number_default(*values: Any) -> dtypes.dtype:
    return (
        dtypes.default_complex() if any(isinstance(v, builtins.complex) for v in values) else dtypes.get_default_dtype()
    )


def _refuse_beyond(target: np.dtype, *ends: Any) -> None:
    for end in filter(looks_large, ends):
        fitting_number(end, target)


@composite(methods=False)
@_remembered
def linspace(
    start: Any, end: Any, steps: Any, *, out: Tensor | None = None, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """`steps` numbers evenly spaced from `start` to `end`, both included."""
    check_options("linspace", layout, pin_memory)
    (a, b), n = _ends("linspace", start, end), _count("linspace", steps)
    _refuse_bools("linspace", dtype, n)
    if (made := _held_back((a, b), n, None, (dtype, device, requires_grad, out))) is not None:
        return made

    def fill(target: np.dtype) -> np.ndarray:
        _refuse_beyond(target, a, b)
        return evenly(a, b, n, target)

    return deliver(fill, _number_default(a, b), dtype, device, requires_grad, out)


@composite(methods=False)
def logspace(
    start: Any, end: Any, steps: Any, base: float = 10.0, *, out: Tensor | None = None, dtype: Any = None,
    layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """`base` to the power of `steps` numbers evenly spaced from `start` to `end`."""
    check_options("logspace", layout, pin_memory)
    (a, b), n = _ends("logspace", start, end), _count("logspace", steps)
    _refuse_bools("logspace", dtype, n)
    if (made := _held_back((a, b), n, float(base), (dtype, device, requires_grad, out))) is not None:
        return made

    def fill(target: np.dtype) -> np.ndarray:
        _refuse_beyond(target, a, b)
        low, high = (int(a), int(b)) if target.kind in "iu" else (a, b)
        exponents = evenly(low, high, n, np.dtype(builtins.complex if target.kind == "c" else float))
        with np.errstate(invalid="ignore", over="ignore"):
            values = np.power(np.asarray(base, exponents.dtype), exponents)
            return _aligned(np.trunc(values) if target.kind in "iu" else values, target)

    return deliver(fill, _number_default(a, b), dtype, device, requires_grad, out)


# --- matrices --------------------------------------------------------------------------------------------------------


@composite(methods=False)
def eye(
    n: int, m: int | None = None, *, out: Tensor | None = None, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """An n by m matrix (m is n if not given) with ones on the diagonal and zeros elsewhere."""
    check_options("eye", layout, pin_memory)
    rows = extent_of("eye", "n", n)
    columns = rows if m is None else extent_of("eye", "m", m)
    for name, extent in (("n", rows), ("m", columns)):
        if extent < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {extent}")
    return deliver(lambda t: _aligned(np.eye(rows, columns, dtype=t), t), None, dtype, device, requires_grad, out)


def _triangle(name: str, row: Any, col: Any, offset: int, dtype: Any, device: Any, upper: bool) -> Tensor:
    rows, columns = extent_of(name, "row", row), extent_of(name, "col", col)
    for label, extent in (("row", rows), ("col", columns)):
        if extent < 0:
            raise RuntimeError(f"{label} must be non-negative, got {extent}")
    target = dtypes.as_dtype(dtype) or dtypes.int64
    if target not in (dtypes.int64, dtypes.int32):
        raise NotImplementedError(f"\"{name}\" not implemented for '{target.abbr}'")
    i, j = np.ogrid[:rows, :columns]
    inside = j - i >= offset if upper else j - i <= offset
    return deliver(lambda t: np.stack(np.nonzero(inside)).astype(t), target, None, device)


@composite(methods=False)
def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None, layout: Any = None
) -> Tensor:
    """The indices (2, count) of the elements on and below a diagonal of a row by col matrix, row by row."""
    check_options("tril_indices", layout)
    return _triangle("tril_indices", row, col, offset, dtype, device, upper=False)


@composite(methods=False)
def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None, layout: Any = None
) -> Tensor:
    """The indices (2, count) of the elements on and above a diagonal of a row by col matrix, row by row."""
    check_options("triu_indices", layout)
    return _triangle("triu_indices", row, col, offset, dtype, device, upper=True)


# --- grids -----------------------------------------------------------------------------------------------------------


def members_of(tensors: tuple[Any, ...]) -> list[Any]:
    members = list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else list(tensors)
    for position, member in enumerate(members):
        if not isinstance(member, Tensor):
            raise TypeError(f"expected Tensor as element {position} in argument 0, but got {type(member).__name__}")
    if not members:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for what in ("dtype", "device"):
        if len(kinds := {str(getattr(m, what)): m for m in members}) > 1:
            raise RuntimeError(f"meshgrid expects all tensors to have the same {what} (they have {', '.join(kinds)})")
    return members


@composite(methods=False, in_python=True)
def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Coordinate grids of 1-dim tensors: grid k varies along dimension k (`"ij"`, the default) as tensor k does.

    With `indexing="xy"` the first two dimensions change places. The grids are expanded views.
    """
    if indexing is None:
        warn_once("torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument.")
    members = members_of(tensors)
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    for member in members:
        if member.ndim > 1:
            raise RuntimeError(
                f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got one of shape {list(member.shape)}"
            )
    swap = indexing == "xy" and len(members) >= 2
    if swap:
        members[0], members[1] = members[1], members[0]
    shape = [m.shape[0] if m.ndim else 1 for m in members]
    grids = [
        member.reshape([n if d == k else 1 for d, n in enumerate(shape)]).expand(shape)
        for k, member in enumerate(members)
    ]
    if swap:
        grids = [g.transpose(0, 1) for g in grids]
        shape[0], shape[1] = shape[1], shape[0]
        grids[0], grids[1] = grids[1], grids[0]
        grids = [g.transpose(0, 1) for g in grids]
    return tuple(grids)


# --- complex numbers from parts --------------------------------------------------------------------------------------


def _check_parts(a: jax.Array, b: jax.Array) -> None:
    kinds = [dtypes.from_numpy(x.dtype) for x in (a, b)]
    for kind in kinds:
        if kind not in (dtypes.float32, dtypes.float64):
            raise RuntimeError(
                f"Expected both inputs to be Half, Float or Double tensors but got {kinds[0].abbr} and {kinds[1].abbr}"
            )
    if kinds[0] is not kinds[1]:
        raise RuntimeError(
            f"Expected object of scalar type {kinds[0].abbr} but got scalar type {kinds[1].abbr} for second argument"
        )


@operator(methods=False)
def complex(real: Array, imag: Array) -> Array:
    """The complex numbers with these real and imaginary parts (both float32 or both float64)."""
    _check_parts(real, imag)
    shape = jnp.broadcast_shapes(real.shape, imag.shape)
    return jax.lax.complex(jnp.broadcast_to(real, shape), jnp.broadcast_to(imag, shape))


@operator(methods=False, autocast={"cpu": "float32"})
def polar(abs: Array, angle: Array) -> Array:
    """The complex numbers with these absolute values and angles."""
    if abs.dtype == angle.dtype == np.float16:
        raise NotImplementedError("\"polar_cpu\" not implemented for 'Half' (cast both to torch.float32)")
    _check_parts(abs, angle)
    shape = jnp.broadcast_shapes(abs.shape, angle.shape)
    return jax.lax.complex(jnp.broadcast_to(abs * jnp.cos(angle), shape), jnp.broadcast_to(abs * jnp.sin(angle), shape))
