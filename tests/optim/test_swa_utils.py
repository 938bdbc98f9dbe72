"""Averaged models."""

import copy

import numpy as np
import pytest
import torch

import flambeau as fb
import flambeau.nn
import flambeau.optim
from support.values import same, to_flambeau

PAIRS = ((fb, fb.optim.swa_utils), (torch, torch.optim.swa_utils))


def model(library):
    nn = library.nn
    library.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))


def inputs(library, count):
    generator = torch.Generator().manual_seed(7)
    batches = [torch.randn(4, 2, generator=generator) for _ in range(count)]
    return to_flambeau(batches) if library is fb else batches


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize(
    "average",
    [
        lambda swa: {},
        lambda swa: {"avg_fn": swa.get_swa_avg_fn()},
        lambda swa: {"avg_fn": swa.get_ema_avg_fn(0.9)},
        lambda swa: {"multi_avg_fn": swa.get_ema_multi_avg_fn(0.9)},
    ],
)
def test_averages(average, use_buffers):
    states = []
    for library, swa in PAIRS:
        net = model(library)
        averaged = swa.AveragedModel(net, use_buffers=use_buffers, **average(swa))
        optimizer = (fb if library is fb else torch).optim.SGD(net.parameters(), lr=0.5)
        for x in inputs(library, 4):
            optimizer.zero_grad()
            (net(x) ** 2).mean().backward()
            optimizer.step()
            averaged.update_parameters(net)
        states.append((dict(averaged.state_dict()), averaged.eval()(inputs(library, 1)[0]).detach()))
        assert not any(p is q for p, q in zip(net.parameters(), averaged.parameters(), strict=True))
    same(*states, rtol=1e-4, atol=1e-5)


def test_average_of_lists():
    for library, swa in PAIRS:
        average = [library.ones(2), library.zeros(3)]
        swa.get_swa_multi_avg_fn()(average, [library.zeros(2), library.ones(3)], library.tensor(3))
        assert [a.tolist() for a in average] == [[0.75] * 2, [0.25] * 3]


def test_update_bn():
    states = []
    for library, swa in PAIRS:
        net = model(library).eval()
        first, second = inputs(library, 2)
        swa.update_bn([first, (second, "label")], net)
        assert net[1].momentum == 0.1 and not net.training
        states.append(dict(net.state_dict()))
        plain = library.nn.Linear(1, 1)
        swa.update_bn(None, plain)  # without batch norms, nothing is read
    same(*states, rtol=1e-4, atol=1e-5)


def test_errors_and_state():
    for library, swa in PAIRS:
        net = model(library)
        with pytest.raises(AssertionError, match="Only one of avg_fn and multi_avg_fn"):
            swa.AveragedModel(net, avg_fn=max, multi_avg_fn=max)
        for make in (swa.get_ema_avg_fn, swa.get_ema_multi_avg_fn):
            with pytest.raises(ValueError, match="Invalid decay value 2"):
                make(2)
        averaged = swa.AveragedModel(net)
        averaged.update_parameters(net)
        other = swa.AveragedModel(model(library))
        other.load_state_dict(averaged.state_dict())
        assert int(other.n_averaged) == int(copy.deepcopy(averaged).n_averaged) == 1


def test_weight_of_a_counted_average() -> None:
    """PyTorch takes 1 / (n + 1) in float32 if the function was given, in float64 if it is the default one."""
    found = []
    for library, utils in ((torch, torch.optim.swa_utils), (fb, fb.optim.swa_utils)):
        net = library.nn.Linear(1, 1, bias=False).double()
        models = [utils.AveragedModel(net, multi_avg_fn=f) for f in (None, utils.get_swa_multi_avg_fn())]
        for i in range(4):
            with library.no_grad():
                net.weight.fill_(1.0 + 0.1 * i * i)
            for model in models:
                model.update_parameters(net)
        found.append([model.module.weight.item() for model in models])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-12)
