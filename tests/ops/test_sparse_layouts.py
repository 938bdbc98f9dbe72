"""Sparse matrices with compressed columns and of blocks, and what is rarely asked of sparse ones, against PyTorch."""

import io
import warnings

import pytest
import torch

import flambeau


def run(lib, program):
    """The printed form of a program's last expression; or the error."""
    *steps, last = program.split(";;")
    a = lib.tensor([[1.0, 0, 2, 0], [0, 0, 0, 3], [4, 5, 0, 0], [0, 0, 0, 0]])
    scope = {"torch": lib, "a": a, "x": a.to_sparse_csc(), "y": a.to_sparse_bsr((2, 2)), "z": a.to_sparse_bsc((2, 2))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for step in steps:
                exec(step, scope)
            return str(eval(last, scope))
        except Exception as error:
            return type(error).__name__, str(error)


PROGRAMS = r"""
x
y
z
x.layout,x.is_sparse,x.is_sparse_csr,x.shape,x._nnz(),x.dim(),x.sparse_dim(),x.dense_dim(),x.numel()
y.sparse_dim(),y.dense_dim(),y._nnz()
x.ccol_indices(),x.row_indices(),x.values()
x.crow_indices()
x.col_indices()
x.indices()
y.crow_indices(),y.col_indices(),y.values()
y.ccol_indices()
z.ccol_indices(),z.row_indices(),z.values()
x.to_dense(),y.to_dense(),z.to_dense()
x*2
x+x
x.abs()
x.to_sparse()
x.to_sparse_csr()
x.to_sparse_bsr((2,2))
y.to_sparse_csr()
y.to_sparse()
y.to_sparse_csc()
z.to_sparse_bsr((2,2))
y.to_sparse_bsr((2,2))
y.to_sparse_bsr((4,4))
x.t()
y.t()
x.transpose(0,1).layout, y.transpose(0,1).layout, a.to_sparse_csr().transpose(0,1).layout
x@a
a@x
y@a
x.sum()
x.clone()
x.double()
x.detach()
y.clone()
x.requires_grad_()
x.to_sparse_csc()
a.to_sparse(layout=torch.sparse_csc)
a.to_sparse(layout=torch.sparse_bsr,blocksize=(2,2))
a.to_sparse(layout=torch.sparse_bsr)
a.to_sparse_bsr((3,2))
a.to_sparse_bsr(2)
torch.ones(3).to_sparse_csc()
torch.sparse_csc_tensor([0,1,2],[0,1],[1.,2.])
torch.sparse_csc_tensor([0,1,2],[0,1],[1.,2.],(2,2),dtype=torch.float64)
torch.sparse_bsr_tensor([0,1],[0],[[[1.,2],[3,4]]])
torch.sparse_bsc_tensor([0,1],[0],[[[1.,2],[3,4]]],(2,2))
torch.sparse_compressed_tensor([0,1,2],[0,1],[1.,2.],layout=torch.sparse_csc)
torch.sparse_compressed_tensor([0,1,2],[0,1],[1.,2.],layout=torch.sparse_csr)
torch.sparse_compressed_tensor([0,1,2],[0,1],[1.,2.],(2,2),layout=torch.sparse_coo)
torch.sparse_compressed_tensor([0,1,2],[0,1],[1.,2.])
torch.sparse_csc_tensor([0,1,3],[0,1],[1.,2.],check_invariants=True)
torch.sparse_csc_tensor([0,1,2],[0,5],[1.,2.],(2,2),check_invariants=True)
w=a.clone().requires_grad_();;w.to_sparse_csc().to_dense().sum().backward();;w.grad
w=a.clone().requires_grad_();;w.to_sparse_bsr((2,2)).to_dense().pow(2).sum().backward();;w.grad
torch.sspaddmm(a.to_sparse(),a.to_sparse(),a)
torch.sspaddmm(a.to_sparse(),a.to_sparse(),a,beta=2,alpha=.5)
torch.saddmm(a.to_sparse(),a.to_sparse(),a)
a.to_sparse().sspaddmm(a.to_sparse(),a)
torch.hspmm(a.to_sparse(),a)
torch.sspaddmm(a,a,a)
u=torch.ones(2,2).to_sparse();;u.resize_as_sparse_(a.to_sparse());;u
torch.resize_as_sparse_(torch.ones(2,2).to_sparse(),a.to_sparse())
a.to_sparse()._indices(), a.to_sparse()._values()
a.to_sparse().sparse_resize_and_clear_((3,3),2,0)
a.to_sparse().sparse_resize_((5,5),2,0)
torch.sparse.as_sparse_gradcheck(torch.autograd.gradcheck)(lambda s: torch.sparse.sum(s), (a.double().to_sparse().requires_grad_(),), masked=False)
torch.sparse.spsolve(a.to_sparse_csr(),a[0])
torch.sparse.to_sparse_semi_structured(a)
torch.ccol_indices_copy(x)
torch._convert_indices_from_coo_to_csr(torch.tensor([0,0,2]),3)
torch._convert_indices_from_csr_to_coo(torch.tensor([0,2,2,3]),torch.tensor([0,1,2]))
torch._convert_indices_from_csr_to_coo(torch.tensor([0,2,2,3]),torch.tensor([0,1,2]),transpose=True)
torch._convert_indices_from_coo_to_csr(torch.tensor([0,0,2]),3,out_int32=True).dtype
x[0]
x.sin()
y*2
y+y
y.neg()
""".strip().split("\n")


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = run(torch, program)
    ours = run(flambeau, program)
    if isinstance(theirs, str):
        assert ours == theirs
        return
    assert ours[0] == theirs[0]
    if "aten::" not in theirs[1]:
        assert theirs[1] in ours[1]


@pytest.mark.parametrize("program", ["x @ x", "x @ a", "y @ a", "y + y", "x.t() @ a", "x.to_dense() + a"])
def test_products(program):
    shown = []
    for lib in (torch, flambeau):
        a = lib.tensor([[1.0, 0, 2, 0], [0, 0, 0, 3], [4, 5, 0, 0], [0, 0, 0, 0]])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scope = {"a": a, "x": a.to_sparse_csc(), "y": a.to_sparse_bsr((2, 2)), "z": a.to_sparse_bsc((2, 2))}
            made = eval(program, scope)
            shown.append((str(made.layout), made.to_dense().tolist()))
    assert shown[1] == shown[0]


@pytest.mark.parametrize("kind", ["csr", "csc", "bsr", "bsc"])
@pytest.mark.parametrize("back", [False, True])
def test_files(kind, back):
    write, read = (torch, flambeau) if back else (flambeau, torch)
    dense = write.tensor([[1.0, 0, 2, 0], [0, 0, 0, 3]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = getattr(dense, f"to_sparse_{kind}")(*([(2, 2)] if kind.startswith("b") else []))
        file = io.BytesIO()
        write.save({"m": made}, file)
        file.seek(0)
        loaded = read.load(file)["m"]
    assert str(loaded.layout) == f"torch.sparse_{kind}"
    assert loaded.values().tolist() == made.values().tolist() and loaded.to_dense().tolist() == dense.tolist()


@pytest.mark.parametrize("kind", ["csr", "csc", "bsr", "bsc"])
def test_gradients_reach_a_leaf(kind):
    dense = flambeau.tensor([[1.0, 0, 2, 0], [0, 0, 0, 3]])
    leaf = getattr(dense, f"to_sparse_{kind}")(*([(2, 2)] if kind.startswith("b") else [])).requires_grad_()
    (leaf.to_dense() ** 2).sum().backward()
    assert leaf.grad.layout is leaf.layout
    assert leaf.grad.to_dense().tolist() == (2 * dense).tolist()


@pytest.mark.parametrize("masked", [False, True])
def test_gradcheck_of_sparse_tensors(masked):
    check = flambeau.sparse.as_sparse_gradcheck(flambeau.autograd.gradcheck)
    dense = flambeau.tensor([[1.0, 0, 2], [0, 3, 0]], dtype=flambeau.float64)
    for given in (dense.to_sparse(), dense.to_sparse_csr(), dense.to_sparse_csc()):
        assert check(lambda s: s * 2, (given.requires_grad_(),), masked=masked)


def test_refused():
    with pytest.raises(NotImplementedError, match=r"to_dense\(\) first"):
        flambeau.eye(2).to_sparse_csc().unsqueeze(0)
