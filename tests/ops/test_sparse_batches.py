"""Batches of sparse matrices with compressed rows or columns, and those with dense dimensions, against PyTorch."""

import io
import warnings

import pytest
import torch

import flambeau


def run(lib, program):
    """The printed form of a program's last expression; or the error."""
    *steps, last = program.split(";;")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scope = _scope(lib)
        try:
            for step in steps:
                exec(step, scope)
            return str(eval(last, scope))
        except Exception as error:
            return type(error).__name__, str(error)


def _scope(lib):
    a = lib.tensor([[[1.0, 0, 2, 0], [0, 3, 0, 0]], [[0, 4, 5, 0], [6, 0, 0, 0]]])
    b = lib.zeros(2, 4, 4)
    b[0, :2, :2], b[0, 2:, :2], b[1, :2, 2:], b[1, 2:, 2:] = 1, 2, 3, 4
    crow, col = lib.tensor([[0, 2, 3], [0, 2, 3]]), lib.tensor([[0, 2, 1], [1, 2, 0]])
    made = {"r": a.to_sparse_csr(), "c": a.to_sparse_csc(), "s": b.to_sparse_bsr((2, 2)), "t": b.to_sparse_bsc((2, 2))}
    parts = {"crow": crow, "col": col, "val": lib.tensor([[1.0, 2, 3], [4, 5, 6]]), "make": _make(lib)}
    return {"torch": lib, "a": a, "b": b, "h": a.to_sparse_csr(dense_dim=1), **made, **parts}


def _make(lib):
    def make(*parts, layout="sparse_csr"):
        return lib.sparse_compressed_tensor(*parts, layout=getattr(lib, layout), check_invariants=True)

    return make


PROGRAMS = r"""
r
c
s
t
h
r.crow_indices(),r.col_indices(),r.values(),r.shape,r._nnz(),r.sparse_dim(),r.dense_dim(),r.dim(),r.numel()
c.ccol_indices(),c.row_indices(),c.values(),c._nnz()
s.crow_indices(),s.col_indices(),s.values().shape,s._nnz(),s.dense_dim()
h.crow_indices(),h.values(),h.shape,h._nnz(),h.sparse_dim(),h.dense_dim()
[x.to_dense() for x in (r,c,s,t,h)]
a[None].repeat(2,1,1,1).to_sparse_csr()
a[...,None].repeat(1,1,1,2).to_sparse_csc(dense_dim=1)
b[...,None].repeat(1,1,1,2).to_sparse_bsr((2,2),dense_dim=1)
a.int().to_sparse_csr(),a.bool().to_sparse_csc()
torch.zeros(2,2,3).to_sparse_csr(),a[:,:0].to_sparse_csr()
a.to_sparse(layout=torch.sparse_csc),b.to_sparse(layout=torch.sparse_bsc,blocksize=(2,2))
a[0,0,0]=0;;a.to_sparse_csr()
a[0,0,0]=0;;a.to_sparse_csc()
b[0,0,3]=9;;b.to_sparse_bsr((2,2))
b[0,0,3]=9;;b.to_sparse_bsc((2,2))
a[:0].to_sparse_csr()
a[:0].to_sparse_bsr((1,1))
a.to_sparse_csr(dense_dim=2)
a.to_sparse_csc(dense_dim=-1)
a[0].to_sparse_csr(dense_dim=1)
a[0,0].to_sparse_bsr((1,1))
a.to_sparse_bsc((1,1),dense_dim=2)
b.to_sparse_bsr((3,2))
b.to_sparse_bsr((0,2))
b.to_sparse_bsc((1,1,1))
a.to_sparse().to_sparse_csr()
a.to_sparse().to_sparse_bsr((1,1))
a.to_sparse(2).to_sparse_csr()
a[0].to_sparse().to_sparse_csc(dense_dim=0)
a[0].to_sparse_csr().to_sparse_csc(dense_dim=0)
a[0].to_sparse_csr().to_sparse_csr(dense_dim=0)
r.to_sparse_bsr((1,1))
s.to_sparse_csr()
s.to_sparse_bsr((1,2))
r.to_sparse_csc(),c.to_sparse_csr(),h.to_sparse_csc()
r.to_sparse(),s.to_sparse(),h.to_sparse()
make(crow,col,val,(2,2,3))
make(crow,col,val)
make(crow,col,val[...,None].repeat(1,1,2))
make(crow,col,val[...,None,None].repeat(1,1,2,2),(2,4,6),layout="sparse_bsr").to_dense()
torch.sparse_csc_tensor([[0,1,2,3],[0,1,2,3]],[[0,1,0],[1,0,0]],val,(2,2,3)).to_dense()
make(crow,col,val,(3,2,3))
make(crow,col,val,(2,3))
make(crow[0],col,val,(2,2,3))
make(crow,col,val[0],(2,2,3))
make(torch.tensor(0),col,val,(2,2,3))
make(crow,col[:,:2],val,(2,2,3))
make(crow,col[:1],val,(2,2,3))
make(crow,col,val,(2,3,3))
make(crow,col,val,(2,2,2))
make(crow+1,col,val,(2,2,3))
make(crow.clamp(max=2),col,val,(2,2,3))
make(torch.tensor([[0,2,3],[0,5,3]]),col,val,(2,2,3))
make(crow,torch.tensor([[0,2,1],[2,1,0]]),val,(2,2,3))
make(crow,torch.tensor([[0,2,1],[2,2,0]]),val,(2,2,3))
make(crow,col,val,(2,2,3),layout="sparse_bsr")
make(crow,col,val[...,None,None].repeat(1,1,2,2),(2,4,5),layout="sparse_bsr")
make(crow.int(),col,val,(2,2,3))
make(crow.float(),col.float(),val,(2,2,3))
r[0],c[1],s[1],t[0]
r.select(0,5)
r.select(1,0)
h[0],h.select(2,1)
r.unbind(),len(r)
r.transpose(1,2),c.transpose(-1,-2),s.transpose(1,2),r.mT
a[None].repeat(3,1,1,1).to_sparse_csr().transpose(0,1).shape
r.transpose(0,1)
h.transpose(0,1)
r.t()
a.to_sparse().mT.to_dense()
-r,r.abs(),-c,-s,-h,r*2,r.double(),r.clone(),r.detach()
(r+r).to_dense(),(c+c).to_dense(),(h+h).to_dense(),(h*h).to_dense()
a+r
r.sum(),c.sum(),h.sum()
torch.zeros_like(r),torch.zeros_like(c),torch.zeros_like(s),torch.ones_like(r),torch.full_like(c,2.0)
torch.zeros(2,2,3,layout=torch.sparse_csr),torch.zeros(2,3,layout=torch.sparse_csc)
torch.zeros(2,4,layout=torch.sparse_bsr)
torch.zeros(4,layout=torch.sparse_csr)
r.clone().zero_(),a[0].to_sparse_csc().zero_(),r.clone().mul_(2)
a.sparse_mask(r),a[0].sparse_mask(c[0]),b.sparse_mask(s)
r.numpy()
"""


@pytest.mark.parametrize("program", PROGRAMS.strip().splitlines())
def test_programs(program):
    assert run(flambeau, program) == run(torch, program)


@pytest.mark.parametrize("layout", ["sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc"])
def test_gradients_and_files(layout):
    """PyTorch refuses the gradient of a batch: it is that of the dense tensor at the places that are stored."""
    dense = flambeau.tensor([[[1.0, 0, 2], [0, 3, 0]], [[0, 4, 5], [6, 0, 0]]], requires_grad=True)
    made = getattr(dense, f"to_{layout}")(*([(1, 1)] if layout[7] == "b" else []))
    weight = flambeau.arange(1.0, 13).view(2, 2, 3)
    (made.to_dense() * weight).sum().backward()
    assert dense.grad.tolist() == (weight * (dense != 0)).tolist()
    file = io.BytesIO()
    flambeau.save(made.detach(), file)
    file.seek(0)
    loaded = torch.load(file)
    assert str(loaded.layout) == f"torch.{layout}" and loaded.to_dense().tolist() == dense.tolist()


def test_what_does_not_fit_is_refused():
    first = flambeau.tensor([[[1.0, 0], [0, 1]], [[1, 1], [0, 0]]]).to_sparse_csr()
    second = flambeau.tensor([[[1.0, 0], [0, 1]], [[0, 0], [1, 1]]]).to_sparse_csr()
    with pytest.raises(RuntimeError, match="same number of specified elements per batch"):
        first + second
    with pytest.raises(RuntimeError, match="dense dimensions of values"):
        flambeau.sparse_csr_tensor([0, 1], [0], [[1.0, 2]], (1, 1, 3))
