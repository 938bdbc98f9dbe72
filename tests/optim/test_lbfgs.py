"""L-BFGS: PyTorch's path."""

import copy
import importlib

import pytest
import torch

import flambeau as fb
import flambeau.optim as optim
from flambeau.optim._line_search import Point, interpolated
from support.values import same, to_flambeau

OPTIONS = [
    {},
    {"lr": 0.3, "max_iter": 5},
    {"history_size": 3, "lr": 0.5},
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "max_iter": 4, "history_size": 2, "lr": 5.0},
    {"tolerance_grad": 0.1},
    {"max_eval": 3},
    {"tolerance_change": 0.05, "lr": 0.1},
]


def closure_for(optimizer, params):
    """A quadratic, and a narrow valley."""

    def closure():
        optimizer.zero_grad()
        x, y = params
        loss = ((1 - x) ** 2).sum() + 2 * ((y - x**2) ** 2).sum() + 0.1 * (x * y).sum()
        loss.backward()
        return loss

    return closure


def paths(options, steps, start=(0.5, -1.0), dtype=torch.float64):
    results = []
    for library in (optim, torch.optim):
        params = [torch.tensor([[v, v / 2]], dtype=dtype).requires_grad_() for v in start]
        if library is optim:
            params = to_flambeau(params)
        optimizer = library.LBFGS(params, **options)
        closure = closure_for(optimizer, params)
        losses = [optimizer.step(closure).item() for _ in range(steps)]
        results.append((params, losses, optimizer))
    return results


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ",".join(options))
def test_path(options):
    ours, theirs = paths(options, 4)
    same(ours[0], theirs[0], rtol=1e-6, atol=1e-9)
    same(ours[1], theirs[1], rtol=1e-6)
    mine, its = ours[2].state_dict(), theirs[2].state_dict()
    assert mine["param_groups"] == its["param_groups"]
    mine, its = mine["state"][0], its["state"][0]
    assert set(mine) == set(its)
    assert {k: mine[k] for k in ("func_evals", "n_iter")} == {k: its[k] for k in ("func_evals", "n_iter")}
    for name in ("old_dirs", "old_stps", "ro", "prev_flat_grad", "d"):
        if name in mine:
            same(mine[name], its[name], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("start", [[1.0, 2.0], [-0.7, 3.0]])
@pytest.mark.parametrize("function", ["abs", "sqrt"])
def test_search_along_a_straight_line_and_of_nothing(function, start):
    """Where the cubic has no minimum, the next length is the largest that is allowed; a NaN stays in its element."""
    tried = []
    for library in (fb, torch):
        weight = library.tensor(start, dtype=library.float64, requires_grad=True)
        optimizer = library.optim.LBFGS([weight], line_search_fn="strong_wolfe")
        points = []

        def closure(library=library, weight=weight, optimizer=optimizer, points=points):
            optimizer.zero_grad()
            loss = getattr(weight, function)().sum() - (weight.sum() if function == "sqrt" else 0)
            loss.backward()
            points.append(weight.tolist())
            return loss

        optimizer.step(closure)
        tried.append([value for point in [*points, weight.tolist()] for value in point])
    assert tried[0] == pytest.approx(tried[1], rel=1e-8, nan_ok=True)


@pytest.mark.parametrize("max_eval", [1, 2, 4, 5, 7, 40])
def test_line_search(max_eval):
    """Every point that is tried, on a function with several valleys."""
    tried = []
    for library, optimizers in ((fb, optim), (torch, torch.optim)):
        weight = library.tensor([3.7], dtype=library.float64, requires_grad=True)
        options = {"line_search_fn": "strong_wolfe", "lr": 20.0, "max_iter": 3, "max_eval": max_eval}
        optimizer = optimizers.LBFGS([weight], **options)
        points = []

        def closure(library=library, weight=weight, optimizer=optimizer, points=points):
            optimizer.zero_grad()
            loss = (library.sin(3 * weight) * 5 + weight**4).sum() + library.exp(weight * 2).sum()
            loss.backward()
            points.append(weight.item())
            return loss

        optimizer.step(closure)
        tried.append([*points, weight.item()])
    assert tried[0] == pytest.approx(tried[1], rel=1e-8)


def test_float32_and_state_dict():
    ours, theirs = paths({"max_iter": 6, "lr": 0.2}, 2, dtype=torch.float32)
    same(ours[0], theirs[0], rtol=1e-4, atol=1e-5)
    params = copy.deepcopy(ours[0])
    optimizer = optim.LBFGS(params, max_iter=6, lr=0.2)
    optimizer.load_state_dict(to_flambeau(copy.deepcopy(theirs[2].state_dict())))
    optimizer.step(closure_for(optimizer, params))
    theirs[2].step(closure_for(theirs[2], theirs[0]))
    same(params, theirs[0], rtol=1e-3, atol=1e-4)


def test_a_search_between_two_points_in_one_place():
    here = Point(1.5, 2.0, None, -1.0)
    assert interpolated(here, here) == 1.5
    ours, theirs = paths({"line_search_fn": "strong_wolfe", "tolerance_grad": 0, "tolerance_change": 0}, 6)
    same(ours[0], theirs[0], rtol=1e-6, atol=1e-8)


def test_errors():
    for library, tensors in ((optim, fb), (torch.optim, torch)):
        with pytest.raises(ValueError, match="doesn't support per-parameter options"):
            library.LBFGS([{"params": [tensors.ones(1)]}, {"params": [tensors.ones(1)]}])
        with pytest.raises(TypeError, match="closure"):
            library.LBFGS([tensors.ones(1)]).step()
        weight = tensors.ones(1, requires_grad=True)
        weight.grad = tensors.ones(1)
        with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported"):
            library.LBFGS([weight], line_search_fn="x").step(lambda weight=weight: (weight * 2).sum())
        still = library.LBFGS([weight], line_search_fn="x")  # the name is asked for where a line is searched
        assert still.step(lambda weight=weight: weight.grad.zero_()[0]) == 0


def _named(lib):
    return importlib.import_module(f"{lib.__name__}.optim.lbfgs")


def _quadratic(z):
    return 0.5 * z.dot(z * z.new_tensor([1.0, 20.0, 3.0])), z * z.new_tensor([1.0, 20.0, 3.0])


def _wells(z):
    return (z**4).sum() - (z**2).sum(), 4 * z**3 - 2 * z


def _waves(z):
    return z.sin().sum(), z.cos()


@pytest.mark.parametrize("options", [{}, {"c2": 0.1}, {"max_ls": 2}, {"c1": 0.3, "c2": 0.4, "tolerance_change": 1e-3}])
@pytest.mark.parametrize("function", [_quadratic, _wells, _waves])
def test_the_search_by_its_own_name(function, options):
    for first in (1e-3, 0.3, 20.0):
        found = []
        for lib in (torch, fb):
            x = lib.tensor([2.0, -1.0, 0.3], dtype=lib.float64)
            loss, gradient = function(x)
            search = _named(lib)._strong_wolfe
            loss, gradient, t, calls = search(
                lambda x, t, d: function(x + t * d),
                x,
                first,
                -gradient,
                loss,
                gradient,
                -gradient.dot(gradient),
                **options,
            )
            found.append([float(loss), *gradient.tolist(), float(t), calls])
        assert found[1] == pytest.approx(found[0], rel=1e-9, abs=1e-12)


def test_a_cubic_by_its_own_name():
    for numbers, bounds in [
        ((0.0, 1.0, -1.0, 1.0, 0.5, 0.3), None),
        ((0.0, 1.0, -1.0, 1.0, 0.5, 0.3), (0.2, 0.4)),
        ((1.0, 0.5, 0.3, 0.0, 1.0, -1.0), None),
        ((0.0, 1.0, -1.0, 1.0, 0.0, -5.0), None),
    ]:
        values = []
        for lib in (torch, fb):
            made = _named(lib)._cubic_interpolate(*(lib.tensor(n, dtype=lib.float64) for n in numbers), bounds)
            values.append(float(made))
        assert values[1] == pytest.approx(values[0], rel=1e-12, nan_ok=True)
    assert type(_named(fb)._cubic_interpolate(0.0, 1.0, -1.0, 1.0, 0.5, 0.3)) is float  # torch asks for tensors
