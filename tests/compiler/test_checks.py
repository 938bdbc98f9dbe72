"""Compiled programs refuse the values that torch refuses: the same exception with the same text, and nothing is changed."""

from __future__ import annotations

import types

import numpy as np
import pytest
import torch

import flambeau as fb
import flambeau.nn

NAN = float("nan")
INF = float("inf")


def _index_cases():
    """Operators at an index beyond the end, one just before the start and one far before it."""
    for bad in (5, -1, -4):
        index = [0, bad]
        row = [index]
        yield from (
            (f"gather {bad}", lambda t, x, m, i: x.gather(0, i), index),
            (f"gather in columns {bad}", lambda t, x, m, i: m.gather(1, i), row),
            (f"scatter {bad}", lambda t, x, m, i: x.scatter(0, i, x[:2]), index),
            (f"scatter of a number {bad}", lambda t, x, m, i: x.scatter(0, i, 1.0), index),
            (f"scatter_ {bad}", lambda t, x, m, i: x.clone().scatter_(0, i, x[:2]), index),
            (f"scatter_add {bad}", lambda t, x, m, i: x.scatter_add(0, i, x[:2]), index),
            (f"scatter_reduce {bad}", lambda t, x, m, i: x.scatter_reduce(0, i, x[:2], "amax"), index),
            (f"index_select {bad}", lambda t, x, m, i: x.index_select(0, i), index),
            (f"index_select of columns {bad}", lambda t, x, m, i: m.index_select(1, i), index),
            (f"index_add {bad}", lambda t, x, m, i: x.index_add(0, i, x[:2]), index),
            (f"index_add of columns {bad}", lambda t, x, m, i: m.index_add(1, i, m[:, :2]), index),
            (f"index_copy {bad}", lambda t, x, m, i: x.index_copy(0, i, x[:2]), index),
            (f"index_fill {bad}", lambda t, x, m, i: x.index_fill(0, i, 1.0), index),
            (f"index_reduce {bad}", lambda t, x, m, i: x.index_reduce(0, i, x[:2], "amax"), index),
            (f"index_put {bad}", lambda t, x, m, i: x.index_put((i,), x[:2]), index),
            (f"index_put, adding {bad}", lambda t, x, m, i: x.index_put((i,), x[:2], accumulate=True), index),
            (f"take {bad}", lambda t, x, m, i: x.take(i), index),
            (f"put {bad}", lambda t, x, m, i: x.put(i, x[:2]), index),
            (f"take_along_dim {bad}", lambda t, x, m, i: m.take_along_dim(i), index),
            (f"x[i] {bad}", lambda t, x, m, i: x[i], index),
            (f"x[0-dim i] {bad}", lambda t, x, m, i: x[i[1]], index),
            (f"m[:, i] {bad}", lambda t, x, m, i: m[:, i], index),
            (f"m[i, i] {bad}", lambda t, x, m, i: m[i, i], index),
            (f"x[i] = v {bad}", _assigned, index),
            (f"embedding {bad}", lambda t, x, m, i: t.nn.functional.embedding(i, m), index),
            (f"one_hot {bad}", lambda t, x, m, i: t.nn.functional.one_hot(i, 4), index),
            (f"cross_entropy {bad}", lambda t, x, m, i: t.nn.functional.cross_entropy(m[:2], i), index),
            (f"cross_entropy, weighted {bad}", _weighted, index),
            (f"cross_entropy of one sample {bad}", lambda t, x, m, i: t.nn.functional.cross_entropy(m[0], i[1]), index),
            (f"nll_loss {bad}", lambda t, x, m, i: t.nn.functional.nll_loss(m[:2], i, reduction="none"), index),
            (f"nll_loss in 2d {bad}", lambda t, x, m, i: t.nn.functional.nll_loss(m[:2].T[None, :, None], i), [[index]]),
            (f"max_unpool1d {bad}", lambda t, x, m, i: t.nn.functional.max_unpool1d(x[None, None, :2], i, 2), [row]),
        )  # fmt: skip


def _assigned(t, x, m, i):
    x = x.clone()
    x[i] = x[:2] * 2
    return x


def _weighted(t, x, m, i):
    return t.nn.functional.cross_entropy(m[:2], i, weight=x.new_ones(4), label_smoothing=0.1)


def _sampled(*weights):
    return (
        (f"multinomial {weights}", lambda t, w: t.multinomial(w, 2), weights),
        (f"multinomial with replacement {weights}", lambda t, w: t.multinomial(w, 2, replacement=True), weights),
    )


SINGULAR = [[1.0, 2.0], [2.0, 4.0]]
BATCH = [[[1.0, 0.0], [0.0, 1.0]], SINGULAR]
INDEFINITE = [[1.0, 2.0], [2.0, 1.0]]
INDEFINITE_BATCH = [[[1.0, 0.0], [0.0, 1.0]], INDEFINITE]

CASES = [
    *(
        (f"{name} {kind}", f, a)
        for kind, a in (("", SINGULAR), ("of a batch", BATCH), ("of zeros", [[0.0, 0.0], [0.0, 0.0]]))
        for name, f in (
            ("inv", lambda t, a: t.linalg.inv(a)),
            ("inv_ex", lambda t, a: t.linalg.inv_ex(a, check_errors=True).inverse),
            ("solve", lambda t, a: t.linalg.solve(a, a)),
            ("solve_ex", lambda t, a: t.linalg.solve_ex(a, a, check_errors=True).result),
            ("matrix_power", lambda t, a: t.linalg.matrix_power(a, -2)),
            ("lu_factor", lambda t, a: t.linalg.lu_factor(a).LU),
            ("lu_factor_ex", lambda t, a: t.linalg.lu_factor_ex(a, check_errors=True).LU),
        )
    ),
    ("tensorinv", lambda t, a: t.linalg.tensorinv(a, ind=1), SINGULAR),
    ("tensorsolve", lambda t, a: t.linalg.tensorsolve(a, a[0]), SINGULAR),
    ("cholesky_inverse", lambda t, a: t.cholesky_inverse(a * 0), SINGULAR),
    *(
        (f"{name} {kind}", f, a)
        for kind, a in (("", INDEFINITE), ("of a batch", INDEFINITE_BATCH), ("of nan", [[NAN, 0.0], [0.0, 1.0]]))
        for name, f in (
            ("cholesky", lambda t, a: t.linalg.cholesky(a)),
            ("cholesky, upper", lambda t, a: t.linalg.cholesky(a, upper=True)),
            ("torch.cholesky", lambda t, a: t.cholesky(a)),
            ("cholesky_ex", lambda t, a: t.linalg.cholesky_ex(a, check_errors=True).L),
        )
    ),
    ("//", lambda t, k: 7 // k, [2, 0]),
    ("// of tensors", lambda t, k: (k + 1) // k, [2, 0]),
    ("%", lambda t, k: 7 % k, [2, 0]),
    ("fmod", lambda t, k: (k + 1).fmod(k), [2, 0]),
    ("remainder_", lambda t, k: (k + 1).remainder_(k), [2, 0]),
    ("floor_divide of a bool", lambda t, k: k.floor_divide(k > 0), [2, 0]),
    ("div, trunc", lambda t, k: t.div(k + 1, k, rounding_mode="trunc"), [2, 0]),
    *_sampled(-1.0, 2.0),
    *_sampled(INF, 1.0),
    *_sampled(NAN, 1.0),
    *_sampled(0.0, 0.0),
    *(
        (f"{name} {p}", f, p)
        for p in ((-0.5, 0.5), (1.5, 0.5), (NAN, 0.5))
        for name, f in (
            ("bernoulli", lambda t, p: t.bernoulli(p)),
            ("bernoulli_", lambda t, p: t.zeros(2, dtype=p.dtype).bernoulli_(p)),
            ("binary_cross_entropy", lambda t, p: t.nn.functional.binary_cross_entropy(p, p * 0)),
            ("binary_cross_entropy's target", lambda t, p: t.nn.functional.binary_cross_entropy(p * 0, p)),
            ("quantile", lambda t, p: t.quantile(p * 0, p)),
        )
    ),
    ("normal", lambda t, p: t.normal(0.0, p), [-0.5, 0.5]),
    ("normal of nan", lambda t, p: t.normal(p, p), [NAN, 0.5]),
    ("gaussian_nll_loss", lambda t, p: t.nn.functional.gaussian_nll_loss(p, p, p), [-0.5, 0.5]),
    ("cov, negative", lambda t, p: t.cov(t.stack([p, p]), aweights=p), [-0.5, 0.5]),
    ("cov, no weight", lambda t, p: t.cov(t.stack([p, p]), aweights=p * 0), [0.5, 0.5]),
    ("masked_scatter", lambda t, p: p.masked_scatter(p > 0, p[:1]), [1.0, 2.0]),
    ("repeat_interleave", lambda t, k: t.repeat_interleave(k, k, output_size=5), [1, 2]),
    ("embedding_bag, not from 0", lambda t, k: t.nn.functional.embedding_bag(k, t.ones(3, 2, dtype=t.float64), k), [1, 1]),
    ("embedding_bag, beyond", lambda t, k: t.nn.functional.embedding_bag(k * 0, t.ones(3, 2, dtype=t.float64), k), [0, 9]),
    ("searchsorted's sorter", lambda t, k: t.searchsorted(k, k, sorter=k), [1, 2]),
    ("_assert_async", lambda t, k: t._assert_async((k == 1).all()), [1, 2]),
    ("_assert_async, in words", lambda t, k: t._assert_async((k == 1).all(), "all ones"), [1, 2]),
    ("_assert", lambda t, k: t._assert((k == 1).all(), "all ones"), [1, 2]),
]  # fmt: skip


def refusal(call):
    """The exception of a call, or what it gives."""
    try:
        return call()
    except Exception as error:
        return error


def tensor(t, values):
    made = np.array(values)
    return t.tensor(made.tolist(), dtype=t.float64 if made.dtype.kind == "f" else t.int64)


def check(f, values, *more):
    """In torch, uncompiled and compiled: the same."""
    made = {t: [*(tensor(t, v) for v in more), tensor(t, values)] for t in (torch, fb)}
    expected = refusal(lambda: f(torch, *made[torch]))
    compiled = fb.compile(lambda *args: f(fb, *args))
    if not isinstance(expected, Exception):
        np.testing.assert_allclose(f(fb, *made[fb]).numpy(), expected.numpy())
        np.testing.assert_allclose(compiled(*made[fb]).numpy(), expected.numpy())
        return
    words = str(expected).partition("  (Could this error")[0]
    eager = refusal(lambda: f(fb, *made[fb]))
    for _ in range(2):  # the first call of a program, and a later one
        found = refusal(lambda: compiled(*made[fb]))
        assert type(found).__name__ == type(expected).__name__, found
        assert words in str(found)
        assert str(found) == str(eager)


@pytest.mark.parametrize(("f", "index"), [pytest.param(f, i, id=name) for name, f, i in _index_cases()])
def test_indices(f, index):
    check(f, index, [10.0, 20.0, 30.0], np.arange(12.0).reshape(3, 4).tolist())


@pytest.mark.filterwarnings("ignore:torch.cholesky is deprecated")
@pytest.mark.parametrize(("f", "values"), [pytest.param(f, v, id=name) for name, f, v in CASES])
def test_values(f, values):
    check(f, values)


def test_good_values_pass():
    @fb.compile
    def f(x, i, m):
        fb._assert_async(i[0] == 2)
        return x.gather(0, i), fb.linalg.inv(m), i // (i + 1), fb.nn.functional.nll_loss(m, i, ignore_index=2)

    x, m = fb.tensor([1.0, 2.0, 3.0]), fb.tensor([[2.0, 0.0], [0.0, 4.0]])
    for _ in range(3):
        gathered, inverse, quotient, loss = f(x, fb.tensor([2, 0]), m)
    assert gathered.tolist() == [3, 1] and inverse.tolist() == [[0.5, 0], [0, 0.25]]
    assert quotient.tolist() == [0, 0] and loss.item() == 0


def test_the_first_of_several_is_told_and_a_program_goes_on_after_it():
    compiled = fb.compile(lambda x, i: (x.take(i), x.gather(0, i)))
    x = fb.tensor([1.0, 2.0, 3.0])
    with pytest.raises(IndexError, match="tried to access index -7 on"):
        compiled(x, fb.tensor([1, -7, 8]))
    with pytest.raises(RuntimeError, match="index -1 is out of bounds for dimension 0 with size 3"):
        compiled(x, fb.tensor([1, -1, 2]))  # which `take` allows
    assert compiled(x, fb.tensor([1, 0, 2]))[0].tolist() == [2, 1, 3]
    assert len(fb.compile.explain(compiled)) == 1


class Net(fb.nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.body = fb.nn.Sequential(fb.nn.Embedding(5, width), fb.nn.Linear(width, width))
        self.head = fb.nn.Linear(width, 4)

    def forward(self, x):
        return self.head(self.body(x))


def test_an_error_names_the_module():
    net = Net()
    bad = fb.tensor([1, 7])
    eager = refusal(lambda: net(bad))
    assert str(eager).startswith("in body.0 (Embedding): index out of range in self")
    for compiled in (fb.compile(net), fb.compile(lambda x: net(x))):
        found = refusal(lambda: compiled(bad))  # noqa: B023
        assert type(found) is IndexError and str(found) == str(eager)
        assert "in body.0 (Embedding): input 2" in found.__notes__
    net.body.compile()
    assert str(refusal(lambda: net(bad))) == str(eager)


def test_within_transforms_of_functions():
    def f(x, i):
        return fb.func.vmap(lambda a, b: a.gather(0, b))(x, i)

    x = fb.ones(2, 3)
    for call in (f, fb.compile(f), lambda x, i: fb.func.vmap(fb.func.grad(lambda a, b: a.gather(0, b).sum()))(x, i)):
        assert call(x, fb.tensor([[0, 1], [2, 2]])).shape[0] == 2
        with pytest.raises(RuntimeError, match="index 3 is out of bounds for dimension 0 with size 3"):
            call(x, fb.tensor([[0, 1], [2, 3]]))


def test_live_outputs_and_their_gradients():
    net = Net()
    compiled = fb.compile(lambda x: net(x).sum())
    compiled(fb.tensor([1, 2])).backward()
    grad = net.body[0].weight.grad.clone()
    with pytest.raises(IndexError, match="index out of range in self"):
        compiled(fb.tensor([1, -1]))
    assert net.body[0].weight.grad.equal(grad)


@pytest.mark.parametrize("width", [3, 200], ids=["packed", "given over"])
@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
@pytest.mark.parametrize("calls", [0, 2])
def test_state_is_that_before_the_call(width, optimizer, calls):
    fb.manual_seed(0)
    nets = [Net(width).double() for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    options = {"lr": 0.01, "momentum": 0.9} if optimizer == "SGD" else {"lr": 0.01}
    optimizers = [getattr(fb.optim, optimizer)(net.parameters(), **options) for net in nets]
    seen = [fb.zeros(width * 100, dtype=fb.int64) for _ in nets]
    x, y, bad = fb.tensor([1, 2, 4]), fb.tensor([0, 3, 1]), fb.tensor([0, 4, 1])

    def step_of(net, optimizer, seen):
        def step(x, y):
            seen.add_(1)
            optimizer.zero_grad()
            loss = fb.nn.functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            return loss

        return step

    compiled, eager = (
        wrap(step_of(*given)) for wrap, given in zip((fb.compile, lambda f: f), zip(nets, optimizers, seen, strict=True), strict=True)
    )  # fmt: skip
    for _ in range(calls):
        compiled(x, y), eager(x, y)
    for _ in range(2):
        with pytest.raises(IndexError, match="Target 4 is out of bounds"):
            compiled(x, bad)
    assert seen[0].equal(seen[1])
    for _ in range(3):
        # a loss near zero is the difference of numbers of some tens
        np.testing.assert_allclose(compiled(x, y).item(), eager(x, y).item(), rtol=1e-12, atol=1e-14)
    for ours, theirs in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-10, atol=1e-12)
    assert seen[0].equal(seen[1])


def test_programs_without_demands_have_no_word():
    plain, checked = fb.compile(lambda x: x * 2), fb.compile(lambda x: x[(x > 0).long()])
    for compiled in (plain, checked):
        compiled(fb.ones(3))
    (without,), (with_word,) = (next(iter(c.programs.values())) for c in (plain, checked))
    assert without.plan.word is None and with_word.plan.word is not None


def test_multinomial_draws_torchs_numbers():
    rows = np.random.RandomState(0).rand(3, 7).tolist()
    for n, replacement in ((1, False), (3, False), (4, True)):
        compiled = fb.compile(lambda w, n=n, r=replacement: fb.multinomial(w, n, replacement=r))
        drawn = []
        for t, call in ((torch, lambda w: torch.multinomial(w, n, replacement=replacement)), (fb, compiled)):  # noqa: B023
            t.manual_seed(3)
            drawn.append([call(tensor(t, rows)).tolist() for _ in range(3)])
        assert drawn[0] == drawn[1]


@pytest.mark.parametrize("calls", [[[5], [1], [5]], [[1], [5], [1], [4], [1]]])
def test_the_generators_stand_where_the_uncompiled_run_leaves_them(calls):
    def draw(t, rows, own):
        before = t.randn(3) + t.rand(2, generator=own).sum()
        return before + F(t).dropout(t.arange(4.0)[rows], 0.5).sum() + t.randn(3)

    def F(t):
        return t.nn.functional

    states = []
    for t in (torch, fb):
        t.manual_seed(4)
        own = t.Generator().manual_seed(5)
        function = fb.compile(draw) if t is fb else draw
        seen = []
        for rows in calls:
            try:
                seen.append(function(t, t.tensor(rows), own).tolist())
            except IndexError:
                seen.append(None)
            seen += [t.get_rng_state().tolist(), own.get_state().tolist(), t.rand(1).tolist()]
        states.append(seen)
    for mine, theirs in zip(states[1], states[0], strict=True):
        assert mine == theirs or (len(mine) == 3 and np.allclose(mine, theirs, rtol=1e-6))
    assert sum(seen is None for seen in states[0]) == 2


def test_a_call_that_its_numbers_send_back_has_drawn_nothing():
    seen = []
    for compiled in (False, True):
        fb.manual_seed(0)
        left = types.SimpleNamespace(n=4)

        def step(x, left=left):
            noise = fb.rand(2)
            left.n -= 1
            try:
                return noise + x / left.n * (1 / left.n)
            except ZeroDivisionError:
                return noise

        function = fb.compile(step) if compiled else step
        seen.append([function(fb.ones(2)).tolist() for _ in range(6)] + [fb.rand(1).item()])
    np.testing.assert_allclose(np.hstack(seen[1]), np.hstack(seen[0]), rtol=1e-6)


class _Positive(fb.nn.Module):
    def forward(self, x):
        fb._assert((x > 0).all(), "all of it has to be positive")
        return x * 2


@pytest.mark.parametrize("outer", [False, True])
def test_assertion_within_a_module_has_its_own_words(outer) -> None:
    model = fb.nn.Sequential(_Positive()) if outer else _Positive()
    step = fb.compile(model)
    assert step(fb.ones(2)).tolist() == [2.0, 2.0]
    for _ in range(2):
        with pytest.raises(AssertionError, match="all of it has to be positive"):
            step(-fb.ones(2))
