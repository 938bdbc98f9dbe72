"""Gradients of sparse tensors as hooks and `.grad` show them; `torch.masked` and `_like` factories of sparse tensors."""

from __future__ import annotations

import warnings

import pytest
import torch

import flambeau


def run(lib, program):
    """The printed form of a program's last expression; or the error."""
    *steps, last = program.split(";;")
    a = lib.tensor([[0.0, 0, 1, 2], [0, 3, 0, 0], [5, 0, 0, 6]], dtype=lib.float64)
    m = lib.tensor([[1, 1, 0, 1], [0, 0, 1, 1], [1, 1, 1, 0]]).bool()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        double = lib.sparse_coo_tensor([[0, 0, 0], [0, 2, 2]], [3.0, 1.0, 2.0], (1, 4), dtype=lib.float64)
        scope = {"torch": lib, "a": a, "m": m, "c": a.to_sparse(), "r": a.to_sparse_csr(), "d": double.requires_grad_()}
        scope |= {
            "mc": m.to_sparse(),
            "mr": m.to_sparse_csr(),
            "M": lib.masked,
            "b": lib.eye(4).to_sparse_bsr((2, 2)),
            "s": [],
        }
        try:
            for step in steps:
                exec(step, scope)
            return str(eval(last, scope))
        except Exception as error:
            return type(error).__name__, str(error)


GRADIENTS = """
(d.to_dense() ** 2).sum().backward();;d.grad.to_dense(),d.grad._nnz()
((d * 2).to_dense() ** 2).sum().backward();;d.grad.to_dense()
torch.sparse.sum(d).backward();;d.grad.to_dense()
torch.sparse.mm(d, torch.ones(4, 2, dtype=torch.float64)).sum().backward();;d.grad.to_dense()
(d.coalesce().values() ** 2).sum().backward();;d.grad.to_dense()
torch.autograd.grad((d.to_dense() ** 2).sum(), d)[0]
y = d * 2;;y.retain_grad();;(y.to_dense() ** 2).sum().backward();;y.grad
d.register_hook(lambda g: s.append((g.layout, g.to_dense())));;(d.to_dense() ** 2).sum().backward();;s
d.register_hook(lambda g: g * 2);;(d.to_dense() ** 2).sum().backward();;d.grad.to_dense()
d.register_hook(lambda g: torch.ones(3));;d.to_dense().sum().backward()
r.requires_grad_();;r.register_hook(lambda g: s.append((g.layout, g.values())));;(r * 2).to_dense().sum().backward();;s,r.grad
"""
OTHERS = """
torch.manual_seed(0);;torch.randn_like(r)
torch.manual_seed(0);;torch.randn_like(b, dtype=torch.float64)
torch.randn_like(r, layout=torch.sparse_csc)
torch.ones_like(r),torch.ones_like(b).values()
torch.empty_like(r)._nnz(),torch.empty_like(c)._nnz(),torch.zeros_like(r)._nnz()
torch.zeros_like(b, layout=torch.sparse_bsc)
r.sum(0, keepdim=True),r.sum(1, keepdim=True),r.sum((0, 1), keepdim=True)
c.sum((0, 1), keepdim=True)
M.sum(c, 0, mask=m),M.sum(a, 0, mask=mc),M.sum(c, 0, dtype=torch.int64, mask=mc)
M.sum(c, 0, mask=torch.tensor([True, False, True, True]).to_sparse())
M.sum(c, 0),M.sum(c),M.sum(r, 1, keepdim=True),M.sum(c, 1, keepdim=True)
M.prod(c, None, mask=torch.zeros(3, 4, dtype=torch.bool).to_sparse())
M.amax(c, mask=torch.zeros(3, 4, dtype=torch.bool).to_sparse())
M.mean(r, 1, keepdim=True, mask=mr),M.mean(r, keepdim=True, mask=mr)
M.mean(c, 1, keepdim=True, mask=mc)
M.prod(r, 1, mask=mr)
M.amin(r, 1, mask=mr)
M.amax(r, 1, keepdim=True)
M.softmax(c, 0)
M.logsumexp(c, 0)
M.var(c, 0)
M.norm(r, 2.0, 0)
""" + "\n".join(
    f"M.{name}({x}, {dim}, keepdim={keep}, mask=m{x}).to_dense()"
    for name in ("sum", "prod", "amax", "amin")
    for x, keep in (("c", False), ("c", True), ("r", True))
    for dim in (0, (0, 1))
)


@pytest.mark.parametrize("program", [line for line in (GRADIENTS + OTHERS).splitlines() if line])
def test_against_torch(program: str) -> None:
    theirs, ours = run(torch, program), run(flambeau, program)
    if isinstance(theirs, tuple) and isinstance(ours, tuple):
        theirs, ours = theirs[0], ours[0]
    assert ours == theirs
