"""Programs of small arrays that the host runs: the bits are those of XLA's programs, and nothing else is different."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as fb
import flambeau.nn.functional as F
from flambeau import native
from flambeau.core.dispatch import small

pytestmark = pytest.mark.skipif(not native.available(), reason="there are no kernels")

ENOUGH = 26  # calls after which a program has been looked at
SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    np.inf,
    -np.inf,
    np.nan,
    1e-40,
    -1e-40,
    1.1754944e-38,
    0.5,
    1.5,
    2.5,
    -2.5,
    3e38,
    2.0**31,
    300.5,
]

ONE = {
    **{
        name: lambda x, name=name: getattr(fb, name)(x)
        for name in "abs neg sign floor ceil round trunc sqrt square isnan isfinite relu logical_not amax argmax any all sum".split()
    },
    "clamp": lambda x: x.clamp(-1, 1),
    "hardtanh": F.hardtanh,
    "relu6": F.relu6,
    "x > 0": lambda x: x > 0,
    "x % 3": lambda x: x % 3,
    "x // 3": lambda x: x // 3,
    "where": lambda x: fb.where(x > 0, x, 0.0),
    "masked_fill": lambda x: x.masked_fill(x > 0, 2),
    "to int": lambda x: x.int(),
    "to double": lambda x: x.double(),
    "sum, dim": lambda x: x.sum(0),
    "mean": lambda x: x.float().mean(),
    "mean, dim": lambda x: x.float().mean(-1, keepdim=True),
    "max, dim": lambda x: x.max(-1),
    "argmin, dim": lambda x: x.argmin(0),
    "cat": lambda x: fb.cat([x, x]),
    "stack": lambda x: fb.stack([x, x], -1),
    "flip": lambda x: x.flip(0),
    "roll": lambda x: x.roll(1, 0),
    "pad": lambda x: F.pad(x, (1, 2)),
    "tril": lambda x: fb.atleast_2d(x).tril(),
    "a transpose": lambda x: x.mT * 2 if x.ndim > 1 else x * 2,
    "every second": lambda x: x[::2] * 2,
    "one_hot": lambda x: F.one_hot(x.long().clamp(0, 9), 10),
    "scatter": lambda x: x.scatter(0, fb.zeros_like(x).long(), 1),
    "diag_embed": fb.diag_embed,
}
TWO = "add sub mul div maximum minimum remainder fmod eq lt floor_divide logical_and".split()
CALLS = {name: (1, call) for name, call in ONE.items()} | {
    name: (2, lambda x, y, name=name: getattr(fb, name)(x, y)) for name in TWO
}


def _values(rng: np.random.Generator, kind: str, shape: tuple[int, ...], special: bool) -> fb.Tensor:
    if kind == "bool":
        return fb.tensor(rng.integers(0, 2, shape).astype(bool))
    if kind == "int64":
        most = 2**62 if special else 20
        return fb.tensor(rng.integers(-most, most, shape))
    plain = rng.standard_normal(shape) * 10 ** rng.uniform(-2, 2, shape)
    with np.errstate(over="ignore"):
        return fb.tensor((rng.choice(SPECIAL, shape) if special else plain).astype(kind))


def _bits(made: object) -> object:
    if isinstance(made, tuple):
        return tuple(map(_bits, made))
    values = made.numpy().copy()  # type: ignore[attr-defined]
    if values.dtype.kind == "f":
        values[np.isnan(values)] = np.nan  # of two that are added either may be the one
    return values.dtype.str, values.shape, values.tobytes()


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The operators that the host has run."""
    names: list[str] = []
    run = small.run

    def seen(op, *rest):
        made = run(op, *rest)
        if made is not None:
            names.append(op.name)
        return made

    monkeypatch.setattr(small, "run", seen)
    return names


def _xlas(call, *values):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small, "run", lambda *rest: None)
        return call(*values)


@pytest.mark.parametrize("name", CALLS)
def test_the_bits_are_those_of_xla(name):
    count, call = CALLS[name]
    rng = np.random.default_rng(len(name))
    with fb.no_grad():
        for kind in ("float32", "int64", "bool"):
            for shape in ((5,), (40,), (7, 3)):
                try:
                    first = [_values(rng, kind, shape, False) for _ in range(count)]
                    for _ in range(ENOUGH):
                        call(*first)
                except (RuntimeError, NotImplementedError, TypeError):
                    continue  # not for this dtype
                for special in (False, True, True):
                    values = [_values(rng, kind, shape, special) for _ in range(count)]
                    try:
                        wanted = _bits(_xlas(call, *values))
                    except RuntimeError as error:
                        with pytest.raises(type(error)):
                            call(*values)
                        continue
                    assert _bits(call(*values)) == wanted, (kind, shape, special)


def test_what_is_taken(taken):
    x, mask = fb.randn(64), fb.arange(64) % 2 == 0
    with fb.no_grad():
        for _ in range(ENOUGH):
            x.abs(), mask.any(), x.sum(), fb.where(mask, x, 0.0), x.max(), fb.fmod(x, x)
        taken.clear()
        x.abs(), mask.any(), x.sum(), fb.where(mask, x, 0.0), x.max(), fb.fmod(x, x)
    assert taken == ["abs", "any", "sum", "where", "max", "fmod"]


# shape, dimensions, and whether the order in which XLA sums is known
TOTALS = [
    ((33,), 0, True),
    ((1000,), 0, True),
    ((1, 65), None, True),
    ((64, 10), 0, True),
    ((8, 100), 1, True),
    ((3, 40, 5), 1, True),
    ((63, 65), 1, True),
    ((64, 64), 0, False),  # a library's
    ((1024, 4), 0, False),
    ((32, 32), None, False),
    ((16, 31), (0, 1), False),
    ((33, 3, 20), (0, 2), False),
]
SHOWN = {
    "plain": lambda x: x,
    "transposed": lambda x: x.permute(*range(x.ndim)[::-1]).contiguous().permute(*range(x.ndim)[::-1]),
    "with steps": lambda x: fb.stack([x, -x], -1)[..., 0],
    "expanded": lambda x: x[:1].expand(x.shape),
}


@pytest.mark.parametrize("shown", SHOWN)
def test_totals_are_those_of_xla(taken, shown):
    rng = np.random.default_rng(0)
    for i, (shape, dim, known) in enumerate(TOTALS[:: 1 if shown == "plain" else 2]):
        total = fb.mean if i % 2 else fb.sum
        values = rng.standard_normal(shape) * 10 ** rng.uniform(-3, 3, shape)
        x = SHOWN[shown](fb.tensor(values.astype((np.float32, np.float64)[i // 2 % 2])))
        with fb.no_grad():
            for _ in range(ENOUGH):
                total(x, dim)
            taken.clear()
            assert _bits(total(x, dim)) == _bits(_xlas(total, x, dim)), (shape, dim)
            assert taken == ([total.__name__] if known else []), (shape, dim)


def test_largest_of_zeros_and_means_of_one_number(taken):
    zeros = fb.where(fb.arange(4096) % 3 == 0, 0.0, -0.0).view(64, 64)
    with fb.no_grad():
        for call, x, names in (
            (lambda x: (x.amax(1), x.amin(1)), zeros, []),
            (lambda x: (x.amax(1), x.amin(1)), zeros[1:], ["amax", "amin"]),
            (lambda x: x.mean(0), fb.full((1, 64), 1e-40), []),  # of one number it is no quotient
        ):
            wanted = _bits(_xlas(call, x))
            for _ in range(ENOUGH):
                call(x)
            taken.clear()
            assert _bits(call(x)) == wanted
            assert taken == names


def test_recorded_and_watched_calls_are_not_the_hosts(taken):
    x = fb.randn(64, requires_grad=True)
    for _ in range(2 * ENOUGH):
        y = x.abs()
    assert "abs" not in taken
    y.sum().backward()
    assert x.grad.equal(x.detach().sign())
    step = fb.compile(lambda x: x.abs() + 1)
    with fb.no_grad():
        for _ in range(ENOUGH):
            x.abs()
        taken.clear()
        assert step(x).equal(x.detach().abs() + 1)
        assert fb.func.vmap(lambda x: x.abs())(x.view(8, 8)).equal(x.detach().abs().view(8, 8))


def test_what_has_been_written_is_read():
    x = fb.zeros(8)
    v = x[2:5]
    with fb.no_grad():
        for i in range(2 * ENOUGH):
            x.fill_(-i)
            assert v.abs().tolist() == [i] * 3
            y = x.abs()
            y += 1
            assert x.abs().tolist() == [i] * 8


def test_where_values_leave_a_choice_xla_computes(taken):
    x = fb.randn(64)
    with fb.no_grad():
        for _ in range(ENOUGH):
            x.max(), x.long()
        taken.clear()
        x[3] = fb.nan
        assert x.max().isnan()
        big = fb.full((64,), 1e30)
        big.long()
    assert "max" not in taken and "cast" not in taken


def test_errors_stay(taken):
    x, index = fb.randn(8), fb.zeros(8, dtype=fb.long)
    with fb.no_grad():
        for _ in range(ENOUGH):
            x.scatter(0, index, 1.0)
        with pytest.raises(RuntimeError, match="out of bounds"):
            x.scatter(0, index + 8, 1.0)
        for _ in range(ENOUGH):
            F.threshold(x, 0.5, 0.0)
        with pytest.raises(TypeError):
            fb.abs(1.0)


def test_writes_of_numbers_and_rows():
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64, np.int64, np.bool_, np.int32):
        wanted = (rng.standard_normal((9, 7)) * 3).astype(dtype)
        x = fb.tensor(wanted)
        row = fb.tensor(wanted[2].copy())
        kept, view, twin = x.clone(), x[:, 1], x.numpy().copy()
        for i in range(40):
            place = int(rng.integers(0, 9))
            value = [1.5, 2, True, -3][i % 4] if np.dtype(dtype).kind == "f" else [2, 1, True, 0][i % 4]
            key = (place, slice(1, None, 2), (slice(None), place % 7), (Ellipsis, slice(2, 5)))[i % 4]
            x[key] = value
            wanted[key] = value
            if i % 3 == 0:
                x[place] = row
                wanted[place] = row.numpy()
                x[:, 0] = x[:, 1]
                wanted[:, 0] = wanted[:, 1]
                x[place] = x[0]
                wanted[place] = wanted[0].copy()
            if i % 5 == 0:
                assert (x == 0).tolist() == (wanted == 0).tolist()
            assert x.tolist() == wanted.tolist()
            assert view.tolist() == wanted[:, 1].tolist()
        assert kept.tolist() == twin.tolist()
        assert x._version >= 40


def test_writes_keep_what_the_tape_and_others_hold():
    x = fb.zeros(6)
    w = fb.ones(6, requires_grad=True)
    for i in range(30):
        y = (w * x).sum()  # x is saved
        held, shared = x.clone(), x.detach()
        before = x.tolist()
        x[i % 6] = float(i)
        assert held.tolist() == before and shared.tolist() == x.tolist()
    y.backward()
    assert w.grad.tolist() == before
    z = fb.zeros(4, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        z[0] = 1.0
    c = z * 2
    c[0] = 5.0
    c.sum().backward()
    assert z.grad.tolist() == [0.0, 2.0, 2.0, 2.0]
    n = fb.zeros(4)
    seen = n.numpy()
    n[1] = 3.0
    assert seen.tolist() == [0.0, 3.0, 0.0, 0.0]


def test_trace_is_the_programs_sum():
    rng = np.random.default_rng(0)
    for n, m in ((2, 2), (3, 8), (32, 32), (33, 40), (64, 64), (128, 512), (300, 200)):
        x = fb.tensor((rng.standard_normal((n, m)) * 10 ** rng.uniform(-3, 3, (n, m))).astype(np.float32))
        wanted = fb.trace.operator.program(fb.trace.operator.signature.bind("trace", (x,), {})[1])(x._array)
        for _ in range(ENOUGH):
            made = x.trace()
        assert made.item() == float(wanted), (n, m)
    y = fb.randn(4, 4, requires_grad=True)
    y.trace().backward()
    assert y.grad.equal(fb.eye(4))


def test_sequences_made_again_are_their_owners_own():
    for make in (
        lambda **o: fb.arange(5, **o),
        lambda **o: fb.linspace(1, 2, 5, **o),
        lambda **o: fb.arange(1.0, 2.0, 0.25, **o),
    ):
        first = make()
        first[0] = 7
        second, third = make(), make(dtype=fb.float64)
        assert second[0].item() in (0, 1) and third.dtype is fb.float64 and make().dtype is second.dtype
    assert fb.arange(3).dtype is fb.int64 and fb.arange(3.0).dtype is fb.float32
    assert fb.arange(True).tolist() == [0] and fb.arange(1).tolist() == [0]
    fb.set_default_dtype(fb.float64)
    try:
        assert fb.arange(3.0).dtype is fb.float64 and fb.linspace(1, 2, 5).dtype is fb.float64
    finally:
        fb.set_default_dtype(fb.float32)
    with fb.device("meta"):
        assert fb.arange(5).device.type == "meta"
    assert fb.arange(5, requires_grad=False).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(RuntimeError):
        fb.arange(5, 1)
    with pytest.raises(RuntimeError):
        fb.arange(5, 1)


def test_programs_whose_results_xla_asks_for_are_left_to_it(taken):
    x = fb.rand(48) + 0.5
    with fb.no_grad():
        for _ in range(ENOUGH + 40):
            fb.ceil(x).exp()
        taken.clear()
        fb.ceil(x).exp()
        assert "ceil" not in taken
        for _ in range(ENOUGH + 40):
            fb.gt(fb.floor(x), 0)
        taken.clear()
        fb.floor(x)
        assert "floor" in taken


def test_numbers_and_tensors_without_dimensions_are_told_apart(taken):
    x, flags = fb.tensor([0.0, 1.0, -2.0]), fb.tensor([True, False])
    for call, given in (
        (lambda y: x + y, (True, fb.tensor(3, dtype=fb.uint8))),
        (lambda y: flags | y, (True, fb.tensor(1, dtype=fb.uint8))),
        (lambda y: x == y, (5, fb.tensor(2**31 + 3, dtype=fb.uint32))),
        (lambda y: fb.where(x > 0, x, y), (5, fb.tensor(2**31 + 3, dtype=fb.uint32))),
    ):
        for often, then in (given, given[::-1]):
            with fb.no_grad():
                wanted = _bits(_xlas(call, then))
                for _ in range(ENOUGH):
                    call(often)
                assert _bits(call(then)) == wanted, (often, then)
    assert "add" in taken and "where" in taken
    y = fb.tensor([1], dtype=fb.int32)
    with fb.no_grad():
        for _ in range(ENOUGH):
            fb.sub(y, fb.tensor(3, dtype=fb.uint8))
        with pytest.raises(RuntimeError, match="Subtraction"):
            fb.sub(y, True)


def test_numpys_numbers_are_refused_where_a_tensor_was_taken_before():
    x = fb.ones(3)
    for function in (fb.maximum, fb.logical_and, fb.atan2):
        for number in (np.int64(3), np.float32(2), np.bool_(True)):
            for _ in range(2):
                function(x, x)
                with pytest.raises(
                    TypeError, match=rf"position 2\) must be Tensor, not numpy.{type(number).__name__}$"
                ):
                    function(x, number)
    assert fb.add(x, np.float32(1.5)).tolist() == [2.5] * 3
