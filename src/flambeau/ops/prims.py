"""`torch.ops.prims`: the operators that PyTorch's decompositions end in, each over a public function.

`prims_schemas.txt` holds the schemas, one a line. Tensors are of one dtype and, elementwise, of one shape: nothing is promoted or
broadcast, and gradients are the public function's.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from importlib import resources
from typing import Any

from ..core.array.dtypes import finfo, iinfo
from ..core.dispatch.operator import namespaces
from ..core.dispatch.overloads import OpOverload, OpOverloadPacket
from ..core.dispatch.schema import parse
from ..core.tensor.tensor import Tensor


def _torch(name: str) -> Callable[..., Any]:
    return namespaces["torch"][name]


# What another name computes
_CALLED = {
    "bessel_i0": "i0", "bessel_i0e": "special_i0e", "bessel_i1": "special_i1", "bessel_i1e": "special_i1e",
    "bessel_j0": "special_bessel_j0", "bessel_j1": "special_bessel_j1", "erf_inv": "erfinv", "erfcx": "special_erfcx",
    "ndtri": "special_ndtri", "spherical_bessel_j0": "special_spherical_bessel_j0", "zeta": "special_zeta", "rev": "flip",
    "shift_left": "bitwise_left_shift", "shift_right_arithmetic": "bitwise_right_shift", "transpose": "permute",
}  # fmt: skip
_ELEMENTWISE = frozenset(
    """add atan2 bitwise_and bitwise_or bitwise_xor div eq fmax fmin fmod gcd ge gt hypot igamma igammac le lt maximum minimum mul ne
    nextafter pow remainder shift_left shift_right_arithmetic sub zeta""".split()
)


def _limits(a: Any) -> Any:
    return finfo(a) if a.is_floating_point else iinfo(a)


def _one_kind(tensors: list[Tensor], shapes: bool) -> None:
    """RuntimeError for tensors of several dtypes, or of several shapes."""
    for other in tensors[1:]:
        if other.dtype != tensors[0].dtype:
            wanted = f"expected dtype of {tensors[0].dtype}"
            raise RuntimeError(f"Tensor with dtype {other.dtype} is not the {wanted}!".replace("flambeau.", "torch."))
        if shapes and other.shape != tensors[0].shape:
            raise RuntimeError(f"Shape {other.shape} is not the expected shape {tensors[0].shape}!")


def _cbrt(self: Tensor) -> Tensor:
    return self.sign() * self.abs().pow(1 / 3)  # type: ignore[no-any-return]


def _div(self: Any, other: Any) -> Any:
    whole = not (self.is_floating_point() or self.is_complex()) if isinstance(self, Tensor) else False
    return _torch("div")(self, other, rounding_mode="trunc") if whole else _torch("div")(self, other)


def _broadcast_in_dim(a: Tensor, shape: Any, broadcast_dimensions: Any) -> Tensor:
    if a.ndim != len(broadcast_dimensions):
        raise AssertionError(f"a.ndim ({a.ndim}) != len(broadcast_dimensions) ({len(broadcast_dimensions)})")
    sizes = [1] * len(shape)
    for size, place in zip(a.shape, broadcast_dimensions, strict=True):
        sizes[place] = size
    return a.view(sizes).expand(shape) if a.is_contiguous() else _spread(a, sizes, broadcast_dimensions).expand(shape)


def _spread(a: Tensor, sizes: list[int], places: Any) -> Tensor:
    for place in range(len(sizes)):
        if place not in places:
            a = a.unsqueeze(place)
    return a


def _collapse_view(a: Tensor, start: int, end: int) -> Tensor:
    joined = math.prod(a.shape[start : end + 1])
    try:
        return a.view(*a.shape[:start], joined, *a.shape[end + 1 :])
    except RuntimeError:
        raise RuntimeError("Attempting to view a collapsed tensor, but no such view exists!") from None


def _collapse(a: Tensor, start: int, end: int) -> Tensor:
    return a.reshape(*a.shape[:start], math.prod(a.shape[start : end + 1]), *a.shape[end + 1 :]).clone()  # type: ignore[no-any-return]


def _split_dim(a: Tensor, dim: int, outer_length: int) -> Tensor:
    length = a.shape[dim]
    if length % outer_length:
        rest = f"outer length of {outer_length} divides it with a remainder!"
        raise ValueError(f"Attempting to split dimension of length {length}, but {rest}")
    return a.view(*a.shape[:dim], outer_length, length // outer_length, *a.shape[dim + 1 :])


def _squeeze(a: Tensor, dimensions: Any) -> Tensor:
    for dim in dimensions:
        if a.shape[dim] != 1:
            raise AssertionError(f"Cannot squeeze dimension {dim} with size {a.shape[dim]} (must be 1)")
    return a.squeeze(tuple(dimensions))


def _where(pred: Tensor, a: Tensor, b: Tensor) -> Tensor:
    _one_kind([a, b], True)
    return _torch("where")(pred, a, b)  # type: ignore[no-any-return]


def _over(name: str) -> Callable[..., Any]:
    def reduce(inp: Tensor, dims: Any, *, output_dtype: Any = None) -> Tensor:
        dims = tuple(range(inp.ndim)) if dims is None else tuple(dims)
        if name == "prod":
            for dim in sorted(dims, reverse=True):
                inp = inp.prod(dim)
            return inp if output_dtype is None else inp.to(output_dtype)
        if name in ("amax", "amin"):
            return _torch(name)(inp, dims)  # type: ignore[no-any-return]
        return _torch(name)(inp, dims, dtype=output_dtype)  # type: ignore[no-any-return]

    return reduce


def _var(inp: Tensor, dims: Any, correction: float | None = 1, *, output_dtype: Any = None) -> Tensor:
    found = _torch("var")(inp, dims, correction=correction)
    return found if output_dtype is None else found.to(output_dtype)  # type: ignore[no-any-return]


def _copy_strided(a: Tensor, stride: Any) -> Tensor:
    return _torch("empty_strided")(a.shape, stride, dtype=a.dtype, device=a.device).copy_(a)  # type: ignore[no-any-return]


def _iota(length: int, *, start: int, step: int, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    made = _torch("arange")(start, start + length * step, step, dtype=dtype, device=device)
    return made.requires_grad_(requires_grad)  # type: ignore[no-any-return]


def _normal(
    shape: Any, *, mean: Any, std: Any, dtype: Any, device: Any, requires_grad: bool, generator: Any = None
) -> Tensor:
    made = _torch("empty")(shape, dtype=dtype, device=device).normal_(mean, std, generator=generator)
    return made.requires_grad_(requires_grad)  # type: ignore[no-any-return]


def _fft(name: str, **fixed: Any) -> Callable[..., Any]:
    return functools.partial(namespaces["fft"][name], **fixed)


def _fft_r2c(self: Tensor, *, dim: Any, onesided: bool) -> Tensor:
    return _fft("rfftn" if onesided else "fftn")(self, dim=tuple(dim))  # type: ignore[no-any-return]


def _fft_c2c(self: Tensor, *, dim: Any, forward: bool) -> Tensor:
    return _fft("fftn")(self, dim=tuple(dim)) if forward else _fft("ifftn", norm="forward")(self, dim=tuple(dim))  # type: ignore[no-any-return]


def _fft_c2r(self: Tensor, *, dim: Any, last_dim_size: int) -> Tensor:
    sizes = [*(self.shape[d] for d in dim[:-1]), last_dim_size]
    return _fft("irfftn", norm="forward")(self, s=sizes, dim=tuple(dim))  # type: ignore[no-any-return]


def _xor_sum(inp: Tensor, dims: Any, *, output_dtype: Any = None) -> Tensor:
    raise NotImplementedError("xor_sum only implemented with inductor")


_FORMS: dict[str, Callable[..., Any]] = {
    "cbrt": _cbrt, "div": _div, "fill": lambda self, value: _torch("full_like")(self, value), "broadcast_in_dim": _broadcast_in_dim,
    "collapse_view": _collapse_view, "collapse": _collapse, "split_dim": _split_dim, "squeeze": _squeeze, "where": _where,
    "view_of": lambda a: a.view(a.shape), "reshape": lambda a, shape: a.reshape(shape).clone(), "clone": lambda self, **o: self.clone(**o),
    "convert_element_type": lambda a, dtype: a.to(dtype, copy=True), "item": lambda a: a.item(),
    "device_put": lambda a, device, non_blocking=False: a.to(device, non_blocking=non_blocking),
    "maximum_value": lambda dtype: True if str(dtype).endswith("bool") else _limits(dtype).max,
    "minimum_value": lambda dtype: False if str(dtype).endswith("bool") else _limits(dtype).min,
    "copy_strided": _copy_strided, "copy_to": lambda a, b: a.copy_(b), "resize": lambda a, shape: a.resize_(shape),
    **{name: _over(name) for name in ("amax", "amin", "prod", "sum")}, "xor_sum": _xor_sum, "var": _var,
    "iota": _iota, "normal": _normal, "svd": lambda A, *, full_matrices: namespaces["linalg"]["svd"](A, full_matrices=full_matrices),
    "fft_r2c": _fft_r2c, "fft_c2c": _fft_c2c, "fft_c2r": _fft_c2r,
}  # fmt: skip


@functools.cache
def _schemas() -> dict[str, str]:
    lines = resources.files(__package__).joinpath("prims_schemas.txt").read_text().splitlines()
    return {line[: line.index("(")]: line for line in lines}


def _computed(name: str) -> Callable[..., Any]:
    called = _CALLED.get(name, name)
    rest = called.partition("_")[2]
    function = _FORMS.get(name) or namespaces["torch"].get(called) or namespaces["special"][rest]

    def run(op: OpOverload, *args: Any, **kwargs: Any) -> Any:
        given, named = op._schema.canonical(args, kwargs, op.overloadpacket.takes_numbers)
        if name in _ELEMENTWISE:
            _one_kind([value for value in given if isinstance(value, Tensor)], True)
        elif name == "cat":
            _one_kind(list(given[0]), False)
        result = function(*given, **named)
        return tuple(result) if isinstance(result, tuple) else result

    run.computes = True  # type: ignore[attr-defined]
    return run


def look_up(name: str) -> OpOverloadPacket | None:
    """The operator of this name; None if there is none."""
    line = _schemas().get(name)
    if line is None:
        return None
    packet = OpOverloadPacket("prims", name)
    packet.takes_numbers = name in _ELEMENTWISE
    packet.add(parse(line, "prims"), _computed(name))
    return packet
