"""Convolutions: one N-dimensional array function serves 1d, 2d and 3d, plain and transposed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ...core.array.size import out_of_range
from ...core.dispatch.directly import Form, Given, Run
from ...core.dispatch.operator import Array, operator
from ...core.tensor.tensor import Tensor
from ...native.convolution import Calls, calls, convolution, convolution_input
from ...native.direct import one
from ..support.checks import (
    INTEGER,
    category,
    per_dim,
    refuse,
    refuse_uncommon_integers,
    scalar_name,
    type_name,
    whole_numbers,
)


def _sizes(values: Sequence[int]) -> str:
    return "(" + " x ".join(map(str, values)) + ")"


def _padding_pairs(
    padding: str | Sequence[int], extents: Sequence[int], stride: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """Zeros to add before and after each spatial dimension; `extents` are the dilated kernel's sizes."""
    if padding == "valid":
        return ((0, 0),) * len(extents)
    if padding == "same":
        if any(s != 1 for s in stride):
            raise RuntimeError(f"padding='same' is not supported for strided convolutions, but got stride={stride}")
        return tuple(((e - 1) // 2, e - 1 - (e - 1) // 2) for e in extents)
    if isinstance(padding, str):
        raise RuntimeError(f"Invalid padding string: '{padding}'; expected 'same', 'valid' or integers")
    return tuple((p, p) for p in padding)


def _dtypes_clash(input: str, weight: str) -> RuntimeError:
    if input != "Float":
        return RuntimeError(f"expected scalar type {input} but found {weight}")
    both = f"Input type (torch.{input}Tensor) and weight type (torch.{weight}Tensor)"
    return RuntimeError(f"{both} should be the same or input should be a MKLDNN tensor and weight is a dense tensor")


def _refuse_numbers(input: jax.Array, transposed: bool, n: int) -> None:
    """Raises NotImplementedError for the bools and integers that PyTorch's kernels lack whatever the weight is."""
    if transposed:
        refuse_uncommon_integers(f"slow_conv_transpose{max(n, 2)}d_out_cpu", input)
    elif input.dtype == jnp.bool_:
        raise NotImplementedError(
            f"\"{'slow_conv2d_cpu' if n < 3 else 'compute_columns3d'}\" not implemented for 'Bool'"
        )


def _check_kernel(input: jax.Array, weight: jax.Array, transposed: bool, n: int, dilated: bool) -> None:
    if dilated and not transposed:
        refuse_uncommon_integers("slow_conv_dilated<>", input)
    if 0 in weight.shape[2:]:
        height, width = (1, *weight.shape[2:])[-2:]
        given = (
            f": {_sizes(weight.shape[2:])[1:-1]} (TxHxW)"
            if n == 3
            else f" kernel_height: {height} kernel_width: {width}"
        )
        raise RuntimeError(f"kernel size should be greater than zero, but got{given}")


def _check(
    input: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None,
    stride: Sequence[int],
    padding: str | Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    groups: int,
    name: str,
) -> None:
    n = weight.ndim - 2
    if bias is not None and bias.dtype != input.dtype and not transposed:
        raise RuntimeError(f"Input type ({scalar_name(input)}) and bias type ({scalar_name(bias)}) should be the same")
    _refuse_numbers(input, transposed, n)
    if weight.dtype != input.dtype:
        raise _dtypes_clash(type_name(input), type_name(weight))
    if transposed and bias is not None and category(bias) > category(input):
        found, own = type_name(bias), type_name(input)
        text = f"result type {found} can't be cast to the desired output type {own}"
        raise RuntimeError(text if n < 3 else f"expected scalar type {own} but found {found}")
    _check_kernel(input, weight, transposed, n, any(d > 1 for d in dilation))
    if any(s <= 0 for s in stride):
        raise RuntimeError(f"non-positive stride is not supported, but got stride={list(stride)}")
    if any(d <= 0 for d in dilation):
        raise RuntimeError(f"dilation should be greater than zero, but got {list(dilation)}")
    if not isinstance(padding, str) and any(p < 0 for p in padding):
        raise RuntimeError(f"negative padding is not supported, but got padding={list(padding)}")
    if groups <= 0:
        raise RuntimeError(f"non-positive groups is not supported, but got groups={groups}")
    if weight.shape[0] < groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, "
            f"but got weight of size {list(weight.shape)} instead"
        )
    if weight.shape[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, "
            f"but got weight of size [{list(weight.shape)}] instead"
        )
    channels = input.shape[-n - 1]
    expected = weight.shape[0] if transposed else weight.shape[1] * groups
    if channels != expected:
        given = "transposed=1" if transposed else f"groups={groups}"
        shape = list(input.shape) if input.ndim == n + 2 else [1, *input.shape]
        raise RuntimeError(
            f"Given {given}, weight of size {list(weight.shape)}, expected input{shape} "
            f"to have {expected} channels, but got {channels} channels instead"
        )
    if transposed and 0 in input.shape[-n:]:
        shape = list(input.shape) if input.ndim == n + 2 else [1, *input.shape]
        raise RuntimeError(f"Only zero batch or zero channel inputs are supported, but got input shape: {shape}")
    features = weight.shape[1] * groups if transposed else weight.shape[0]
    if bias is not None and bias.shape != (features,):
        raise RuntimeError(
            f"Given weight of size {list(weight.shape)}, expected bias to be 1-dimensional with {features} elements, "
            f"but got bias of size {list(bias.shape)} instead"
        )


def convolved(
    input: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    n: int,
    output_padding: Any = None,
) -> jax.Array:
    """Slide `weight` over the `n` trailing dimensions of `input`; with `output_padding`, the adjoint of that.

    Shapes: input `(N, C_in, *spatial)` or `(C_in, *spatial)`, weight `(C_out, C_in / groups, *kernel)`
    (transposed: `(C_in, C_out / groups, *kernel)`), bias `(C_out)`.
    """
    transposed = output_padding is not None
    stride, dilation, extents, pairs = _settings(input, weight, bias, stride, padding, dilation, groups, n, transposed)
    batched = input.ndim == n + 2
    if not batched:
        input = input[None]
    if transposed:
        extra = per_dim(output_padding, n, f"conv_transpose{n}d", "output_padding", 6)
        result = _transposed(input, weight, stride, pairs, dilation, extents, extra, groups)
    else:
        result = _plain(input, weight, stride, pairs, dilation, extents, groups)
    if bias is not None:
        result = result + bias.reshape((-1,) + (1,) * n).astype(result.dtype)
    return result if batched else result[0]


def _settings(
    input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int, n: int, transposed: bool
) -> tuple[Sequence[int], Sequence[int], list[int], Sequence[tuple[int, int]]]:
    """Stride and dilation of each dimension, the dilated kernel's sizes and the padding on both sides, when all is checked."""
    name = f"conv_transpose{n}d" if transposed else f"conv{n}d"
    if weight.ndim < 3 and input.ndim:
        raise RuntimeError(f"weight should have at least three dimensions, but {name} got {list(weight.shape)}")
    if input.ndim not in (n + 1, n + 2):
        raise RuntimeError(
            f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {name}, "
            f"but got input of size: {list(input.shape)}"
        )
    if weight.ndim != n + 2:
        if n != 1 and not isinstance(padding, str):  # a number stands for any number of dimensions
            raise RuntimeError(
                f"expected stride to be a single integer value or a list of {weight.ndim - 2} values to match the "
                f"convolution dimensions, but got stride={list(per_dim(stride, n, name, 'stride', 4))}: "
                f"{name} takes a weight of {n + 2} dimensions"
            )
        size = [1] * (n + 2 - input.ndim) + list(input.shape)
        gap = "" if isinstance(padding, str) else " "
        raise RuntimeError(
            f"Expected {weight.ndim}-dimensional input for {weight.ndim}-dimensional weight{gap}{list(weight.shape)}, but got "
            f"{len(size)}-dimensional input of size {size} instead; {name} takes a weight of {n + 2} dimensions"
        )
    stride = per_dim(stride, n, name, "stride", 4)
    dilation = per_dim(dilation, n, name, "dilation", 8 if transposed else 6)
    if transposed or not isinstance(padding, str):
        padding = per_dim(padding, n, name, "padding", 5)
    _check(input, weight, bias, stride, padding, dilation, transposed, groups, name)
    extents = [d * (k - 1) + 1 for k, d in zip(weight.shape[2:], dilation, strict=True)]
    return stride, dilation, extents, _padding_pairs(padding, extents, stride)


def _plain(
    input: jax.Array, weight: jax.Array, stride: Sequence[int], pairs: Sequence[tuple[int, int]],
    dilation: Sequence[int], extents: Sequence[int], groups: int,
) -> jax.Array:  # fmt: skip
    padded = [s + lo + hi for s, (lo, hi) in zip(input.shape[2:], pairs, strict=True)]
    if any(p < e for p, e in zip(padded, extents, strict=True)):
        raise RuntimeError(
            f"Calculated padded input size per channel: {_sizes(padded)}. Kernel size: {_sizes(extents)}. "
            "Kernel size can't be greater than actual input size"
        )
    low, high = zip(*pairs, strict=True)
    return convolution(input, weight, stride, low, high, dilation, groups)


def _transposed(
    input: jax.Array, weight: jax.Array, stride: Sequence[int], pairs: Sequence[tuple[int, int]],
    dilation: Sequence[int], extents: Sequence[int], extra: Sequence[int], groups: int,
) -> jax.Array:  # fmt: skip
    for o, s, d in zip(extra, stride, dilation, strict=True):
        if o < 0 or (o and o >= max(s, d)):
            sides = ("depth", "height", "width")[-max(len(extra), 2) :]
            given = (("output_padding", (0, *extra)), ("stride", (1, *stride)), ("dilation", (1, *dilation)))
            shown = [
                f"{what}_{side}: {n}" for what, ns in given for side, n in zip(sides, ns[-len(sides) :], strict=True)
            ]
            raise RuntimeError(
                f"output padding must be smaller than either stride or dilation, but got {' '.join(shown)}"
            )
    sizes = [
        (i - 1) * s + e + o - lo - hi
        for i, s, e, o, (lo, hi) in zip(input.shape[2:], stride, extents, extra, pairs, strict=True)
    ]
    if any(s < 0 for s in sizes):
        raise RuntimeError(
            f"Given input size per channel: {_sizes(input.shape[2:])}. Calculated output size per channel: "
            f"{_sizes(sizes)}. Output size is too small"
        )
    low, high = zip(*pairs, strict=True)
    # input of the plain convolution that no window of its reaches: less than a stride is none of its affair
    high = tuple(h - (o if o >= s else 0) for h, o, s in zip(high, extra, stride, strict=True))
    return convolution_input(input, weight, sizes, stride, low, high, dilation, groups)


def _calls(given: Given) -> Calls | None:
    """The kernels' calls of a plain convolution of images without a bias."""
    at, weight_at = given["input"], given["weight"]
    if not given.images(at) or given["bias"] is not None or given.turned[weight_at]:
        return None
    input, weight = given.arrays[at], given.arrays[weight_at]
    if weight.dtype != input.dtype or input.ndim != weight.ndim:
        return None
    n, groups = input.ndim - 2, given["groups"]
    stride, dilation, _, pairs = _settings(
        input, weight, None, given["stride"], given["padding"], given["dilation"], groups, n, False
    )
    low, high = zip(*pairs, strict=True)
    return calls(input.shape, weight.shape, stride, low, high, dilation, groups)


def _directly(given: Given) -> Run | None:
    found = _calls(given)
    return None if found is None else one(found.forward())


def _gradients_directly(given: Given, wanted: tuple[int, ...]) -> Run | None:
    found = _calls(given)
    if found is None or not given.images(*given.cotangents):
        return None
    by_input = found.by_input() if 0 in wanted else None
    by_weight = found.by_weight() if 1 in wanted else None

    def run(x: Any, w: Any, g: Any) -> tuple[Any, ...]:
        first = by_input(g, w) if by_input else []
        return (*first, *by_weight(x, g)) if by_weight else tuple(first)

    return run


_DIRECT = Form(_directly, _gradients_directly)


def _grad_name(arrays: list[Any]) -> str:
    return "ConvolutionBackward0" if arrays[0].ndim == arrays[1].ndim else "SqueezeBackward1"


def _plain_form(n: int) -> Callable:
    def form(
        input: Array, weight: Array, bias: Array | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
        groups: int = 1,
    ) -> Array:  # fmt: skip
        return convolved(input, weight, bias, stride, padding, dilation, groups, n)

    return _published(form, f"conv{n}d", n, _DIRECT)


def _transposed_form(n: int) -> Callable:
    def form(
        input: Array, weight: Array, bias: Array | None = None, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
    ) -> Array:  # fmt: skip
        return convolved(input, weight, bias, stride, padding, dilation, groups, n, output_padding)

    return _published(form, f"conv_transpose{n}d", n)


def _published(form: Callable, name: str, n: int, direct: Form | None = None) -> Callable:
    form.__name__ = form.__qualname__ = name
    kind = "transposed convolution" if "transpose" in name else "convolution (a cross-correlation)"
    form.__doc__ = f"A {kind} over {n} spatial dimension{'s' * (n > 1)}."
    public = ("torch", "nn.functional")
    return operator(methods=False, public=public, grad=_grad_name, images=True, autocast="lower", direct=direct)(form)


conv1d: Callable[..., Tensor] = _plain_form(1)
conv2d: Callable[..., Tensor] = _plain_form(2)
conv3d: Callable[..., Tensor] = _plain_form(3)
conv_transpose1d: Callable[..., Tensor] = _transposed_form(1)
conv_transpose2d: Callable[..., Tensor] = _transposed_form(2)
conv_transpose3d: Callable[..., Tensor] = _transposed_form(3)


@operator(methods=False, public=("torch", "nn.functional"), grad="ConvTbcBackward0")
def conv_tbc(input: Array, weight: Array, bias: Array, pad: int = 0) -> Array:
    """`conv1d` of `(T, N, C_in)` with a weight `(K, C_in, C_out)`: `(T + 2 pad - K + 1, N, C_out)`."""
    if input.ndim != 3:
        raise RuntimeError(f"Input must have 3 dims: time, batch, in_channel (got {list(input.shape)})")
    if weight.ndim != 3:
        raise RuntimeError(
            f"Weight tensor must have 3 dims: kernel_width, in_channels, out_channels. (got {list(weight.shape)})"
        )
    if bias.ndim != 1:
        raise RuntimeError(f"Bias must be 1-D (got {list(bias.shape)})")
    if input.shape[2] != weight.shape[1]:
        raise RuntimeError(
            "Input dim 2 (input channels) is not == dim 1 in the weight tensor "
            f"({input.shape[2]} and {weight.shape[1]})"
        )
    if bias.shape[0] != weight.shape[2]:
        raise RuntimeError(
            "Bias size must equal dim 2 in the weight tensor (output channels). "
            f"({bias.shape[0]} and {weight.shape[2]})"
        )
    steps = input.shape[0] + 2 * pad - weight.shape[0] + 1
    if steps < 0:
        shape = [steps, input.shape[1], weight.shape[2]]
        raise RuntimeError(f"Trying to create tensor with negative dimension {steps}: {shape}")
    if not steps:
        return jnp.zeros((0, input.shape[1], weight.shape[2]), input.dtype)
    turned = convolved(input.transpose(1, 2, 0), weight.transpose(2, 1, 0), bias, 1, pad, 1, 1, 1)
    return turned.transpose(2, 0, 1)


# ---------------------------------------------------------------- gradients


def _check_gradient(made: tuple[int, ...], given: tuple[int, ...]) -> None:
    for axis, (wanted, got) in enumerate(zip(made, given, strict=False)):
        if wanted != got or len(made) != len(given):
            raise RuntimeError(
                f"Expected a tensor of dimension {len(made)} and tensor.size[{axis}] == {wanted} but got: "
                f"dimension {len(given)} and tensor.size[{axis}] = {got}"
            )


@operator(methods=False, public=(), grad="ConvolutionBackwardBackward0")
def conv_gradient(
    other: Array, grad_output: Array, shape: Any, by_input: bool, stride: Any, padding: Any, dilation: Any, groups: int
) -> Array:
    """The gradient of a plain convolution by its input, `other` being the weight, or by its weight; it has this shape."""

    def forward(x: jax.Array) -> jax.Array:
        input, weight = (x, other) if by_input else (other, x)
        return convolved(input, weight, None, stride, padding, dilation, groups, other.ndim - 2)

    wanted = jax.ShapeDtypeStruct(tuple(shape), other.dtype)
    _check_gradient(jax.eval_shape(forward, wanted).shape, grad_output.shape)
    return jax.linear_transpose(forward, wanted)(grad_output)[0]


# ---------------------------------------------------------------- patches


def _patch_grid(
    size: Sequence[int], kernel: Sequence[int], dilation: Sequence[int], padding: Sequence[int], stride: Sequence[int]
) -> tuple[int, ...]:
    """How many patches fit along each dimension."""
    grid = tuple(
        (s + 2 * p - d * (k - 1) - 1) // st + 1
        for s, k, d, p, st in zip(size, kernel, dilation, padding, stride, strict=True)
    )
    return grid


def _pair(value: Any, function: str, name: str, place: int) -> tuple[int, ...]:
    whole_numbers(function, name, place, value)
    if isinstance(value, (tuple, list)) and len(value) != 2:
        raise RuntimeError(f"It is expected {name} equals to 2, but got size {len(value)}")
    return per_dim(value, 2, function, name, place)


def _patch_settings(
    function: str, place: int, kernel_size: Any, dilation: Any, padding: Any, stride: Any
) -> list[tuple[int, ...]]:
    """Each as a pair; they are the arguments from number `place` on."""
    settings: list[tuple[int, ...]] = []
    for value, name, short, least in (
        (kernel_size, "kernel size", "kernel", 1),
        (dilation, "dilation", "dilation", 1),
        (padding, "padding", "pad", 0),
        (stride, "stride", "stride", 1),
    ):
        pair = _pair(value, function, name.replace(" ", "_"), place + len(settings))
        if min(pair) < least:
            wanted = "greater than zero" if least else "non-negative"
            raise RuntimeError(f"{name} should be {wanted}, but got {short}_height: {pair[0]} {short}_width: {pair[1]}")
        settings.append(pair)
    return settings


def _patches(
    images: jax.Array,
    kernel: tuple[int, ...],
    dilation: tuple[int, ...],
    padding: tuple[int, ...],
    stride: tuple[int, ...],
) -> jax.Array:
    """(N, C, H, W) -> (N, C * kh * kw, L): strided slices of the padded images, one for each kernel position."""
    size = tuple(images.shape[2:])
    grid = _patch_grid(size, kernel, dilation, padding, stride)
    if min(grid) < 1:
        raise RuntimeError(
            f"Given input with spatial size {size}, kernel_size={kernel}, dilation={dilation}, padding={padding}, "
            f"calculated shape of the array of sliding blocks as {grid}, but its components must be at least one."
        )
    images = jnp.pad(images, ((0, 0), (0, 0), *((p, p) for p in padding)))
    slices = []
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            first = (i * dilation[0], j * dilation[1])
            last = [f + (g - 1) * s + 1 for f, g, s in zip(first, grid, stride, strict=True)]
            slices.append(images[:, :, first[0] : last[0] : stride[0], first[1] : last[1] : stride[1]])
    n, c = images.shape[:2]
    return jnp.stack(slices, 2).reshape(n, c * math.prod(kernel), math.prod(grid))


@operator(methods=False, public=("nn.functional",), grad="Im2ColBackward0")
def unfold(input: Array, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Array:
    """Every patch of `(N, C, H, W)` (or `(C, H, W)`) as a column: `(N, C * kh * kw, L)`."""
    settings = _patch_settings("im2col", 2, kernel_size, dilation, padding, stride)
    if not input.ndim:
        raise IndexError("Dimension specified as 1 but tensor has no dimensions: unfold got a number")
    if input.ndim < 3:
        raise out_of_range(input.ndim, input.ndim, "unfold takes 3 or 4")
    if input.ndim not in (3, 4) or 0 in input.shape[-3:]:
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, "
            f"but got: {list(input.shape)}"
        )
    refuse("im2col_out_cpu", input, INTEGER)
    result = _patches(input if input.ndim == 4 else input[None], *settings)
    return result if input.ndim == 4 else result[0]


@operator(methods=False, public=("nn.functional",), grad="Col2ImBackward0")
def fold(
    input: Array, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Array:
    """Sum columns of patches back into images: the adjoint of `unfold`."""
    size = _pair(output_size, "col2im", "output_size", 2)
    kernel, dilation, padding, stride = _patch_settings("col2im", 3, kernel_size, dilation, padding, stride)
    if input.ndim not in (2, 3) or 0 in input.shape[-2:]:
        raise RuntimeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for "
            f"input, but got: {list(input.shape)}"
        )
    refuse("col2im_out_cpu", input, INTEGER)
    columns = input if input.ndim == 3 else input[None]
    if columns.shape[1] % math.prod(kernel):
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, "
            f"but got input.size(1)={columns.shape[1]} and kernel_size={kernel}."
        )
    grid = _patch_grid(size, kernel, dilation, padding, stride)
    expected = math.prod(grid)
    if columns.shape[2] != expected:
        raise RuntimeError(
            f"Given output_size={size}, kernel_size={kernel}, dilation={dilation}, padding={padding}, "
            f"stride={stride}, expected size of input's dimension 2 to match the calculated number of sliding "
            f"blocks {' * '.join(map(str, grid))} = {expected}, but got input.size(2)={columns.shape[2]}."
        )
    if min(grid) < 1:
        raise RuntimeError(
            f"Given output_size={size}, kernel_size={kernel}, dilation={dilation}, padding={padding}, stride={stride}, "
            f"calculated shape of the array of sliding blocks as {grid}, which is too small (non-positive)"
        )
    if input.dtype == bool:
        columns = columns.astype(jnp.int32)
    shape = (columns.shape[0], columns.shape[1] // math.prod(kernel), *size)
    adjoint = jax.linear_transpose(
        lambda images: _patches(images, kernel, dilation, padding, stride), jax.ShapeDtypeStruct(shape, columns.dtype)
    )
    (images,) = adjoint(columns)
    images = images != 0 if input.dtype == bool else images
    return images if input.ndim == 3 else images[0]
