"""Copies of views, layers as PyTorch has them below its functional ones, fake quantization, pieces and hashes, against torch."""

from __future__ import annotations

import pytest
import torch

import flambeau as fb
from support.expressions import check, check_gradient, first_of_each
from support.values import same, to_flambeau

Y = torch.arange(12.0).view(3, 4)
VALUES = {"y": Y, "x": Y.clone().requires_grad_(), "z": torch.arange(4.0).view(2, 2)}


@pytest.mark.parametrize(
    "expression",
    first_of_each(
        """\
torch.alias_copy(x)
torch.as_strided_copy(x,(2,2),(1,2),1)
torch.detach_copy(x)
torch.diagonal_copy(x)
torch.expand_copy(x[:1],(2,4))
torch.permute_copy(x,(1,0))
torch.select_copy(x,0,1)
torch.slice_copy(x)
torch.slice_copy(x,1,1,3)
torch.slice_copy(x,dim=1,start=0,end=4,step=2)
torch.split_copy(x,2)
torch.split_copy(x,2,1)
torch.split_with_sizes_copy(x,[1,2])
torch.squeeze_copy(x[:1])
torch.squeeze_copy(x[:1],0)
torch.squeeze_copy(x[:1],(0,1))
torch.t_copy(x)
torch.t_copy(x).stride()
torch.transpose_copy(x,0,1)
torch.unbind_copy(x)
torch.unbind_copy(x,1)
torch.unfold_copy(x,0,2,1)
torch.unsqueeze_copy(x,0)
torch.view_as_real_copy(torch.complex(x,x))
torch.view_copy(x,(4,3))
torch.view_copy(x,torch.int32)
torch.view_copy(x,dtype=torch.int32)
torch.t_copy(y,out=torch.empty(4,3))
torch.t_copy(x)._base is None
torch.expand_copy(y[:1],(2,4)).stride()
torch.values_copy(y)
torch.as_strided_scatter(y,z,(2,2),(1,2))
torch.as_strided_scatter(y,z,(2,2),(1,2),1)
torch.as_strided_scatter(x,z,(2,2),(1,2),storage_offset=1)
torch.as_strided_scatter(y,z,(2,3),(1,2))
y.as_strided_scatter(z,(2,2),(1,2))
y.t().as_strided_scatter(z,(2,2),(1,2))
torch.slice_inverse(y[:,1:3],y,1,1,3)
torch.slice_inverse(y[:,1:3],y,1,1,4)
y[:,1:3].slice_inverse(y,1,1,3)
torch.native_layer_norm(x,[4],torch.ones(4),None,1e-5)
torch.native_layer_norm(y,[4],None,None,1e-5)
torch.native_layer_norm(y,(3,4),None,None,1e-5)
torch.native_layer_norm(y[:0],(4,),None,None,1e-5)
torch.native_group_norm(y.view(1,4,3),None,None,1,4,3,2,1e-5)
torch.native_group_norm(y.view(1,4,3),torch.ones(4),torch.ones(4),1,4,3,2,1e-5)
torch.native_channel_shuffle(y.view(1,4,3),2)
torch.native_channel_shuffle(y.view(1,4,3,1),2)
torch.native_channel_shuffle(y,2)
torch.batch_norm_update_stats(y,torch.zeros(4),torch.ones(4),.1)
torch.batch_norm_update_stats(y,None,None,.1)
torch.convolution(y.view(1,1,3,4),torch.ones(1,1,2,2),None,(1,1),(0,0),(1,1),False,(0,0),1)
torch.convolution(y.view(1,1,3,4),torch.ones(1,1,2,2),torch.ones(1),[1],[1],[1],False,[0],1)
torch.convolution(y.view(1,1,3,4),torch.ones(1,1,2,2),None,(2,1),(0,0),(1,1),True,(1,0),1)
torch.convolution(y.view(1,3,4),torch.ones(1,3,2),None,(1,),(0,),(1,),False,(0,),1)
torch.embedding_bag(y,torch.tensor([0,1,2,1]),torch.tensor([0,2]))
torch.embedding_bag(y,torch.tensor([0,1,2,1]),torch.tensor([0,2]),mode=1)
torch.embedding_bag(y,torch.tensor([0,1,2,1]),torch.tensor([0,2]),mode=2)
torch.embedding_bag(y,torch.tensor([0,1,2,1]),torch.tensor([0,2]),False,0,False,torch.tensor([.5,1,2,1]))
torch.embedding_bag(y,torch.tensor([0,1,2,1]),torch.tensor([0,2]),False,0,False,None,False,1)
torch.embedding_bag(y,torch.tensor([0,1,2,1]),torch.tensor([0,2]),False,1,False,None,False,1)
torch.embedding_bag(y,torch.tensor([0,1,2,1]),torch.tensor([0,2,4]),False,1,False,None,True)
torch.embedding_renorm_(y.clone(),torch.tensor([0,2]),1.,2.)
torch.embedding_renorm_(y.clone(),torch.tensor([[0,2]]),3.,1.)
torch.segment_reduce(y,'sum',lengths=torch.tensor([1,2]))
torch.segment_reduce(y,'mean',lengths=torch.tensor([1,2]))
torch._segment_reduce(y,'sum',offsets=torch.tensor([0,1,3]),axis=0)
torch.segment_reduce(y,'max',lengths=torch.tensor([1,2]))
torch.segment_reduce(y,'min',lengths=torch.tensor([1,2]))
torch.segment_reduce(y,'prod',lengths=torch.tensor([0,3]))
torch.segment_reduce(y,'max',lengths=torch.tensor([0,3]))
torch.segment_reduce(y,'min',lengths=torch.tensor([0,3]))
torch.segment_reduce(y,'mean',lengths=torch.tensor([0,3]))
torch.segment_reduce(y,'mean',lengths=torch.tensor([0,3]),initial=2.)
torch.segment_reduce(y,'sum',lengths=torch.tensor([0,3]),initial=2.)
torch.segment_reduce(y,'sum',offsets=torch.tensor([0,1,3]))
torch.segment_reduce(y,'sum',lengths=torch.tensor([[1,3],[2,2],[4,0]]),axis=1)
torch.segment_reduce(y,'sum',lengths=torch.tensor([1,1]))
torch.segment_reduce(y,'sum',lengths=torch.tensor([1,1]),unsafe=True)
torch.segment_reduce(y,'sum',lengths=torch.tensor([4,-1]))
torch.segment_reduce(y,'foo',lengths=torch.tensor([1,2]))
torch.segment_reduce(y,'sum')
torch.segment_reduce(y,'sum',lengths=torch.tensor([1.,2]))
torch.segment_reduce(x,'max',lengths=torch.tensor([1,2]))
torch.segment_reduce(y.long(),'sum',lengths=torch.tensor([1,2]))
torch.segment_reduce(y,'sum',indices=torch.tensor([1,2]))
torch.hash_tensor(y)
torch.hash_tensor(y.double())
torch.hash_tensor(y.int())
torch.hash_tensor(y.bool())
torch.hash_tensor(y.half())
torch.hash_tensor(y,1)
torch.hash_tensor(y,(0,),keepdim=True)
torch.hash_tensor(y[:0])
torch.hash_tensor(y,mode=1)
torch.hash_tensor(-y.long())
torch.hash_tensor(-y)
torch.hash_tensor(y-2.5)
y.hash_tensor()
torch.fake_quantize_per_tensor_affine(y,.7,1,0,15)
torch.fake_quantize_per_tensor_affine(x,.7,1,0,15)
torch.fake_quantize_per_tensor_affine(y,torch.tensor(.7),torch.tensor(1,dtype=torch.int32),0,15)
torch.fake_quantize_per_tensor_affine(x,torch.tensor(.7),torch.tensor(1,dtype=torch.int32),0,15)
torch.fake_quantize_per_tensor_affine(y,.7,20,0,15)
torch.fake_quantize_per_tensor_affine(y,.7,1,15,0)
torch.fake_quantize_per_tensor_affine(y.double(),.7,1,0,15)
torch.fake_quantize_per_tensor_affine(y.half(),.7,1,0,15)
torch.fake_quantize_per_tensor_affine(y.long(),.7,1,0,15)
torch.fake_quantize_per_tensor_affine(torch.tensor([float('nan'),float('inf'),-float('inf'),.35,1.05,-1.05]),.7,1,-8,15)
torch.fake_quantize_per_channel_affine(y,torch.tensor([.5,.7,.9]),torch.tensor([0,1,2],dtype=torch.int32),0,0,15)
torch.fake_quantize_per_channel_affine(x,torch.tensor([.5,.7,.9]),torch.tensor([0,1,2],dtype=torch.int32),0,0,15)
torch.fake_quantize_per_channel_affine(y,torch.tensor([.5,.7,.9,1.]),torch.tensor([0,1,2.,.5]),1,0,15)
torch.fake_quantize_per_channel_affine(y,torch.tensor([.5,.7,.9,1.]),torch.tensor([0,1,2,3]),1,0,15)
torch.fake_quantize_per_channel_affine(y,torch.tensor([.5,.7]),torch.tensor([0,1],dtype=torch.int32),0,0,15)
torch.fake_quantize_per_channel_affine(y,torch.tensor([.5,.7,1.]),torch.tensor([0,1,99],dtype=torch.int32),0,0,15)
torch.fake_quantize_per_channel_affine(y,torch.tensor([.5,.7,1.]),torch.tensor([0,1,9],dtype=torch.int32),5,0,15)
torch.empty_permuted((2,3),(1,0)).stride()
torch.empty_permuted((2,3),(1,0),dtype=torch.int64).dtype
torch.empty_permuted((2,3),(1,1))
torch.empty_permuted((2,3),(1,))""".splitlines()
    ),
)
def test_against_torch(expression: str) -> None:
    check(expression, {k: v.clone().detach().requires_grad_(v.requires_grad) for k, v in VALUES.items()}, rtol=2e-6)


def test_a_copy_is_named_by_its_view() -> None:
    x = to_flambeau(VALUES["x"])
    for expression in (
        "t_copy(x)",
        "slice_copy(x, 1, 1)",
        "unbind_copy(x)[1]",
        "view_copy(x, (4, 3))",
        "alias_copy(x)",
    ):
        mine, theirs = eval(f"fb.{expression}"), eval(f"torch.{expression}", {"torch": torch, "x": VALUES["x"]})
        assert mine.grad_fn.name() == theirs.grad_fn.name()
        assert mine.stride() == theirs.stride() and mine.data_ptr() != x.data_ptr()


def test_parts_of_sparse_matrices() -> None:
    sparse = to_flambeau(Y).to_sparse_csr()
    assert fb.crow_indices_copy(sparse).tolist() == [0, 3, 7, 11] and len(fb.col_indices_copy(sparse)) == 11
    assert fb.indices_copy(to_flambeau(Y).to_sparse()).shape == (2, 11)
    with pytest.raises(RuntimeError, match="values expected sparse tensor layout but got Strided"):
        fb.values_copy(to_flambeau(Y))


@pytest.mark.parametrize("reduce", ["sum", "mean", "prod", "max", "min"])
def test_gradients_of_pieces(reduce: str) -> None:
    data = torch.tensor([[2.0, 0.0, 3.0], [2.0, 5.0, 0.0], [-1.0, 0.0, 0.0], [4.0, 5.0, 1.0]], dtype=torch.float64)
    for lengths in ("[1, 3]", "[2, 0, 2]"):
        check_gradient(f"torch.segment_reduce(x, '{reduce}', lengths=torch.tensor({lengths}))", {"x": data})


def test_gradients() -> None:
    y, z = Y.double(), VALUES["z"].double()
    mine, written = to_flambeau(y).requires_grad_(), to_flambeau(z).requires_grad_()
    made = fb.as_strided_scatter(mine, written, (2, 2), (1, 2), 1)
    weights = to_flambeau(y + 1)
    of_input, of_written = fb.autograd.grad(made, [mine, written], weights)
    assert of_input.flatten().tolist() == [1, 0, 0, 0, 0, 6, 7, 8, 9, 10, 11, 12]  # torch's is the opposite
    assert of_written.tolist() == [[2, 4], [3, 5]]
    check_gradient("torch.fake_quantize_per_tensor_affine(y, 0.7, 1, 0, 15)", {"y": y})
    check_gradient("torch.native_layer_norm(y, [4], None, None, 1e-5)[0]", {"y": y})
    scales = "torch.tensor([0.5, 0.7, 0.9]), torch.tensor([0, 1, 2], dtype=torch.int32)"
    check_gradient(f"torch.fake_quantize_per_channel_affine(y, {scales}, 0, 0, 15)", {"y": y})


@pytest.mark.parametrize("training", [True, False])
def test_native_batch_norm(training: bool) -> None:
    x, weight = Y.double() ** 1.5, torch.linspace(0.5, 2, 4, dtype=torch.float64)
    mean, var = torch.zeros(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
    ours = [to_flambeau(v) for v in (x, weight, weight, mean, var)]
    theirs = torch.native_batch_norm(x, weight, weight, mean, var, training, 0.1, 1e-5)
    for m, t in zip(fb.native_batch_norm(*ours, training, 0.1, 1e-5), theirs, strict=True):
        same(m, t, rtol=1e-9)
    same(ours[3], mean, rtol=1e-12)
    same(ours[4], var, rtol=1e-12)
    if training:
        for m, t in zip(
            fb.batch_norm_update_stats(ours[0], *ours[3:], 0.1),
            torch.batch_norm_update_stats(x, mean, var, 0.1),
            strict=True,
        ):
            same(m, t, rtol=1e-9)
        same(ours[4], var, rtol=1e-12)


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
def test_the_observer_moves_its_limits(rows: bool, symmetric: bool) -> None:
    def made(library: object, n: int) -> list:
        whole = torch.zeros(n, dtype=torch.int32)
        given = [torch.zeros(n if rows else ()), torch.zeros(n if rows else ()), torch.ones(n), whole]
        return given if library is torch else [to_flambeau(g) for g in given]

    low, high = (-128, 127) if symmetric else (0, 255)
    theirs, mine = (made(library, 0 if rows else 1) for library in (torch, fb))
    for shift, on, quantize in ((0, 1, 1), (-3, 1, 1), (2, 0, 1), (-9, 1, 0), (-9, 1, 1)):
        flags = [torch.tensor([on]), torch.tensor([quantize])]
        options = (0.3, low, high, 0, rows, symmetric)
        expected = torch.fused_moving_avg_obs_fake_quant(Y + shift, *flags, *theirs, *options)
        got = fb.fused_moving_avg_obs_fake_quant(to_flambeau(Y + shift), *map(to_flambeau, flags), *mine, *options)
        for m, t in zip((got, *mine), (expected, *theirs), strict=True):
            same(m, t, rtol=1e-5)


def test_embedding_bag_of_maxima_with_padding() -> None:
    weight, indices = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 2, 5, 2, 1, 1, 4])
    for mode in (0, 1, 2):
        for padding in (None, 2):
            call = (
                f"torch.embedding_bag(w, i, torch.tensor([0, 3, 3, 5]), False, {mode}, False, None, False, {padding})"
            )
            check(call, {"w": weight, "i": indices}, rtol=1e-6)
