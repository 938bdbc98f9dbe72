"""What the host computes at once has the values that programs give, bit by bit, and nobody can tell it from those."""

import numpy as np
import pytest
import torch

import flambeau as fb
import flambeau.nn.functional as F
from flambeau import native
from flambeau.core.dispatch import at_once
from flambeau.native.at_once import OPERATIONS, functions

pytestmark = pytest.mark.skipif(not native.available(), reason="there are no kernels")

NAMES = {"add": "add", "sub": "sub", "mul": "mul", "div": "true_divide"} | {
    n: n for n in ("eq", "ne", "lt", "le", "gt", "ge")
}
SHAPES = [
    ((64,), (64,)),
    ((7, 5), (5,)),
    ((5,), (7, 5)),
    ((3, 4, 5), (4, 5)),
    ((6,), ()),
    ((), (6,)),
    ((), ()),
    ((0,), (0,)),
    ((2, 3), (3,)),
]
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 1.2e-38, 1e-20, 3e38, 1.0, 255.0, 0.1, 5e-324, 1e308]


@pytest.fixture(autouse=True)
def at_hand():
    """They are looked for at once."""
    if functions.at_hand is None:
        functions._look()
    assert functions.at_hand


@pytest.fixture
def by_programs(monkeypatch):
    """A function that computes without this way, by XLA's programs."""

    def compute(make):
        with monkeypatch.context() as m:
            m.setattr(functions, "at_hand", False)
            for _ in range(10):  # the first calls may be NumPy's
                out = make()
        return np.asarray(out.detach())

    return compute


@pytest.fixture
def served(monkeypatch):
    """How often a tensor was made at once."""
    count = []
    monkeypatch.setattr(at_once, "blank", lambda *a, made=at_once.blank: count.append(1) or made(*a))
    return count


def values(shape, dtype, seed):
    rng = np.random.default_rng(seed)
    if dtype == "int64":
        return rng.choice([0, 1, -1, 7, 2**62, -(2**63), 2**63 - 1, 12345], shape).astype(np.int64)
    with np.errstate(over="ignore"):
        special = np.array(SPECIAL, np.float64).astype(dtype)
    made = np.where(rng.random(shape) < 0.5, rng.choice(special, shape), rng.standard_normal(shape)).astype(dtype)
    return made


def same_bits(a, b):
    a, b = np.asarray(a), np.asarray(b)
    assert a.dtype == b.dtype and a.shape == b.shape
    nan = a != a
    assert np.array_equal(nan, b != b)
    assert np.where(nan, 0, a).tobytes() == np.where(nan, 0, b).tobytes()  # a nan's sign is nobody's


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_elementwise_has_the_programs_bits(name, dtype, by_programs, served):
    call = getattr(fb, NAMES[name])
    for i, (left, right) in enumerate(SHAPES):
        a, b = (fb.tensor(values(s, dtype, 2 * i + k)) for k, s in enumerate((left, right)))
        served.clear()
        made = call(a, b)
        by_rows = 0 < len(right) < len(left)  # XLA multiplies by their reciprocals
        assert len(served) == (0 if name == "div" and (dtype == "int64" or by_rows) else 1)
        same_bits(made, by_programs(lambda a=a, b=b: call(a, b)))


@pytest.mark.parametrize("number", [2, -3, 0.1, 0.0, 1e-40, float("inf"), float("nan"), 1e38, 1 << 24, 255])
@pytest.mark.parametrize("name", OPERATIONS)
def test_elementwise_with_a_number(name, number, by_programs):
    for dtype in ("float32", "float64", "int64"):
        a = fb.tensor(values((33,), dtype, 5))
        same_bits(getattr(fb, NAMES[name])(a, number), by_programs(lambda a=a: getattr(fb, NAMES[name])(a, number)))


def test_what_it_does_not_take():
    """Other numbers, shapes that do not fit, recorded tensors, other dtypes: programs compute or refuse as ever."""
    a, t = fb.ones(4), torch.ones(4)
    for make in (
        lambda x, lib: x + True,
        lambda x, lib: x * (1 << 40),
        lambda x, lib: x.long() + 0.5,
        lambda x, lib: x + lib.ones(3, 1),
        lambda x, lib: x + lib.ones(1),
        lambda x, lib: x.half() + 1,
        lambda x, lib: x.bfloat16() * x,
        lambda x, lib: x + x.double(),
        lambda x, lib: lib.add(x, x, alpha=2),
        lambda x, lib: x.bool() + x,
        lambda x, lib: x.int() * 3,
        lambda x, lib: x.long() / 3,
        lambda x, lib: x[::2] + 1,
        lambda x, lib: x + 2j,
    ):
        ours, theirs = make(a, fb), make(t, torch)
        assert str(ours.dtype)[9:] == str(theirs.dtype)[6:] or ours.tolist() == theirs.tolist()
        assert ours.tolist() == theirs.tolist()
    for bad in (lambda x, lib: x + lib.ones(3), lambda x, lib: x - lib.ones(2, 3)):
        with pytest.raises(RuntimeError, match="must match"):
            bad(a, fb)


def test_recorded_calls_are_recorded():
    x = fb.arange(6.0, requires_grad=True)
    y = (x * 2 + 1) / 3 - x
    y.sum().backward()
    assert x.grad.tolist() == pytest.approx([2 / 3 - 1] * 6)
    with fb.no_grad():
        assert (x * 2).tolist() == [0, 2, 4, 6, 8, 10]
        assert not (x * 2).requires_grad


def test_results_are_tensors_like_others():
    """They are written to, viewed, shared with NumPy, given to compiled functions, vmap and autocast."""
    x = fb.arange(6.0)
    y = x + 1
    y[0] = 9
    view = y.view(2, 3)
    view.mul_(2)
    assert y.tolist() == [18, 4, 6, 8, 10, 12]
    assert x.tolist() == [0, 1, 2, 3, 4, 5]
    z = x * 3
    shared = z.numpy()
    shared[0] = 7
    assert z[0].item() == 7 and (z + 1).tolist() == [8, 4, 7, 10, 13, 16]
    assert fb.compile(lambda a: a * 2 + 1)(x - 1).tolist() == [-1, 1, 3, 5, 7, 9]
    assert fb.func.vmap(lambda a: a + x)(fb.ones(2, 6) * 2).tolist() == [[2, 3, 4, 5, 6, 7]] * 2
    assert fb.func.grad(lambda a: (a * a).sum())(x + 0).tolist() == [0, 2, 4, 6, 8, 10]


# ---------------------------------------------------------------- by their numbers


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "int64", "int32", "uint8", "bool", "complex64", "float16", "bfloat16"]
)
@pytest.mark.parametrize("numbers", ["int64", "int32"])
def test_picked_elements(dtype, numbers):
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2, (5, 6, 3)) if dtype == "bool" else rng.integers(0, 100, (5, 6, 3))
    x, t = (lib.tensor(base).to(getattr(lib, dtype)) for lib in (fb, torch))
    for dim, size in ((0, 5), (1, 6), (-1, 3)):
        at = rng.integers(0, size, 4)
        i, j = (lib.tensor(at).to(getattr(lib, numbers)) for lib in (fb, torch))
        assert x.index_select(dim, i).tolist() == t.index_select(dim, j).tolist()
        shape = [4, 5, 2]
        shape[dim] = 7
        shape = [min(n, m) if d != dim % 3 else n for d, (n, m) in enumerate(zip(shape, (5, 6, 3), strict=True))]
        at = rng.integers(0, size, shape)
        i, j = (lib.tensor(at).to(getattr(lib, numbers)) for lib in (fb, torch))
        assert x.gather(dim, i).tolist() == t.gather(dim, j).tolist()
    shape = (5, 1, 3)
    at = rng.integers(0, 6, shape)
    assert fb.take_along_dim(x, fb.tensor(at), 1).tolist() == torch.take_along_dim(t, torch.tensor(at), 1).tolist()
    assert fb.take_along_dim(x, fb.tensor(at - 6), 1).shape == (5, 1, 3)  # counted modulo the size
    rows, columns = rng.integers(-5, 5, 8), rng.integers(-6, 6, 8)
    i, j = ([lib.tensor(a).to(getattr(lib, numbers)) for a in (rows, columns)] for lib in (fb, torch))
    assert x[i[0]].tolist() == t[j[0]].tolist()
    assert x[i[0], i[1]].tolist() == t[j[0], j[1]].tolist()
    assert x[i[0].view(2, 4), i[1].view(2, 4)].tolist() == t[j[0].view(2, 4), j[1].view(2, 4)].tolist()
    assert x[i[0], :, i[1] % 3].tolist() == t[j[0], :, j[1] % 3].tolist()


def test_picked_elements_are_served(served):
    x, i = fb.tensor(np.arange(12.0).reshape(3, 4)), fb.tensor([0, 2])
    for make in (
        lambda: x.index_select(0, i),
        lambda: x.gather(1, fb.tensor([[0]] * 3)),
        lambda: fb.take_along_dim(x, fb.tensor([[0]] * 3), 1),
        lambda: x[i, i],
        lambda: F.embedding(i, x),
        lambda: x.view(4, 3)[2:].index_select(1, i),  # views in one piece
        lambda: x[1].gather(0, i),
        lambda: x[1, 1:][i[:1]],
        lambda: x.view(2, 6)[1] + x.view(-1)[6:],
    ):
        served.clear()
        make()
        assert len(served) == 1


def test_views_in_one_piece():
    base = np.arange(24.0).reshape(4, 6)
    rows = np.array([1, 0, 2])
    x, t = fb.tensor(base), torch.tensor(base)
    for make in (
        lambda x, i: x.view(2, 2, 6)[1].index_select(1, i),
        lambda x, i: x.view(8, 3)[2:].gather(1, i.view(3, 1)),
        lambda x, i: x[1:].view(-1)[i],
        lambda x, i: x[2:][i[:2] // 2, i[1:]],
        lambda x, i: x[1] * x[2] - x[3],
        lambda x, i: x[1:3] + x.view(-1)[6:12],
        lambda x, i: x.t()[1] + x[:, 0],  # and in several
        lambda x, i: x[1:, 2:].index_select(0, i),
        lambda x, i: x.expand(2, 4, 6)[0][i] / 2,
    ):
        assert make(x, fb.tensor(rows)).tolist() == make(t, torch.tensor(rows)).tolist()
    y = x + 0
    part = y[1]
    y.add_(1)  # a view sees what is written
    assert (part * 1).tolist() == [7, 8, 9, 10, 11, 12]


def test_numbers_that_are_not_there():
    x = fb.arange(12.0).view(3, 4).clone()
    with pytest.raises(IndexError, match="index out of range in self"):
        x.index_select(0, fb.tensor([3]))
    with pytest.raises(RuntimeError, match="out of bounds for dimension 1 with size 4"):
        x.gather(1, fb.tensor([[4]]))
    with pytest.raises(IndexError, match="out of bounds"):
        x[fb.tensor([-4])]
    with pytest.raises(IndexError, match="index out of range in self"):
        F.embedding(fb.tensor([-1]), x)
    with pytest.raises(RuntimeError, match="same number of dimensions"):
        x.gather(1, fb.tensor([0]))
    with pytest.raises(RuntimeError, match="Size does not match"):
        x.gather(1, fb.zeros(4, 1, dtype=fb.int64))
    with pytest.raises(IndexError, match="shape mismatch"):
        x[fb.tensor([0, 1]), fb.tensor([0, 1, 2])]
    assert x[fb.tensor([True, False, True])].tolist() == [[0, 1, 2, 3], [8, 9, 10, 11]]
    assert x[fb.tensor(1)].tolist() == [4, 5, 6, 7]
    assert x[fb.zeros(0, dtype=fb.int64)].shape == (0, 4)


def test_gradients_of_picked_elements():
    w, t = fb.arange(12.0).view(3, 4).requires_grad_(), torch.arange(12.0).view(3, 4).requires_grad_()
    for x, lib in ((w, fb), (t, torch)):
        i = lib.tensor([0, 2, 2])
        made = x[i].sum() + 2 * x.gather(1, lib.tensor([[0, 0]])).sum() + lib.nn.functional.embedding(i, x).sum()
        made.backward()
    assert w.grad.tolist() == t.grad.tolist()


def test_numbers_of_slices_of_nothing_are_looked_at():
    for shape, dim in (((0, 3), 1), ((3, 0), 0), ((2, 0, 3), 2)):
        x, t = fb.ones(shape), torch.ones(shape)
        for bad in (-1, 9):
            for lib, a in ((fb, x), (torch, t)):
                with pytest.raises((IndexError, RuntimeError), match="out of"):
                    a.index_select(dim, lib.tensor([bad]))
        assert x.index_select(dim, fb.tensor([1, 0])).shape == t.index_select(dim, torch.tensor([1, 0])).shape


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("name", ["add_", "sub_", "mul_", "div_"])
def test_what_is_written_in_place_is_what_a_program_writes(by_programs, served, name, dtype):
    if name == "div_" and dtype == "int64":
        pytest.skip("the result would not go into the tensor")
    for sizes, others in [((7, 5), (7, 5)), ((7, 5), (5,)), ((6,), ()), ((), ()), ((0,), (0,)), ((9,), None)]:
        if name == "div_" and others == (5,):
            continue  # by a row a program divides
        x, y = values(sizes, dtype, 1), 3 if others is None else values(others, dtype, 2)

        def make(x=x, y=y):
            t = fb.tensor(x)
            return getattr(t, name)(fb.tensor(y) if isinstance(y, np.ndarray) else y)

        served.clear()
        made = make()
        assert served
        same_bits(made.detach(), by_programs(make))


def test_what_is_written_in_place_is_seen_and_counted():
    for lib in (fb, torch):
        x = lib.ones(3, 4)
        row, same, seen = x[1], x.detach(), x.numpy() if lib is torch else None
        assert row.sum().item() == 4
        out = x.add_(1)
        x *= x
        assert out is x and x._version == row._version == same._version == 2
        assert row.tolist() == [4.0] * 4 and same.sum().item() == 48 and (seen is None or seen[0, 0] == 4)
        row.sub_(1)
        same.div_(2)
        assert x[1].tolist() == [1.5] * 4 and x[0, 0].item() == 2


def test_memory_that_others_hold_is_written_in_place():
    a = np.ones(4, np.float32)
    fb.from_numpy(a).mul_(3)
    assert a.tolist() == [3.0] * 4
    x = fb.ones(4)
    b = x.numpy()
    x.add_(1)
    assert b.tolist() == [2.0] * 4


@pytest.mark.parametrize(
    "call",
    [
        lambda lib: lib.ones(3, requires_grad=True).add_(1),
        lambda lib: lib.ones(4).add_(lib.ones(3, 4)),
        lambda lib: lib.ones((), dtype=lib.int64).mul_(0.5),
        lambda lib: lib.ones(3, dtype=lib.int64).div_(2),
        lambda lib: lib.ones(3).expand(2, 3).add_(1),
    ],
)
def test_what_may_not_be_written_in_place_is_refused(call):
    for lib in (fb, torch):
        with pytest.raises(RuntimeError):
            call(lib)


def test_the_tape_learns_of_what_is_written_in_place():
    def run(lib):
        w = lib.ones(3, requires_grad=True)
        with lib.no_grad():
            w.mul_(5)
        kept = lib.ones(3)
        kept.mul_(w)  # from here on it is recorded
        kept.add_(1)
        kept.sum().backward()
        z = lib.ones(2)
        z.lt_(2)
        return [w.tolist(), w.grad.tolist(), kept.tolist(), w._version, kept._version, z.tolist()]

    assert run(fb) == run(torch)
