"""One program of XLA for several batch sizes: the numbers of the uncompiled function, and no compilation at another size."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.monitoring
import numpy as np
import pytest
import torch

import flambeau as fb
from flambeau.compiler.batches import padding
from flambeau.compiler.batches.slots import Slots

Function = Callable[[Any, Any, Any], Any]


@contextmanager
def compilations() -> Iterator[list[str]]:
    """What XLA compiles meanwhile."""
    found: list[str] = []

    def listen(event: str, duration: float, **kwargs: Any) -> None:
        if event.endswith("backend_compile_duration"):
            found.append(kwargs.get("fun_name", ""))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


# ---------------------------------------------------------------- small functions, against torch

F_LOSSES = ("mean", "sum", "none")
TABLE: dict[str, list[Function]] = {
    "elements": [
        lambda T, x, y: x * 2 + 1, lambda T, x, y: T.where(x > 0, x, -x), lambda T, x, y: T.exp(x) / (1 + T.exp(x)),
        lambda T, x, y: x.clamp(-0.5, 0.5), lambda T, x, y: x.softmax(1), lambda T, x, y: T.nn.functional.layer_norm(x, (3,)),
        lambda T, x, y: x.sin() + x.atan2(x + 1), lambda T, x, y: x.float().double(),
    ],
    "sums": [
        lambda T, x, y: x.sum(), lambda T, x, y: x.sum(0), lambda T, x, y: x.mean(), lambda T, x, y: x.mean(0), lambda T, x, y: x.max(),
        lambda T, x, y: x.max(0)[0], lambda T, x, y: x.min(0)[0], lambda T, x, y: x.prod(0), lambda T, x, y: x.var(0), lambda T, x, y: x.std(),
        lambda T, x, y: x.norm(), lambda T, x, y: x.logsumexp(0), lambda T, x, y: x.softmax(0), lambda T, x, y: x.log_softmax(0),
        lambda T, x, y: x.amax((0, 1)), lambda T, x, y: x.abs().sum(1).mean(), lambda T, x, y: (x / 0 * 0).nan_to_num(1.0).sum(0),
    ],
    "whole numbers": [
        lambda T, x, y: x.argmax(), lambda T, x, y: x.argmax(0), lambda T, x, y: x.argmin(0), lambda T, x, y: (x > 0).sum(),
        lambda T, x, y: (x > 0).any(0), lambda T, x, y: (x > -9).all(), lambda T, x, y: y.sum(), lambda T, x, y: y.max(),
        lambda T, x, y: (x.argmax(1) == y).sum(), lambda T, x, y: y.cumsum(0), lambda T, x, y: T.arange(x.shape[0]),
        lambda T, x, y: x.sort(0)[1], lambda T, x, y: y.sort()[0], lambda T, x, y: x.argsort(0), lambda T, x, y: x.topk(2, 0)[1],
        lambda T, x, y: x.shape[0], lambda T, x, y: y.flip(0).cumsum(0).flip(0),
    ],
    "shapes": [
        lambda T, x, y: x.reshape(-1), lambda T, x, y: x.t(), lambda T, x, y: x.t().reshape(-1), lambda T, x, y: x.flip(0),
        lambda T, x, y: x.unsqueeze(0).expand(2, -1, -1).reshape(-1, 3), lambda T, x, y: x.view(-1, 3, 1).transpose(0, 2),
        lambda T, x, y: x.repeat(2, 1), lambda T, x, y: x.repeat(1, 2), lambda T, x, y: T.cat([x, x * 2]), lambda T, x, y: T.cat([x, x], 1),
        lambda T, x, y: T.cat([T.ones(2, 3, dtype=x.dtype), x]), lambda T, x, y: T.stack([x, x], 1).reshape(-1, 3),
        lambda T, x, y: x.roll(1, 0), lambda T, x, y: x.cumsum(0), lambda T, x, y: T.diff(x, dim=0), lambda T, x, y: x.repeat_interleave(2, 0),
        lambda T, x, y: T.nn.functional.pad(x, (0, 0, 1, 2)), lambda T, x, y: T.stack([x, x]).sum((0, 1)),
    ],
    "parts": [
        lambda T, x, y: x[1:], lambda T, x, y: x[:-1], lambda T, x, y: x[-1], lambda T, x, y: x[0], lambda T, x, y: x[:, 1],
        lambda T, x, y: x[1:] - x[:-1], lambda T, x, y: x[T.arange(x.shape[0]), y], lambda T, x, y: x.gather(1, y[:, None]),
        lambda T, x, y: x[y], lambda T, x, y: x.index_select(0, y), lambda T, x, y: x[-1:], lambda T, x, y: x.split(1, 1)[0],
        lambda T, x, y: x[T.tensor([0, -1])], lambda T, x, y: T.nn.functional.embedding(y, x[:1].repeat(3, 1)),
    ],
    "writes": [
        lambda T, x, y: T.zeros(4, 3, dtype=x.dtype).index_add(0, y, x), lambda T, x, y: x.masked_fill(x > 0, 0.0),
        lambda T, x, y: T.zeros(x.shape[0], 4, dtype=x.dtype).scatter(1, y[:, None], 1.0), lambda T, x, y: x.index_fill(0, T.tensor([0, 1]), 2.0),
        lambda T, x, y: T.zeros(4, 3, dtype=x.dtype).scatter_add(0, y[:, None].expand(-1, 3), x),
        lambda T, x, y: T.zeros_like(x).index_put((y % 2,), x, accumulate=True), lambda T, x, y: x.masked_fill(y[:, None] == 1, -1.0).sum(0),
    ],
    "products": [
        lambda T, x, y: x @ x.t(), lambda T, x, y: x.t() @ x, lambda T, x, y: T.einsum("ni,nj->nij", x, x), lambda T, x, y: T.cdist(x, x + 1),
        lambda T, x, y: T.bmm(x[:, :, None], x[:, None, :]), lambda T, x, y: T.cov(x.t()), lambda T, x, y: (x @ x.t()).softmax(-1) @ x,
        lambda T, x, y: T.outer(x[:, 0], x[:, 1]), lambda T, x, y: T.tril(x @ x.t()), lambda T, x, y: T.trace(x @ x.t()),
        lambda T, x, y: (x @ x.t()).diagonal(), lambda T, x, y: T.eye(x.shape[0], dtype=x.dtype) @ x, lambda T, x, y: x.t().matmul(x[:, 0]),
        lambda T, x, y: T.linalg.cholesky(x[:, :, None] * x[:, None, :] + 2 * T.eye(3, dtype=x.dtype)),
        lambda T, x, y: T.linalg.solve(x[:, :, None] * x[:, None, :] + 2 * T.eye(3, dtype=x.dtype), x),
    ],
    "losses": [
        *((lambda T, x, y, r=r: T.nn.functional.cross_entropy(x, y, reduction=r)) for r in F_LOSSES),
        *((lambda T, x, y, r=r: T.nn.functional.smooth_l1_loss(x, x * 0.5, reduction=r)) for r in F_LOSSES),
        lambda T, x, y: T.nn.functional.cross_entropy(x, y, ignore_index=1), lambda T, x, y: T.nn.functional.mse_loss(x, x * 0.5),
        lambda T, x, y: T.nn.functional.cross_entropy(x, y, weight=T.tensor([1.0, 2.0, 0.5], dtype=x.dtype), label_smoothing=0.1),
        lambda T, x, y: T.nn.functional.binary_cross_entropy_with_logits(x, (x > 0).double()),
        lambda T, x, y: T.nn.functional.kl_div(x.log_softmax(1), (x * 2).softmax(1), reduction="batchmean"),
        lambda T, x, y: T.nn.functional.multi_margin_loss(x, y), lambda T, x, y: T.nn.functional.nll_loss(x.log_softmax(1), y),
        lambda T, x, y: T.nn.functional.triplet_margin_loss(x, x + 1, x - 2), lambda T, x, y: T.nn.functional.huber_loss(x, x * 0.3),
        lambda T, x, y: T.nn.functional.batch_norm(x, None, None, training=True),
        lambda T, x, y: T.nn.functional.cosine_embedding_loss(x, x * 0.3 + 0.2, y % 2 * 2 - 1),
    ],
}  # fmt: skip


def _leaves(result: Any) -> list[Any]:
    return [leaf for one in result for leaf in _leaves(one)] if isinstance(result, (tuple, list)) else [result]


def _run(library: Any, functions: list[Function], x: Any, y: Any) -> list[Any]:
    """The results, and the gradient of the sum of their squares."""
    outs = _leaves([f(library, x, y) for f in functions])
    if not x.requires_grad:
        return outs
    return [*outs, library.autograd.grad(sum((o * o).sum() for o in outs), x)[0]]


def _value(thing: Any) -> np.ndarray:
    return thing.detach().numpy() if hasattr(thing, "detach") else np.asarray(thing)


def _compare(name: str, sizes: list[int]) -> None:
    functions, rng = TABLE[name], np.random.default_rng(0)
    grad = name != "whole numbers"
    compiled = fb.compile(lambda x, y: _run(fb, functions, x, y), dynamic=True)
    for n in sizes:
        x, y = rng.normal(size=(n, 3)), np.minimum(rng.integers(0, 3, size=n), n - 1)
        got = compiled(fb.tensor(x, requires_grad=grad), fb.tensor(y))
        expected = _run(torch, functions, torch.tensor(x, requires_grad=grad), torch.tensor(y))
        for i, (a, b) in enumerate(zip(got, expected, strict=True)):
            np.testing.assert_allclose(_value(a), _value(b), rtol=1e-10, atol=1e-12, err_msg=f"{n} rows, result {i}")
            assert np.shape(_value(a)) == np.shape(_value(b))
    assert len(fb.compile.explain(compiled)) == len({max(8, 1 << (n - 1).bit_length()) for n in sizes})


@pytest.mark.parametrize("name", ["sums", "parts"])
def test_small_functions(name: str) -> None:
    _compare(name, [8, 5, 3])


@pytest.mark.slow
@pytest.mark.parametrize("name", list(TABLE))
def test_small_functions_at_all_sizes(name: str) -> None:
    _compare(name, [8, *range(3, 18)])


# ---------------------------------------------------------------- training


class Classifier(fb.nn.Module):
    """A small network whose rows meet: in the mean of the loss, and in BatchNorm; and which draws."""

    def __init__(self) -> None:
        super().__init__()
        layers = fb.nn.Linear(6, 8), fb.nn.BatchNorm1d(8), fb.nn.ReLU(), fb.nn.Dropout(0.3), fb.nn.Linear(8, 3)
        self.layers = fb.nn.Sequential(*layers)

    def forward(self, x: Any) -> Any:
        return self.layers(x)


class Images(fb.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        nn = fb.nn
        first = nn.Conv2d(1, 4, 5, padding=2), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)
        second = nn.Conv2d(4, 6, 5), nn.GroupNorm(2, 6), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(6, 3)
        self.layers = nn.Sequential(*first, *second)

    def forward(self, x: Any) -> Any:
        return self.layers(x)


class Words(fb.nn.Module):
    """Attention over 6 words."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = fb.nn.Embedding(20, 8)
        self.block = fb.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.last = fb.nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        mask = fb.nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=fb.float64)
        return self.last(self.block(self.embedding(x), src_mask=mask)).mean(1)


class Sequences(fb.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.steps = fb.nn.LSTM(4, 5, batch_first=True, bidirectional=True)
        self.last = fb.nn.Linear(10, 3)

    def forward(self, x: Any) -> Any:
        return self.last(self.steps(x)[0][:, -1])


INPUTS: dict[type, Callable[[int], Any]] = {
    Classifier: lambda n: fb.randn(n, 6, dtype=fb.float64),
    Images: lambda n: fb.randn(n, 1, 12, 12, dtype=fb.float64),
    Words: lambda n: fb.randint(0, 20, (n, 6)),
    Sequences: lambda n: fb.randn(n, 7, 4, dtype=fb.float64),
}


def _step(model: Any, optimizer: Any) -> Any:
    def step(x, y):
        optimizer.zero_grad()
        loss = fb.nn.functional.cross_entropy(model(x), y, ignore_index=2)
        loss.backward()
        optimizer.step()
        return loss

    return step


def _train(kind: type, sizes: list[int]) -> tuple[Any, list[list[str]]]:
    """A compiled step beside the uncompiled one at these sizes: the step, and what XLA compiled at each call."""
    fb.manual_seed(0)
    model: Any = kind().double()
    other = copy.deepcopy(model)
    compiled = fb.compile(_step(model, fb.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)), dynamic=True)
    plain = _step(other, fb.optim.SGD(other.parameters(), lr=0.1, momentum=0.9))
    counts: list[list[str]] = []
    for i, n in enumerate(sizes):
        x, y = INPUTS[kind](n), fb.randint(0, 3, (n,))
        y[0] = 0  # a batch of which everything is ignored is nan
        with compilations() as found:
            fb.manual_seed(i)
            loss = compiled(x, y)
            drawn = fb.get_rng_state()
        counts.append(found)
        fb.manual_seed(i)
        assert loss.item() == pytest.approx(plain(x, y).item(), rel=1e-12)
        assert fb.equal(drawn, fb.get_rng_state())
    for (name, a), b in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-12, err_msg=name)
    return compiled, counts


def test_the_last_batch_of_an_epoch() -> None:
    """Two epochs of 20 samples by 8, as a DataLoader gives them: the batch of 4 is no program of its own."""
    compiled, found = _train(Classifier, [8, 8, 4, 8, 8, 4])
    assert any("step" in name for name in found[0])
    assert not any("step" in name for call in found[1:] for name in call), found
    assert not any(found[3:]), found  # at the third call the small state is put together anew, by a small program
    text = str(fb.compile.explain(compiled))
    assert "1 program\n" in text and "for up to 8 rows, traced at 2 sizes" in text and "called 6 times" in text


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(INPUTS))
def test_models_at_all_sizes(kind: type) -> None:
    compiled, _ = _train(kind, [8, *range(2, 18), *([] if kind is Classifier else [1]), 9, 4])
    sizes = {leaf for group in compiled.batches.groups for shared in group.programs for leaf in shared.sizes.values()}
    assert sizes == {8, 16, 32}


def test_backward_outside() -> None:
    """`model(x)` of a compiled module, then `loss.backward()`: gradients of the parameters and of the input, against torch."""

    def made(library: Any) -> Any:
        nn = library.nn
        return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3)).double()

    theirs, ours = made(torch), made(fb)
    ours.load_state_dict({name: fb.tensor(value.numpy()) for name, value in theirs.state_dict().items()})
    compiled, rng = fb.compile(ours, dynamic=True), np.random.default_rng(0)
    for n in (8, 5, 3):
        x, y = rng.normal(size=(n, 6)), rng.integers(0, 3, size=n)
        found = []
        for library, model in ((torch, theirs), (fb, compiled)):
            given = library.tensor(x, requires_grad=True)
            model.zero_grad()
            library.nn.functional.cross_entropy(model(given), library.tensor(y)).backward()
            found.append([given.grad.numpy(), *(p.grad.numpy() for p in model.parameters())])
        for a, b in zip(*found, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-12)
    for buffer, expected in zip(ours.buffers(), theirs.buffers(), strict=True):
        np.testing.assert_allclose(buffer.numpy(), expected.numpy(), rtol=1e-12)
    given, expected = fb.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    for library, model, leaf in ((fb, compiled, given), (torch, theirs, expected)):
        (slope,) = library.autograd.grad(model(leaf).pow(3).sum(), leaf, create_graph=True)
        slope.pow(2).sum().backward()
    np.testing.assert_allclose(given.grad.numpy(), expected.grad.numpy(), rtol=1e-8, atol=1e-12)


# ---------------------------------------------------------------- what does not go, and what is looked at


def test_what_has_no_rule_is_named() -> None:
    """A program for each size then, with one warning that names the operation and the line."""

    def step(x):
        return x.cummax(0)[0]

    compiled, line = fb.compile(step, dynamic=True), step.__code__.co_firstlineno + 1
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for n in (8, 5, 3):
            x = fb.randn(n, 2)
            assert fb.equal(compiled(x), step(x))
    told = [str(w.message) for w in caught if "has a program for each size" in str(w.message)]
    assert len(told) == 1 and f"line {line})" in told[0] and __file__ in told[0], told
    assert len(fb.compile.explain(compiled)) == 3


def test_indices_are_checked_by_the_rows_that_count() -> None:
    compiled = fb.compile(lambda w, i: w[i] * 2, dynamic=True)
    compiled(fb.arange(8.0), fb.arange(8))
    assert compiled(fb.arange(5.0), fb.tensor([0, 1, 4, -2, 0])).tolist() == [0.0, 2.0, 8.0, 6.0, 0.0]
    with pytest.raises(IndexError, match="index 6 is out of bounds for dimension 0 with size 5"):
        compiled(fb.arange(5.0), fb.tensor([0, 1, 6, 2, 0]))


def test_arguments_that_are_written() -> None:
    def step(x, out):
        out.copy_(x - x.mean(0))
        return out.sum(), x.shape[0]

    compiled = fb.compile(step, dynamic=True)
    for n in (6, 4, 5):
        x, out = fb.randn(n, 2), fb.zeros(n, 2)
        assert compiled(x, out)[1] == n
        np.testing.assert_allclose(out.numpy(), (x - x.mean(0)).numpy(), atol=1e-6)
    assert len(fb.compile.explain(compiled)) == 1


def test_marked_sizes() -> None:
    """Those of a tensor that is marked, and then of others in its place; unmarked ones have a program each."""
    compiled = fb.compile(lambda x: (x - x.mean(1, keepdim=True)).std())
    x = fb.randn(2, 8)
    fb._dynamo.mark_dynamic(x, 1)
    compiled(x)
    y = fb.randn(2, 5)
    expected = (y - y.mean(1, keepdim=True)).std()
    with compilations() as found:
        result = compiled(y)
    assert not found and result.item() == pytest.approx(expected.item(), rel=1e-5)
    compiled(fb.randn(3, 8))
    assert len(fb.compile.explain(compiled)) == 2
    fixed = fb.compile(lambda x: x + 1, dynamic=False)
    fixed(x), fixed(y)
    assert len(fb.compile.explain(fixed)) == 2


@pytest.mark.parametrize("dynamic", [None, True])
def test_a_mark_holds_for_what_has_the_same_size(dynamic: bool | None) -> None:
    """Of the texts of a batch one is marked; with `dynamic=True` their number is open beside."""

    def step(x, y):
        return (x.cumsum(1) * y).sum(1).mean()

    compiled = fb.compile(step, dynamic=dynamic)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for shape in ((4, 9), (4, 7), (3 if dynamic else 4, 5)):
            x, y = fb.randn(shape), fb.randn(shape)
            fb._dynamo.mark_dynamic(x, 1)
            assert compiled(x, y).item() == pytest.approx(step(x, y).item(), rel=1e-5)
    assert len(fb.compile.explain(compiled)) == 1


@pytest.mark.filterwarnings("ignore:.* is compiled a second time")
def test_sizes_that_are_said_to_be_fixed() -> None:
    for index, programs in ((0, 2), (None, 2), (1, 1)):
        compiled = fb.compile(lambda x: x + 1, dynamic=True)
        for n in (8, 5):
            x = fb.ones(n, 2)
            fb._dynamo.mark_static(x, index)
            assert compiled(x).tolist() == [[2.0, 2.0]] * n
        assert len(fb.compile.explain(compiled)) == programs


def test_a_small_size_that_comes_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(padding, "PATIENCE", 3)
    compiled = fb.compile(lambda x: x.sum(0), dynamic=True)
    compiled(fb.ones(100, 2))
    assert [compiled(fb.ones(3, 2))[0].item() for _ in range(3)] == [3.0] * 3
    assert len(fb.compile.explain(compiled)) == 1
    assert compiled(fb.ones(3, 2))[0].item() == 3.0
    assert {shared.sizes[0, 0] for group in compiled.batches.groups for shared in group.programs} == {100, 4}


def test_sizes_that_do_not_grow_with_the_batch() -> None:
    """A size that is more for fewer rows has no room in the program, and the function has another one."""

    def step(x):
        return x.sum(0).expand(24 // len(x), 2).cumsum(0)

    compiled = fb.compile(step, dynamic=True)
    for n in (8, 5, 3, 7):
        x = fb.arange(2.0 * n).reshape(n, 2)
        assert fb.equal(compiled(x), step(x)), n


def test_rows_that_come_in_pairs() -> None:
    compiled = fb.compile(lambda x: x.view(len(x) // 2, 2, -1)[:, 1].cumsum(0), dynamic=True)
    for n in (8, 4, 6, 5):
        x = fb.arange(4.0 * n).reshape(n, 4)
        assert fb.equal(compiled(x), x.view(n // 2, 2, -1)[:, 1].cumsum(0)), n
    assert len(fb.compile.explain(compiled)) == 2, "one more for 5 rows, of other columns"


def test_forgetting() -> None:
    compiled = fb.compile(lambda x: x.sum(0), dynamic=True)
    compiled(fb.ones(5, 2))
    fb._dynamo.reset()
    assert not compiled.batches.groups
    assert compiled(fb.ones(4, 2))[0].item() == 4.0


def test_numbers_that_belong_together() -> None:
    """Two places that hold one number at two sizes are one slot; a trace in which they differ is another program."""
    slots = Slots([7, 14, 3, 7, 1 / 7], [8, 16, 3, 8, 1 / 8])
    whole, others = slots.values([5, 10, 3, 5, 1 / 5])  # type: ignore[misc]
    assert whole.tolist() == [5, 10] and others.tolist() == [1 / 5]
    assert slots.values([5, 10, 3, 6, 1 / 5]) is None
    assert slots.values([5, 10, 4, 5, 1 / 5]) is None
    slots.require_products([(7, 8), (2, 2)], [(14, 16)])
    assert slots.values([5, 11, 3, 5, 1 / 5]) is None
    assert Slots([1, 7], [2, 8], [0]).values([3, 5]) is None, "no room for 3"
    with pytest.raises(ValueError, match="becomes less"):
        Slots([5, 5], [4, 8], [0])


def test_positions_in_an_array_that_is_changed_are_those_of_the_call() -> None:
    """The array is a constant of both traces: the one that a program was made of must not change with it."""
    rows = np.array([0, 1])
    compiled = fb.compile(lambda x: (x[rows, rows], x[rows, 0]), dynamic=True)
    for n in (3, 3, 4, 3):
        x = fb.arange(4.0 * n).reshape(n, 4)
        found = compiled(x)
        assert [t.tolist() for t in found] == [x.numpy()[rows, rows].tolist(), x.numpy()[rows, 0].tolist()]
        rows[0] = (rows[0] + 2) % 3
