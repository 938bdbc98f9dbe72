"""Convolution as three bilinear JAX primitives that are each other's gradients.

Shapes are PyTorch's: input `(N, C, *spatial)`, weight `(O, C / groups, *kernel)`, output `(N, O, *spatial)`.
On a CPU with the native kernels each is one oneDNN call between transposes to and from channels-last; XLA turns what
stands between two of them, so that the transposes cancel. In 64 bits, which oneDNN does not have, it is a call of our own kernel, and
nothing is turned. Elsewhere they are XLA convolutions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive

from . import xla_convolution
from .direct import Call, images, plain, possible
from .kernel import called, kernel

__all__ = ["Calls", "calls", "convolution", "convolution_input", "convolution_weight", "output_spatial_shape"]


def output_spatial_shape(
    spatial: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding_low: Sequence[int],
    padding_high: Sequence[int],
    dilation: Sequence[int],
) -> tuple[int, ...]:
    """The spatial shape of a convolution's output; TypeError where the dilated kernel is larger than the padded input."""
    result = []
    for size, k, s, low, high, d in zip(spatial, kernel, stride, padding_low, padding_high, dilation, strict=True):
        room = size + low + high - (d * (k - 1) + 1)
        if room < 0:
            raise TypeError(
                f"convolution: a kernel of {tuple(kernel)} with dilation {tuple(dilation)} does not fit into an input of "
                f"{tuple(spatial)} with padding {tuple(padding_low)} and {tuple(padding_high)}"
            )
        result.append(room // s + 1)
    return tuple(result)


# ---------------------------------------------------------------- abstract evaluation


def _agree(truth: bool, name: str, what: str, a: Any, b: Any) -> None:
    if not truth:
        raise TypeError(f"{name}: {what}, but got shapes {tuple(a.shape)} and {tuple(b.shape)}")


def _check(name: str, a: Any, b: Any, stride: tuple, low: tuple, high: tuple, dilation: tuple, groups: int) -> None:
    n = len(stride)
    _agree(a.ndim == b.ndim == n + 2, name, f"expected two arrays with {n + 2} dimensions", a, b)
    if a.dtype != b.dtype:
        raise TypeError(f"{name}: expected two arrays of one dtype, but got {a.dtype} and {b.dtype}")
    if not len(low) == len(high) == len(dilation) == n:
        raise TypeError(f"{name}: stride, padding and dilation differ in length: {stride}, {low}, {high}, {dilation}")
    if min(stride, default=1) < 1 or min(dilation, default=1) < 1 or groups < 1:
        raise TypeError(f"{name}: stride {stride}, dilation {dilation} and groups {groups} must be positive")


def _forward_shape(x: Any, w: Any, stride: tuple, low: tuple, high: tuple, dilation: tuple, groups: int) -> tuple:
    _check("convolution", x, w, stride, low, high, dilation, groups)
    _agree(x.shape[1] == w.shape[1] * groups, "convolution", f"the channels do not agree (groups={groups})", x, w)
    _agree(w.shape[0] % groups == 0, "convolution", f"the weight's rows must be divisible by groups={groups}", x, w)
    return (x.shape[0], w.shape[0], *output_spatial_shape(x.shape[2:], w.shape[2:], stride, low, high, dilation))


def _input_shape(
    g: Any, w: Any, stride: tuple, low: tuple, high: tuple, dilation: tuple, groups: int, size: tuple
) -> tuple:
    name = "convolution_input"
    _check(name, g, w, stride, low, high, dilation, groups)
    _agree(g.shape[1] == w.shape[0], name, "the channels do not agree", g, w)
    _agree(w.shape[0] % groups == 0, name, f"the weight's rows must be divisible by groups={groups}", g, w)
    expected = output_spatial_shape(size, w.shape[2:], stride, low, high, dilation)
    _agree(g.shape[2:] == expected, name, f"an input of {size} gives an output of {expected}", g, w)
    return (g.shape[0], w.shape[1] * groups, *size)


def _weight_shape(
    x: Any, g: Any, stride: tuple, low: tuple, high: tuple, dilation: tuple, groups: int, size: tuple
) -> tuple:
    name = "convolution_weight"
    _check(name, x, g, stride, low, high, dilation, groups)
    _agree(x.shape[0] == g.shape[0], name, "the batches differ", x, g)
    _agree(not (x.shape[1] % groups or g.shape[1] % groups), name, f"groups={groups} must divide the channels", x, g)
    expected = output_spatial_shape(x.shape[2:], size, stride, low, high, dilation)
    _agree(g.shape[2:] == expected, name, f"a kernel of {size} gives an output of {expected}", x, g)
    return (g.shape[1], x.shape[1] // groups, *size)


# ---------------------------------------------------------------- vmap: the mapped dimension joins one that is there


def _join(array: jax.Array, dimension: int, groups: int) -> jax.Array:
    """Put the leading dimension into `dimension` (counted without it), inside of each of the groups there."""
    mapped, *shape = array.shape
    before, total, after = shape[:dimension], shape[dimension], shape[dimension + 1 :]
    array = array.reshape(mapped, *before, groups, total // groups, *after)
    return jnp.moveaxis(array, 0, dimension + 1).reshape(*before, mapped * total, *after)


def _part(array: jax.Array, mapped: int, dimension: int, groups: int) -> jax.Array:
    """The reverse of `_join`: the mapped dimension comes out in front."""
    shape = array.shape
    before, total, after = shape[:dimension], shape[dimension] // mapped, shape[dimension + 1 :]
    array = array.reshape(*before, groups, mapped, total // groups, *after)
    return jnp.moveaxis(array, dimension + 1, 0).reshape(mapped, *before, total, *after)


def _batcher(first: tuple, second: tuple, both: tuple[int, int, int]) -> Callable:
    """Where the mapped dimension goes: `first` and `second` say it for the one argument that has it, as (dimension of
    that argument, whether the groups stay outside of it), with the result's in the same form after that; `both` names a
    dimension of each argument and of the result, where the mapped dimension makes more groups.
    """

    def rule(
        primitive: Primitive, arrays: Sequence[jax.Array], dims: Sequence[Any], *, groups: int, **params: Any
    ) -> tuple[jax.Array, int]:
        a, b = (x if d is None else jnp.moveaxis(x, d, 0) for x, d in zip(arrays, dims, strict=True))
        mapped = next(x.shape[0] for x, d in zip((a, b), dims, strict=True) if d is not None)
        if mapped == 0:
            one = [
                x if d is None else jax.ShapeDtypeStruct(x.shape[1:], x.dtype)
                for x, d in zip((a, b), dims, strict=True)
            ]
            result = jax.eval_shape(partial(primitive.bind, groups=groups, **params), *one)
            return jnp.zeros((0, *result.shape), result.dtype), 0
        if None in dims:
            into, into_grouped, out, out_grouped = first if dims[1] is None else second
            a, b = (
                x if d is None else _join(x, into, groups if into_grouped else 1)
                for x, d in zip((a, b), dims, strict=True)
            )
            result = primitive.bind(a, b, groups=groups, **params)
            return _part(result, mapped, out, groups if out_grouped else 1), 0
        result = primitive.bind(_join(a, both[0], 1), _join(b, both[1], 1), groups=groups * mapped, **params)
        return _part(result, mapped, both[2], 1), 0

    return rule


# ---------------------------------------------------------------- the primitives


_PRODUCT = 128  # channels from which on XLA's product of 64 bits is quicker than planes, for kernels of one element


def _channels_last(ndim: int) -> tuple[int, ...]:
    return (0, *range(2, ndim), 1)


def _row_major(ndim: int) -> tuple[int, ...]:
    return tuple(range(ndim))


def _attributes(stride: tuple, low: tuple, high: tuple, dilation: tuple, groups: int, size: tuple = ()) -> dict:
    def listed(values: tuple) -> np.ndarray:
        return np.array(values, np.int64)

    return {
        "stride": listed(stride),
        "padding_low": listed(low),
        "padding_high": listed(high),
        "dilation": listed(dilation),
        "groups": np.int64(groups),
    }


def _fits(*shapes: tuple, stride: tuple, **_: Any) -> bool:
    return 1 <= len(stride) <= 3


def _primitive(
    name: str, form: str, letters: str, shape: Callable, batched: Callable, bilinear: tuple[Callable, Callable]
) -> Primitive:
    """`letters` says which arrays the two arguments and the result are: input `x`, weight `w`, output `y`."""

    def orders(*ndims: int) -> tuple:
        return tuple(
            _row_major(n) if letter == "w" else _channels_last(n) for letter, n in zip(letters, ndims, strict=True)
        )

    def multiply_adds(*shapes: tuple, **_: Any) -> int:
        """Every element of the output meets one filter."""
        of = dict(zip(letters, shapes, strict=True))
        return math.prod(of["y"]) * math.prod(of["w"][1:])

    on_cpu = getattr(xla_convolution.on_cpu, form)
    last, planes = (called(name, order, _attributes) for order in (orders, lambda *ndims: map(_row_major, ndims)))

    def native(a: jax.Array, b: jax.Array, *, result: Any, **params: Any) -> jax.Array:
        if a.dtype != np.float64:
            return last(a, b, result=result, **params)
        w = dict(zip(letters, (a.shape, b.shape, result.shape), strict=True))["w"]
        if math.prod(w[2:]) == 1 and min(w[:2]) >= _PRODUCT:
            return on_cpu(a, b, **params)
        return planes(a, b, result=result, **params)

    return kernel(
        name,
        getattr(xla_convolution, form),
        native,
        dtypes=("float32", "bfloat16", "float64"),
        shape=lambda a, b, **params: jax.ShapeDtypeStruct(shape(a, b, **params), a.dtype),
        fits=_fits,
        xla_on_cpu=on_cpu,
        batched=batched,
        bilinear=bilinear,
        multiply_adds=multiply_adds,
        rows=lambda dims, *_, **__: dims[0] <= {0} and not dims[1],
        sums=lambda *_, **__: ((0,), (0,)) if letters == "xyw" else ((), ()),
    )


# Each is linear in both arguments, and the gradient by either is another of the three.
_forward_p: Primitive = _primitive(
    "flambeau_convolution",
    "forward",
    "xwy",
    _forward_shape,
    _batcher(first=(0, False, 0, False), second=(0, True, 1, True), both=(1, 0, 1)),
    (
        lambda ct, x, w, **p: _input_p.bind(ct, w, size=x.aval.shape[2:], **p),
        lambda ct, x, w, **p: _weight_p.bind(x, ct, size=w.aval.shape[2:], **p),
    ),
)
_input_p: Primitive = _primitive(
    "flambeau_convolution_input",
    "by_input",
    "ywx",
    _input_shape,
    _batcher(first=(0, False, 0, False), second=(1, False, 1, True), both=(1, 0, 1)),
    (
        lambda ct, g, w, size, **p: _forward_p.bind(ct, w, **p),
        lambda ct, g, w, size, **p: _weight_p.bind(ct, g, size=w.aval.shape[2:], **p),
    ),
)
_weight_p: Primitive = _primitive(
    "flambeau_convolution_weight",
    "by_weight",
    "xyw",
    _weight_shape,
    _batcher(first=(1, True, 1, False), second=(1, True, 0, True), both=(1, 1, 0)),
    (
        lambda ct, x, g, size, **p: _input_p.bind(g, ct, size=x.aval.shape[2:], **p),
        lambda ct, x, g, size, **p: _forward_p.bind(x, ct, **p),
    ),
)


# ---------------------------------------------------------------- called without XLA


class Calls:
    """The kernels' calls for images and weights of these shapes."""

    def __init__(self, x: tuple, w: tuple, y: tuple, settings: dict[str, Any]):
        self.x, self.w, self.y, self.settings = images(x), plain(w), images(y), settings

    def forward(self) -> Call:
        return Call("flambeau_convolution", [self.x, self.w], [self.y], **self.settings)

    def by_input(self) -> Call:
        return Call("flambeau_convolution_input", [self.y, self.w], [self.x], **self.settings)

    def by_weight(self) -> Call:
        return Call("flambeau_convolution_weight", [self.x, self.y], [self.w], **self.settings)


def calls(
    x: tuple,
    w: tuple,
    stride: Sequence[int],
    low: Sequence[int],
    high: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Calls | None:
    """The calls of `convolution` and its gradients, or None where it is not just one."""
    stride, low, high, dilation = _settings(stride, low, high, dilation)
    names = ("flambeau_convolution", "flambeau_convolution_input", "flambeau_convolution_weight")
    if not _fits(x, w, stride=stride) or not possible(*names) or 0 in (*x, *w):
        return None
    room = (n + a + b - d * (k - 1) for n, a, b, d, k in zip(x[2:], low, high, dilation, w[2:], strict=True))
    if min(room) < 1 or not _meets_input(x[2:], w[2:], stride, low, high, dilation):
        return None
    y = (x[0], w[0], *output_spatial_shape(x[2:], w[2:], stride, low, high, dilation))
    return Calls(x, w, y, _attributes(stride, low, high, dilation, groups))


# ---------------------------------------------------------------- the functions


def _settings(*settings: Sequence[int]) -> list[tuple[int, ...]]:
    return [tuple(map(int, values)) for values in settings]


@cache
def _meets_input(size: tuple, kernel: tuple, stride: tuple, low: tuple, high: tuple, dilation: tuple) -> bool:
    """Whether each output meets some of the input, and no padding is negative.

    What does not is computed on an input with the padding written out. oneDNN 3.2 can crash while it makes kernels for
    the others, and XLA's CPU backend reads beyond its arrays in the transposes of some of them.
    """
    if min(*low, *high) < 0:
        return False
    if 0 in size:
        return True
    outputs = output_spatial_shape(size, kernel, stride, low, high, dilation)
    for extent, k, n, s, before, d in zip(size, kernel, outputs, stride, low, dilation, strict=True):
        places = np.arange(n)[:, None] * s + np.arange(k) * d - before
        if not ((places >= 0) & (places < extent)).any(1).all():
            return False
    return True


def _pad(x: jax.Array, low: Sequence[int], high: Sequence[int]) -> jax.Array:
    """Zeros added before and after each spatial dimension; a negative number takes elements away."""
    pairs = [(0, 0, 0), (0, 0, 0), *((a, b, 0) for a, b in zip(low, high, strict=True))]
    return jax.lax.pad(x, jnp.zeros((), x.dtype), pairs)


def convolution(
    x: jax.Array, w: jax.Array, stride: Sequence[int], padding_low: Sequence[int], padding_high: Sequence[int],
    dilation: Sequence[int], groups: int = 1,
) -> jax.Array:  # fmt: skip
    """Slide `w` over `x`, with zeros added before and after each spatial dimension."""
    stride, low, high, dilation = _settings(stride, padding_low, padding_high, dilation)
    if not _meets_input(x.shape[2:], w.shape[2:], stride, low, high, dilation):
        x, low, high = _pad(x, low, high), (0,) * len(low), (0,) * len(high)
    return _forward_p.bind(x, w, stride=stride, low=low, high=high, dilation=dilation, groups=int(groups))


def convolution_input(
    g: jax.Array, w: jax.Array, input_spatial_shape: Sequence[int], stride: Sequence[int], padding_low: Sequence[int],
    padding_high: Sequence[int], dilation: Sequence[int], groups: int = 1,
) -> jax.Array:  # fmt: skip
    """The gradient by the input where `g` is the gradient by the output: a transposed convolution."""
    size, stride, low, high, dilation = _settings(input_spatial_shape, stride, padding_low, padding_high, dilation)
    params = {"stride": stride, "dilation": dilation, "groups": int(groups)}
    if _meets_input(size, w.shape[2:], stride, low, high, dilation):
        return _input_p.bind(g, w, size=size, low=low, high=high, **params)
    padded, none = tuple(map(sum, zip(size, low, high, strict=True))), (0,) * len(size)
    result = _input_p.bind(g, w, size=padded, low=none, high=none, **params)
    return _pad(result, [-p for p in low], [-p for p in high])


def convolution_weight(
    x: jax.Array, g: jax.Array, kernel_spatial_shape: Sequence[int], stride: Sequence[int], padding_low: Sequence[int],
    padding_high: Sequence[int], dilation: Sequence[int], groups: int = 1,
) -> jax.Array:  # fmt: skip
    """The gradient by the weight where `g` is the gradient by the output."""
    size, stride, low, high, dilation = _settings(kernel_spatial_shape, stride, padding_low, padding_high, dilation)
    if not _meets_input(x.shape[2:], size, stride, low, high, dilation):
        x, low, high = _pad(x, low, high), (0,) * len(low), (0,) * len(high)
    return _weight_p.bind(x, g, size=size, stride=stride, low=low, high=high, dilation=dilation, groups=int(groups))
