"""How parameters start: `torch.nn.init`, with PyTorch's numbers for PyTorch's seeds.

All functions write into their tensor outside autograd and return it. The values are made on the host: initialising a
network compiles nothing.
"""

from __future__ import annotations

import functools
import inspect
import math
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, cast

import numpy as np

from ..core.context import overrides
from ..core.context.generator import Generator, draw
from ..core.context.grad_mode import no_grad
from ..core.dispatch.help import explain_functions as _explain_functions
from ..core.tensor.tensor import Tensor
from ..ops.making.creation import filled, number_of
from ..ops.random import factories as draws
from ..ops.random.factories import fill_drawn, refusal

__all__ = [
    "calculate_gain",
    "constant",
    "constant_",
    "dirac",
    "dirac_",
    "eye",
    "eye_",
    "kaiming_normal",
    "kaiming_normal_",
    "kaiming_uniform",
    "kaiming_uniform_",
    "normal",
    "normal_",
    "ones_",
    "orthogonal",
    "orthogonal_",
    "sparse",
    "sparse_",
    "trunc_normal_",
    "uniform",
    "uniform_",
    "xavier_normal",
    "xavier_normal_",
    "xavier_uniform",
    "xavier_uniform_",
    "zeros_",
]

_GAINS: dict[str, float] = {
    **dict.fromkeys(("linear", "conv1d", "conv2d", "conv3d", "sigmoid"), 1),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), 1),
    "tanh": 5.0 / 3,
    "relu": math.sqrt(2.0),
    "selu": 3.0 / 4,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights before a nonlinearity are scaled to keep the variance.

    `param` is the negative slope of leaky_relu (0.01 if not given). Raises ValueError for an unknown nonlinearity.
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"negative_slope {slope} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    return _GAINS[nonlinearity]


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """How many inputs an output of this weight sees, and how many outputs an input reaches."""
    shape = tuple(tensor.shape)
    if len(shape) < 2:
        raise ValueError(
            f"Fan in and fan out can not be computed for tensor with fewer than 2 dimensions, got shape {list(shape)}"
        )
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    """The fan that `mode` ("fan_in" or "fan_out", in any case) names."""
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return fan_in if mode == "fan_in" else fan_out


def _write(tensor: Tensor, make: Callable[[], np.ndarray]) -> Tensor:
    """Write what `make` gives; a tensor without values (on the meta device) stays as it is, and nothing is made."""
    with no_grad():
        if tensor.is_meta:  # type: ignore[attr-defined]
            tensor._fill_nothing("")
        else:
            tensor._fill_host(make())
    return tensor


def _need_dimensions(tensor: Tensor, text: str, low: int, high: int) -> tuple[int, ...]:
    shape = tuple(tensor.shape)
    if not low <= len(shape) <= high:
        raise ValueError(f"Only tensors with {text} dimensions are supported, got shape {list(shape)}")
    return shape


_Given = ParamSpec("_Given")


def _public(function: Callable[_Given, Tensor]) -> Callable[_Given, Tensor]:
    """A form for users that asks the tensor's class first; it is told of everything by keyword."""

    @functools.wraps(function)
    def asking(tensor: Any, *args: Any, **kwargs: Any) -> Any:
        if type(tensor) not in overrides.plain and (overrides.has_function(tensor) or overrides.state.modes):
            bound = inspect.signature(function).bind(tensor, *args, **kwargs)
            bound.apply_defaults()
            asked = overrides.with_a_say((tensor,), everyone=True)
            return overrides.dispatch(asking, asked, (), dict(bound.arguments))
        return function(tensor, *args, **kwargs)

    overrides.face_of(function, asking)
    overrides.name_public(asking, f"torch.nn.init.{function.__name__}")
    return cast("Callable[_Given, Tensor]", asking)


# --- drawn values ----------------------------------------------------------------------------------------------------


@_public
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Values from [a, b)."""
    with no_grad():
        return draws.uniform_(tensor, a, b, generator=generator)


@_public
def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal values."""
    with no_grad():
        return draws.normal_(tensor, mean, std, generator=generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Normal values, those outside [a, b] drawn anew. NotImplementedError for complex and whole numbers."""
    if not tensor.dtype.is_floating_point:
        raise refusal("lt_cpu" if tensor.dtype.is_complex else "normal_kernel_cpu", tensor.dtype)
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            f"mean is more than 2 std from [a, b] in nn.init.trunc_normal_. (mean {mean:g}, std {std:g}, [{a:g}, {b:g}]) "
            "The distribution of values may be incorrect.",
            UserWarning,
            stacklevel=2,
        )
    low, high = (a - mean) / std, (b - mean) / std
    inside = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
    if inside >= 0.3:

        def propose(n: int, dtype: np.dtype, serial: bool) -> tuple[np.ndarray, np.ndarray]:
            values = draw("normal", generator, n, dtype, mean, std, serial)
            return values, (values >= a) & (values <= b)
    else:
        # too few normal values would fall inside: propose uniform ones and keep them as often as their density asks
        peak = min(max(low, 0.0), high)

        def propose(n: int, dtype: np.dtype, serial: bool) -> tuple[np.ndarray, np.ndarray]:
            if a > b:
                raise RuntimeError(
                    f"uniform_ expects to return a [from, to) range, but found from={a:g} > to={b:g} (trunc_normal_'s a and b)"
                )
            values = draw("uniform", generator, n, dtype, a, b)
            chances = draw("uniform", generator, n, dtype)
            scaled = (values.astype(np.float64) - mean) / std
            return values, chances <= np.exp((peak * peak - scaled * scaled) / 2)

    def make(n: int, dtype: np.dtype, serial: bool) -> np.ndarray:
        values, accepted = propose(n, dtype, serial)
        while not accepted.all():
            again, fits = propose(n, dtype, serial)
            missing = ~accepted
            values[missing] = again[missing]
            accepted |= fits
        return values

    with no_grad():
        return fill_drawn(tensor, "Uniform", make)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform values of variance gain^2 * 2 / (fan_in + fan_out) (Glorot and Bengio, 2010)."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    bound = math.sqrt(3.0) * (gain * math.sqrt(2.0 / float(fan_in + fan_out)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal values of variance gain^2 * 2 / (fan_in + fan_out) (Glorot and Bengio, 2010)."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / float(fan_in + fan_out)), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float | None:
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", UserWarning, stacklevel=3)
        return None
    return calculate_gain(nonlinearity, a) / math.sqrt(_calculate_correct_fan(tensor, mode))


@_public
def kaiming_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Uniform values of variance gain^2 / fan (He et al., 2015); `a` is the slope of leaky_relu."""
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    if std is None:
        return tensor
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Normal values of variance gain^2 / fan (He et al., 2015); `a` is the slope of leaky_relu."""
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    return tensor if std is None else normal_(tensor, 0.0, std, generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """A (semi-)orthogonal matrix times `gain`, dimensions after the first taken as one (Saxe et al., 2013).

    It is the Q of a normal matrix, with its signs chosen so that R has a positive diagonal.
    """
    shape = tuple(tensor.shape)
    if len(shape) < 2:
        raise ValueError(f"Only tensors with 2 or more dimensions are supported, got shape {list(shape)}")
    if 0 in shape:
        return tensor
    dtype = tensor._np_dtype
    if dtype.itemsize < 4 or dtype.kind != "f":
        raise NotImplementedError(f"\"geqrf_cpu\" not implemented for '{tensor.dtype.abbr}'")
    rows, columns = shape[0], math.prod(shape[1:])

    def make() -> np.ndarray:
        matrix = draw("normal", generator, rows * columns, dtype).reshape(rows, columns)
        q, r = np.linalg.qr(matrix.T if rows < columns else matrix)
        q *= np.sign(np.diagonal(r))
        q = q.T if rows < columns else q
        return np.ascontiguousarray(q).reshape(shape) * dtype.type(gain)

    return _write(tensor, make)


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """Normal values, of which the fraction `sparsity` of each column is zero (Martens, 2010)."""
    rows, columns = _need_dimensions(tensor, "2", 2, 2)
    zeros = math.ceil(sparsity * rows)

    def make() -> np.ndarray:
        values = np.array(normal_(tensor, 0.0, std, generator)._array)
        for column in range(columns):
            # as in PyTorch, where the zeros are comes from the default generator
            values[draw("permutation", None, rows)[:zeros], column] = 0
        return values

    return _write(tensor, make)


# --- given values ----------------------------------------------------------------------------------------------------


@_public
def constant_(tensor: Tensor, val: float) -> Tensor:
    """The value `val` everywhere."""
    if type(tensor) in overrides.dispatching:
        with no_grad():
            return tensor.fill_(val)
    fill = filled(tuple(tensor.shape), number_of("fill_", "value", val))
    return _write(tensor, lambda: fill(tensor._np_dtype))


def ones_(tensor: Tensor) -> Tensor:
    """Ones."""
    if overrides.is_plain(type(tensor)):
        return constant_(tensor, 1.0)
    with no_grad():
        return tensor.fill_(1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros."""
    if overrides.is_plain(type(tensor)):
        return constant_(tensor, 0.0)
    with no_grad():
        return tensor.zero_()


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix, or as much of it as fits: a linear layer then passes its inputs through."""
    shape = _need_dimensions(tensor, "2", 2, 2)
    return _write(tensor, lambda: np.eye(*shape, dtype=tensor._np_dtype))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A 1 at the middle of as many kernels as there are channels: a convolution then passes its inputs through.

    With `groups`, each group of output channels does so. Raises ValueError unless 3 to 5 dimensions and a first one
    that `groups` divides.
    """
    shape = _need_dimensions(tensor, "3, 4, or 5", 3, 5)
    if shape[0] % groups:
        raise ValueError(f"dim 0 must be divisible by groups, got {shape[0]} and {groups}")
    per_group = shape[0] // groups
    middle = tuple(n // 2 for n in shape[2:])

    def make() -> np.ndarray:
        values = np.zeros(shape, tensor._np_dtype)
        for group in range(groups):
            for channel in range(min(per_group, shape[1])):
                values[(group * per_group + channel, channel, *middle)] = 1
        return values

    return _write(tensor, make)


# --- deprecated names ------------------------------------------------------------------------------------------------


def _deprecated(function: Callable[_Given, Tensor]) -> Callable[_Given, Tensor]:
    new = function.__name__
    old = new[:-1]

    @functools.wraps(function)
    def call(*args: _Given.args, **kwargs: _Given.kwargs) -> Tensor:
        warnings.warn(f"`nn.init.{old}` is now deprecated in favor of `nn.init.{new}`.", FutureWarning, stacklevel=2)
        return function(*args, **kwargs)

    call.__name__ = call.__qualname__ = old
    call.__doc__ = f"Deprecated name of `{new}`."
    return call


uniform: Callable[..., Tensor] = _deprecated(uniform_)
normal: Callable[..., Tensor] = _deprecated(normal_)
constant: Callable[..., Tensor] = _deprecated(constant_)
eye: Callable[..., Tensor] = _deprecated(eye_)
dirac: Callable[..., Tensor] = _deprecated(dirac_)
xavier_uniform: Callable[..., Tensor] = _deprecated(xavier_uniform_)
xavier_normal: Callable[..., Tensor] = _deprecated(xavier_normal_)
kaiming_uniform: Callable[..., Tensor] = _deprecated(kaiming_uniform_)
kaiming_normal: Callable[..., Tensor] = _deprecated(kaiming_normal_)
orthogonal: Callable[..., Tensor] = _deprecated(orthogonal_)
sparse: Callable[..., Tensor] = _deprecated(sparse_)

_explain_functions([globals()[name] for name in __all__], "torch.nn.init")


def _no_grad_uniform_(tensor: Tensor, a: float, b: float, generator: Generator | None = None) -> Tensor:
    """`uniform_`, under the name that packages call."""
    return uniform_(tensor, a, b, generator)


def _no_grad_normal_(tensor: Tensor, mean: float, std: float, generator: Generator | None = None) -> Tensor:
    """`normal_`, under the name that packages call."""
    return normal_(tensor, mean, std, generator)


def _no_grad_trunc_normal_(
    tensor: Tensor, mean: float, std: float, a: float, b: float, generator: Generator | None = None
) -> Tensor:
    """`trunc_normal_`, under the name that packages call."""
    return trunc_normal_(tensor, mean, std, a, b, generator)


def _no_grad_fill_(tensor: Tensor, val: float) -> Tensor:
    """`constant_`, under the name that packages call."""
    return constant_(tensor, val)


def _no_grad_zero_(tensor: Tensor) -> Tensor:
    """`zeros_`, under the name that packages call."""
    return zeros_(tensor)
