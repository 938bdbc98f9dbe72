"""Programs whose images stay channels-last from one convolution to the next.

Arrays are `(N, C, *spatial)` wherever one looks, but the native convolutions take and give `(N, *spatial, C)`. `evaluate`
runs a jaxpr and keeps what a convolution gave in that order through everything that does not care: it computes elementwise
operators, reductions, windows, padding, slices and concatenations on the turned arrays, with their parameters turned as
well. Whatever else comes along gets its array turned back. What this leaves to XLA are transposes that cancel.

Without `compile`, every operator is a program of its own. There an image that a convolution gave is an array whose layout
in memory is channels-last (`held` knows which are), and the programs that it enters give such arrays, too.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental.layout import Format, Layout
from jax.extend.core import Literal

from .. import native
from .xla_options import QUICKLY, known

_IMAGES = ("flambeau_convolution", "flambeau_convolution_input")  # primitives that give images

_ELEMENTWISE = frozenset(
    "abs acos acosh add add_any and asin asinh atan atan2 atanh cbrt ceil clamp convert_element_type copy cos cosh digamma "
    "div eq erf erf_inv erfc exp exp2 expm1 floor ge gt imag integer_pow is_finite le lgamma log log1p logistic lt max min "
    "mul ne neg nextafter not or population_count pow real reduce_precision rem round rsqrt select_n shift_left "
    "one_minus_square shift_right_arithmetic shift_right_logical sign sin sinh sqrt square stop_gradient sub tan tanh xor".split()
)
_REDUCTIONS = frozenset("argmax argmin reduce_and reduce_max reduce_min reduce_or reduce_prod reduce_sum".split())
_PER_DIMENSION = {  # the parameters that have an entry for each dimension
    "pad": ("padding_config",),
    "slice": ("start_indices", "limit_indices", "strides"),
    "reduce_window": ("window_dimensions", "window_strides", "padding", "base_dilation", "window_dilation"),
    "reduce_window_max": ("window_dimensions", "window_strides", "padding", "base_dilation", "window_dilation"),
    "reduce_window_min": ("window_dimensions", "window_strides", "padding", "base_dilation", "window_dilation"),
    "reduce_window_sum": ("window_dimensions", "window_strides", "padding", "base_dilation", "window_dilation"),
    "select_and_scatter_add": ("window_dimensions", "window_strides", "padding"),
    "select_and_gather_add": ("window_dimensions", "window_strides", "padding", "base_dilation", "window_dilation"),
}
_OF_DIMENSIONS = {
    "concatenate": "dimension",
    "rev": "dimensions",
    "cumsum": "axis",
    "cummax": "axis",
    "cumprod": "axis",
}
_CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "custom_jvp_call": "call_jaxpr",
          "custom_vjp_call": "call_jaxpr"}  # fmt: skip


class Turned(NamedTuple):
    """An image as `(N, *spatial, C)`."""

    array: Any


def order(ndim: int) -> tuple[int, ...]:
    """The dimensions of `(N, C, *spatial)` in channels-last order."""
    return (0, *range(2, ndim), 1)


def _turn(value: Any) -> Any:
    """The array of an image, or of a number that goes with images, channels-last."""
    if isinstance(value, Turned):
        return value.array
    return jnp.transpose(value, order(value.ndim)) if jnp.ndim(value) > 2 else value


def _back(value: Any) -> Any:
    """The plain array of a value."""
    return jnp.moveaxis(value.array, -1, 1) if isinstance(value, Turned) else value


def applies(jaxpr: Any, serves: Callable[[Any], bool], seen: set[int] | None = None) -> bool:
    """Whether a jaxpr has convolutions of a dtype that the native kernels serve. (`seen` are the ids of those inside that were looked through.)"""
    seen = set() if seen is None else seen
    for equation in jaxpr.eqns:
        if equation.primitive.name.startswith("flambeau_convolution"):
            return serves(equation.outvars[0].aval.dtype)
        for inner in _inner(equation):
            if id(inner) not in seen:
                seen.add(id(inner))
                if applies(inner, serves, seen):
                    return True
    return False


def _inner(equation: Any) -> list[Any]:
    found = []
    for value in equation.params.values():
        for item in value if isinstance(value, (list, tuple)) else (value,):
            item = getattr(item, "jaxpr", item)
            if hasattr(item, "eqns"):
                found.append(item)
    return found


def evaluate(jaxpr: Any, consts: Sequence[Any], *args: Any) -> list[Any]:
    """What `jax.core.eval_jaxpr` gives, computed channels-last where that saves turning arrays round."""
    return [_back(value) for value in _run(jaxpr, consts, args)]


def _run(jaxpr: Any, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, args, strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    for equation in jaxpr.eqns:
        given = [read(atom) for atom in equation.invars]
        with equation.ctx.manager:
            made = _step(equation, given)
        values.update(zip(equation.outvars, made, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _step(equation: Any, given: list[Any]) -> list[Any]:
    name, params = equation.primitive.name, equation.params
    if name in _CALLS and _CALLS[name] in params:
        inner = params[_CALLS[name]]
        return _run(inner.jaxpr, inner.consts, given)
    if name in _IMAGES:
        made = equation.primitive.bind(*map(_back, given), **params)
        return [Turned(jnp.transpose(made, order(made.ndim)))]
    image = next((value for value in given if isinstance(value, Turned)), None)
    if image is not None:
        made = _turned(equation, given, image.array.ndim)
        if made is not None:
            return made
    made = equation.primitive.bind(*map(_back, given), **equation.primitive.get_bind_params(params))
    return list(made) if equation.primitive.multiple_results else [made]


def _turned(equation: Any, given: list[Any], ndim: int) -> list[Any] | None:
    """The results of an operator that can be computed on turned images, or None."""
    primitive, params = equation.primitive, equation.params
    name, places = primitive.name, order(ndim)
    if name == "optimization_barrier":
        made = primitive.bind(*(v.array if isinstance(v, Turned) else v for v in given), **params)
        return [Turned(m) if isinstance(v, Turned) else m for v, m in zip(given, made, strict=True)]
    if params.get("channel") == 1:  # a native kernel that can be told where the channels are
        made = primitive.bind(*map(_turn, given), **{**params, "channel": ndim - 1})
        return [Turned(m) if m.ndim == ndim else m for m in (made if primitive.multiple_results else [made])]
    if name in _ELEMENTWISE:
        return [Turned(primitive.bind(*map(_turn, given), **params))]
    if name in _PER_DIMENSION:
        changed = {
            key: tuple(params[key][d] for d in places) for key in _PER_DIMENSION[name] if params[key] is not None
        }
        made = primitive.bind(*map(_turn, given), **{**params, **changed})
        return [Turned(m) for m in made] if primitive.multiple_results else [Turned(made)]
    if name in _OF_DIMENSIONS:
        key = _OF_DIMENSIONS[name]
        where = params[key]
        moved = tuple(places.index(d) for d in where) if isinstance(where, tuple) else places.index(where)
        return [Turned(primitive.bind(*map(_turn, given), **{**params, key: moved}))]
    if name in _REDUCTIONS:
        axes = params["axes"]
        left = [d for d in places if d not in axes]
        made = primitive.bind(*map(_turn, given), **{**params, "axes": tuple(sorted(places.index(d) for d in axes))})
        return [made if left == sorted(left) else jnp.transpose(made, [left.index(d) for d in sorted(left)])]
    return None


# ---------------------------------------------------------------- arrays that lie channels-last in memory

held: dict[int, Any] = {}  # id of an array -> a weak reference to it


def hold(array: Any) -> None:
    """Note that an array is an image that lies channels-last."""
    key = id(array)
    forget = held.pop  # a name of this function's, since globals may be gone when the last arrays are
    held[key] = weakref.ref(array, lambda _: forget(key, None))


def images_among(arrays: Sequence[Any], makes_images: bool) -> tuple[bool, ...] | None:
    """Which arguments of a program lie channels-last, or None if it is to run as it is.

    `makes_images` says that the program has convolutions.
    """
    found = tuple([id(array) in held for array in arrays])
    if not any(found):
        image = next((a for a in arrays if getattr(a, "ndim", 0) > 2), None) if makes_images else None
        if image is None or isinstance(image, jax.core.Tracer):
            return None
        places = image.devices()
        if len(places) > 1 or next(iter(places)).platform != "cpu" or not native.serves(image.dtype):
            return None
    return None if any(isinstance(a, jax.core.Tracer) for a in arrays) else found


def layout_program(
    function: Callable[..., Any], arrays: Sequence[Any], turned: tuple[bool, ...], name: str
) -> tuple[Any, Any]:
    """`function` under `jax.jit`, for arguments of which some lie channels-last; its images do, too.

    And what `holding` has to know: which results are images, and whether there are several.
    """
    jaxpr, shapes = jax.make_jaxpr(function, return_shape=True)(*arrays)
    several = len(jaxpr.out_avals) > 1 or isinstance(shapes, tuple)
    made: list[Any] = []

    def run(*given: Any) -> tuple[Any, ...]:
        values = [Turned(_turn(a)) if t else a for a, t in zip(given, turned, strict=True)]
        made[:] = _run(jaxpr.jaxpr, jaxpr.consts, values)
        return tuple(map(_back, made))

    run.__name__ = name
    jax.eval_shape(run, *arrays)  # finds `made`; the trace is the one that `jax.jit` looks up
    one = jax.sharding.SingleDeviceSharding(next(iter(next(a for a in arrays if hasattr(a, "devices")).devices())))
    formats = tuple(Format(Layout(order(v.array.ndim)), one) if isinstance(v, Turned) else None for v in made)
    compiled = jax.jit(run, out_shardings=formats, compiler_options=known(QUICKLY))
    return compiled, ([form is not None for form in formats], several)


def holding(run: Callable[..., Any], images: Sequence[bool], several: bool) -> Callable[..., Any]:
    """The program of `layout_program`, whose images are known to lie channels-last."""
    which = [i for i, is_image in enumerate(images) if is_image]

    def call(*given: Any) -> Any:
        results = run(*given)
        for i in which:
            hold(results[i])
        return results if several else results[0]

    return call
