"""`torch.signal.windows`: window functions that are symmetric unless `sym=False`, one place after the other of `M`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ...core.array.dtypes import as_dtype, float32, float64, get_default_dtype
from ...core.array.formats import layout as layout_kind
from ...core.array.formats import strided
from ...core.dispatch.operator import composite
from ...core.tensor.tensor import Tensor
from ..making.constants import extent_of
from ..making.creation import deliver

_Shape = Callable[[np.ndarray, np.dtype], np.ndarray]
_P = inspect.Parameter
_OPTIONS = [  # what every window takes after its own parameters
    _P("sym", _P.KEYWORD_ONLY, default=True, annotation=bool),
    _P("dtype", _P.KEYWORD_ONLY, default=None, annotation=Any),
    _P("layout", _P.KEYWORD_ONLY, default=strided, annotation=layout_kind),
    _P("device", _P.KEYWORD_ONLY, default=None, annotation=Any),
    _P("requires_grad", _P.KEYWORD_ONLY, default=False, annotation=bool),
]


def _made(
    name: str, M: int, shape: _Shape, sym: bool = True, dtype: Any = None, layout: Any = strided, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """A window of `shape`, a function of the places 0 ... M - 1 (one place more, that is cut off, if not `sym`)."""
    target = as_dtype(dtype) or get_default_dtype()
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if layout is not strided:
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
    if target not in (float32, float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {target}")

    def fill(kind: np.dtype) -> np.ndarray:
        return shape(np.arange(M, dtype=np.float64), kind).astype(kind) if M > 1 else np.ones(M, kind)

    return deliver(fill, target, target, device, requires_grad)


def _window(doc: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a window. The function gets `M`, its own parameters and `sym`; it looks at these and gives the shape, or
    the window that this one is a case of."""

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        name = function.__name__

        own = list(inspect.signature(function).parameters.values())
        taken = {p.name for p in (*own, *_OPTIONS)}

        def call(M: int, **options: Any) -> Tensor:
            if unknown := options.keys() - taken:
                raise TypeError(f"{name}() got an unexpected keyword argument '{min(unknown)}'")
            common = {p.name: options.pop(p.name) for p in _OPTIONS[1:] if p.name in options}
            length = M if isinstance(M, bool) else extent_of(name, "M", M)
            called, shape = function(length, **options)
            return _made(called or name, length, shape, options.get("sym", True), **common)

        call.__name__ = call.__qualname__ = name
        call.__doc__ = doc
        signature = inspect.Signature([p for p in own if p.name != "sym"] + _OPTIONS, return_annotation=Tensor)
        call.__signature__ = signature  # type: ignore[attr-defined]
        return composite(methods=False, public=("signal.windows",))(call)

    return declare


def _last(M: int, sym: bool) -> int:
    """How many steps the whole window has."""
    return M - 1 if sym else M


def _cosines(M: int, weights: Any, sym: bool) -> _Shape:
    """`sum((-1) ** k * weights[k] * cos(2 pi k n / steps))`."""
    return lambda n, kind: sum(  # type: ignore[return-value]
        (-1) ** k * w * np.cos(2 * math.pi * k * n / _last(M, sym)) for k, w in enumerate(weights)
    )


@_window("A triangle that falls to 0.")
def bartlett(M: int, *, sym: bool = True) -> Any:
    return None, lambda n, kind: 1 - np.abs(2 * n / _last(M, sym) - 1)


@_window("A sum of a constant and two cosines (Blackman and Tukey, 1958).")
def blackman(M: int, *, sym: bool = True) -> Any:
    return None, _cosines(M, (0.42, 0.5, 0.08), sym)


@_window("The upper half of a sine, taken at the middles of its steps.")
def cosine(M: int, *, sym: bool = True) -> Any:
    return None, lambda n, kind: np.sin(math.pi * (n + 0.5) / (_last(M, sym) + 1))


@_window(
    "`exp(-abs(n - center) / tau)`; `center` is the middle, and may be given if not `sym`. ValueError for `tau <= 0`."
)
def exponential(M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True) -> Any:
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    middle = _last(M, sym) / 2 if center is None else center
    return None, lambda n, kind: np.exp(-np.abs(n - middle) / tau)


@_window("The bell curve with the standard deviation `std`, in places. ValueError for `std <= 0`.")
def gaussian(M: int, *, std: float = 1.0, sym: bool = True) -> Any:
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    return None, lambda n, kind: np.exp(-(((n - _last(M, sym) / 2) / (std * math.sqrt(2))) ** 2))


@_window("The Kaiser window: a Bessel function of the distance from the middle; `beta` says how narrow it is.")
def kaiser(M: int, *, beta: float = 12.0, sym: bool = True) -> Any:
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")

    def shape(n: np.ndarray, kind: np.dtype) -> np.ndarray:
        across = np.clip(1 - (2 * n / _last(M, sym) - 1) ** 2, 0, None)
        return np.i0(beta * np.sqrt(across)) / np.i0(beta)

    return None, shape


@_window(
    "The sum of cosines with the weights `a`, every second one negative. TypeError and ValueError for no such list."
)
def general_cosine(M: int, *, a: Iterable[float], sym: bool = True) -> Any:
    if not isinstance(a, Iterable):
        raise TypeError("Coefficients must be a list/tuple")
    weights = tuple(a)
    if not weights:
        raise ValueError("Coefficients cannot be empty")
    return None, _cosines(M, weights, sym)


@_window("A raised cosine, `alpha - (1 - alpha) * cos(...)`.")
def general_hamming(M: int, *, alpha: float = 0.54, sym: bool = True) -> Any:
    return "general_cosine", _cosines(M, (alpha, 1 - alpha), sym)


@_window("A raised cosine with `alpha = 0.54`.")
def hamming(M: int, *, sym: bool = True) -> Any:
    return "general_cosine", _cosines(M, (0.54, 1 - 0.54), sym)


@_window("A raised cosine that falls to 0.")
def hann(M: int, *, sym: bool = True) -> Any:
    return "general_cosine", _cosines(M, (0.5, 0.5), sym)


@_window("A sum of four cosines with little leakage (Nuttall, 1981).")
def nuttall(M: int, *, sym: bool = True) -> Any:
    return "general_cosine", _cosines(M, (0.3635819, 0.4891775, 0.1365995, 0.0106411), sym)
