"""Equal blocks of a network are one program of XLA: the results are those of the uncompiled step, whatever the number of blocks."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import flambeau as fb
from flambeau.compiler import outlining, repeats

WIDTH = 8


@pytest.fixture(autouse=True)
def small_programs(monkeypatch):
    """Blocks of a test's size are worth programs of their own."""
    monkeypatch.setattr(outlining, "WORTH", 60)
    monkeypatch.setattr(outlining, "PART", 1)


class Block(fb.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = fb.nn.LayerNorm(WIDTH)
        self.body = fb.nn.Sequential(fb.nn.Linear(WIDTH, 2 * WIDTH), fb.nn.GELU(), fb.nn.Linear(2 * WIDTH, WIDTH))
        self.drop = fb.nn.Dropout(0.25)

    def forward(self, x):
        return x + self.drop(self.body(self.norm(x)))


def network(blocks):
    fb.manual_seed(0)
    return fb.nn.Sequential(*(Block() for _ in range(blocks)), fb.nn.Linear(WIDTH, 5)).double()


def training(net, compiled, optimizer=fb.optim.AdamW):
    chosen = optimizer(net.parameters(), lr=0.01)

    def step(x, y):
        chosen.zero_grad()
        loss = fb.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        if optimizer is fb.optim.SGD:
            fb.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        chosen.step()
        return loss

    return fb.compile(step, fullgraph=True) if compiled else step


def batch():
    fb.manual_seed(1)
    return fb.randn(4, WIDTH).double(), fb.tensor([0, 1, 2, 3])


def program(compiled):
    return next(reversed(compiled.programs.values()))[0].runs.executable.run


def test_training_is_that_of_the_uncompiled_step():
    nets = [network(6) for _ in range(2)]
    x, y = batch()
    losses = []
    for net, compiled in zip(nets, (True, False), strict=True):
        step = training(net, compiled)
        fb.manual_seed(2)
        losses.append([step(x, y).item() for _ in range(3)])
        if compiled:
            assert isinstance(program(step), outlining.Outlined)
            before = [p.detach().clone() for p in net.parameters()]
            for _ in range(2):
                with pytest.raises(IndexError, match="Target 7 is out of bounds"):
                    step(x, fb.tensor([0, 1, 7, 3]))
            assert all(p.equal(old) for p, old in zip(net.parameters(), before, strict=True))
    np.testing.assert_allclose(*losses, rtol=1e-12)
    for ours, theirs in zip(*(net.parameters() for net in nets), strict=True):
        np.testing.assert_allclose(ours.detach(), theirs.detach(), rtol=1e-8, atol=1e-11)
        np.testing.assert_allclose(ours.grad, theirs.grad, rtol=1e-8, atol=1e-11)


def test_more_blocks_are_no_more_programs():
    x, y = batch()
    counts = []
    for blocks in (6, 9):
        step = training(network(blocks), True)
        step(x, y)
        step(x, y)
        run = program(step)
        counts.append((run.programs(), len(run.calls)))
        assert all(call.run._cache_size() == 1 for call in run.calls)
    (few, calls), (many, more) = counts
    assert few == many < calls < more


@pytest.mark.slow
def test_blocks_that_differ_stay_apart():
    x, y = batch()
    net = network(9)
    net[4].body[1] = fb.nn.Tanh()
    net[6].norm.weight.requires_grad_(False)
    other = network(9)
    other[4].body[1] = fb.nn.Tanh()
    other[6].norm.weight.requires_grad_(False)
    losses = []
    for given, compiled in ((net, True), (other, False)):
        step = training(given, compiled, fb.optim.SGD)
        fb.manual_seed(2)
        losses.append([step(x, y).item() for _ in range(3)])
    np.testing.assert_allclose(*losses, rtol=1e-12)


def test_a_forward_pass_alone_and_weights_that_are_shared():
    block = Block()
    net = fb.nn.Sequential(*[block] * 20, fb.nn.Linear(WIDTH, 5)).double().eval()
    x, _ = batch()

    @fb.compile
    def forward(x):
        with fb.no_grad():
            return net(x), x, x + 0

    with fb.no_grad():
        np.testing.assert_allclose(forward(x)[0], net(x), rtol=1e-12)
    assert isinstance(program(forward), outlining.Outlined)


def flat_of(kinds):
    operations = [
        outlining.Operation(None, kind, (i,), (i + 1,)) for i, kind in enumerate(kinds)
    ]  # a chain: each takes what the one before gives
    flat = outlining.Flat(1)
    flat.operations = operations
    flat.outputs = [len(kinds)]
    return flat


@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("count", [3, 4, 7])
def test_runs_are_found_wherever_they_begin(before, count):
    block = list(range(20))
    kinds = [100 + i for i in range(before)] + block * count + [200, 201]
    assert [tuple(run) for run in repeats.runs(flat_of(kinds))] == [(before, 20, count)]


def test_two_runs_and_what_is_no_run():
    a, b = list(range(15)), list(range(50, 80))
    found = repeats.runs(flat_of([*a * 5, 90, *b * 4]))
    assert [(run.length, run.times) for run in found] == [(15, 5), (30, 4)]
    assert repeats.runs(flat_of(list(range(200)))) == []
    assert repeats.runs(flat_of(a * 2)) == []


@pytest.mark.parametrize("mode", ["max-autotune", "max-autotune-no-cudagraphs"])
@fb.no_grad()
def test_a_mode_has_one_program(mode):
    net, x = network(6).eval(), batch()[0]
    for blocks, chosen in ((True, None), (True, "default"), (True, "reduce-overhead"), (False, mode)):
        compiled = fb.compile(net, mode=chosen)
        again = copy.deepcopy(compiled)
        for one in (compiled, again):
            assert fb.allclose(one(x), net(x))
            assert (type(program(one._compiled)) is outlining.Outlined) is blocks
    step = fb.compile(mode=mode)(lambda x: net(x).sum())
    assert fb.allclose(step(x), net(x).sum()) and type(program(step)) is not outlining.Outlined
