"""`nn.init` against PyTorch under the same seed."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
import pytest
import torch

import flambeau as fb
from flambeau.nn import init
from support.expressions import agree
from support.values import array, same

EXACT = [
    'init.calculate_gain("conv_transpose3d"),init.calculate_gain("tanh"),init.calculate_gain("relu"),init.calculate_gain("selu"),init.calculate_gain("sigmoid")',
    'init.calculate_gain("leaky_relu"),init.calculate_gain("leaky_relu",0.2),init.calculate_gain("relu",3)',
    'init.calculate_gain("leaky_relu",True)',
    'init.calculate_gain("foo")',
    "init._calculate_fan_in_and_fan_out(torch.empty(3,4,5,6))",
    "init._calculate_fan_in_and_fan_out(torch.empty(3))",
    'init._calculate_correct_fan(torch.empty(3,4),"FAN_IN"),init._calculate_correct_fan(torch.empty(3,4),"fan_out")',
    'init._calculate_correct_fan(torch.empty(3,4),"x")',
    "init.uniform_(torch.empty(4,5))",
    "init.uniform_(torch.empty(4,5),-1,2)",
    "init.uniform_(tensor=torch.empty(4,5),a=-1,b=2,generator=g())",
    "init.uniform_(torch.empty(4,5,requires_grad=True))",
    "init.constant_(torch.empty(2,3),3.5)",
    "init.constant_(torch.empty(2,dtype=torch.int32),2.7)",
    'init.constant_(torch.empty(2),"a")',
    "init.ones_(torch.empty(2,3)),init.zeros_(torch.empty(2,requires_grad=True))",
    "init.xavier_uniform_(torch.empty(4,5))",
    "init.xavier_uniform_(torch.empty(4,5,3,3),gain=2.5,generator=g())",
    "init.xavier_uniform_(torch.empty(3))",
    "init.xavier_uniform_(torch.empty(0,0))",
    "init.kaiming_uniform_(torch.empty(4,5),a=math.sqrt(5))",
    'init.kaiming_uniform_(torch.empty(4,5,3,3),mode="fan_out",nonlinearity="relu")',
    "init.kaiming_uniform_(torch.empty(3,0))",
    'init.kaiming_uniform_(torch.empty(3,4),mode="fan")',
    'init.kaiming_uniform_(torch.empty(3,4),nonlinearity="foo")',
    "init.kaiming_uniform_(torch.empty(3))",
    "init.eye_(torch.empty(3,3))",
    "init.eye_(torch.empty(2,3,requires_grad=True))",
    "init.eye_(torch.empty(3))",
    "init.dirac_(torch.empty(2,3,3))",
    "init.dirac_(torch.empty(4,2,3),groups=2)",
    "init.dirac_(torch.empty(2,2,4,4,requires_grad=True))",
    "init.dirac_(torch.empty(3,2,3,2,3))",
    "init.dirac_(torch.empty(3,2,3),groups=2)",
    "init.dirac_(torch.empty(3,4))",
    "init.orthogonal_(torch.empty(3))",
    "init.orthogonal_(torch.empty(0,3))",
    "init.orthogonal_(torch.empty(2,2,dtype=torch.half))",
    "init.uniform(torch.empty(2))",
    "init.constant(torch.empty(2),1)",
    "init.eye(torch.empty(2,2))",
    "init.dirac(torch.empty(2,2,2))",
    "init.xavier_uniform(torch.empty(2,2))",
    "init.kaiming_uniform(torch.empty(2,2))",
]

CLOSE = [
    "init.normal_(torch.empty(4,5),1,3,g())",
    "init.normal_(torch.empty(4,2,requires_grad=True))",
    "init.xavier_normal_(torch.empty(4,5,3))",
    "init.xavier_normal_(torch.empty(0,4))",
    'init.kaiming_normal_(torch.empty(4,5),mode="fan_out",nonlinearity="relu",generator=g())',
    "init.kaiming_normal_(torch.empty(64,3,7,7,requires_grad=True))",
    "init.trunc_normal_(torch.empty(200))",
    "init.trunc_normal_(torch.empty(10,20,dtype=torch.float64),std=.02)",
    "init.trunc_normal_(torch.empty(200),.5,2,-1,1,g())",
    "init.trunc_normal_(torch.empty(200),0,1,3,4)",
    "init.trunc_normal_(torch.empty(200),0,1,-4,-3)",
    "init.trunc_normal_(torch.empty(200,dtype=torch.float64),10,1,-1,1)",
    "init.trunc_normal_(torch.empty(200,dtype=torch.float16),0,.5,-.01,.02)",
    "init.trunc_normal_(torch.empty(20,30).t())",
    "init.trunc_normal_(torch.empty(4),std=0)",
    "init.trunc_normal_(torch.empty(4),a=2,b=-2)",
    "init.trunc_normal_(torch.empty(4),a=1,b=1)",
    "init.trunc_normal_(torch.empty(0))",
    "init.sparse_(torch.empty(5,4),.3)",
    "init.sparse_(torch.empty(5,4),.3,.1,g())",
    "init.sparse_(torch.empty(4,2),1.5)",
    "init.sparse_(torch.empty(3),.5)",
    "init.normal(torch.empty(2),1.,2.)",
    "init.xavier_normal(torch.empty(2,2),gain=2.)",
    "init.kaiming_normal(torch.empty(2,2))",
    "init.sparse(torch.empty(2,2),.5)",
]


@pytest.mark.parametrize("expression", EXACT)
def test_init_agrees_exactly(expression: str) -> None:
    agree(expression)


@pytest.mark.parametrize("expression", CLOSE)
def test_init_agrees_closely(expression: str) -> None:
    agree(expression, exact=False)


SHAPES = [(4, 3), (3, 4), (5, 2, 3), (2, 5, 3), (4, 4), (30, 70)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_orthogonal(shape: tuple[int, ...], dtype: str) -> None:
    made = []
    for library in (fb, torch):
        library.manual_seed(1)
        made.append(library.nn.init.orthogonal_(library.empty(*shape, dtype=getattr(library, dtype)), gain=2.0))
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    same(*made, rtol=tolerance, atol=tolerance)
    matrix = array(made[0]).reshape(shape[0], -1) / 2
    square = matrix @ matrix.T if matrix.shape[0] < matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(square, np.eye(len(square)), atol=tolerance)


@pytest.mark.parametrize(
    "name", ["uniform_", "normal_", "xavier_uniform_", "kaiming_normal_", "orthogonal_", "trunc_normal_"]
)
def test_init_keeps_the_leaf(name: str) -> None:
    weight = fb.empty(3, 4, requires_grad=True)
    assert getattr(init, name)(weight) is weight
    assert weight.requires_grad and weight.is_leaf


def test_init_compiles_nothing() -> None:
    compiled: list[str] = []

    def listen(event: str, duration: float, **kwargs: Any) -> None:
        if "backend_compile" in event:
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    fb.manual_seed(0)
    weight = fb.empty(7, 5, 3, requires_grad=True)  # a shape that no other test has
    for fill in (
        init.uniform_, init.normal_, init.trunc_normal_, init.ones_, init.zeros_, init.xavier_uniform_,
        init.xavier_normal_, init.kaiming_uniform_, init.kaiming_normal_, init.orthogonal_, init.dirac_,
    ):  # fmt: skip
        fill(weight)
    init.eye_(fb.empty(7, 11))
    init.sparse_(fb.empty(7, 11), 0.5)
    assert compiled == []
    jax.jit(lambda x: x + 7)(np.zeros((7, 5, 3), np.float32))  # the listener hears
    assert compiled


def test_init_warns() -> None:
    with pytest.warns(UserWarning, match="more than 2 std"):
        init.trunc_normal_(fb.empty(3), 10.0, 1.0, -1.0, 1.0)
    with pytest.warns(FutureWarning, match="`nn.init.uniform` is now deprecated in favor of `nn.init.uniform_`"):
        init.uniform(fb.empty(3))
    with pytest.warns(UserWarning, match="zero-element"):
        init.kaiming_normal_(fb.empty(0, 3))


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors:UserWarning")
def test_layers_without_inputs_draw_their_bias() -> None:
    def drawn(t: Any) -> list[Any]:
        made = []
        for layer in (t.nn.Linear, t.nn.Conv1d, t.nn.ConvTranspose1d):
            for inputs, outputs in ((0, 5), (5, 0), (0, 0), (3, 4)):
                t.manual_seed(3)
                bias = layer(inputs, outputs, *((2,) if layer is not t.nn.Linear else ())).bias.tolist()
                made.append((bias, [math.copysign(1, b) for b in bias], t.rand(2).tolist()))
        return made

    assert drawn(fb) == drawn(torch)
