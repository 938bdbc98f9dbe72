"""Sparse tensors: the same parts, results, gradients, texts and refusals as PyTorch's."""

import copy
import io
import pickle
import warnings

import numpy as np
import pytest
import torch

import flambeau as fb
from support.values import same

pytestmark = pytest.mark.filterwarnings("ignore:Sparse")


@pytest.fixture(autouse=True, scope="module")
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def tensors(t):
    """Tensors of one library by short names."""
    i, v = t.tensor([[0, 1, 1], [2, 0, 2]]), t.tensor([3.0, 4.0, 5.0])
    s = t.sparse_coo_tensor(i, v, (2, 3))
    return {
        "t": t,
        "i": i,
        "v": v,
        "S": s,
        "C": s.coalesce(),
        "D": t.arange(6.0).reshape(2, 3),
        "W": t.arange(6.0).reshape(3, 2),
        "U": t.sparse_coo_tensor(t.tensor([[0, 0, 1], [1, 1, 0]]), t.tensor([1.0, 2.0, 3.0]), (2, 3)),
        "H": t.sparse_coo_tensor(t.tensor([[2, 0, 2]]), t.arange(9.0).reshape(3, 3), (4, 3)),
        "B": t.sparse_coo_tensor(t.tensor([[0, 1, 1], [1, 0, 1], [0, 2, 1]]), t.tensor([1.0, 2.0, 3.0]), (2, 2, 3)),
        "R": s.to_sparse_csr(),
    }


RESULTS = """
S|C|U|H|B|R|S.clone().requires_grad_()|t.sparse_coo_tensor(size=(2, 3))|t.sparse_coo_tensor(i, v.long())
t.sparse_coo_tensor(i, v)|t.sparse_coo_tensor([[0, 1], [1, 0]], [1, 2])|t.sparse_coo_tensor(i, v, dtype=t.float64)
t.sparse_coo_tensor((2, 3))|t.zeros(2, 2, layout=t.sparse_coo)|t.sparse_coo_tensor(i.float(), v, (2, 3))
C.indices()|C.values()|U._indices()|U._values()|S._nnz()|S.is_coalesced()|C.is_coalesced()|S.sparse_dim()|H.dense_dim()
S.layout|S.is_sparse|D.is_sparse|D.layout|D.sparse_dim()|S.numel()|len(S)|S.type()|S.dtype|S.device|S.is_contiguous()
S.to_dense()|U.to_dense()|H.to_dense()|B.to_dense()|U.coalesce()|H.coalesce()|D.to_sparse()|D.to_sparse(1)|S.to_sparse()
S.t()|S.transpose(0, 1)|S.permute(1, 0)|S.T|S.unsqueeze(0)|S.unsqueeze(-1)|B.transpose(0, 2)|H.unsqueeze(1)
S[0]|S[0, 2]|S[:, 1]|S[None]|C[..., 0]|H[2]|H[0, 1]|C.unbind(0)|C.index_select(0, t.tensor([1, 1]))|C.index_select(1, i[1])
S + S|S - S|D + S|D - S|S + U|C + U.coalesce()|t.add(D, S, alpha=2)|t.add(C, C, alpha=2)|t.sub(D, C, alpha=3)
S * 2|2 * S|S / 2|S * t.tensor(2.0)|C * C|S * D|D * S|S * t.tensor([1.0, 2.0, 3.0])|C * U.coalesce()|-S|S**2|H * 2|H + H
S.abs()|S.relu()|t.relu(S)|S.sqrt()|S.sin()|U.sign()|t.isnan(S)|S.log1p()|S.floor()|S.norm()|S.any()|S.pow(2)|t.neg(S)
S.double()|S.half()|S.to(t.float64)|S.bool()|S.long()|S.to("cpu")|S.clone()|S.detach()|t.zeros_like(S)|t.empty_like(S)
S @ W|W @ S|t.mm(S, W)|t.sparse.mm(S, W)|S.mm(W)|S.matmul(W)|S @ t.ones(3)|S.mv(t.ones(3))|t.bmm(B, t.ones(2, 3, 2))
t.sparse.mm(S, S.t())|t.sparse.mm(U, S.t())|t.addmm(t.ones(2, 2), S, W)|t.sparse.addmm(t.ones(2, 2), S, W, beta=2, alpha=3)
t.smm(S, W)|t.hspmm(C, W)|t.nn.functional.linear(C, D)|t.sparse.sampled_addmm(R, t.ones(2, 4), t.ones(4, 3))
S.sum()|S.sum(0)|t.sparse.sum(S)|t.sparse.sum(U, 0)|t.sparse.sum(H, 1)|t.sparse.sum(H, 0)|t.sparse.sum(B, (0, 2))
t.sparse.softmax(S, 1)|t.sparse.softmax(U, 0)|t.sparse.log_softmax(S, 1)|t.sparse.softmax(H, 1)|t.sparse.softmax(B, 2)
D.sparse_mask(C)|U.sparse_mask(C)|t.cat([S, S])|t.cat([S, U], 1)|t.stack([S, S])|t.sparse.spdiags(D, i[0][:2], (3, 3))
S.clone().mul_(2)|S.clone().div_(2)|S.clone().neg_()|S.clone().add_(U)|S.clone().zero_()|D.clone().add_(S)|D.clone().mul_(S)
S.clone().copy_(U)|S.clone().sub_(S)
R.crow_indices()|R.col_indices()|R.values()|R.layout|R.is_sparse_csr|R.is_sparse|R.to_dense()|R.to_sparse()|D.to_sparse_csr()
R @ W|t.sparse.mm(R, W)|R @ t.ones(3)|R * 2|R + R|D + R|R.double()|-R|R.sum()|R.abs()|R.t().to_dense()|R[0]|t.zeros_like(R)
t.sparse_csr_tensor([0, 1, 3], [1, 0, 2], [2.0, 1, 3])|D.to_sparse(layout=t.sparse_csr)|t.addmm(t.ones(2, 2), R, W)
t.sparse.mm(R, W, "sum")|t.sparse.mm(R, W, "mean")|t.sparse.mm(R, W - 2, "amax")|t.sparse.mm(R, W - 2, reduce="amin")
"""
RESULTS = [e for line in RESULTS.strip().splitlines() for e in line.split("|")]

REFUSALS = """
S.numpy()|S.indices()|S.values()|S.view(6)|S.reshape(6)|S[i[0]]|S[0:1]|S + D|D.clone() + 1 + (S + 1)|S / D|S.exp()|S.mean()
S.squeeze()|S == S|S > 0|t.ones_like(C)|C.narrow(0, 0, 1)|t.nonzero(C)|C.max()|C.bmm(C)|C.dot(C)|t.equal(C, C)|S.fill_(1)
D.coalesce()|D.indices()|D.values()|D._nnz()|D.is_coalesced()|C.add_(1)|2 / C|C.nbytes|t.where(D > 1, C, C)|D.copy_(C)
C.copy_(D)|t.trace(C)|t.nn.functional.softmax(C, 1)|t.sparse_coo_tensor(i, v[:2], (2, 3))|t.sparse_coo_tensor(-i, v)
t.sparse_coo_tensor(i, v, (3,))|t.sparse_coo_tensor(v, v)|t.sparse_coo_tensor(i, v, (2, 3, 4))|S + S.t()|S @ D|U[5]
t.sparse.mm(R, W, "middle")|t.sparse.mm(R, W, "prod")|t.sparse.mm(R, R.t(), "sum")|t.sparse.mm(D, W, "sum")
D.crow_indices()|S.crow_indices()|R.indices()|t.nn.utils.clip_grad_norm_([p(D, S)], 1.0)|S.cumsum(0)|S.expand(2, 2, 3)
"""
REFUSALS = [e for line in REFUSALS.strip().splitlines() for e in line.split("|")]


def with_gradient(dense, gradient):
    leaf = dense.clone().requires_grad_()
    leaf.grad = gradient
    return leaf


def check(ours, theirs):
    if isinstance(theirs, (tuple, list)):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            check(a, b)
    elif isinstance(theirs, torch.Tensor):
        same(ours, theirs)
        assert repr(ours) == repr(theirs)
    else:
        assert str(ours) == str(theirs)


@pytest.mark.parametrize("expression", RESULTS)
def test_results(expression):
    check(eval(expression, tensors(fb)), eval(expression, tensors(torch)))


@pytest.mark.parametrize("expression", REFUSALS)
def test_refusals(expression):
    """PyTorch's exception types, and its text's beginning."""
    caught = []
    for library in (torch, fb):
        with pytest.raises(Exception) as error:
            eval(expression, tensors(library) | {"p": with_gradient})
        caught.append(error.value)
    theirs, ours = caught
    assert isinstance(ours, type(theirs))
    if not isinstance(theirs, NotImplementedError):
        assert str(ours)[:25] == str(theirs)[:25]
    else:
        assert "from the 'Sparse" in str(ours) or "CPU" in str(theirs)


GRADIENTS = """
t.sparse.mm(S, W).pow(2).sum()
(S @ W).pow(2).sum()
(W.t() @ S.t()).pow(2).sum()
S.to_dense().pow(2).sum()
(S * 2 + S).to_dense().pow(2).sum()
(S * S).to_dense().pow(2).sum() + W.sum()
S.coalesce().values().pow(3).sum()
t.sparse.softmax(S, 1).to_dense().pow(2).sum()
t.sparse.log_softmax(S, 0).to_dense().pow(2).sum()
t.sparse.sum(S, 0).to_dense().pow(2).sum()
t.sparse.sum(S) ** 2
(S * W.t()).to_dense().pow(2).sum()
(W.t() + S).pow(2).sum()
t.sparse.mm(S, S.t()).to_dense().pow(2).sum()
t.sparse.addmm(t.ones(2, 2, dtype=t.float64), S, W).pow(2).sum()
(S.t().to_dense() * W).sum() ** 2
(W.to_sparse() * 3).to_dense().pow(2).sum()
S.to_sparse_csr().to_dense().pow(2).sum()
"""


@pytest.mark.parametrize("expression", GRADIENTS.strip().splitlines())
def test_gradients(expression):
    """Of the stored values and the dense operand, and second ones."""
    results = []
    for t in (fb, torch):
        v = t.tensor([3.0, 4.0, 5.0], dtype=t.float64, requires_grad=True)
        w = (t.arange(6.0, dtype=t.float64).reshape(3, 2) - 2.5).requires_grad_()
        s = t.sparse_coo_tensor(t.tensor([[0, 1, 1], [2, 0, 2]]), v, (2, 3))
        assert s.requires_grad and not s.is_leaf
        out = eval(expression, {"t": t, "S": s, "W": w})
        results.append([out.detach(), *t.autograd.grad(out, (v, w), allow_unused=True)])
    for a, b in zip(*results, strict=True):
        assert (a is None) == (b is None)
        if b is not None:
            same(a, b.to_dense() if b.is_sparse else b)


@pytest.mark.parametrize("reduce", ["sum", "mean", "amax", "amin"])
def test_gradients_of_reduced_products(reduce):
    results = []
    for t in (fb, torch):
        s = t.tensor([[1.0, 0, 2], [0, 0, 0], [0, -3, 1.5]], dtype=t.float64).to_sparse_csr().requires_grad_()
        w = t.sin(t.arange(12.0, dtype=t.float64).reshape(3, 4)).requires_grad_()
        out = t.sparse.mm(s, w, reduce)
        (out * t.arange(12.0, dtype=t.float64).reshape(3, 4)).sum().backward()
        assert type(out.grad_fn).__name__ == "SparseMmReduceImplBackward0" or t is fb
        results.append([out.detach(), w.grad, s.grad.to_dense()])
    for a, b in zip(*results, strict=True):
        same(a, b)


def test_a_sparse_leaf():
    """Its gradient is sparse, with its own indices; a second one is added to it."""
    results = []
    for t in (fb, torch):
        s = t.sparse_coo_tensor([[0, 1, 1], [2, 0, 2]], [3.0, 4.0, 5.0], (2, 3), requires_grad=True)
        w = t.arange(6.0).reshape(3, 2)
        assert s.is_leaf and s.requires_grad and s.grad is None
        t.sparse.mm(s, w).sum().backward()
        first = s.grad.to_dense()
        (t.sparse.mm(s, w) ** 2).sum().backward()
        (alone,) = t.autograd.grad(t.sparse.mm(s, w).sum(), s)
        results.append((first, s.grad.to_dense(), alone.to_dense(), s.grad.layout, alone.layout))
    check(*results)


def test_second_gradient_of_a_product():
    results = []
    for t in (fb, torch):
        v = t.tensor([3.0, 4.0, 5.0], dtype=t.float64, requires_grad=True)
        w = (t.arange(6.0, dtype=t.float64).reshape(3, 2)).requires_grad_()
        s = t.sparse_coo_tensor(t.tensor([[0, 1, 1], [2, 0, 2]]), v, (2, 3))
        (first,) = t.autograd.grad((s.to_dense() @ w).pow(3).sum(), w, create_graph=True)
        results.append(t.autograd.grad(first.sum(), (v, w)))
    for a, b in zip(*results, strict=True):
        same(a, b)


def test_shared_values():
    """Writes to the values are seen by the tensor, as both have one memory."""
    for t in (fb, torch):
        s = tensors(t)["C"]
        s.values().mul_(2)
        assert s.to_dense().sum().item() == 24.0
        s.detach()._values().zero_()
        assert s.to_dense().sum().item() == 0.0


def test_copies_and_files():
    ours, theirs = tensors(fb), tensors(torch)
    for name in ("S", "C", "H"):
        check(copy.deepcopy(ours[name]), theirs[name])
        check(copy.copy(ours[name]), theirs[name])
        check(pickle.loads(pickle.dumps(ours[name])), theirs[name])
    for name in ("S", "C", "H", "R"):
        there, back = io.BytesIO(), io.BytesIO()
        torch.save({name: theirs[name]}, there)
        there.seek(0)
        check(fb.load(there)[name], theirs[name])
        fb.save({name: ours[name]}, back)
        back.seek(0)
        same(ours[name], torch.load(back)[name])
    leaf = ours["S"].clone().requires_grad_()
    assert copy.deepcopy(leaf).requires_grad and pickle.loads(pickle.dumps(leaf)).requires_grad


def test_long_texts():
    for build in (
        lambda t: t.sparse_coo_tensor(t.arange(2000).reshape(2, 1000) // 2, t.arange(1000.0) / 7, (2000, 2000)),
        lambda t: t.sparse_coo_tensor(t.arange(4000)[None], t.arange(20000.0).reshape(4000, 5) / 7, (4000, 5)),
        lambda t: t.sparse_coo_tensor(t.zeros(0, 1, dtype=t.int64), t.tensor([2.0]), ()),
        lambda t: t.sparse_coo_tensor([[0]], t.tensor([2.0], dtype=t.float64, requires_grad=True), (9,)),
    ):
        assert repr(build(fb)) == repr(build(torch))


def test_in_a_compiled_function():
    """Runs uncompiled, with a warning, and gives the same."""
    s, w = tensors(fb)["S"], fb.ones(3, 2)

    @fb.compile
    def product(x):
        return fb.sparse.mm(s, x) + 1

    with pytest.warns(UserWarning, match="sparse"):
        found = product(w)
    np.testing.assert_allclose(found.numpy(), (s.to_dense() @ w + 1).numpy())
    with pytest.raises(RuntimeError, match="sparse"):
        fb.compile(lambda x: fb.sparse.mm(s, x), fullgraph=True)(w)


@pytest.mark.parametrize("given", ["iv", "ivs", "s", ""])
def test_the_old_constructor_says_once_that_it_is_deprecated(given, monkeypatch):
    from flambeau.core.context import warned

    monkeypatch.setattr(warned, "_given", set())
    texts, shapes = [], []
    for t in (torch, fb):
        parts = {"i": t.tensor([[0, 1]]), "v": t.tensor([1.0, 2.0]), "s": t.Size([3])}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            made = [t.sparse.FloatTensor(*(parts[g] for g in given)) for _ in range(2)]
        shapes.append(tuple(made[0].shape))
        texts.append([str(w.message).partition(" (Triggered")[0] for w in caught])
    assert shapes[0] == shapes[1]
    assert len(texts[1]) == 1 and (not texts[0] or texts[0] == texts[1])  # PyTorch may have said it in another test
