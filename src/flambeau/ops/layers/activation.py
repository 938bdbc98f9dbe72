"""Activation functions.

Each formula is written so that JAX's derivative at a kink is PyTorch's subgradient: the branch that `where` picks
at the kink is the branch whose slope PyTorch uses there.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ...core.array import dtypes
from ...core.context.generator import draw
from ...core.context.telling import warn
from ...core.dispatch.limits import fitting_number
from ...core.dispatch.messages import message
from ...core.dispatch.operator import Array, composite, operator
from ...core.dispatch.signature import not_a_tensor
from ...core.tensor.tensor import Tensor, from_host
from ..elementwise.arithmetic import modulus
from ..making.constants import beside
from ..random.factories import refusal
from ..support.checks import (
    BOOL,
    COMPLEX,
    category,
    host_values,
    normalized_dim,
    refuse,
    refuse_masks,
    require_floating,
    type_name,
    wide,
)
from ..support.declare import in_place
from ..support.images import RELU
from ..support.softplus import log1p_exp, log_sigmoid
from . import by_kernels

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def functional_form(elementwise: Any, write: Callable) -> Callable:
    """nn.functional's form of an operator: the same arguments and then `inplace=False`.

    `write` is called with the same arguments when `inplace` is true.
    """
    signature = inspect.signature(elementwise)
    parameters = list(signature.parameters.values())
    arity = len(parameters)

    def form(*args: Any, inplace: bool = False, **kwargs: Any) -> Any:
        if len(args) > arity:
            args, inplace = args[:-1], args[-1]
        return (write if inplace else elementwise)(*args, **kwargs)

    form.__name__ = form.__qualname__ = elementwise.__name__
    form.__doc__ = elementwise.__doc__
    last = inspect.Parameter("inplace", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=False, annotation=bool)
    form.__signature__ = signature.replace(parameters=[*parameters, last])  # type: ignore[attr-defined]
    return form


def _register_form(elementwise: Any, underscored: tuple[str, ...] = ()) -> Any:
    """Publish `function(..., inplace=False)` in nn.functional, and `function_` in the namespaces `underscored`."""
    write = in_place(elementwise)
    composite(methods=False, public=underscored, in_python=False)(write)
    return composite(methods=False, public=("nn.functional",), numbers=True)(functional_form(elementwise, write))


# ---------------------------------------------------------------- piecewise linear


@operator(inplace=True, public=("torch",), derivative="ThresholdBackwardBackward0", direct=RELU)
def relu(input: Array) -> Array:
    """max(0, x)"""
    if input.dtype == jnp.bool_:
        raise RuntimeError("Boolean inputs not supported for relu")
    if jnp.iscomplexobj(input):
        raise NotImplementedError("clamp is not supported for complex types (relu: complex numbers have no order)")
    return _raised(input, 0)


def _raised(x: jax.Array, low: Any) -> jax.Array:
    """The larger of the two, which is x at a tie (so -0.0 stays), but with the slope 0 there."""
    least = jnp.asarray(low, x.dtype)
    return jnp.where(x <= least, lax.stop_gradient(jnp.where(x < least, least, x)), x)


@operator(methods=False, public=(), grad="HardtanhBackward0")
def relu6(input: Array) -> Array:
    """min(max(0, x), 6)"""
    return _clipped(input, 0.0, 6.0)


def _check_bounds(input: Any, min_val: float, max_val: float) -> None:
    if min_val > max_val:
        raise ValueError(f"min_val cannot be greater than max_val, but got {min_val} and {max_val}")


@operator(methods=False, public=(), options=_check_bounds, room={"min_val": "own reals", "max_val": "own reals"})
def hardtanh(input: Array, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    """x kept within [min_val, max_val]; the slope is 0 outside and on the bounds"""
    return _clipped(input, min_val, max_val)


def _clipped(input: jax.Array, low: float, high: float) -> jax.Array:
    if input.dtype == jnp.bool_:
        raise RuntimeError("Bool inputs not supported for hardtanh")
    if category(input) == COMPLEX:
        raise NotImplementedError("clamp is not supported for complex types")
    most = jnp.asarray(high, input.dtype)
    return jnp.where(input >= most, most, _raised(input, low))


@operator(methods=False, public=("torch",), room={"threshold": "wide reals", "value": "own reals"})
def threshold(input: Array, threshold: float, value: float) -> Array:
    """x where x > threshold, else `value`"""
    refuse("threshold_cpu", input, BOOL, COMPLEX)
    return jnp.where(input <= jnp.asarray(threshold, input.dtype), jnp.asarray(value, input.dtype), input)


@operator(methods=False, public=(), room={"negative_slope": "wide floats"})
def leaky_relu(input: Array, negative_slope: float = 0.01) -> Array:
    """x where x > 0, else `negative_slope * x`"""
    require_floating("leaky_relu_cpu", input)
    bent = (wide(input) * negative_slope).astype(input.dtype)  # the slope is not rounded to halves
    return jnp.where(input > 0, input, bent)


@operator(public=("torch", "nn.functional"), grad="PreluKernelBackward0", autocast="lower")
def prelu(input: Array, weight: Array) -> Array:
    """x where x > 0, else `weight * x`, with one weight or one for each channel (dimension 1)"""
    if weight.ndim > 1:
        raise RuntimeError(f"prelu: the weight must be a scalar or 1-D, but got {list(weight.shape)}")
    if weight.dtype != input.dtype:
        raise RuntimeError(
            f"prelu: Type promoting not supported. Got {type_name(input)} and {type_name(weight)} for input and weight"
        )
    require_floating("prelu_cpu", input)
    if weight.size != 1:
        channels = input.shape[1] if input.ndim > 1 else 1
        if input.ndim == 0:
            raise RuntimeError("Not allow zero-dim input tensor.")
        if weight.size != channels:
            raise RuntimeError(
                "Mismatch of parameter numbers and input channel size. "
                f"Found parameter numbers = {weight.size} and channel size = {channels}."
            )
        weight = weight.reshape((-1,) + (1,) * max(input.ndim - 2, 0))
    else:
        weight = weight.reshape(())
    return jnp.where(input > 0, input, input * weight)


@operator(methods=False, public=(), grad="RreluWithNoiseBackward0")
def _rrelu(input: Array, slope: Array) -> Array:
    return jnp.where(input > 0, input, (wide(input) * slope).astype(input.dtype))


def _slopes(input: Tensor, lower: float, upper: float) -> np.ndarray:
    """A slope for each element, drawn only for those that are not above 0, row by row; 1 for the others."""
    numbers = wide(input._array).dtype.type
    low, high = float(numbers(lower)), float(numbers(upper))
    drawn = host_values(input, "rrelu", "how many random numbers are drawn depends", True) <= 0
    slopes = np.ones(drawn.shape, numbers)
    slopes[drawn] = draw("uniform", None, int(drawn.sum()), np.float64) * (high - low) + low
    return slopes


@operator(methods=("hardshrink",), public=("torch", "nn.functional"), room={"lambd": "own floats"})
def hardshrink(input: Array, lambd: float = 0.5) -> Array:
    """0 where -lambd <= x <= lambd, else x"""
    require_floating("hardshrink_cpu", input)
    return jnp.where((input >= -lambd) & (input <= lambd), jnp.zeros((), input.dtype), input)


def _check_lambda(input: Any, lambd: float) -> None:
    if not 0 <= lambd <= 65504:
        array = input._array
        require_floating("softshrink_check", array)
        most = float(jnp.finfo(array.dtype).max)
        if 0 <= lambd <= most:
            return
        raise RuntimeError(
            f"lambda must be in range [0, {most:g}] for input dtype {type_name(array)}, but found {lambd:g}"
        )


@operator(methods=False, public=("nn.functional",), options=_check_lambda, in_python=False)
def softshrink(input: Array, lambd: float = 0.5) -> Array:
    """x moved towards 0 by lambd, and 0 where |x| <= lambd"""
    require_floating("softshrink_check", input)
    inside = input * 0  # with its sign, and nan where it is nan
    return jnp.where(input > lambd, input - lambd, jnp.where(input < -lambd, input + lambd, inside))


@operator(methods=False, public=())
def hardsigmoid(input: Array) -> Array:
    """min(max(0, x + 3), 6) / 6"""
    require_floating("hardsigmoid_cpu", input)
    x = wide(input)
    line = jnp.where((x > -3) & (x < 3), x, lax.stop_gradient(x)) / 6 + 0.5  # flat where it is nan, too
    return jnp.where(x <= -3, 0.0, jnp.where(x >= 3, 1.0, line)).astype(input.dtype)


@operator(methods=False, public=())
def hardswish(input: Array) -> Array:
    """x * hardsigmoid(x)"""
    require_floating("hardswish_cpu", input)
    x = wide(input)
    bent = (x > -3) & (x < 3)
    within = jnp.where(bent, x, jnp.zeros((), x.dtype))  # so that the slope at infinity is no 0 * inf
    straight = jnp.where(x <= -3, x * 0, x)  # of -inf nan, as PyTorch has it
    return jnp.where(bent, within * ((within + 3) / 6), straight).astype(input.dtype)


# ---------------------------------------------------------------- smooth


@operator(methods=False, public=(), room={"alpha": "wide floats"})
def elu(input: Array, alpha: float = 1.0) -> Array:
    """x where x > 0, else alpha * (exp(x) - 1)"""
    require_floating("elu_cpu", input)
    return _exponential_unit(input, alpha, 1.0, 1.0)


@operator(methods=False, public=(), grad="EluBackward0")
def _elu_of_scales(input: Array, alpha: float, input_scale: float, scale: float) -> Array:
    require_floating("elu_cpu", input)
    return _exponential_unit(input, alpha, input_scale, scale)


@operator(methods=False, public=("torch",), grad="EluBackward0")
def selu(input: Array) -> Array:
    """scale * elu(x, alpha) with the constants that keep mean 0 and variance 1"""
    require_floating("elu_cpu", input)
    return _exponential_unit(input, _SELU_ALPHA, 1.0, _SELU_SCALE)


def _check_alpha(input: Any, alpha: float) -> None:
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    if abs(alpha) < 1e-38 and input.dtype.is_floating_point and input.dtype is not dtypes.float64:
        fitting_number(1 / alpha, np.dtype(np.float32))  # which is what it computes with


@operator(methods=False, public=("torch",), options=_check_alpha, room={"alpha": "wide floats"})
def celu(input: Array, alpha: float = 1.0) -> Array:
    """x where x > 0, else alpha * (exp(x / alpha) - 1)"""
    require_floating("elu_cpu", input)
    return _exponential_unit(input, alpha, 1.0 / alpha, 1.0)


def _exponential_unit(input: jax.Array, alpha: float, rate: float, scale: float) -> jax.Array:
    return _exponential(wide(input), scale * alpha, rate, scale).astype(input.dtype)


@jax.custom_jvp
def _exponential(x: jax.Array, size: Any, rate: Any, scale: Any) -> jax.Array:
    below = jnp.where(x >= 0, jnp.zeros((), x.dtype), x)  # exp must not overflow in the branch that is not taken
    return jnp.where(x >= 0, scale * x, size * jnp.expm1(below * rate))  # a zero keeps its sign


@_exponential.defjvp
def _exponential_jvp(primals: Any, tangents: Any) -> Any:
    """The slope at 0 is that of the left side, all further derivatives there are those of the right side."""
    x, size, rate, scale = primals
    below = jnp.where(x < 0, x, jnp.zeros((), x.dtype))
    slope = jnp.where(x <= 0, size * rate * jnp.exp(below * rate), scale)  # where x is nan, too
    return _exponential(*primals), slope.astype(x.dtype) * tangents[0]


@operator(methods=False, public=("nn.functional",), in_python=False)
def gelu(input: Array, *, approximate: str = "none") -> Array:
    """x * Phi(x) with Phi the normal distribution's integral, exact ('none') or through tanh ('tanh')"""
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"approximate argument must be either none or tanh. (got {approximate!r})")
    require_floating("GeluKernelImpl", input)
    x = wide(input)
    if approximate == "none":
        half = 0.5 * (1 + jax.lax.erf(x * math.sqrt(0.5)))
    else:
        half = 0.5 * (1 + jnp.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    return (x * half).astype(input.dtype)


@operator(methods=False, public=())
def silu(input: Array) -> Array:
    """x * sigmoid(x)"""
    require_floating("silu_cpu", input, most=COMPLEX)
    x = wide(input)
    return (x * jax.nn.sigmoid(x)).astype(input.dtype)


@operator(methods=False, public=())
def mish(input: Array) -> Array:
    """x * tanh(log(1 + exp(x)))"""
    require_floating("mish_cpu", input)
    x = wide(input)
    return (x * jnp.tanh(log1p_exp(x))).astype(input.dtype)


@operator(
    methods=False,
    public=("nn.functional",),
    derivative="SoftplusBackwardBackward0",
    autocast={"cuda": "float32"},
    in_python=False,
    room={"beta": "wide floats", "threshold": "wide floats"},
)
def softplus(input: Array, beta: float = 1, threshold: float = 20) -> Array:
    """log(1 + exp(beta * x)) / beta, and x itself where beta * x > threshold"""
    require_floating("softplus_cpu", input)
    x = wide(input) * beta
    linear = x > threshold
    curved = log1p_exp(jnp.where(linear, jnp.zeros((), x.dtype), x)) / beta
    return jnp.where(linear, input, curved.astype(input.dtype))


@operator(methods=False, public=("nn.functional",), grad="LogSigmoidBackward0", in_python=False)
def logsigmoid(input: Array) -> Array:
    """log(1 / (1 + exp(-x)))"""
    require_floating("log_sigmoid_cpu", input)
    return log_sigmoid(wide(input)).astype(input.dtype)


@operator(
    methods=False,
    promote="float",
    public=("nn.functional",),
    grad="DivBackward0",
    check=lambda x: refuse("abs_cpu", x, BOOL),
)
def softsign(input: Array) -> Array:
    """x / (1 + |x|)"""
    return input / (1 + modulus(input))


@operator(
    methods=False,
    promote="float",
    public=("nn.functional",),
    grad="SubBackward0",
    check=lambda x: refuse_masks(x, None),
)
def tanhshrink(input: Array) -> Array:
    """x - tanh(x)"""
    return input - jnp.tanh(input)


@operator(methods=False, public=("nn.functional",))
def glu(input: Array, dim: int = -1) -> Array:
    """a * sigmoid(b) with a and b the two halves of the input along `dim`"""
    if input.ndim == 0:
        what = "scalars"
        raise RuntimeError(f"glu does not support {what} because halving size must be even")
    require_floating("glu_cpu", input)
    axis = normalized_dim(dim, input.ndim)
    if input.shape[axis] % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {axis} is size {input.shape[axis]}")
    a, b = jnp.split(wide(input), 2, axis)
    return (a * jax.nn.sigmoid(b)).astype(input.dtype)


# ---------------------------------------------------------------- softmax family


def _along(function: Callable, what: str, input: jax.Array, dim: int, dtype: Any) -> jax.Array:
    axis = normalized_dim(dim, input.ndim)
    if dtype is not None:
        input = input.astype(dtype)
    last = "lastdim_" if axis == max(input.ndim, 1) - 1 else ""
    require_floating(f"{what}_{last}kernel_impl", input)
    if input.size == 0:
        return input
    result = function(jnp.atleast_1d(wide(input)), axis=axis)
    return result.astype(input.dtype).reshape(input.shape)


@operator(
    public=("torch", "special"),
    derivative="SoftmaxBackwardDataBackward0",
    autocast={"cuda": "float32"},
    by_numpy=by_kernels.SOFTMAX,
)
def softmax(input: Array, dim: int, dtype: Any = None) -> Array:
    """exp(x) over its sum along `dim`; `dtype` is that of the result, and the input is cast to it first"""
    return _along(jax.nn.softmax, "softmax", input, dim, dtype)


@operator(public=("torch", "special"), autocast={"cuda": "float32"}, by_numpy=by_kernels.LOG_SOFTMAX)
def log_softmax(input: Array, dim: int, dtype: Any = None) -> Array:
    """log(softmax(x)) along `dim`, without overflow"""
    return _along(jax.nn.log_softmax, "log_softmax", input, dim, dtype)


_relu, _softmax, _log_softmax = relu, softmax, log_softmax
relu = _register_form(relu, ("torch", "nn.functional"))
relu6 = _register_form(relu6)
hardtanh = _register_form(hardtanh, ("nn.functional",))
threshold = _register_form(threshold, ("torch", "nn.functional"))
leaky_relu = _register_form(leaky_relu, ("nn.functional",))
hardsigmoid = _register_form(hardsigmoid)
hardswish = _register_form(hardswish)
elu = _register_form(elu, ("nn.functional",))
selu = _register_form(selu, ("torch", "nn.functional"))
celu = _register_form(celu, ("torch", "nn.functional"))
silu = _register_form(silu)
mish = _register_form(mish)


def _dim_of(name: str, input: Any, dim: int | None, method: str) -> int:
    """The dimension that is meant. AttributeError for what is no tensor and so has no such method."""
    if not isinstance(input, Tensor):
        raise AttributeError(f"'{type(input).__name__}' object has no attribute '{'dim' if dim is None else method}'")
    if dim is not None:
        return dim
    dim = 0 if input.ndim in (0, 1, 3) else 1
    warn(f"{message('implicit_dim', name=name)} (Now dim={dim} is meant.)")
    return dim


@composite(methods=False, public=("nn.functional",), autocast={"cuda": "float32"})  # type: ignore[no-redef]
def softmax(input: Tensor | Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """exp(x) over its sum along `dim` (always give `dim`; the old guess draws a warning)"""
    return _softmax(input, _dim_of("softmax", input, dim, "softmax"), dtype)


@composite(methods=False, public=("nn.functional",), autocast={"cuda": "float32"})
def softmin(input: Tensor | Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """softmax(-x) along `dim`"""
    return _softmax(-input, _dim_of("softmin", input, dim, "softmax"), dtype)


@composite(methods=False, public=("nn.functional",), autocast={"cuda": "float32"})  # type: ignore[no-redef]
def log_softmax(input: Tensor | Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """log(softmax(x)) along `dim`"""
    return _log_softmax(input, _dim_of("log_softmax", input, dim, "log_softmax"), dtype)


@composite(methods=False, public=("nn.functional",), numbers=True)
def gumbel_softmax(logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Any:
    """A draw from the Gumbel-softmax distribution; with `hard`, one-hot in value and soft in its gradient.

    `eps` has no effect, as in PyTorch.
    """
    if eps != 1e-10:
        warn("`eps` parameter is deprecated and has no effect.")
    noise = -logits.detach().clone().exponential_().log()
    soft = _softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    one_hot = soft.detach() == soft.detach().amax(dim, keepdim=True)
    return one_hot.to(soft.dtype) - soft.detach() + soft


@composite(methods=False, public=("torch", "nn.functional"), in_python=True)
def rrelu(
    input: Any, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Any:
    """x where x > 0, else x times a slope: drawn from [lower, upper] in training, their mean otherwise"""
    if lower > upper:
        raise RuntimeError(f"Lower bound should be less than or equal to the upper bound, but got {lower} > {upper}")
    for name, bound in (("lower", lower), ("upper", upper)):
        if not math.isfinite(bound):
            raise RuntimeError(f"rrelu: {name} bound must be finite, got {bound:g}")
    if training:
        if not isinstance(input, Tensor):
            raise not_a_tensor("rrelu", "input", 1, input)
        if not input.dtype.is_floating_point or input.dtype is dtypes.float16:
            raise refusal("rrelu_with_noise_out_cpu", input.dtype)
        if input.is_meta:  # type: ignore[attr-defined]
            slopes: Any = wide(input._array)
        else:
            slopes = beside(from_host(_slopes(input, lower, upper), input.device), input)
        return (in_place(_rrelu) if inplace else _rrelu)(input, slopes)
    return leaky_relu(input, (lower + upper) / 2, inplace)


@composite(methods=False, public=("torch", "nn.functional"))
def rrelu_(input: Any, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Any:
    """In-place form of `rrelu`."""
    return rrelu(input, lower, upper, training, True)
