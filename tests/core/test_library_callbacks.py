"""Registered operators whose kernels need values, in compiled functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import flambeau as fb
import flambeau.library
import flambeau.nn
import flambeau.optim

Tensor = fb.Tensor


@pytest.fixture(scope="module")
def sine() -> Any:
    def kernel(x: Tensor) -> Tensor:
        return fb.from_numpy(np.sin(x.numpy(force=True)))

    made = fb.library.custom_op("callbacks::sine", kernel, mutates_args=())
    made.register_fake(lambda x: fb.empty_like(x))
    made.register_autograd(
        lambda ctx, g: g * ctx.saved_tensors[0].cos(),
        setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
    )
    return made


def test_a_step_of_training(sine: Any) -> None:
    fb.manual_seed(0)
    layer = fb.nn.Linear(2, 3)
    optimizer = fb.optim.SGD(layer.parameters(), 0.1)

    def step(x: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = sine(layer(x)).sum()
        loss.backward()
        optimizer.step()
        return loss

    start = {k: v.clone() for k, v in layer.state_dict().items()}
    x = fb.randn(4, 2)
    plain = [step(x * i).item() for i in range(1, 4)]
    layer.load_state_dict(start)
    compiled = fb.compile(step, fullgraph=True)
    assert [compiled(x * i).item() for i in range(1, 4)] == pytest.approx(plain, rel=1e-5)


def test_several_results_and_what_is_written() -> None:
    seen: list[list[float]] = []

    def scale(x: Tensor, out: Tensor, k: float = 2.0) -> None:
        np.multiply(x.numpy(), k, out=out.numpy())

    def parts(x: Tensor, n: int) -> tuple[Tensor, Tensor]:
        assert not math.isnan(x.sum().item())
        return x[:n].clone(), x @ x.T

    def log(x: Tensor) -> None:
        seen.append(x.tolist())

    scale_, parts_ = (
        fb.library.custom_op(f"callbacks::{f.__name__}", f, mutates_args=w) for f, w in ((scale, {"out"}), (parts, ()))
    )
    parts_.register_fake(lambda x, n: (x.new_empty(n, x.shape[1]), x.new_empty(x.shape[0], x.shape[0])))
    log_ = fb.library.custom_op("callbacks::log", log, mutates_args=())

    def function(x: Tensor) -> Any:
        out = fb.zeros_like(x)
        scale_(x, out)
        log_(x[0])
        return out, *parts_(out, 1)

    compiled = fb.compile(function, fullgraph=True)
    for i in (1.0, 3.0):
        for made, wanted in zip(compiled(fb.full((2, 2), i)), function(fb.full((2, 2), i)), strict=True):
            assert made.tolist() == wanted.tolist()
    assert seen == [[1.0, 1.0]] * 2 + [[3.0, 3.0]] * 2


def test_a_backward_pass_outside() -> None:
    """It takes what the forward pass has called for, and does not call again."""
    calls = []

    def kernel(x: Tensor) -> Tensor:
        calls.append(x.numel())
        return fb.from_numpy(np.sin(x.numpy(force=True)))

    made = fb.library.custom_op("callbacks::counted", kernel, mutates_args=())
    made.register_fake(lambda x: fb.empty_like(x))
    made.register_autograd(
        lambda ctx, g: g * ctx.saved_tensors[0],
        setup_context=lambda ctx, inputs, output: ctx.save_for_backward(output),
    )
    x = fb.tensor([1.0, 2.0], requires_grad=True)
    run = fb.compile(lambda x: made(x * 2).exp(), fullgraph=True)
    y = run(x)
    (slope,) = fb.autograd.grad(y.sum(), x, retain_graph=True)
    sines = np.sin([2.0, 4.0])
    np.testing.assert_allclose(slope.numpy(), np.exp(sines) * sines * 2, rtol=1e-5)
    assert calls == [2]
    with pytest.raises(NotImplementedError, match=r"calls back .* run it uncompiled"):
        fb.autograd.grad(y.sum(), x, create_graph=True)


@pytest.mark.filterwarnings("ignore")
def test_errors_and_wrong_shapes() -> None:
    def strict(x: Tensor) -> Tensor:
        if x.sum().item() > 2:
            raise ValueError("too much")
        return x[:1].clone()

    made = fb.library.custom_op("callbacks::strict", strict, mutates_args=())
    with pytest.raises(RuntimeError, match="needs a value"):  # nobody knows the result's shape
        fb.compile(lambda x: made(x) + 1, fullgraph=True)(fb.ones(2))
    made.register_fake(lambda x: x.new_empty(1))
    compiled = fb.compile(lambda x: made(x) + 1, fullgraph=True)
    assert compiled(fb.ones(2)).tolist() == [2.0]
    with pytest.raises(ValueError, match=r"^too much"):  # what the kernel raises, as it is
        compiled(fb.ones(2) * 5)
    made.register_fake(lambda x: fb.empty_like(x))
    with pytest.raises(RuntimeError, match="its fake implementation said"):
        fb.compile(lambda x: made(x), fullgraph=True)(fb.ones(2))
