"""The printed form of tensors, character for character PyTorch's, from NumPy arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from flambeau.core.array import dtypes


@dataclass(frozen=True)
class PrintOptions:
    """What `set_printoptions` sets."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


PROFILES = {
    "default": PrintOptions(),
    "short": PrintOptions(precision=2, edgeitems=2),
    "full": PrintOptions(threshold=math.inf),
}

_options = PROFILES["default"]


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Say how tensors are printed from now on.

    A `profile` ('default', 'short' or 'full') is taken first and the other arguments change it. What is not given
    stays as it is, but for `sci_mode`, which every call sets: None lets the values decide.
    """
    global _options
    given: dict[str, Any] = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    base = PROFILES.get(profile, _options) if profile is not None else _options
    _options = replace(base, sci_mode=sci_mode, **{k: v for k, v in given.items() if v is not None})


def get_printoptions() -> dict[str, Any]:
    """The options in force, as keyword arguments for `set_printoptions`."""
    return asdict(_options)


@contextmanager
def printoptions(**kwargs: Any) -> Iterator[None]:
    """`set_printoptions(**kwargs)` for the length of a `with` block."""
    global _options
    before = _options
    set_printoptions(**kwargs)
    try:
        yield
    finally:
        _options = before


# --- one element -----------------------------------------------------------------------------------------------------
# A formatter is a function from a Python number to its text, and the width that a column of such texts has.

Formatter = Callable[[Any], str]


def _float_formatter(values: np.ndarray) -> tuple[Formatter, int]:
    """One style for all values: whole numbers ('1.'), fixed point, or scientific if the range asks for it.

    Only finite values other than zero decide; NaN and infinity never widen a column.
    """
    options = _options
    precision = options.precision
    wide = values.astype(np.float64)
    deciding = wide[np.isfinite(wide) & (wide != 0)]
    size = np.abs(deciding)
    whole = bool((np.ceil(deciding) == deciding).all())
    scientific = False
    if size.size:
        least, most = size.min(), size.max()
        with np.errstate(over="ignore"):
            scientific = bool(most / least > 1000 or most > 1e8 or (not whole and least < 1e-4))
        if options.sci_mode is not None:
            scientific = options.sci_mode

    def text(value: float) -> str:
        if scientific:
            return format(value, f".{precision}e")
        if whole:
            return format(value, ".0f") + ("." if math.isfinite(value) else "")
        return format(value, f".{precision}f")

    width = max((len(text(v)) for v in deciding.tolist()), default=1)
    return (lambda value: text(value).rjust(width)), width


def _plain_formatter(values: np.ndarray) -> tuple[Formatter, int]:
    """Integers and booleans."""
    width = max((len(str(v)) for v in values.ravel().tolist()), default=1)
    return (lambda value: str(value).rjust(width)), width


def _complex_formatter(values: np.ndarray) -> tuple[Formatter, int]:
    """Each part has a style of its own; the imaginary one is not padded."""
    real, real_width = _float_formatter(values.real)
    imaginary, imaginary_width = _float_formatter(values.imag)

    def text(value: complex) -> str:
        part = imaginary(value.imag).lstrip()
        return real(value.real) + ("" if part.startswith("-") else "+") + part + "j"

    return text, real_width + imaginary_width + 1


def _formatter(values: np.ndarray, dtype: dtypes.dtype) -> tuple[Formatter, int]:
    if dtype.is_complex:
        return _complex_formatter(values)
    if dtype.is_floating_point:
        return _float_formatter(values)
    return _plain_formatter(values)


# --- the body --------------------------------------------------------------------------------------------------------


def _edges(array: np.ndarray) -> np.ndarray:
    """The corners that a summary shows: the first and last `edgeitems` along every long dimension."""
    edge = _options.edgeitems
    for dim, length in enumerate(array.shape):
        if length > 2 * edge:
            ends = (slice(0, edge), slice(length - edge, length))
            lead = (slice(None),) * dim
            array = np.concatenate([array[(*lead, end)] for end in ends], axis=dim)
    return array


def _vector(texts: list[str], cut: bool, width: int, indent: int) -> str:
    if cut:
        half = len(texts) // 2
        texts = [*texts[:half], " ...", *texts[half:]]
    per_line = max(1, (_options.linewidth - indent) // (width + 2)) if _options.linewidth else len(texts)
    lines = [", ".join(texts[i : i + per_line]) for i in range(0, len(texts), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _body(shown: np.ndarray, cut: tuple[bool, ...], text: Formatter, width: int, indent: int) -> str:
    """`shown` in nested brackets; `cut` says in which dimensions items were left out."""
    if shown.ndim == 0:
        return text(shown.item())
    if shown.ndim == 1:
        return _vector([text(v) for v in shown.tolist()], cut[0], width, indent)
    rows = [_body(row, cut[1:], text, width, indent + 1) for row in shown]
    if cut[0]:
        rows.insert(len(rows) // 2, "...")
    return "[" + ("," + "\n" * (shown.ndim - 1) + " " * (indent + 1)).join(rows) + "]"


def with_suffixes(body: str, suffixes: list[str], indent: int, anew: bool = False) -> str:
    """Append ', suffix' for each, on a new line where the last one would grow beyond the line width.

    The first one begins a new line if it is to be written `anew`.
    """
    length = len(body.rpartition("\n")[2]) + 2  # PyTorch breaks two characters early here
    for i, suffix in enumerate(suffixes):
        if (anew and not i) or length + len(suffix) + 2 > _options.linewidth:
            body += ",\n" + " " * indent + suffix
            length = indent + len(suffix)
        else:
            body += ", " + suffix
            length += len(suffix) + 2
    return body + ")"


def format_part(name: str, array: np.ndarray, dtype: dtypes.dtype, left: int) -> str:
    """`name=tensor(...)` of a dense part of a sparse tensor, whose text begins at the column `left`."""
    prefix = f"{name}=tensor("
    if not array.size:
        return f"{prefix}[], size={tuple(map(int, array.shape))})"
    edge = _options.edgeitems
    summarised = array.size > _options.threshold
    shown = _edges(array) if summarised else array
    cut = tuple(summarised and n > 2 * edge for n in array.shape)
    return prefix + _body(shown, cut, *_formatter(shown, dtype), left + len(prefix)) + ")"


def format_tensor(
    array: np.ndarray | None,
    dtype: dtypes.dtype,
    *,
    requires_grad: bool = False,
    grad_fn_name: str | None = None,
    device: Any = None,
    shape: tuple[int, ...] | None = None,
    name: str = "tensor",
    tangent: str | None = None,
) -> str:
    """The `repr` of a tensor with these values.

    `array`: the values, or None for a tensor without any (on the meta device), which has only a `shape`.
    `device` is printed if it is given. `name` is what stands before the parenthesis. Of an array with more than
    `threshold` elements only the shown corners are read.
    """
    suffixes = [] if device is None else [f"device='{device}'"]
    prefix = name + "("
    indent = len(prefix)
    size = tuple(array.shape) if array is not None else tuple(shape or ())
    size_text = f"size={tuple(int(n) for n in size)}"
    usual = [dtypes.get_default_dtype()]
    if array is None:
        body = "..."
        suffixes.append(size_text)
    elif array.size == 0:
        body = "[]"
        if array.ndim != 1:
            suffixes.append(size_text)
    else:
        usual += [dtypes.default_complex(), dtypes.int64, dtypes.bool]
        summarised = array.size > _options.threshold
        edge = _options.edgeitems
        if summarised and not edge:
            suffixes.append(size_text)
        if summarised and not edge and array.ndim:
            body = "[...]"
        else:
            shown = _edges(array) if summarised else array
            cut = tuple(summarised and n > 2 * edge for n in size)
            body = _body(shown, cut, *_formatter(shown, dtype), indent)
    if dtype not in usual:
        suffixes.append(f"dtype={dtype!r}")
    if grad_fn_name is not None:
        suffixes.append(f"grad_fn=<{grad_fn_name}>")
    elif requires_grad:
        suffixes.append("requires_grad=True")
    if tangent is not None:
        suffixes.append(f"tangent={tangent}")
    return with_suffixes(prefix + body, suffixes, indent)
