"""Kernels called without XLA: the numbers of programs, PyTorch's numbers, and no program where a kernel's call does it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import flambeau as fb
from flambeau.core.array import programs
from flambeau.native import direct, images
from support.process import run_code
from support.values import to_flambeau

pytestmark = pytest.mark.skipif(not direct.possible("flambeau_convolution"), reason="no kernels, or another JAX")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the programs that images went through."""
    names: list[str] = []
    ready = programs.ready

    def noted(identity: Any, arrays: Any, build: Any) -> Any:
        names.append(str(identity[1]))
        return ready(identity, arrays, build)

    monkeypatch.setattr(programs, "ready", noted)
    yield names


def network(library: Any, momentum: float | None = 0.1, eps: float = 1e-5) -> Any:
    nn = library.nn

    class Joining(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 16, 3, padding=1, bias=False)
            self.wide = nn.Conv2d(16, 24, (3, 5), stride=(1, 1), padding="same", groups=2, bias=False)
            self.norms = nn.ModuleList(nn.BatchNorm2d(n, momentum=momentum, eps=eps) for n in (16, 24, 12))
            self.last = nn.Conv2d(40, 12, 3, 2, padding=2, dilation=2, bias=False)

        def forward(self, x: Any) -> Any:
            a = nn.functional.relu(self.norms[0](self.first(x)), inplace=True)
            b = nn.functional.relu(self.norms[1](self.wide(a)))
            c = self.norms[2](self.last(library.cat([a, b], 1)))
            c += self.last(library.cat((a, b), dim=-3))
            return c

    return Joining()


def results(library: Any, net: Any, x: Any, steps: int = 2) -> dict[str, np.ndarray]:
    """Gradients and statistics after some steps, and what is given in evaluation."""
    for _ in range(steps):
        net(x).square().mean().backward()
    found = {f"{name} gradient": p.grad for name, p in net.named_parameters()} | dict(net.named_buffers())
    net.eval()
    return {name: value.detach().numpy() for name, value in {**found, "evaluated": net(x)}.items()}


@pytest.mark.parametrize(("momentum", "eps"), [(0.1, 1e-5), (None, 1e-3), (0.3, 0.25)])
def test_a_network_gives_pytorchs_numbers_without_programs(made: list[str], momentum: Any, eps: float) -> None:
    torch.manual_seed(0)
    theirs = network(torch, momentum, eps)
    x = torch.randn(3, 3, 13, 11)
    mine = network(fb, momentum, eps)
    mine.load_state_dict({name: to_flambeau(value) for name, value in theirs.state_dict().items()})
    got = results(fb, mine, to_flambeau(x))
    single = results(torch, theirs, x)
    torch.manual_seed(0)
    exact = results(torch, network(torch, momentum, eps).double(), x.double())
    for name, wanted in exact.items():
        error = np.abs(got[name] - wanted).max()
        room = max(4 * np.abs(single[name] - wanted).max(), 1e-6 * np.abs(wanted).max())
        assert error <= room, (name, error, room)
    inputs = [name for name in made if "batch_norm" in name or "cat" in name or "relu" in name]
    assert not inputs, inputs
    # the first convolution has images that lie as they were given: its call and its gradient by the weight
    assert sum("conv2d" in name for name in made) <= 2


def test_results_are_those_of_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    def everything(shape: tuple[int, ...]) -> list[np.ndarray]:
        fb.manual_seed(1)
        lead = fb.nn.functional.conv2d(fb.randn(shape), fb.randn(8, shape[1], 1, 1))  # an image that lies channels-last
        a = (lead * 1).requires_grad_()
        w = fb.randn(6, 4, 3, 3, requires_grad=True)
        y = fb.cat([fb.nn.functional.conv2d(a, w, groups=2, padding=1), fb.relu(a), a], 1)
        (y + y.flip(0)).pow(2).sum().backward()
        with_nan = fb.where(lead > 1, fb.tensor(float("nan")), lead)
        with_nan = with_nan + with_nan
        return [t.detach().numpy() for t in (y, a.grad, w.grad, with_nan.relu(), with_nan.relu_())]

    with monkeypatch.context() as patch:
        patch.setattr(images, "possible", lambda *symbols: False)
        patch.setattr(fb.native.convolution, "possible", lambda *symbols: False)
        programs.forget()
        wanted = everything((2, 5, 9, 7))
    programs.forget()
    for got, want in zip(everything((2, 5, 9, 7)), wanted, strict=True):
        np.testing.assert_array_equal(got, want)


def test_what_has_no_direct_form_is_computed_by_programs() -> None:
    """Other dtypes, shapes that differ, a weight that is an image, gradients of gradients."""
    code = [
        "F.conv2d(h, F.conv2d(w, v)).sum()",
        "F.batch_norm(h, None, None, training=True).pow(3).sum()",
        "F.batch_norm(h, m, m + 1, None, None, False).sum()",
        "torch.cat([h, h[:, :2]], 1).pow(2).sum() + torch.cat([h, h], 0).sum() + torch.cat([h, h], 2).sum()",
        "(h + h[:1]).pow(2).sum() + torch.add(h, h, alpha=2).sum()",
        "F.relu(h.double()).pow(2).sum().float() + F.relu(h[:0]).sum()",
        "torch.autograd.grad(F.relu(F.batch_norm(h, m + 0, m + 1, m, m, True)).pow(3).sum(), h, create_graph=True)[0].pow(2).sum()",
    ]
    torch.manual_seed(0)
    given = {"x": torch.randn(2, 3, 6, 5), "k": torch.randn(4, 3, 1, 1), "w": torch.randn(4, 4, 3, 3), "m": torch.rand(4),
             "v": torch.randn(4, 4, 1, 1)}  # fmt: skip

    def run(library: Any, line: str, dtype: Any) -> tuple[float, np.ndarray]:
        values = {name: (t if library is torch else to_flambeau(t)).to(dtype) for name, t in given.items()}
        values["x"].requires_grad_()
        functional = library.nn.functional
        names = {"F": functional, "torch": library, **values, "h": functional.conv2d(values["x"], values["k"])}
        made = eval(line, names)
        made.backward()
        return float(made.detach()), values["x"].grad.numpy()

    for line in code:
        (mine, gradient), (theirs, wanted) = run(fb, line, fb.float32), run(torch, line, torch.float64)
        assert abs(mine - theirs) <= 1e-4 * max(abs(theirs), 1), line
        np.testing.assert_allclose(gradient, wanted, rtol=2e-4, atol=2e-4 * np.abs(wanted).max(), err_msg=line)


def test_a_handler_that_refuses_says_why() -> None:
    call = direct.Call("flambeau_moments", [direct.plain((2, 3, 4))], [direct.plain((4,)), direct.plain((4,))])
    with pytest.raises(RuntimeError, match="moments: expected a matrix"):
        call(fb.zeros(2, 3, 4)._array)
    call = direct.Call("flambeau_moments", [direct.plain((2, 3))], [direct.plain((3,))])
    with pytest.raises(RuntimeError, match="number of results"):
        call(fb.zeros(2, 3)._array)


def test_threads_share_a_call() -> None:
    call = images.relu((2, 3, 40, 50))
    assert call is not None
    draw = np.random.default_rng(0)
    given = [draw.standard_normal((2, 40, 50, 3)).astype(np.float32) for _ in range(4)]
    arrays = [fb.from_numpy(values)._array for values in given]
    failed: list[int] = []

    def work(i: int) -> None:
        for _ in range(50):
            if not np.array_equal(np.asarray(call(arrays[i])).transpose(0, 2, 3, 1), np.maximum(given[i], 0)):
                failed.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_what_is_still_being_computed_is_waited_for() -> None:
    """Programs run on while Python goes on if JAX's backend was there before flambeau."""
    run_code("""
        import jax
        jax.devices()
        import flambeau
        biased, conv = (flambeau.nn.Conv2d(16, 16, 5, padding=2, bias=bias) for bias in (True, False))
        images = [flambeau.rand(8, 16, 96, 96) for _ in range(4)]
        with flambeau.no_grad():
            wanted = []
            for x in images:
                y = biased(x)
                y._array.block_until_ready()
                wanted.append(conv(y))
            for x, expected in zip(images, wanted):
                assert flambeau.equal(conv(biased(x)), expected)
    """)


def test_an_unknown_version_of_jax_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    array = to_flambeau(torch.ones(3))._array
    monkeypatch.setattr(direct, "KNOWN", False)
    monkeypatch.delattr(direct, "ArrayImpl")
    assert not direct.takes(array)
