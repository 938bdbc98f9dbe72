"""`nn.functional` against PyTorch: one row per call, values, dtypes, gradients, names of gradients, exceptions."""

from __future__ import annotations

import inspect
import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as theirs_f
from hypothesis import given
from hypothesis import strategies as st

import flambeau as fb
import flambeau.nn.functional as ours_f
from support.properties import examples
from support.values import array, same, to_flambeau

GRAD_NAMES_DIFFER = {  # what PyTorch composes here of operators that are one in flambeau
    "lp_pool1d", "lp_pool2d", "rrelu", "pairwise_distance",
}  # fmt: skip


def leaf(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().requires_grad_()


def scope() -> dict[str, Any]:
    torch.manual_seed(11)
    ties = torch.tensor([-6.0, -3, -2, -1, -0.5, 0, 0.5, 1, 2, 3, 6, 20, 21, -90, 90])
    numbers = torch.tensor([[0, 3, 1, 2], [2, 2, 0, 4]])
    return {
        "T": torch,
        "ties": leaf(ties),
        "x": leaf(torch.randn(4, 5)),
        "y": torch.randn(4, 5),
        "q": torch.rand(4, 5),
        "p": leaf(torch.tensor([0.0, 1, 0.5, 0.2, 1]).repeat(4, 1)),
        "w": leaf(torch.randn(5, 3)),
        "W": torch.rand(5),
        "i": numbers,
        "t": torch.tensor([0, 4, 2, 1]),
        "skip": torch.tensor([0, 4, 2, -100]),
        "m1": leaf(torch.randn(2, 4, 9)),
        "m2": leaf(torch.randn(2, 4, 8, 7)),
        "m3": leaf(torch.randn(2, 2, 4, 5, 6)),
        "even": leaf(torch.randint(0, 3, (2, 2, 6, 6)).float()),  # with many ties
        "long": torch.ones(2, 4, 4, dtype=torch.int64),
        "randn": lambda *shape: leaf(torch.randn(*shape)),
        "low": torch.full((1, 1, 4, 4), -math.inf),
    }


def evaluate(expression: str) -> tuple[Any, Any, list[Any], list[Any]]:
    """The results (or exceptions) of both libraries and the differentiable arguments."""
    names = scope()
    function, _, arguments = expression.partition("(")
    args, kwargs = eval(f"(lambda *a, **k: (a, k))({arguments}", names)
    their_args = list(args)
    our_args = [to_flambeau(a) for a in their_args]
    our_kwargs = {k: to_flambeau(v) for k, v in kwargs.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (
            attempt(getattr(ours_f, function), our_args, our_kwargs),
            attempt(getattr(theirs_f, function), their_args, kwargs),
            our_args,
            their_args,
        )


def attempt(function: Any, args: Any, kwargs: Any) -> Any:
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return error


VALUES = """
relu(ties) relu6(ties) hardtanh(ties) hardtanh(ties,-2.0,3.0) threshold(ties,0.5,7.0) leaky_relu(ties)
leaky_relu(ties,0.2) hardshrink(ties) softshrink(ties) hardsigmoid(ties) hardswish(ties) elu(ties) elu(ties,2.0)
selu(ties) celu(ties,2.0) gelu(ties) gelu(ties,approximate='tanh') silu(ties) mish(ties) softplus(ties)
softplus(ties,2.0,5.0) logsigmoid(ties) softsign(ties) tanhshrink(ties) sigmoid(ties) tanh(ties)
prelu(ties,randn(1)) prelu(m1,randn(4)) glu(m1,1) rrelu(ties) relu(t) relu6(t) hardtanh(t) softsign(t) tanhshrink(t)
threshold(t,1,7) softmax(x,1) softmax(x,-2) softmax(m1) softmax(x[0,0],0) log_softmax(x,0) log_softmax(x[0])
softmin(x,1) softmax(t,0,dtype=T.float64) log_softmax(y,1,dtype=T.float64) linear(x,randn(3,5),randn(3))
linear(x,randn(3,5)) linear(x[0],randn(3,5),randn(3)) linear(x[0],randn(3,5))
linear(randn(2,3,5),randn(3,5),randn(3)) linear(randn(2,3,5),randn(3,5)) linear(x,randn(5))
linear(x[:0],randn(3,5),randn(3)) bilinear(x,randn(4,3),randn(2,5,3),randn(2))
bilinear(randn(2,2,5),randn(2,2,3),randn(2,5,3)) conv1d(m1,randn(6,4,3),randn(6)) conv1d(m1[0],randn(6,4,3))
conv2d(m2,randn(6,2,3,2),randn(6),2,1,1,2) conv2d(m2,randn(6,4,3,2),padding='same',dilation=2)
conv2d(m2,randn(8,1,3,3),groups=4,stride=(2,)) conv3d(m3,randn(4,2,3,2,1),padding=1) conv2d(m2[:0],randn(6,4,3,3))
conv_transpose1d(m1,randn(4,6,3),randn(6)) conv_transpose2d(m2,randn(4,3,3,2),None,3,1,2,2,2)
conv_transpose3d(m3,randn(2,3,2,2,2),stride=2) unfold(m2,(2,3),2,1,(2,1)) unfold(m2[0],2)
fold(randn(2,12,25),(6,7),(2,3)) max_pool1d(m1,3,2,1) max_pool2d(m2,3,2,1)
max_pool2d(even,3,1,1,2,return_indices=True) max_pool2d(even,2,ceil_mode=True) max_pool3d(m3,2,return_indices=True)
max_pool2d(low,3,2,1,return_indices=True) max_pool2d(long,2) max_pool2d(randn(1,40,40),37,return_indices=True)
avg_pool1d(m1,3,2,1) avg_pool2d(m2,3,2,1,True) avg_pool2d(m2,3,2,1,True,False) avg_pool2d(m2,6,6,1,True)
avg_pool3d(m3,2,divisor_override=3) avg_pool2d(long,2) avg_pool2d(randn(1,40,40),37) adaptive_max_pool1d(m1,4)
adaptive_max_pool2d(even,(4,None),True) adaptive_max_pool3d(m3,2) adaptive_max_pool2d(randn(1,70,40),1,True)
adaptive_avg_pool1d(m1,4) adaptive_avg_pool2d(m2,(3,None)) adaptive_avg_pool2d(m2,(11,12))
adaptive_avg_pool3d(m3,(1,2,3)) adaptive_avg_pool2d(randn(1,70,41),(2,3)) lp_pool2d(m2,2,2)
lp_pool1d(m1,3.0,3,2,True)
fractional_max_pool2d(m2,2,output_size=5,_random_samples=T.rand(2,4,2),return_indices=True)
fractional_max_pool3d(m3,2,output_size=(2,3,4),_random_samples=T.rand(2,2,3)) batch_norm(m2,None,None,training=True)
batch_norm(m1,T.zeros(4),T.ones(4),randn(4),randn(4),True,0.3) batch_norm(m1,T.randn(4),T.rand(4),randn(4))
instance_norm(m2) instance_norm(m1,T.zeros(4),T.ones(4),randn(4),randn(4))
instance_norm(m1,T.zeros(4),T.ones(4),use_input_stats=False) group_norm(m2,2,randn(4),randn(4))
layer_norm(m2,(8,7),randn(8,7)) layer_norm(m2,[7]) rms_norm(m2,(7,),randn(7)) rms_norm(m2,(8,7),eps=1e-3)
local_response_norm(m2,2) local_response_norm(m1,3,0.1,0.5,2.0) normalize(m2)
normalize(T.zeros(2,3,requires_grad=True)) normalize(m2,3.0,(2,3)) embedding(i,w) embedding(i,w,padding_idx=3)
embedding(i,w,-1) embedding(i.int(),w) embedding(i,w,scale_grad_by_freq=True) embedding(i[:0],w)
embedding_bag(i,w,mode='sum') embedding_bag(t,w,T.tensor([0,2,2]))
embedding_bag(t,w,T.tensor([0,2]),mode='max',padding_idx=1)
embedding_bag(i,w,mode='sum',per_sample_weights=randn(2,4))
embedding_bag(t,w,T.tensor([0,2,4]),include_last_offset=True) one_hot(i) one_hot(t,7) pixel_shuffle(m2,2)
pixel_unshuffle(randn(2,4,6),2) channel_shuffle(m2,2) pad(m2,(1,2)) pad(m2,(1,-2,0,3),value=2.5)
pad(t,(1,1),value=2) pad(m2,(1,2,3,0),'reflect') pad(m1,(1,2),'replicate') pad(m3,(1,0,2,1,1,0),'reflect')
pad(m3,(1,0,2,1,1,0),'replicate') pad(x,()) interpolate(m1,scale_factor=1.7)
upsample(m2,scale_factor=2) upsample(m2,(5,9),mode='bilinear',align_corners=True) upsample_nearest(m3,9)
upsample_bilinear(m2,scale_factor=2) interpolate(m2,size=(5,9),mode='nearest-exact') interpolate(m2,scale_factor=2,mode='bilinear')
interpolate(m2,size=(3,12),mode='bilinear',align_corners=True) interpolate(m2,scale_factor=1.7,mode='bicubic')
interpolate(m1,scale_factor=0.6,mode='linear',recompute_scale_factor=True)
interpolate(m3,size=(5,4,3),mode='trilinear') interpolate(m3,scale_factor=2) mse_loss(x,y) mse_loss(x,y.double())
mse_loss(x,y[0]) mse_loss(x,t[:,None]) mse_loss(x,y,weight=q) l1_loss(x,y) l1_loss(x,y,weight=q)
huber_loss(x,y,delta=0.3,weight=q) smooth_l1_loss(x,y,beta=0.3) smooth_l1_loss(x,y,beta=0) mse_loss(x,y,False)
mse_loss(x,y,reduce=False) kl_div(x,q) kl_div(x,y,reduction='batchmean',log_target=True)
poisson_nll_loss(x,q*3,full=True) poisson_nll_loss(p,q*3,False) gaussian_nll_loss(x,y,q[:,0])
gaussian_nll_loss(x,y,q[:,:1],True) gaussian_nll_loss(x,y,0.3) binary_cross_entropy(p,q)
binary_cross_entropy(p,q,W,reduction='none') binary_cross_entropy_with_logits(x*30,q,W,pos_weight=W)
binary_cross_entropy_with_logits(ties,ties.detach().sigmoid()) nll_loss(x,t) nll_loss(x,skip,W) nll_loss(x[0],t[2])
nll_loss(randn(2,5,3),T.randint(0,5,(2,3)),W) nll_loss(randn(2,5,3,2,1),T.randint(0,5,(2,3,2,1)))
cross_entropy(x,t) cross_entropy(x,skip,W,reduction='sum') cross_entropy(x,skip,W,label_smoothing=0.1)
cross_entropy(x,t,ignore_index=4,reduction='none') cross_entropy(x,q) cross_entropy(x,q,W,label_smoothing=0.2)
cross_entropy(x[0],t[2]) cross_entropy(x[0],q[0]) cross_entropy((x*0).half(),q) cross_entropy((x*0).half(),q,W)
cross_entropy(randn(2,5,3,2),T.randint(0,5,(2,3,2)))
smooth_l1_loss(x,y+float('inf')) huber_loss(x/0,y,delta=2.0) smooth_l1_loss(x*float('nan'),y)
cross_entropy(x,T.full((4,),-100)) cross_entropy(x[:0],t[:0]) cross_entropy(x,t.to(T.uint8))
hinge_embedding_loss(x,y.sign()) margin_ranking_loss(x,randn(4,5),y.sign(),0.3)
cosine_embedding_loss(x,randn(4,5),T.tensor([1,-1,1,-1]),0.1)
triplet_margin_loss(x,randn(4,5),randn(4,5),p=1,swap=True) triplet_margin_loss(x*float('nan'),y,-y)
margin_ranking_loss(x*float('nan'),y,y.sign()) cosine_embedding_loss(x*float('nan'),y,T.tensor([1,-1,1,-1]))
triplet_margin_with_distance_loss(x,randn(4,5),randn(4,5),swap=True)
multilabel_margin_loss(x,T.tensor([[3,0,-1,1,2],[0,1,2,3,4],[-1,0,1,2,3],[4,-1,-1,-1,-1]]))
multilabel_soft_margin_loss(x,q.round(),W) multi_margin_loss(x,t,2,0.5,W) multi_margin_loss(x[0],t[2])
soft_margin_loss(x,y.sign()) cosine_similarity(x,randn(4,5),0) cosine_similarity(randn(4,1,5),randn(3,5),-1)
pairwise_distance(x,randn(4,5),1,keepdim=True) pairwise_distance(x,randn(5),math.inf) pdist(x) dropout(m2,0.0)
dropout(m2,training=False) alpha_dropout(m2) feature_alpha_dropout(m2) dropout(m2,1.0) dropout1d(m1,1.0)
dropout2d(m2,1.0) dropout3d(m3,1.0)
""".replace("math.inf", "float('inf')").split()  # fmt: skip


@pytest.mark.parametrize("expression", VALUES)
def test_values_and_gradients(expression: str) -> None:
    ours, theirs, our_args, their_args = evaluate(expression)
    if isinstance(theirs, Exception):
        raise theirs
    if isinstance(ours, Exception):
        raise ours
    same(ours, theirs, rtol=1e-5, atol=2e-6)
    ours, theirs = (v[0] if isinstance(v, tuple) else v for v in (ours, theirs))
    assert ours.requires_grad == theirs.requires_grad
    if not theirs.requires_grad or ours is our_args[0]:
        return
    function = expression.partition("(")[0]
    if function not in GRAD_NAMES_DIFFER:
        assert str(ours.grad_fn).startswith(f"<{theirs.grad_fn.name()}")
    weights = torch.randn(theirs.shape).to(theirs.dtype)
    theirs.backward(weights)
    ours.backward(to_flambeau(weights))
    for mine, other in zip(our_args, their_args, strict=True):
        if isinstance(other, torch.Tensor) and other.is_leaf and other.grad is not None:
            same(mine.grad, other.grad, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize(
    "call",
    """mse_loss(x,y l1_loss(x,y smooth_l1_loss(x,y huber_loss(x,y soft_margin_loss(x,y poisson_nll_loss(x,y nll_loss(x,t
    cross_entropy(x,t cross_entropy(x,q multi_margin_loss(x,t multilabel_soft_margin_loss(x,q
    binary_cross_entropy_with_logits(x,q triplet_margin_loss(x,randn(4,5),randn(4,5) kl_div(x,q
    kl_div(x,q,log_target=True gaussian_nll_loss(x,y,q gaussian_nll_loss(x,y,q,full=True poisson_nll_loss(x,q,full=True
    mse_loss(x,y,weight=q l1_loss(x,y,weight=q huber_loss(x,y,weight=q smooth_l1_loss(x,y,beta=0
    cross_entropy(x,q,label_smoothing=0.1 cross_entropy(x,t,label_smoothing=0.1 nll_loss(m2[:,:,0],T.ones(2,7).long()
    nll_loss(m2,T.ones(2,8,7).long() hinge_embedding_loss(x,y.sign() margin_ranking_loss(x,y,y.sign()
    cosine_embedding_loss(x,y,T.ones(4)""".split(),
)
def test_reductions(call: str, reduction: str) -> None:
    ours, theirs, *_ = evaluate(f"{call},reduction='{reduction}')")
    same(ours, theirs, atol=2e-6)
    assert str(ours.grad_fn).startswith(f"<{theirs.grad_fn.name()}")


ERRORS = """
relu(T.tensor([True])) gelu(t) silu(t) elu(t) leaky_relu(t) softplus(t) logsigmoid(t) glu(x[:,:3],1)
softshrink(x,-1.0) prelu(m1,randn(3)) gelu(x,approximate='fast') softmax(x,5) softmax(t,0) log_softmax(t,0)
linear(x,randn(3,4)) linear(x,randn(3,5).double()) linear(x,randn(3,5),randn(4)) bilinear(x,randn(3,3),randn(2,5,3))
bilinear(x,randn(4,4),randn(2,5,3)) conv2d(m2,randn(2,3,3,3)) conv2d(m2,randn(2,4,9,9)) conv2d(x,randn(2,4,3,3))
conv2d(m2,randn(2,4,3,3),randn(3)) conv2d(m2,randn(2,4,3,3).double()) conv2d(m2,randn(2,4,3,3),stride=0)
conv2d(m2,randn(2,4,3,3),stride=2,padding='same') conv2d(m2,randn(2,4,3,3),padding=-1)
conv2d(m2,randn(3,2,3,3),groups=2) conv2d(m2,randn(2,4,3,3),padding='foo') conv2d(m2,randn(2,4,3,3),stride=(1,2,3))
conv_transpose2d(m2,randn(3,2,3,3)) conv_transpose2d(m2,randn(4,2,3,3),output_padding=2)
fold(randn(2,7,4),(4,4),2,stride=2) unfold(m2,9) max_pool2d(m2,2,padding=2) max_pool2d(m2,9) max_pool2d(x,2)
max_pool2d(m2,0) avg_pool2d(m2,2,divisor_override=0) adaptive_avg_pool2d(m2,(1,2,3)) adaptive_avg_pool2d(m2,-1)
max_unpool2d(m2,T.ones(2,4,8,7,dtype=T.int64)+1000,2) batch_norm(m2,T.zeros(3),T.ones(3)) batch_norm(m2,None,None)
batch_norm(randn(1,4,1),None,None,training=True) batch_norm(m2,T.zeros(4),T.ones(4),T.ones(3))
instance_norm(randn(2,3,1)) group_norm(m2,3) layer_norm(m2,(6,)) layer_norm(m2,(7,),T.ones(8)) layer_norm(long,(4,))
rms_norm(m2,(6,)) dropout(x,2.0) dropout1d(m2) feature_alpha_dropout(x[0],0.5,True) embedding(t+5,w)
embedding(t-1,w) embedding(y,w) embedding(t,w,padding_idx=7) embedding_bag(t,w) embedding_bag(i,w,t)
embedding_bag(i,w,mode='foo') one_hot(t,2) one_hot(y) one_hot(t[:0]) pad(m2,(1,)) pad(x,(1,1,1,1,1,1))
pad(x,(-3,-3)) pad(x,(1,1),'foo') pad(x,(1,1),'reflect',value=1.0) pad(m2,(9,0,0,0),'reflect')
pad(m2,(9,0,0,0),'circular') pad(m2,(1,1),'replicate') interpolate(m2) interpolate(m2,size=3,scale_factor=2)
interpolate(m2,size=3,mode='linear') interpolate(m2,size=3,align_corners=True) interpolate(m2,size=(3,3,3))
interpolate(m2,size=0) pixel_shuffle(m2,3) mse_loss(x,y,reduction='foo') l1_loss(x,y[:,:2])
smooth_l1_loss(x,y,beta=-1) huber_loss(x,y,delta=0) binary_cross_entropy(x,q) binary_cross_entropy(q,q[0])
binary_cross_entropy_with_logits(x,y[:3]) gaussian_nll_loss(x,y,-q) gaussian_nll_loss(x,y,q[0,:3])
cross_entropy(x,t+5) cross_entropy(x,t[:1]) cross_entropy(x,t.float()) cross_entropy(x,t.int())
cross_entropy(x,t,W[:2]) cross_entropy(x,t,label_smoothing=2.0) cross_entropy(x,t[None]) nll_loss(x,t-2)
nll_loss(m2,T.zeros(2,8,6,dtype=T.int64)) multi_margin_loss(x,t,3) triplet_margin_loss(x,x,x,margin=-1.0)
cosine_embedding_loss(x,x,t[None]) pdist(m2) batch_norm(m2.double(),T.zeros(4),T.ones(4))
batch_norm(m2.half(),T.zeros(4).double(),T.ones(4).double()) layer_norm(m2.double(),(7,),T.ones(7))
group_norm(m2.double(),2,T.ones(4)) instance_norm(m2.double(),weight=T.ones(4)) layer_norm(long,(4,),T.ones(4))
batch_norm(m2,T.zeros(4).half(),T.ones(4).half()) binary_cross_entropy_with_logits(x,y.long())
binary_cross_entropy_with_logits(x,y>0) kl_div(x,y.long()) cross_entropy(x,[1,2,3,4]) embedding([1],w) relu([1.0])
linear(m2.numpy(force=True),w) cross_entropy(x[0],t) cross_entropy(m2,T.zeros(2,4).long()) nll_loss(m2,T.zeros(2,1,8,7).long())
""".split()  # fmt: skip


@pytest.mark.parametrize("expression", ERRORS)
def test_exceptions(expression: str) -> None:
    ours, theirs, *_ = evaluate(expression)
    assert isinstance(theirs, Exception), "torch accepts this"
    assert type(ours) is type(theirs), (ours, theirs)
    assert type(ours) is not RuntimeError or "inputs:" not in str(ours), ours  # an error of ours, not one of XLA's


TEXTS = """
linear(x.double(),w.T) linear(x.double(),w.T,W[:3]) linear(x.long(),w.T) linear(x,w.T,W[:3].double())
linear(x.to(T.complex64),w.T) conv2d(m2.double(),randn(2,4,3,3),W[:2]) conv2d(m2.byte(),randn(2,4,3,3),W[:2])
relu([1.0]) linear(m2.numpy(force=True),w) linear(None,w) cross_entropy(x,[1]) embedding([1],w)
cross_entropy(x,t[:,None]) cross_entropy(m2[0],t[:,None])
nll_loss(randn(2,5,3),T.zeros(2,4).long()) cross_entropy(x[0],t)
cross_entropy(x,x.long()) kl_div(x,y.long()) binary_cross_entropy_with_logits(x,y.long())
batch_norm(m2.double(),T.zeros(4),T.ones(4)) batch_norm(m2.half(),T.zeros(4).double(),T.ones(4).double())
layer_norm(m2.double(),(7,),T.ones(7))
""".split()  # fmt: skip


@pytest.mark.parametrize("expression", TEXTS)
def test_texts(expression: str) -> None:
    """Well-known texts, which ours may follow by more."""
    ours, theirs, *_ = evaluate(expression)
    assert type(ours) is type(theirs), (ours, theirs)
    assert str(ours).startswith(str(theirs).removesuffix(".")), (ours, theirs)


@pytest.mark.parametrize("name", [n for n in ours_f.__all__ if inspect.isfunction(getattr(theirs_f, n, None))])
def test_signature(name: str) -> None:
    theirs = inspect.signature(getattr(theirs_f, name)).parameters
    if "args" in theirs:
        pytest.skip("torch dispatches this function without a signature")
    ours = inspect.signature(getattr(ours_f, name)).parameters
    # out= is every operator's
    assert [n for n in ours if n != "out"] == [n for n in theirs if n != "out"]
    for parameter in ours:
        mine, other = ours[parameter].default, theirs[parameter].default
        same = mine == other or str(mine) == str(other)  # dtypes are each library's own
        assert same or (name, parameter) == ("hardtanh", "inplace"), (parameter, mine, other)


@pytest.mark.parametrize(
    "name", ["relu", "elu", "selu", "celu", "leaky_relu", "hardtanh", "silu", "mish", "hardswish", "relu6"]
)
def test_inplace_writes_into_its_input(name: str) -> None:
    leaf_ours = fb.tensor([-2.0, -0.5, 0.5, 7.0], requires_grad=True)
    leaf_theirs = torch.tensor([-2.0, -0.5, 0.5, 7.0], requires_grad=True)
    ours, theirs = leaf_ours * 2, leaf_theirs * 2
    alias = ours[1:]
    assert getattr(ours_f, name)(ours, inplace=True) is ours
    getattr(theirs_f, name)(theirs, inplace=True)
    same(ours, theirs)
    same(alias, theirs[1:])
    ours.sum().backward()
    theirs.sum().backward()
    same(leaf_ours.grad, leaf_theirs.grad, atol=1e-6)
    with pytest.raises(RuntimeError, match="leaf"):
        getattr(ours_f, name)(leaf_ours, inplace=True)


def test_embedding_shortens_the_rows_that_it_uses() -> None:
    names = scope()
    theirs = names["w"].detach().clone()
    ours = to_flambeau(theirs)
    same(
        ours_f.embedding(to_flambeau(names["t"]), ours, max_norm=0.5),
        theirs_f.embedding(names["t"], theirs, max_norm=0.5),
    )
    same(ours, theirs)


@pytest.mark.parametrize("name, per_channel", [("dropout", False), ("dropout2d", True), ("alpha_dropout", False)])
def test_dropout_keeps_the_mean(name: str, per_channel: bool) -> None:
    fb.manual_seed(0)
    x = fb.randn(64, 100, 4, 4, requires_grad=True)
    out = getattr(ours_f, name)(x, 0.3, True)
    out.sum().backward()
    kept = array(x.grad) != 0
    assert abs(kept.mean() - 0.7) < 0.02
    assert (kept.all((2, 3)) | ~kept.any((2, 3))).all() == per_channel
    assert abs(array(out).mean()) < 0.03
    again = getattr(ours_f, name)(x, 0.3, True)
    assert (array(again) != array(out)).any()  # another mask each time
    fb.manual_seed(0)
    fb.randn(64, 100, 4, 4)
    np.testing.assert_array_equal(array(getattr(ours_f, name)(x, 0.3, True)), array(out))  # the same under a seed


def test_gumbel_softmax() -> None:
    fb.manual_seed(0)
    logits = fb.zeros(2000, 4, requires_grad=True)
    hard = ours_f.gumbel_softmax(logits, tau=0.5, hard=True)
    assert set(np.unique(array(hard).round(5))) == {0.0, 1.0} and (array(hard).sum(1).round(5) == 1).all()
    assert np.abs(array(hard).mean(0) - 0.25).max() < 0.05
    (hard * fb.arange(4)).sum().backward()
    assert (array(logits.grad) != 0).any()


sizes = st.integers(1, 7)


@examples(15)
@given(size=st.integers(4, 9), kernel=st.integers(1, 4), stride=st.integers(1, 3), dilation=st.integers(1, 2),
       ceil_mode=st.booleans(), data=st.data())  # fmt: skip
def test_max_pool_law(size: int, kernel: int, stride: int, dilation: int, ceil_mode: bool, data: Any) -> None:
    """Whatever the window, values and indices are PyTorch's, and the indices point at the values."""
    padding = data.draw(st.integers(0, kernel // 2))
    x = torch.randint(0, 4, (1, 2, size, size)).float()
    arguments = (kernel, stride, padding, dilation, ceil_mode, True)
    theirs = attempt(theirs_f.max_pool2d, (x, *arguments), {})
    ours = attempt(ours_f.max_pool2d, (to_flambeau(x), *arguments), {})
    if isinstance(theirs, Exception):
        assert type(ours) is type(theirs)
    else:
        same(ours, theirs)


@examples(15)
@given(size=sizes, kernel=st.integers(1, 4), stride=st.integers(1, 3), padding=st.integers(0, 2),
       extra=st.integers(0, 2), dilation=st.integers(1, 2))  # fmt: skip
def test_transposed_convolution_law(
    size: int, kernel: int, stride: int, padding: int, extra: int, dilation: int
) -> None:
    x, w = torch.randn(2, 2, size), torch.randn(2, 3, kernel)
    arguments = (None, stride, padding, extra, 1, dilation)
    theirs = attempt(theirs_f.conv_transpose1d, (x, w, *arguments), {})
    ours = attempt(ours_f.conv_transpose1d, (to_flambeau(x), to_flambeau(w), *arguments), {})
    if isinstance(theirs, Exception):
        # of an empty output torch's kernels say different things: with dilation it is an error, without it is not
        assert isinstance(ours, type(theirs)) or ours.numel() == 0
    else:
        same(ours, theirs, rtol=1e-5, atol=1e-5)


KINKS = [  # of x and y, whose elements are equal in part
    *(f"F.{name}(x, y{more}, reduction='sum')"
      for name, more in (("l1_loss", ""), ("smooth_l1_loss", ""), ("smooth_l1_loss", ", beta=0"), ("huber_loss", ""))),
    *(f"F.pairwise_distance(x[None], y[None], p={p}, eps=0)" for p in ("1", "float('inf')")),
    *(f"F.normalize(x, p={p}, dim=0)" for p in (1, 2, 3)),
    *(f"F.{name}(x)" for name in ("elu", "selu", "celu", "softsign", "softplus", "hardswish", "leaky_relu")),
    "F.cosine_similarity(x, y, dim=0)",
]  # fmt: skip


@pytest.mark.parametrize("expression", KINKS)
def test_slopes_at_kinks(expression: str) -> None:
    """First and second derivatives where elements are 0 or equal."""
    found = []
    for L in (fb, torch):
        x, y = (
            L.tensor(v, dtype=L.float64, requires_grad=True) for v in ([-1.0, 0.0, 2.0, -0.0], [-1.0, 0.0, 1.0, 1.0])
        )
        weights = L.arange(1.0, 5, dtype=L.float64)
        result = eval(expression, {"F": L.nn.functional, "L": L, "x": x, "y": y})
        first = L.autograd.grad(
            (result * weights[: result.numel()]).sum(), (x, y), create_graph=True, allow_unused=True
        )
        total = sum((weights * g * g).sum() for g in first if g is not None)
        second = L.autograd.grad(total, (x, y), allow_unused=True) if total.requires_grad else ()
        found.append([g if g is None else g.detach() + 0 for g in (*first, *second)])
    for ours, theirs in zip(*found, strict=False):
        same(
            fb.zeros(4, dtype=fb.float64) if ours is None else ours,
            torch.zeros(4).double() if theirs is None else theirs,
        )
