"""Random factories, fills and states against PyTorch, and the errors that both raise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import flambeau as fb
import flambeau.core.dispatch.operator
from support.expressions import agree
from support.values import array, same, to_flambeau

EXACT = [
    "torch.rand(3,generator=g()),torch.rand(3,generator=g())",
    "torch.empty(3,4).uniform_(-1,2,generator=g())",
    "torch.empty(3,4).uniform_(to=2.)",
    'torch.empty(3,4,dtype=torch.float64).uniform_(**{"from":-1.,"to":.3})',
    "torch.empty(4,5).t().uniform_()",
    "torch.empty(20,40)[:,::2].uniform_()",
    "torch.empty(4,5,dtype=torch.int64).t().random_(10)",
    "torch.empty(4,5,dtype=torch.int64).t()[1:].random_(10)",
    "torch.empty(4,5).t().bernoulli_(.5)",
    "torch.empty(3,dtype=torch.complex64).uniform_()",
    "torch.rand(3,dtype=torch.complex64)",
    "torch.empty(5,dtype=torch.int32).random_()",
    "torch.empty(5,dtype=torch.int32).random_(5,10)",
    "torch.empty(5,dtype=torch.uint8).random_(250,None)",
    "torch.empty(5).random_(5,None)",
    "torch.empty(5,dtype=torch.float64).random_(5,None)",
    "torch.empty(5,dtype=torch.int64).random_(-2**63,None)",
    "torch.empty(5,dtype=torch.int32).random_(-2**31,None)",
    "torch.empty(5,dtype=torch.bool).random_()",
    "torch.empty(5,dtype=torch.bfloat16).random_(5,None)",
    "torch.empty(5,dtype=torch.uint16).random_()",
    "torch.empty(5,dtype=torch.uint16).random_(7)",
    "torch.empty(5,dtype=torch.uint8).random_(300)",
    "torch.empty(5,dtype=torch.uint8).random_(-3,3)",
    "torch.empty(5).random_(5,1)",
    "torch.empty(5).random_(2.5)",
    "torch.randint(10,(3,))",
    "torch.randint(2,10,(3,))",
    "torch.randint(10,size=(3,),dtype=torch.float32)",
    "torch.randint(low=1,high=3,size=[3])",
    "torch.randint(3,[2,2],generator=g(),dtype=torch.uint8)",
    "torch.randint(3,3,(2,))",
    "torch.randint(0,300,(2,),dtype=torch.uint8)",
    "torch.randint(5)",
    "torch.randint(2.5,(2,))",
    "torch.randint(5,(2,),dtype=torch.bool)",
    "torch.randint(2,(2,),dtype=torch.complex64)",
    "torch.randint(l0,(2,))",
    "torch.randint_like(t,5)",
    "torch.randint_like(t,2,5)",
    "torch.randint_like(i,low=2,high=5)",
    "torch.randint_like(x,5)",
    "torch.rand_like(x)",
    "torch.rand_like(i)",
    "torch.rand_like(i,dtype=torch.float64)",
    "torch.rand(2,dtype=torch.int64)",
    "torch.rand(2,-1)",
    "torch.rand(2,out=torch.empty(3))",
    "torch.rand(0,3)",
    "torch.randperm(7)",
    "torch.randperm(7,dtype=torch.float32,generator=g())",
    "torch.randperm(0)",
    "torch.randperm(-1)",
    "torch.randperm(300,dtype=torch.uint8)",
    "torch.randperm(3000,dtype=torch.float16)",
    "torch.randperm(2.5)",
    "torch.randperm(3,out=torch.empty(3))",
    "torch.bernoulli(t)",
    "torch.bernoulli(t,.5)",
    "t.bernoulli()",
    "t.bernoulli(p=.3)",
    "torch.bernoulli(i)",
    "torch.bernoulli(t+5)",
    "torch.bernoulli(i,.5)",
    "torch.bernoulli(t,2.)",
    "torch.empty(5).bernoulli_()",
    "torch.empty(5).bernoulli_(.3,generator=g())",
    "torch.empty(2).bernoulli_(t)",
    "torch.empty(3,2).bernoulli_(t)",
    "torch.empty(3).bernoulli_(torch.tensor(.3))",
    "torch.empty(3).bernoulli_(1.5)",
    "torch.multinomial(t,2)",
    "torch.multinomial(t,5,True,generator=g())",
    "t.multinomial(1)",
    "torch.multinomial(torch.ones(3,4),2)",
    "torch.multinomial(t,3)",
    "torch.multinomial(t,0)",
    "torch.multinomial(-t,1)",
    "torch.multinomial(t*0,1)",
    "torch.multinomial(i,1)",
    "torch.multinomial(torch.ones(1,1,1),1)",
    "torch.multinomial(t,1,out=torch.empty(1,dtype=torch.int64))",
    "torch.multinomial(t,1,out=torch.empty(1))",
    "torch.empty(5).geometric_(.3)",
    "torch.empty(5,dtype=torch.int64).geometric_(p=.3)",
    "torch.empty(5).geometric_(1)",
    "torch.empty(5,dtype=torch.bool).geometric_(.4)",
    "torch.empty(5).uniform_(2,1)",
    'torch.empty(5).uniform_(0,float("inf"))',
    "torch.empty(5).uniform_(-3e38,3e38)",
    "torch.empty(5).uniform_(0,1,2)",
    "torch.empty(5,dtype=torch.int32).uniform_()",
    "torch.zeros(1).expand(3).uniform_()",
    "torch.zeros(3,requires_grad=True).uniform_()",
    "torch.zeros(3,requires_grad=True)[:2].random_(5)",
    "torch.zeros(3,requires_grad=True).bernoulli_(.4)",
    "torch.rand(2,generator=3)",
    "torch.manual_seed(-3).initial_seed()",
    "torch.initial_seed()",
    "torch.get_rng_state()",
    "torch.set_rng_state(torch.zeros(3))",
    "torch.set_rng_state(torch.zeros(3,dtype=torch.uint8))",
    "torch.set_rng_state(torch.zeros(5056,dtype=torch.uint8))",
    "torch.Generator().get_state()",
    "torch.Generator().set_state(3)",
    "torch.Generator().set_state(g(4).get_state()).initial_seed()",
    "torch.Generator().device",
    "torch.Generator().manual_seed(2.0)",
    'torch.Generator("meta")',
    "torch.rand(3, layout=torch.strided)",
    "torch.empty(2).bernoulli_(i)",
]

CLOSE = [
    "torch.empty(4,5).t().normal_()",
    "torch.empty(20,30).t().normal_(.5,2)",
    "torch.empty(20,40)[:,::2].normal_()",
    "torch.randn(3,4,dtype=torch.complex64)",
    "torch.randn(20,dtype=torch.complex128)",
    "torch.empty(20,dtype=torch.complex64).normal_(1.,2.)",
    "torch.randn_like(x)",
    "torch.randn_like(torch.zeros(5,6).t())",
    "torch.randn_like(torch.zeros(5,6).t(),memory_format=torch.contiguous_format)",
    "torch.randn_like(t,requires_grad=True)",
    "torch.randn(3,out=torch.empty(3,dtype=torch.float64))",
    "torch.randn(3,requires_grad=True)",
    "torch.randn(())",
    "torch.normal(0.,1.,(3,))",
    "torch.normal(2,3,size=(30,),generator=g())",
    "torch.normal(t,1.)",
    "torch.normal(t,t)",
    "torch.normal(2.,t)",
    "torch.normal(t)",
    "torch.normal(t.double(),t.double())",
    "torch.normal(torch.zeros(4,5),torch.ones(5))",
    "torch.normal(torch.zeros(5),torch.ones(4,1))",
    "torch.normal(t,-1.)",
    "torch.normal(t,-t)",
    "torch.normal(0.,-1.,(3,))",
    "torch.normal(i,1.)",
    "torch.normal(2.)",
    "torch.normal(torch.zeros(3),torch.ones(2))",
    "torch.normal(t,t,out=torch.empty(2))",
    "torch.empty(5).exponential_()",
    "torch.empty(5).exponential_(2.,generator=g())",
    "torch.empty(5).exponential_(0)",
    "torch.empty(5,dtype=torch.int32).exponential_()",
    "torch.empty(5).log_normal_()",
    "torch.empty(5).log_normal_(.1,.2)",
    "torch.empty(5).log_normal_(0,0)",
    "torch.empty(5,dtype=torch.int32).log_normal_()",
    "torch.empty(5).cauchy_()",
    "torch.empty(5).cauchy_(1,3)",
    "torch.empty(5).cauchy_(0,0)",
    "torch.empty(5,dtype=torch.int32).cauchy_()",
    "torch.empty(5,dtype=torch.int32).normal_()",
    "torch.empty(5).normal_(0,-1)",
    "torch.zeros(3,requires_grad=True).normal_()",
    "torch.zeros(3,requires_grad=True).exponential_()",
    "torch.zeros(3,requires_grad=True).data.normal_()",
    "[torch.randn(1).item() for _ in range(3)]",
    "(torch.randn(3), torch.rand(2), torch.randn(20), torch.randn(2))",
    "torch.poisson(t*5)",
    "torch.poisson(torch.arange(0,60,.37),generator=g())",
    "torch.poisson(i)",
    "torch.poisson(-t)",
]


@pytest.mark.parametrize("expression", EXACT)
def test_draw_agrees_exactly(expression: str) -> None:
    agree(expression)


@pytest.mark.parametrize("expression", CLOSE)
def test_draw_agrees_closely(expression: str) -> None:
    agree(expression, exact=False)


def test_seeds_and_states() -> None:
    for library in (fb, torch):
        generator = library.manual_seed(5)
        assert generator.initial_seed() == library.initial_seed() == library.random.initial_seed() == 5
        state = library.get_rng_state()
        first = library.rand(3)
        library.set_rng_state(state)
        assert (library.rand(3) == first).all()
        assert library.seed() == library.initial_seed() != 5


def test_state_comes_from_and_goes_to_torch() -> None:
    torch.manual_seed(9)
    torch.randn(5)
    fb.set_rng_state(to_flambeau(torch.get_rng_state()))
    np.testing.assert_array_equal(array(fb.rand(7)), torch.rand(7).numpy())
    torch.set_rng_state(torch.from_numpy(array(fb.get_rng_state()).copy()))
    np.testing.assert_array_equal(array(fb.randperm(7)), torch.randperm(7).numpy())


def test_fork_rng() -> None:
    fork_rng = fb.core.dispatch.operator.namespaces["random"]["fork_rng"]
    fb.manual_seed(1)
    with fork_rng():
        inside = fb.rand(3)
    assert (fb.rand(3) == inside).all()
    fb.manual_seed(1)
    with fork_rng(enabled=False):
        inside = fb.rand(3)
    assert (fb.rand(3) != inside).all()


def test_a_state_that_was_taken_does_not_change() -> None:
    generator = fb.Generator()
    state = generator.get_state()
    before = array(state).copy()
    fb.rand(1000, generator=generator)
    np.testing.assert_array_equal(array(state), before)


def test_fills_reach_through_views() -> None:
    ours, theirs = fb.zeros(4, 6), torch.zeros(4, 6)
    for base, library in ((ours, fb), (theirs, torch)):
        library.manual_seed(2)
        base[1].uniform_()
        base[:, 2:4].random_(9)
        base.t()[5].bernoulli_(0.5)
        base.view(2, 12)[0, ::3].normal_()
    same(ours, theirs)


def test_fill_cuts_the_tape() -> None:
    x = fb.ones(3, requires_grad=True)
    y = x * 2
    y.uniform_()
    z = (y * x).sum()
    z.backward()
    np.testing.assert_allclose(array(x.grad), array(y))


def test_default_dtype() -> None:
    for library in (fb, torch):
        library.manual_seed(0)
        library.set_default_dtype(library.float64)
    try:
        for make in (lambda lib: lib.rand(5), lambda lib: lib.randn(20), lambda lib: lib.normal(0.0, 1.0, (3,))):
            same(make(fb), make(torch))
    finally:
        for library in (fb, torch):
            library.set_default_dtype(library.float32)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 31, 32, 33, 100, 32768, 40001])
def test_sizes(size: int) -> None:
    for name in ("rand", "randn"):
        fb.manual_seed(size), torch.manual_seed(size)
        same(getattr(fb, name)(size), getattr(torch, name)(size), rtol=2e-6, atol=1e-6)
        same(fb.rand(1), torch.rand(1))
