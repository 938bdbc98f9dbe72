"""What recomputation is for: the memory that it saves, eager and compiled."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import jax
import pytest

import flambeau as fb
from flambeau.utils.checkpoint import checkpoint

nn = fb.nn

ROWS, WIDTH, BLOCKS = 256, 32, 6
HIDDEN = ROWS * WIDTH * 4  # bytes of what goes from block to block


def network() -> tuple[fb.nn.ModuleList, fb.Tensor]:
    fb.manual_seed(0)
    blocks = nn.ModuleList(
        nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Dropout(0.1), nn.Linear(4 * WIDTH, WIDTH))
        for _ in range(BLOCKS)
    )
    return blocks, fb.randn(ROWS, WIDTH, requires_grad=True)


def through(blocks: Any, x: Any, mode: str) -> Any:
    for block in blocks:
        x = block(x) if mode == "plain" else checkpoint(block, x, use_reentrant=mode == "reentrant")
    return x.square().mean()


def held() -> int:
    gc.collect()
    return sum(a.nbytes for a in jax.live_arrays())


@pytest.mark.parametrize("mode", ["reentrant", "tape"])
def test_eager_memory(mode: str) -> None:
    blocks, x = network()
    through(blocks, x, mode).backward()
    wanted: dict[str, int] = {}
    for kind in ("plain", mode):
        before = held()
        loss = through(blocks, x, kind)
        wanted[kind] = held() - before
        loss.backward()
        del loss
    assert wanted["plain"] > BLOCKS * 8 * HIDDEN
    assert wanted[mode] < (BLOCKS + 3) * HIDDEN


def test_eager_memory_of_nested_parts() -> None:
    """The inputs of inner parts are not kept either."""
    blocks, x = network()
    through(blocks, x, "tape").backward()
    before = held()
    loss = checkpoint(lambda v: through(blocks, v, "tape"), x, use_reentrant=False)
    assert held() - before < 2 * HIDDEN
    loss.backward()


@pytest.mark.parametrize("mode", ["reentrant", "tape", "closure"])
@pytest.mark.parametrize("backward_inside", [True, False])
def test_compiled_memory(mode: str, backward_inside: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """XLA would find the second computation to be the first one, and keep that: see `later`."""
    from jax._src import compiler

    wanted: dict[str, int] = {}
    compile = compiler.compile_or_get_cached

    def noting(backend: Any, module: Any, *args: Any, **options: Any) -> Any:
        made = compile(backend, module, *args, **options)
        name = str(module.operation.attributes["sym_name"]).strip('"')
        wanted[name] = made.get_compiled_memory_stats().temp_size_in_bytes
        return made

    monkeypatch.setattr(compiler, "compile_or_get_cached", noting)
    gradients, most = {}, {}
    for kind in ("plain", mode):
        blocks, x = network()

        def forward(kind: str = kind, blocks: Any = blocks, x: Any = x) -> Any:
            if kind != "closure":
                return through(blocks, x, kind)
            h = x
            for block in blocks:
                h = checkpoint(lambda block=block, h=h: block(h), use_reentrant=False)
            return h.square().mean()

        def step(forward: Callable[[], Any] = forward) -> None:
            forward().backward()

        wanted.clear()
        fb.manual_seed(1)
        if backward_inside:
            fb.compile(step)()
        else:
            fb.compile(forward)().backward()
        gradients[kind] = [p.grad for p in blocks.parameters()]
        most[kind] = wanted["jit_step" if backward_inside else "jit_backward"]
    assert most["plain"] > BLOCKS * 6 * HIDDEN
    assert most[mode] < most["plain"] / 2
    for a, b in zip(gradients["plain"], gradients[mode], strict=True):
        assert fb.allclose(a, b, atol=1e-6)


def test_compiled_training_is_the_same() -> None:
    """Dropout's numbers, batch statistics and writes in a compiled step with parts that are computed again."""
    results = []
    for compiled in (False, True):
        fb.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 4)).double()
        optimizer = fb.optim.Adam(net.parameters(), lr=0.1)

        def step(x: Any, net: Any = net, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            h = checkpoint(net, x, use_reentrant=False)
            loss = checkpoint(lambda v: {"l": net(v).square().sum()}, h, use_reentrant=False)["l"]
            loss.backward()
            optimizer.step()
            return loss.detach()

        run_step = fb.compile(step) if compiled else step
        x = fb.randn(6, 4, dtype=fb.float64)
        losses = [run_step(x) for _ in range(4)]
        results.append([*losses, *net.state_dict().values(), fb.rand(1)])
    for a, b in zip(*results, strict=True):
        assert fb.allclose(a.double(), b.double(), rtol=1e-9)


@pytest.mark.filterwarnings("ignore:None of the inputs")  # of inner parts in the first run of an outer reentrant one
@pytest.mark.parametrize("mode", ["reentrant", "tape", "mixed"])
def test_nested_parts_in_a_compiled_step(mode: str) -> None:
    """Parts in parts, with random numbers in both, give what they give uncompiled."""
    found = []
    for compiled in (False, True):
        blocks, x = network()
        blocks, x = blocks.double(), x.detach().double().requires_grad_()

        def step(blocks: Any = blocks, x: Any = x) -> Any:
            inner = "reentrant" if mode == "reentrant" else "tape"
            h = checkpoint(lambda v: through(blocks, v, inner), x, use_reentrant=mode != "tape")
            h.backward()
            return h.detach()

        fb.manual_seed(1)
        loss = (fb.compile(step) if compiled else step)()
        found.append([loss, x.grad, *[p.grad for p in blocks.parameters()]])
    for a, b in zip(*found, strict=True):
        assert fb.allclose(a, b, rtol=1e-9)
