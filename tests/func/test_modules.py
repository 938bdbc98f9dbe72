"""Modules under torch.func: per-sample gradients, ensembles, neural tangent kernels; alone and in compiled functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.func

import flambeau as fb
import flambeau.func
from support.values import same

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own, in its jvp


def mlp(t):
    t.manual_seed(0)
    return t.nn.Sequential(t.nn.Linear(5, 8), t.nn.Tanh(), t.nn.Linear(8, 3))


def lenet(t):
    t.manual_seed(0)
    nn = t.nn
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(4 * 3 * 3, 3)
    )


def batch(t, *shape):
    t.manual_seed(1)
    return t.randn(*shape), t.randint(0, 3, shape[:1])


def sample_loss(t, model):
    def loss(params, x, y):
        made = t.func.functional_call(model, params, (x.unsqueeze(0),))
        return t.nn.functional.cross_entropy(made, y.unsqueeze(0))

    return loss


def detached(model):
    return {k: v.detach() for k, v in model.named_parameters()}


def sorted_keys(value):
    return dict(sorted(value.items())) if isinstance(value, dict) else value


def close(code, compiled=True, **tolerance):
    """The same from both libraries, and from the compiled function."""
    tolerance = tolerance or {"rtol": 2e-4, "atol": 2e-6}
    theirs = code(torch)()
    run = code(fb)
    ours = run()
    same(ours, theirs, **tolerance)
    if compiled:
        step = fb.compile(code(fb))
        for _ in range(2):
            same(sorted_keys(step()), sorted_keys(theirs), **tolerance)
        assert len(fb.compile.explain(step)) == 1


@pytest.mark.parametrize("make", [mlp, lenet])
def test_gradients_for_each_sample(make):
    def code(t):
        model, (x, y) = make(t), batch(t, 6, *((5,) if make is mlp else (1, 8, 8)))
        each = t.vmap(t.func.grad(sample_loss(t, model)), in_dims=(None, 0, 0))
        return lambda: each(detached(model), x, y)

    close(code)


def test_gradients_for_each_sample_sum_to_those_of_the_batch():
    model, (x, y) = mlp(fb), batch(fb, 6, 5)
    each = fb.vmap(fb.func.grad(sample_loss(fb, model)), in_dims=(None, 0, 0))(detached(model), x, y)
    fb.nn.functional.cross_entropy(model(x), y, reduction="sum").backward()
    for name, p in model.named_parameters():
        assert fb.allclose(each[name].sum(0), p.grad, atol=1e-5)


@pytest.mark.parametrize("shared", [True, False])
def test_ensembles(shared):
    def code(t):
        models = []
        for seed in range(3):
            t.manual_seed(seed)
            models.append(t.nn.Sequential(t.nn.Linear(5, 4), t.nn.BatchNorm1d(4), t.nn.Linear(4, 2)).eval())
        params, buffers = t.func.stack_module_state(models)
        x = batch(t, 3, 6, 5)[0]

        def call(p, b, x):
            return t.func.functional_call(models[0], (p, b), (x,))

        return lambda: t.vmap(call, in_dims=(0, 0, None if shared else 0))(params, buffers, x[0] if shared else x)

    close(code)
    params, buffers = fb.func.stack_module_state([mlp(fb) for _ in range(2)])
    assert all(p.requires_grad and p.is_leaf for p in params.values()) and not buffers


def test_training_an_ensemble():
    def code(t):
        models = []
        for seed in range(3):
            t.manual_seed(seed)
            models.append(t.nn.Linear(5, 2))
        params, buffers = t.func.stack_module_state(models)
        x = batch(t, 6, 5)[0]
        optimizer = t.optim.SGD(params.values(), lr=0.1)

        def step():
            optimizer.zero_grad()
            out = t.vmap(lambda p, b, x: t.func.functional_call(models[0], (p, b), (x,)), (0, 0, None))(
                params, buffers, x
            )
            loss = (out**2).mean()
            loss.backward()
            optimizer.step()
            return loss

        return params, step

    (theirs, their_step), (ours, our_step) = code(torch), code(fb)
    compiled = fb.compile(our_step)
    for i in range(4):
        same((our_step if i == 1 else compiled)(), their_step(), rtol=1e-4, atol=1e-6)
    same(ours, theirs, rtol=1e-4, atol=1e-6)


def test_neural_tangent_kernel():
    def code(t):
        model, a, b = mlp(t), batch(t, 4, 5)[0], batch(t, 3, 5)[0]
        params = detached(model)

        def single(p, x):
            return t.func.functional_call(model, p, (x.unsqueeze(0),)).squeeze(0)

        def by_jacobians():
            ja, jb = (t.vmap(t.func.jacrev(single), (None, 0))(params, x) for x in (a, b))
            flat = [(ja[k].flatten(2), jb[k].flatten(2)) for k in params]
            return sum(t.einsum("naf,mbf->nmab", p, q) for p, q in flat)

        def by_products():
            def pair(p, q):
                _, pull = t.func.vjp(lambda w: single(w, p), params)

                def column(v):
                    return t.func.jvp(lambda w: single(w, q), (params,), pull(v))[1]

                return t.vmap(column)(t.eye(3))

            return t.vmap(t.vmap(pair, (None, 0)), (0, None))(a, b)

        return lambda: (by_jacobians(), by_products())

    close(code)


@pytest.mark.parametrize("how", ["jacrev", "jacfwd", "hessian"])
def test_derivatives_of_models_by_inputs(how):
    def code(t):
        model, x = mlp(t), batch(t, 4, 5)[0]
        f = (lambda x: model(x).square().sum()) if how == "hessian" else model
        return lambda: t.vmap(getattr(t.func, how)(f))(x)

    close(code)


def test_meta_learning_through_an_inner_step():
    def code(t):
        model, (x, y) = mlp(t), batch(t, 6, 5)

        def loss(p):
            return t.nn.functional.cross_entropy(t.func.functional_call(model, p, (x,)), y)

        def adapted(p):
            g = t.func.grad(loss)(p)
            return loss({k: v - 0.5 * g[k] for k, v in p.items()})

        return lambda: t.func.grad(adapted)(detached(model))

    close(code)


def test_gradient_penalty_in_a_compiled_step():
    def code(t):
        model, (x, y) = mlp(t), batch(t, 6, 5)
        optimizer = t.optim.Adam(model.parameters(), lr=0.01)

        def step():
            optimizer.zero_grad()
            slope = t.vmap(t.func.grad(lambda x: model(x).sum()))(x)
            loss = t.nn.functional.cross_entropy(model(x), y) + (slope.norm(dim=1) - 1).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        return step

    theirs, ours = code(torch), fb.compile(code(fb))
    for _ in range(4):
        same(ours(), theirs(), rtol=1e-3, atol=1e-5)


def test_compiled_functions_inside_of_transforms():
    model, (x, _) = mlp(fb), batch(fb, 4, 5)
    inner = fb.compile(lambda x: model(x).square().sum())
    plain = lambda x: model(x).square().sum()  # noqa: E731
    inner(x)
    for transform in (lambda f: fb.vmap(f)(x), lambda f: fb.func.grad(f)(x), lambda f: fb.func.jvp(f, (x,), (x,))[1],
                      lambda f: fb.vmap(fb.func.grad(f))(x), lambda f: fb.func.hessian(f)(x[0])):  # fmt: skip
        assert fb.allclose(transform(inner), transform(plain), atol=1e-5)


def test_compiled_random_maps_draw_anew():
    draw = fb.compile(lambda x: fb.vmap(lambda r: r + fb.randn(3), randomness="different")(x))
    plain = lambda x: fb.vmap(lambda r: r + fb.randn(3), randomness="different")(x)  # noqa: E731
    fb.manual_seed(0)
    found = [draw(fb.zeros(4, 3)) for _ in range(3)]
    fb.manual_seed(0)
    same(found, [torch.from_numpy(plain(fb.zeros(4, 3)).numpy()) for _ in range(3)])


def test_batch_normalization():
    norm = fb.nn.BatchNorm1d(3)
    with pytest.raises(RuntimeError, match="batch normalization"):
        fb.vmap(norm)(fb.randn(2, 4, 3))
    assert norm.running_mean.tolist() == [0, 0, 0] and norm.running_var.tolist() == [1, 1, 1]
    x = fb.randn(4, 3)
    fb.func.grad(lambda x: norm(x).square().sum())(x)
    fb.func.jvp(norm, (x,), (x,))
    other = fb.nn.BatchNorm1d(3)
    for _ in range(2):
        other(x)
    assert fb.allclose(norm.running_mean, other.running_mean) and fb.allclose(norm.running_var, other.running_var)
    assert not norm.running_mean.requires_grad
    assert (norm.running_mean + 1).tolist() == (other.running_mean + 1).tolist()
    model = fb.nn.Sequential(norm)
    assert fb.func.replace_all_batch_norm_modules_(model) is model and norm.running_mean is None
    assert fb.vmap(model)(fb.randn(2, 4, 3)).shape == (2, 4, 3)


def test_functional_call():
    def code(t):
        model = mlp(t)
        params = {k: v * 2 for k, v in detached(model).items()}
        x = batch(t, 4, 5)[0]
        half = {k: v for k, v in params.items() if "weight" in k}, {k: v for k, v in params.items() if "bias" in k}
        return lambda: (
            t.func.functional_call(model, params, x),
            t.func.functional_call(model, half, (x,), strict=True),
        )

    close(code)
    model = mlp(fb)
    for library in (torch, fb):
        other = mlp(library)
        first = dict(other.named_parameters())
        with pytest.raises(RuntimeError):
            library.func.functional_call(other, {"0.weight": first["0.weight"]}, library.ones(1, 5), strict=True)
        with pytest.raises(ValueError, match="multiple"):
            library.func.functional_call(other, (first, first), library.ones(1, 5))
        tied = library.nn.Sequential(library.nn.Linear(2, 2), library.nn.Linear(2, 2))
        tied[1].weight = tied[0].weight
        new = {"0.weight": library.zeros(2, 2)}
        assert (library.func.functional_call(tied, new, library.ones(1, 2)) == tied[1].bias).all()
        assert (library.func.functional_call(tied, new, library.ones(1, 2), tie_weights=False) != tied[1].bias).all()
    with pytest.raises(ZeroDivisionError):
        fb.func.functional_call(model, {"0.weight": fb.zeros(8, 5)}, (1 for _ in [1 / 0]))
    assert model[0].weight.abs().sum() > 0


@pytest.mark.parametrize("models", [[], ["a", "b"], ["train", "eval"]])
def test_stacks_that_cannot_be(models):
    for t in (torch, fb):
        made = {"a": t.nn.Linear(2, 2), "b": t.nn.ReLU(), "train": t.nn.ReLU(), "eval": t.nn.ReLU().eval()}
        with pytest.raises(RuntimeError, match="xpected"):
            t.func.stack_module_state([made[m] for m in models])


LAYERS = {
    "conv": (lambda nn: nn.Conv2d(2, 4, 3, padding=1), (2, 6, 6)),
    "transposed": (lambda nn: nn.ConvTranspose2d(2, 3, 2), (2, 4, 4)),
    "layer norm": (lambda nn: nn.LayerNorm(4), (3, 4)),
    "group norm": (lambda nn: nn.GroupNorm(1, 2), (1, 2, 4)),
    "max pool": (lambda nn: nn.MaxPool2d(2), (2, 6, 6)),
    "log softmax": (lambda nn: nn.LogSoftmax(-1), (4,)),
    "bilinear": (lambda nn: nn.Upsample(scale_factor=2, mode="bilinear"), (1, 2, 3, 3)),
    "eval norm": (lambda nn: nn.BatchNorm1d(4).eval(), (3, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_map_and_have_derivatives(name):
    """A mapped layer is the layer for each sample, and so are its gradients by the parameters; forward is reverse."""
    make, shape = LAYERS[name]
    fb.manual_seed(0)
    layer = make(fb.nn)
    x, v = fb.randn(3, *shape), fb.randn(3, *shape)
    rows = fb.stack([layer(r) for r in x])
    mapped = fb.vmap(layer)(x)
    assert fb.allclose(mapped, rows, atol=1e-5)
    params = detached(layer)

    def loss(p, x):
        return fb.func.functional_call(layer, p, (x,)).square().sum()

    each = fb.vmap(fb.func.grad(loss, argnums=(0, 1)), (None, 0))(params, x)
    for i in range(3):
        alone = fb.func.grad(loss, argnums=(0, 1))(params, x[i])
        assert fb.allclose(each[1][i], alone[1], atol=1e-4)
        assert all(fb.allclose(each[0][k][i], alone[0][k], atol=1e-4) for k in params)
    leaves = list(layer.parameters())
    if leaves:
        direct = fb.autograd.grad(rows.square().sum(), leaves)
        through = fb.autograd.grad(mapped.square().sum(), leaves)
        assert all(fb.allclose(a, b, atol=1e-4) for a, b in zip(direct, through, strict=True))
    forward = fb.func.jvp(lambda x: loss(params, x), (x[0],), (v[0],))[1]
    assert fb.allclose(forward, (fb.func.grad(loss, argnums=1)(params, x[0]) * v[0]).sum(), rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore:We've integrated functorch:FutureWarning")
def test_modules_as_functions_of_their_parameters() -> None:
    def run(t: Any, functorch: Any, experimental: Any) -> list[Any]:
        t.manual_seed(0)
        seen: list[Any] = []
        plain, tied = t.nn.Linear(2, 2), t.nn.Sequential(t.nn.Linear(2, 2), t.nn.Linear(2, 2))
        tied[1].weight = tied[0].weight
        normed = t.nn.Sequential(t.nn.Linear(2, 2), t.nn.BatchNorm1d(2))
        x = t.randn(3, 2, dtype=t.float32)
        for model, options in ((plain, {}), (tied, {}), (plain, {"disable_autograd_tracking": True})):
            f, params = functorch.make_functional(model, **options)
            seen += [repr(f), f.param_names, f.names_map, [p.requires_grad for p in params], f(params, x)]
            assert params[0] is not next(model.parameters()) and next(model.parameters()).requires_grad
        f, params, buffers = functorch.make_functional_with_buffers(normed)
        seen += [f.all_names_map, f.buffer_names, f(params, buffers, x), *buffers, normed[1].running_mean]
        f, params = functorch.make_functional(plain)
        seen += list(functorch.grad(lambda p: f(p, x).sin().sum())(params))
        f, params, buffers = functorch.combine_state_for_ensemble([t.nn.Linear(2, 1) for _ in range(3)])
        seen += [params[0].requires_grad, buffers, functorch.vmap(f, (0, 0, None))(params, buffers, x)]
        seen += [experimental.chunk_vmap(t.sin, chunks=2)(x), functorch.jacrev(t.sin)(x)]
        wrong: list[Callable[[], Any]] = [
            lambda: functorch.make_functional(normed),
            lambda: functorch.combine_state_for_ensemble([]),
            lambda: functorch.combine_state_for_ensemble([plain, tied]),
            lambda: functorch.combine_state_for_ensemble([plain, t.nn.Linear(2, 2).eval()]),
        ]
        for case in wrong:
            with pytest.raises(RuntimeError) as caught:
                case()
            seen.append(str(caught.value))
        return seen

    import functorch
    import functorch.experimental

    from flambeau.functorch import experimental

    same(run(fb, fb.functorch, experimental), run(torch, functorch, functorch.experimental))
    with pytest.warns(FutureWarning, match=r"`functorch.vmap` is deprecated .* Please use `torch.vmap` instead"):
        fb.functorch.vmap(fb.sin)
