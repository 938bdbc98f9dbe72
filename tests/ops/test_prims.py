"""`torch.ops.prims` against PyTorch's."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import flambeau as fb
from flambeau.ops import prims

UNARY = """
    abs acos acosh asin asinh atan atanh cos cosh bessel_i0 bessel_i0e bessel_i1 bessel_i1e bessel_j0 bessel_j1 cbrt ceil digamma erf erf_inv
    erfc erfcx exp expm1 exp2 floor isfinite lgamma log log1p log2 log10 ndtri neg reciprocal round sign signbit sin sinh spherical_bessel_j0
    sqrt tan tanh trunc rsqrt clone frexp
""".split()
BINARY = "add atan2 div eq fmax fmin fmod ge gt hypot igamma igammac le lt maximum minimum mul ne nextafter pow remainder sub zeta".split()
WHOLE = "bitwise_and bitwise_or bitwise_xor gcd shift_left shift_right_arithmetic div remainder add mul".split()

OTHERS = {
    "broadcast_in_dim": lambda t, p, x: p.broadcast_in_dim(x, [2, 3, 2], [0, 2]),
    "broadcast_in_dim of a view": lambda t, p, x: p.broadcast_in_dim(x.t(), [2, 3, 2], [0, 2]),
    "too few dimensions": lambda t, p, x: p.broadcast_in_dim(x, [3, 2], [1]),
    "collapse_view": lambda t, p, x: p.collapse_view(t.arange(12).view(2, 3, 2), 1, 2),
    "no view": lambda t, p, x: p.collapse_view(t.arange(12).view(2, 3, 2).transpose(0, 1), 0, 1),
    "collapse": lambda t, p, x: p.collapse(t.arange(12).view(2, 3, 2).transpose(0, 1), 0, 1),
    "split_dim": lambda t, p, x: p.split_dim(t.arange(6), 0, 2),
    "split with a rest": lambda t, p, x: p.split_dim(t.arange(6), 0, 4),
    "squeeze": lambda t, p, x: p.squeeze(t.ones(1, 2, 1), [0, 2]),
    "squeeze of two": lambda t, p, x: p.squeeze(t.ones(1, 2, 1), [1]),
    "transpose": lambda t, p, x: p.transpose(x, [1, 0]),
    "as_strided": lambda t, p, x: p.as_strided(x, [2], [2], 1),
    "as_strided_scatter": lambda t, p, x: p.as_strided_scatter(x, t.ones(2), [2], [2], 0),
    "cat": lambda t, p, x: p.cat([x, x], 1),
    "reshape": lambda t, p, x: p.reshape(x, [4]),
    "rev": lambda t, p, x: p.rev(x, [0]),
    "where": lambda t, p, x: p.where(x > 0, x, -x),
    "where of two dtypes": lambda t, p, x: p.where(x > 0, x, x.long()),
    "fill": lambda t, p, x: p.fill(x, 3),
    "convert_element_type": lambda t, p, x: p.convert_element_type(x, t.int64),
    "item": lambda t, p, x: p.item(x[0, 0]),
    "limits": lambda t, p, x: [(p.maximum_value(d), p.minimum_value(d)) for d in (t.int8, t.float32, t.bool)],
    "copy_strided": lambda t, p, x: p.copy_strided(x, [1, 2]),
    "copy_to": lambda t, p, x: p.copy_to(x.clone(), x.t()),
    "sum": lambda t, p, x: [p.sum(x, [0]), p.sum(x, []), p.sum(x.int(), [0, 1])],
    "amax": lambda t, p, x: [p.amax(x, [0]), p.amin(x, [0, 1]), p.prod(x, [1])],
    "xor_sum": lambda t, p, x: p.xor_sum(x.long(), [0]),
    "iota": lambda t, p, x: p.iota(4, start=2, step=3, dtype=t.int32, device=t.device("cpu"), requires_grad=False),
    "normal": lambda t, p, x: (t.manual_seed(0), p.normal([3], mean=1.0, std=2.0, dtype=t.float32, device=t.device("cpu"), requires_grad=False))[1],
    "fft_r2c": lambda t, p, x: [p.fft_r2c(x, dim=[1], onesided=True), p.fft_r2c(x, dim=[0, 1], onesided=False)],
    "fft_c2c": lambda t, p, x: [p.fft_c2c(x + 1j, dim=[1], forward=True), p.fft_c2c(x + 1j, dim=[0, 1], forward=False)],
    "fft_c2r": lambda t, p, x: p.fft_c2r(x + 1j, dim=[1], last_dim_size=3),
    "two dtypes": lambda t, p, x: p.add(x, x.long()),
    "two shapes": lambda t, p, x: p.add(x, x[0]),
    "a number": lambda t, p, x: [p.add(x, 3), p.mul(x, 2.5)],
    "names": lambda t, p, x: (str(p.add.default._schema), p.add.overloads(), repr(p.frexp)),
    "missing": lambda t, p, x: p.nothing,
}  # fmt: skip


def _run(t: Any, program: Any) -> Any:
    x = t.tensor([[0.5, -1.5], [2.0, 3.25]])

    def plain(value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return [plain(v) for v in value]
        if hasattr(value, "stride"):
            return torch.from_numpy(value.numpy()) if t is fb else value, tuple(value.stride())
        return value

    try:
        return plain(program(t, t.ops.prims, x))
    except Exception as error:
        return type(error).__name__, str(error)


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")  # which PyTorch's own as_strided uses
@pytest.mark.parametrize("name", OTHERS)
def test_forms(name: str) -> None:
    torch.testing.assert_close(_same(_run(fb, OTHERS[name])), _same(_run(torch, OTHERS[name])))


def _same(value: Any) -> Any:
    """Texts and numbers as something that assert_close compares."""
    if isinstance(value, (tuple, list)):
        return [_same(v) for v in value]
    return torch.tensor([ord(c) for c in value]) if isinstance(value, str) else value


def test_elementwise() -> None:
    def programs(t: Any, p: Any, x: Any) -> Any:
        k, j = t.tensor([[1, -2], [3, 4]]), t.tensor([[3, 1], [2, 2]])
        made = [getattr(p, name)(x) for name in UNARY]
        made += [getattr(p, name)(x.abs(), x.t().abs() + 1) for name in BINARY]
        return made + [getattr(p, name)(k, j) for name in WHOLE] + [p.bitwise_not(k), p.conj_physical(x + 1j)]

    torch.testing.assert_close(_run(fb, programs), _run(torch, programs), equal_nan=True, rtol=2e-5, atol=2e-6)


def test_each_of_the_table_is_there() -> None:
    import torch._prims

    names = [
        n
        for n in torch._prims.__all__
        if n[0] != "_" and isinstance(getattr(torch.ops.prims, n, None), torch._ops.OpOverloadPacket)
    ]
    assert sorted(prims._schemas()) == sorted(names)
    for name in names:
        assert str(getattr(fb.ops.prims, name).default._schema) == str(getattr(torch.ops.prims, name).default._schema)
