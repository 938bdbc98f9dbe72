"""Sparse gradients of tables: what they are, how they add up, which optimizers take them and which refuse."""

import warnings

import numpy as np
import pytest
import torch

import flambeau as fb
from support.values import same, to_flambeau

pytestmark = pytest.mark.filterwarnings("ignore:Sparse")


def table(t, requires_grad=True):
    return t.arange(12.0).reshape(4, 3).requires_grad_(requires_grad)


def looked_up(t, w, **options):
    x = t.tensor([[1, 2], [1, 0]])
    return t.nn.functional.embedding(x, w, sparse=True, **options).pow(2).sum()


def bagged(t, w, offsets=None, **options):
    x = t.tensor([[1, 2], [1, 0]])
    x = x if offsets is None else x.flatten()
    offsets = None if offsets is None else t.tensor(offsets)
    return t.nn.functional.embedding_bag(x, w, offsets, sparse=True, **options).pow(2).sum()


LOSSES = [
    lambda t, w: looked_up(t, w),
    lambda t, w: looked_up(t, w, padding_idx=1),
    lambda t, w: looked_up(t, w, padding_idx=-3),
    lambda t, w: looked_up(t, w) + looked_up(t, w),
    lambda t, w: looked_up(t, w) + w.sum(),
    lambda t, w: t.nn.functional.embedding(t.tensor(1), w, sparse=True).sum(),
    lambda t, w: t.nn.functional.embedding(t.zeros(0, 2, dtype=t.int64), w, sparse=True).sum(),
    lambda t, w: bagged(t, w, mode="sum"),
    lambda t, w: bagged(t, w, mode="mean"),
    lambda t, w: bagged(t, w, [0, 3], mode="mean"),
    lambda t, w: bagged(t, w, [0, 3], mode="sum", padding_idx=1),
    lambda t, w: bagged(t, w, mode="mean", padding_idx=1),
    lambda t, w: bagged(t, w, mode="sum", per_sample_weights=t.tensor([[1.0, 2.0], [3.0, 4.0]])),
    lambda t, w: bagged(t, w, [0, 1, 4], mode="sum", include_last_offset=True),
]


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient(loss):
    grads = []
    for t in (fb, torch):
        w = table(t)
        loss(t, w).backward()
        (alone,) = t.autograd.grad(loss(t, w), w)
        assert alone.layout == w.grad.layout
        grads.append(w.grad)
    ours, theirs = grads
    assert str(ours.layout) == str(theirs.layout) and ours.is_sparse == theirs.is_sparse
    same(ours.to_dense(), theirs.to_dense())
    if theirs.is_sparse:
        same(ours.coalesce(), theirs.coalesce())


def test_accumulation():
    """Sparse and sparse stay sparse; with a dense one they become dense."""
    for order in ((0, 0), (0, 4), (4, 0), (0, 0, 0)):
        grads = []
        for t in (fb, torch):
            w = table(t)
            for number in order:
                LOSSES[number](t, w).backward()
            grads.append(w.grad)
        assert grads[0].is_sparse == grads[1].is_sparse
        same(grads[0].to_dense(), grads[1].to_dense())


def test_zero_grad_hooks_and_refusals():
    for t in (fb, torch):
        w = table(t)
        seen = []
        w.register_hook(lambda g, seen=seen: seen.append(g.is_sparse) or g * 2)
        looked_up(t, w).backward()
        assert seen == [True] and w.grad.is_sparse
        assert w.grad.to_dense()[1].tolist() == [24.0, 32.0, 40.0]
        optimizer = t.optim.SGD([w], lr=0.1)
        optimizer.zero_grad(set_to_none=False)
        assert w.grad.is_sparse and w.grad._nnz() == 0
        optimizer.zero_grad()
        assert w.grad is None
        with pytest.raises(RuntimeError, match="embedding_backward: scale_grad_by_freq not supported with sparse grad"):
            looked_up(t, w, scale_grad_by_freq=True).backward()
        with pytest.raises(ValueError, match="max mode does not support sparse weights"):
            bagged(t, w, mode="max")
        looked_up(t, w).backward()
        with pytest.raises(NotImplementedError, match="Sparse"):
            t.nn.utils.clip_grad_norm_([w], 1.0)
        w.grad = w.grad.coalesce()
        assert w.grad.is_coalesced()
        assert not looked_up(t, table(t, False)).requires_grad


def test_second_gradient():
    results = []
    for t in (fb, torch):
        w = table(t)
        (first,) = t.autograd.grad(
            t.nn.functional.embedding(t.tensor([1, 1, 2]), w, sparse=True).pow(3).sum(), w, create_graph=True
        )
        (second,) = t.autograd.grad(first.to_dense().sum(), w)
        results.append((first.detach().to_dense(), second.to_dense()))
    for mine, its in zip(*results, strict=True):
        same(mine, its)


TAKEN = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("SGD", {"momentum": 0.9, "dampening": 0.2}),
    ("SGD", {"maximize": True, "lr": 0.01}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("Adagrad", {"maximize": True}),
    ("SparseAdam", {}),
    ("SparseAdam", {"betas": (0.5, 0.8), "eps": 1e-3, "maximize": True}),
]


@pytest.mark.parametrize("name, options", TAKEN)
def test_steps(name, options):
    """Some steps on a table with a sparse gradient and (but for SparseAdam) a dense parameter in the same group."""
    results = []
    for t in (fb, torch):
        generator = np.random.default_rng(0)
        layer = t.nn.Embedding(7, 3, sparse=True, padding_idx=0, dtype=t.float64)
        layer.weight.data = t.tensor(generator.standard_normal((7, 3)))
        dense = t.tensor(generator.standard_normal((3, 2))).requires_grad_()
        params = [layer.weight] if name == "SparseAdam" else [layer.weight, dense]
        optimizer = getattr(t.optim, name)(params, **options)
        for _ in range(5):
            x = t.tensor(generator.integers(0, 7, (2, 3)))
            optimizer.zero_grad()
            (layer(x) @ dense).pow(2).sum().backward()
            optimizer.step()
        state = {
            index: {k: v.to_dense() if k == "momentum_buffer" else v for k, v in own.items()}
            for index, own in optimizer.state_dict()["state"].items()
        }
        results.append((layer.weight.detach(), dense.detach(), state))
    same(results[0][:2], results[1][:2], rtol=1e-9)
    same(results[0][2], results[1][2], rtol=1e-9)


@pytest.mark.parametrize(
    "name, options",
    [(name, {}) for name in (
        "Adadelta", "Adafactor", "Adam", "AdamW", "Adamax", "ASGD", "NAdam", "RAdam", "RMSprop", "Rprop", "Muon"
    )] + [("SGD", {"weight_decay": 0.1}), ("SGD", {"fused": True}), ("Adagrad", {"weight_decay": 0.1}),
          ("Adagrad", {"fused": True})],
)  # fmt: skip
def test_refused(name, options):
    texts = []
    for t in (fb, torch):
        w = table(t)
        optimizer = getattr(t.optim, name)([w], **options)
        looked_up(t, w).backward()
        with pytest.raises(RuntimeError) as error:
            optimizer.step()
        same(w.detach(), table(torch, False)) if t is fb else None
        texts.append(str(error.value))
    assert texts[0] == texts[1]


def test_dense_gradients_are_refused_by_sparse_adam():
    for t in (fb, torch):
        w = table(t)
        w.sum().backward()
        with pytest.raises(RuntimeError, match="SparseAdam does not support dense gradients, please consider Adam"):
            t.optim.SparseAdam([w]).step()


def test_state_of_sparse_adam_is_exchanged():
    theirs = table(torch)
    its = torch.optim.SparseAdam([theirs])
    looked_up(torch, theirs).backward()
    its.step()
    ours = to_flambeau(theirs.detach()).requires_grad_()
    mine = fb.optim.SparseAdam([ours])
    mine.load_state_dict(to_flambeau(its.state_dict()))
    for t, w, optimizer in ((fb, ours, mine), (torch, theirs, its)):
        optimizer.zero_grad()
        looked_up(t, w).backward()
        optimizer.step()
    same(ours.detach(), theirs.detach())
    same(dict(mine.state_dict()["state"]), dict(its.state_dict()["state"]))


def test_compiled_step_is_the_uncompiled_one():
    results = []
    for compiled in (False, True):
        layer = fb.nn.Embedding(5, 2, sparse=True)
        layer.weight.data = fb.arange(10.0).reshape(5, 2)
        optimizer = fb.optim.SparseAdam(layer.parameters(), lr=0.1)

        def step(x, layer=layer, optimizer=optimizer):
            optimizer.zero_grad()
            layer(x).pow(2).sum().backward()
            optimizer.step()
            return layer.weight.grad.is_sparse

        run = fb.compile(step) if compiled else step
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says that it runs uncompiled
            assert all(run(fb.tensor([i, 1])) for i in range(3))
        results.append(layer.weight.detach())
    assert results[0].tolist() == results[1].tolist()


@pytest.mark.parametrize("name", ["SGD", "SparseAdam", "Adagrad"])
def test_what_others_hold_stays(name):
    """A step writes into the table's own memory, but not into what clones and others hold."""
    torch.manual_seed(0)
    start = torch.randn(40, 3).numpy()
    layer = fb.nn.Embedding.from_pretrained(fb.tensor(start), freeze=False, sparse=True)
    optimizer = getattr(fb.optim, name)(layer.parameters(), lr=0.1)
    before = []
    for _ in range(3):
        clone, saved = layer.weight.detach().clone(), np.asarray(layer.weight._array)
        before.append((clone, saved, saved.copy()))
        layer(fb.tensor([1, 7, 1])).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    for clone, saved, copied in before:
        assert (clone.numpy() == copied).all() and (saved == copied).all()
    assert (layer.weight.detach().numpy()[[1, 7]] != start[[1, 7]]).all()
