"""`nn.parallel`: batches in parts, several copies of a module, and results put together. (torch needs GPUs for them.)"""

from typing import NamedTuple

import numpy as np
import pytest

import flambeau as fb
import flambeau.nn
from flambeau.nn import parallel
from flambeau.nn.parallel.scatter_gather import scatter_kwargs

nn = fb.nn
CPUS = ["cpu", "cpu"]


class Pair(NamedTuple):
    first: object
    second: object


def test_scatter_and_gather() -> None:
    x = fb.arange(10.0).view(5, 2)
    parts = parallel.scatter({"pair": Pair(x, "text"), "list": [x, 3], "empty": ()}, CPUS)
    assert [part["pair"].first.shape[0] for part in parts] == [3, 2]
    assert type(parts[0]["pair"]) is Pair and parts[1]["pair"].second == "text" and parts[0]["empty"] == ()
    together = parallel.gather([{"pair": part["pair"]._replace(second=None)} for part in parts], "cpu")
    assert together["pair"].second is None and fb.equal(together["pair"].first, x)
    assert [part.shape for part in parallel.scatter(x, CPUS, dim=1)] == [(5, 1), (5, 1)]
    assert scatter_kwargs((x,), None, CPUS)[1] == ({}, {})
    with pytest.warns(UserWarning, match="Was asked to gather along dimension 0, but all input tensors were scalars"):
        assert parallel.gather([x.sum(), x.sum()], "cpu").shape == (2,)
    with pytest.raises(ValueError, match="All dicts must have the same number of keys"):
        parallel.gather([{"a": x}, {}], "cpu")


def test_a_batch_in_two_parts_gives_the_same_gradients() -> None:
    fb.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.LSTM(4, 2, batch_first=True))
    x = fb.randn(6, 5, 3)
    results = []
    for run in (model, lambda x: parallel.data_parallel(model, x, CPUS, dim=0)):
        model.zero_grad()
        out, _ = run(x) if run is model else (run(x)[0], None)
        (out**2).sum().backward()
        results.append([out, *(p.grad.clone() for p in model.parameters())])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a.numpy(force=True), b.numpy(force=True), rtol=1e-5, atol=1e-6)


def test_replicas() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model.tied = model[0]
    first, second = parallel.replicate(model, CPUS)
    assert repr(first) == repr(model) and not list(first.parameters()) and first.tied is first[0] is not second[0]
    first(fb.randn(4, 2)).pow(3).sum().backward()
    assert model[0].weight.grad is not None and int(model[1].num_batches_tracked) == 1
    assert not parallel.replicate(model, ["cpu"], detach=True)[0][0].weight.requires_grad
    with pytest.raises(AssertionError, match="The number of modules 2 is not equal to the number of inputs 1"):
        parallel.parallel_apply([model, model], [(fb.ones(2, 2),)])
