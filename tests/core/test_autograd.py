"""The tape against torch: one piece of code run by both libraries."""

from __future__ import annotations

import enum
import warnings

import pytest
import torch

import flambeau as fb
from support.values import same


def both(code):
    ours, theirs = code(fb), code(torch)
    same(ours, theirs)


def leaf(lib, *values):
    return lib.tensor(list(values), requires_grad=True)


def test_gradients_accumulate_and_several_roots_add_up():
    def code(lib):
        x = leaf(lib, 1.0, 2.0, 3.0)
        y = x * x
        lib.autograd.backward([y.sum(), (y * 2).sum()])
        first = x.grad.clone()
        (x * 3).sum().backward()
        return first, x.grad

    both(code)


def test_higher_orders():
    def code(lib):
        x = leaf(lib, 0.3, 1.2, -0.7)
        s = (x.sin() * x**4).sum()
        made = []
        for _ in range(4):
            (g,) = lib.autograd.grad(s, x, create_graph=True)
            made.append(g)
            s = g.sum()
        return made

    both(code)


def test_grad_of_unused_inputs():
    def code(lib):
        x, y = leaf(lib, 1.0), leaf(lib, 2.0)
        made = list(lib.autograd.grad((x * 2).sum(), [x, y], allow_unused=True))
        made += list(lib.autograd.grad((x * 2).sum(), [x, y], materialize_grads=True))
        with pytest.raises(RuntimeError, match="appears to not have been used"):
            lib.autograd.grad((x * 2).sum(), [x, y])
        return made

    both(code)


def test_graph_is_freed_unless_retained():
    for lib in (fb, torch):
        x = leaf(lib, 1.0, 2.0)
        y = (x * x).sum()
        y.backward(retain_graph=True)
        y.backward()
        with pytest.raises(RuntimeError, match="second time"):
            y.backward()
        assert x.grad.tolist() == [4.0, 8.0]


def test_modes_as_context_and_decorator():
    def code(lib):
        x = leaf(lib, 1.0)

        @lib.no_grad()
        def f():
            return x * 2

        @lib.enable_grad()
        def g():
            return x * 2

        @lib.no_grad
        def plain():
            return x * 2

        @lib.no_grad()
        def generator():
            yield (x * 2).requires_grad
            yield (x * 3).requires_grad

        made = [f().requires_grad, plain().requires_grad]
        with lib.no_grad():
            made += [g().requires_grad, (x * 2).requires_grad, lib.is_grad_enabled()]
            with lib.set_grad_enabled(True):
                made.append((x * 2).requires_grad)
        for item in generator():
            made += [item, lib.is_grad_enabled()]
        lib.set_grad_enabled(False)
        made.append((x * 2).requires_grad)
        lib.set_grad_enabled(True)
        with lib.inference_mode():
            made.append((x * 2).requires_grad)
        return made

    both(code)


def test_hooks_on_tensors():
    def code(lib):
        x = leaf(lib, 1.0, 2.0)
        seen = []
        y = x * 3
        y.retain_grad()
        handle = y.register_hook(lambda g: g * 10)
        x.register_hook(lambda g: seen.append(g.clone()))
        x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.clone()))
        (y * y).sum().backward()
        handle.remove()
        (x * 3).sum().backward()
        return [*seen, y.grad, x.grad]

    both(code)


def test_hooks_after_accumulation_return_nothing():
    for lib in (fb, torch):
        x = leaf(lib, 1.0, 2.0)
        x.register_post_accumulate_grad_hook(lambda p: p.grad)
        with pytest.raises(RuntimeError, match="should return None"):
            x.sum().backward()


def test_hooks_on_nodes():
    def code(lib):
        x = leaf(lib, 1.0, 2.0)
        seen = []
        y = x * 3
        y.grad_fn.register_prehook(lambda grads: (grads[0] * 2,))
        y.grad_fn.register_hook(lambda into, outof: seen.extend([into[0].clone(), outof[0].clone()]))
        y.sum().backward()
        return [*seen, x.grad, y.grad_fn.next_functions[0][0].variable is x]

    both(code)


def test_function_with_saved_tensors_and_double_backward():
    def code(lib):
        class Cube(lib.autograd.Function):
            @staticmethod
            def forward(ctx, x, scale):
                ctx.save_for_backward(x)
                ctx.scale = scale
                return x * x * x * scale

            @staticmethod
            def backward(ctx, g):
                (x,) = ctx.saved_tensors
                return g * 3 * x * x * ctx.scale, None

        x = leaf(lib, 1.0, 2.0)
        y = Cube.apply(x, 2.0)
        (g,) = lib.autograd.grad(y.sum(), x, create_graph=True)
        (h,) = lib.autograd.grad(g.sum(), x)
        return [y, g, h, type(y.grad_fn).__name__ if lib is torch else y.grad_fn.name()]

    both(code)


def test_function_with_setup_context_and_several_outputs():
    def code(lib):
        class Both(lib.autograd.Function):
            @staticmethod
            def forward(x, y):
                return x * y, x + y, (x > y)

            @staticmethod
            def setup_context(ctx, inputs, output):
                ctx.save_for_backward(*inputs)
                ctx.mark_non_differentiable(output[2])

            @staticmethod
            def backward(ctx, a, b, _):
                x, y = ctx.saved_tensors
                return a * y + b, a * x + b

        x, y = leaf(lib, 1.0, 5.0), leaf(lib, 3.0, 4.0)
        p, s, c = Both.apply(x, y)
        p.sum().backward()
        return [p, s, c, c.requires_grad, x.grad, y.grad]

    both(code)


def test_inplace_on_leaf_is_refused_in_torchs_words():
    for lib in (fb, torch):
        x = leaf(lib, 1.0, 2.0)
        with pytest.raises(
            RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"
        ):
            x.add_(1)
        with pytest.raises(
            RuntimeError, match="a view of a leaf Variable that requires grad is being used in an in-place"
        ) as raised:
            x[0] = 1
        assert lib is torch or "Its shape is [2]. Write under" in raised.value.__notes__[0]
        with lib.no_grad():
            x.add_(1)
        x.data.fill_(7)
        assert x.tolist() == [7.0, 7.0] and x.requires_grad


def test_inplace_is_seen_by_the_tape():
    def code(lib):
        x, w = leaf(lib, 1.0, 2.0, 3.0), leaf(lib, 5.0)
        y = x * 2
        y[1:] *= w
        z = lib.zeros(4)
        z[:3] = y
        z[3] = w.sum()
        (z * z).sum().backward()
        return [z, x.grad, w.grad]

    both(code)


def test_an_inplace_write_does_not_corrupt_what_was_saved():
    x = leaf(fb, 1.0, 2.0)
    y = x * 1
    z = y * y
    y.zero_()
    z.sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_detached_aliases_share_memory_but_not_the_tape():
    def code(lib):
        x = leaf(lib, 1.0, 2.0)
        y = x * 2
        d = y.detach()
        d[0] = 50
        y.sum().backward()
        other = x.detach().requires_grad_()
        (other * 3).sum().backward()
        return [y, x.grad, other.grad]

    both(code)


def test_a_frozen_input_costs_no_gradient_work():
    x, w = leaf(fb, 1.0), fb.tensor([2.0])
    y = x * w
    assert y.grad_fn.wanted == (0,)


def test_backward_arguments():
    for lib in (fb, torch):
        x = leaf(lib, 1.0, 2.0)
        with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
            (x * 2).backward()
        with pytest.raises(RuntimeError, match="does not require grad"):
            lib.tensor(1.0).backward()
        with pytest.raises(RuntimeError, match="Mismatch in shape"):
            (x * 2).backward(lib.ones(3))
        y = leaf(lib, 3.0, 4.0)
        (x * y).sum().backward(inputs=[x])
        assert y.grad is None and x.grad.tolist() == [3.0, 4.0]


def test_grad_attribute_is_checked():
    for lib in (fb, torch):
        x = leaf(lib, 1.0, 2.0)
        with pytest.raises(RuntimeError, match="attempting to assign a gradient of size"):
            x.grad = lib.ones(3)
        with pytest.raises(RuntimeError, match="attempting to assign a gradient with dtype"):
            x.grad = lib.ones(2, dtype=lib.float64)
        with pytest.raises(RuntimeError, match="only Tensors of floating point"):
            lib.tensor([1]).requires_grad_()
        with pytest.raises(RuntimeError, match="you can only change requires_grad flags of leaf"):
            (x * 2).requires_grad_(False)
        with pytest.warns(UserWarning, match="not a leaf"):
            assert (x * 2).grad is None


def test_gradcheck_looks_at_what_it_is_asked_to():
    calls = [0]

    class Counting(fb.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            calls[0] += 1
            return g * 2 * (1 + 1e-9 * calls[0])

    class Added(Counting):
        @staticmethod
        def backward(ctx, g):
            return g * 2 + 1e-9

    class Branching(Counting):
        @staticmethod
        def backward(ctx, g):
            return g if g.sum().item() > 1e9 else g * 2

    x, check = fb.ones(2, dtype=fb.float64, requires_grad=True), fb.autograd.gradcheck
    with pytest.raises(RuntimeError, match="Backward is not reentrant"):
        check(Counting.apply, x)
    assert check(Counting.apply, x, nondet_tol=1e-6)
    with pytest.raises(RuntimeError, match="backward not multiplied by grad_output"):
        check(Added.apply, x)
    with pytest.raises(RuntimeError, match="While computing batched gradients, got: vmap"):
        check(Branching.apply, x, check_batched_grad=True)
    assert check(Branching.apply, x)
    both = {"check_forward_ad": True, "check_batched_forward_grad": True, "check_batched_grad": True}
    assert check(lambda x: (x.sin(), x.prod()), x, **both)
    for lib in (torch, fb):
        y = lib.ones(1, dtype=lib.float64, requires_grad=True)
        for wrong in ({"check_backward_ad": False}, {"check_batched_forward_grad": True}):
            with pytest.raises(AssertionError, match="check_forward_ad"):
                lib.autograd.gradcheck(lambda v: v.sin(), y, **wrong)


def test_gradcheck_accepts_right_and_refuses_wrong_gradients():
    class Wrong(fb.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 3

    x = fb.tensor([[0.5, 1.5], [0.2, -0.3]], dtype=fb.float64, requires_grad=True)
    assert fb.autograd.gradcheck(lambda x: (x @ x).sin(), (x,))
    assert fb.autograd.gradgradcheck(lambda x: (x @ x).sin(), (x,))
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        fb.autograd.gradcheck(Wrong.apply, (x,))
    assert not fb.autograd.gradcheck(Wrong.apply, (x,), raise_exception=False)


def test_functional_jacobian_and_hessian():
    def code(lib):
        x = lib.tensor([1.0, 2.0])
        af = lib.autograd.functional
        made = [af.jacobian(lambda x: x * x.sum(), x), af.hessian(lambda x: (x**3).sum() * x[0], x)]
        made += list(af.vjp(lambda x: x * x, x, lib.tensor([1.0, 10.0])))
        made += list(af.jvp(lambda x: x * x, x, lib.tensor([1.0, 10.0])))
        made += list(af.hvp(lambda x: (x**3).sum(), x, lib.tensor([1.0, 10.0])))
        return made

    both(code)


def test_complex_gradients_follow_torchs_convention():
    def code(lib):
        z = lib.tensor([1 + 2j, -0.5 + 0.3j], requires_grad=True)
        ((z * z * (1 - 1j)).abs() ** 2).sum().backward()
        first = z.grad.clone()
        z.grad = None
        (lib.view_as_real(z * z)[..., 1]).sum().backward()
        return [first, z.grad]

    both(code)


def test_a_functions_gradients_take_their_inputs_shapes_and_dtypes():
    def code(lib):
        class Scale(lib.autograd.Function):
            @staticmethod
            def forward(ctx, x, w):
                ctx.save_for_backward(x, w)
                return x * w

            @staticmethod
            def backward(ctx, g):
                x, w = ctx.saved_tensors
                return g * w, (g * x).double()

        made = []
        for w in (leaf(lib, 2.0, 3.0), lib.tensor(2.0, requires_grad=True)):
            x = lib.ones(3, 2, requires_grad=True)
            Scale.apply(x, w).sum().backward()
            made += [x.grad, w.grad]
            (g,) = lib.autograd.grad(Scale.apply(x, w).sum(), w, create_graph=True)
            made += [g, *lib.autograd.grad(g.sum(), x)]
        return made

    both(code)


@pytest.mark.parametrize("wrong", ["ones(7)", "ones(1)", "tensor(1.0)", "Size([3])"])
def test_a_functions_gradient_must_fit_its_input(wrong):
    for lib in (fb, torch):

        class Wrong(lib.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2

            @staticmethod
            def backward(ctx, g, lib=lib):
                return eval(f"lib.{wrong}")

        with pytest.raises(RuntimeError, match=r"returned an|expected Variable"):
            Wrong.apply(lib.ones(3, requires_grad=True)).sum().backward()


def test_an_old_style_function_says_what_to_do():
    for lib in (fb, torch):

        class Old(lib.autograd.Function):
            def forward(self, x):
                return x

        with pytest.raises(RuntimeError, match="Legacy autograd function"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Old()(lib.ones(1, requires_grad=True))


def test_saved_tensors_go_through_hooks():
    def code(lib):
        class Own(lib.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x**2

            @staticmethod
            def backward(ctx, g):
                (x,) = ctx.saved_tensors
                return 2 * x * g

        made = []
        hooks = lib.autograd.graph.saved_tensors_hooks(
            lambda t: t.detach().numpy() * 4, lambda n: lib.from_numpy(n / 2)
        )
        for f in (
            lambda x: x.pow(2).sum(),
            lambda x: Own.apply(x).sum(),
            lambda x: (x + 1).sum(),
            lambda x: (x * x).sum(),
        ):
            x = leaf(lib, 1.0, 2.0)
            with hooks:
                y = f(x)
            y.backward()
            made.append(x.grad)
        x = leaf(lib, 1.0, 2.0)
        with hooks, lib.autograd.graph.save_on_cpu():
            y = x.exp().sum()
        y.backward()
        return [*made, x.grad]

    both(code)


def test_saved_tensors_hooks_can_be_refused():
    for lib in (fb, torch):
        hooks = lib.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x)
        with (
            lib.autograd.graph.disable_saved_tensors_hooks("none here"),
            pytest.raises(RuntimeError, match="none here"),
        ):
            hooks.__enter__()


def test_anomalies_are_found():
    for lib in (fb, torch):

        def nan(lib=lib):
            x = leaf(lib, 0.0)
            (x.sqrt() * 0).sum().backward()
            return x.grad

        with pytest.warns(UserWarning, match="Anomaly Detection has been enabled"):
            detection = lib.autograd.detect_anomaly()
        said = "Function 'SqrtBackward0' returned nan values in its 0th output"
        traced = pytest.warns(UserWarning, match=r"(?s)SqrtBackward0.*x.sqrt\(\)")
        with detection, traced, pytest.raises(RuntimeError, match=said):
            nan()
        assert not lib.is_anomaly_enabled() and nan().isnan()
        with lib.autograd.set_detect_anomaly(True, check_nan=False):
            assert lib.is_anomaly_enabled() and not lib.is_anomaly_check_nan_enabled() and nan().isnan()


def test_batched_gradients():
    def code(lib):
        x, y = leaf(lib, 1.0, 2.0), leaf(lib, 1.0, 2.0, 3.0)
        made = lib.autograd.grad([x**2, y**3], [x, y], [lib.eye(2), lib.ones(2, 3)], is_grads_batched=True)
        first, none = lib.autograd.grad(x * 2, [x, y], lib.eye(2), is_grads_batched=True, allow_unused=True)
        assert none is None
        return [*made, first]

    both(code)
    with pytest.raises(RuntimeError, match="is_grads_batched"):
        fb.autograd.grad(leaf(fb, 1.0, 2.0) * 2, leaf(fb, 1.0), fb.ones(3), is_grads_batched=True)


def test_nodes_have_types_of_their_own_names():
    def walk(lib):
        lib.manual_seed(0)
        x = lib.ones(1, 3, requires_grad=True)
        node = (x[:, 1:].relu().exp() @ lib.ones(2, 1)).sum().grad_fn
        seen = []
        while node is not None:
            seen.append((type(node).__name__, node.name(), isinstance(node, lib.autograd.graph.Node)))
            node = node.next_functions[0][0] if node.next_functions else None
        return seen

    assert walk(fb) == walk(torch)


@pytest.mark.parametrize(
    "code", ["x**3", "x.sin()", "x.exp()", "x.sqrt()", "x.log()", "x.tanh()", "1 / x", "x.sigmoid()"]
)
def test_names_of_gradients_own_nodes(code):
    labels = []
    for lib in (fb, torch):
        x = leaf(lib, 0.5, 0.7)
        (g,) = lib.autograd.grad(eval(code, {"x": x}).sum(), x, create_graph=True)
        labels.append(g.grad_fn.name())
    assert labels[0] == labels[1]


def test_a_leaf_cannot_be_turned_in_place():
    for lib in (fb, torch):
        for name, args in (("t_", ()), ("unsqueeze_", (0,)), ("transpose_", (0, 1))):
            with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
                getattr(lib.ones(2, 2, requires_grad=True), name)(*args)


def test_variable_is_an_old_name():
    for lib in (fb, torch):
        from_name = lib.autograd.Variable(lib.ones(2), requires_grad=True)
        assert isinstance(from_name, lib.autograd.Variable) and from_name.requires_grad
        assert not isinstance(3, lib.autograd.Variable)
        assert repr(lib.set_grad_enabled(True)).endswith("set_grad_enabled(mode=True)")


class Two(enum.IntEnum):
    TWO = 2


TWICE = {
    "sum": lambda t, x, z: x.sum(),
    "mean of a sum": lambda t, x, z: (x + z).mean(),
    "difference": lambda t, x, z: (x - z).sum(),
    "negation": lambda t, x, z: (-x).sum(),
    "views": lambda t, x, z: x.view(2, 2).t()[1:].sum(),
    "joined": lambda t, x, z: t.stack([t.cat([x, z]), t.cat([z, x])]).sum(),
    "expanded": lambda t, x, z: x.expand(3, 4).sum(),
    "triangle": lambda t, x, z: x.view(2, 2).tril().sum(),
    "cast": lambda t, x, z: x.double().cumsum(0).sum(),
    "product": lambda t, x, z: (x * z).sum(),
    "product with a number": lambda t, x, z: (x * 2).sum(),
    "product with an enum": lambda t, x, z: (x * Two.TWO).sum(),
    "exponential": lambda t, x, z: x.exp().sum(),
    "power": lambda t, x, z: (x**2).sum(),
    "matrix product": lambda t, x, z: (x.view(2, 2) @ z[:2]).sum(),
    "gather": lambda t, x, z: x[t.tensor([0, 1])].sum(),
    "largest": lambda t, x, z: x.max(),
}


@pytest.mark.parametrize("name", TWICE)
def test_a_second_backward_needs_only_what_was_saved(name: str) -> None:
    found = []
    for t in (torch, fb):
        x, z = t.arange(4.0, requires_grad=True), t.ones(4, requires_grad=True)
        y = TWICE[name](t, x, z)
        y.backward()
        try:
            y.backward()
            found.append(x.grad.tolist())
        except RuntimeError as error:
            found.append(str(error)[:60])
    assert found[0] == found[1]


class _Named(fb.Tensor):
    pass


@pytest.mark.parametrize("vectorize", [False, True])
def test_functional_gives_the_function_tensors_of_the_inputs_class(vectorize: bool) -> None:
    seen: list[type] = []

    def cubes(x: fb.Tensor) -> fb.Tensor:
        seen.append(type(x))
        return x**3

    x = fb.arange(3.0).as_subclass(_Named)
    made = fb.autograd.functional.jacobian(cubes, x, vectorize=vectorize)
    assert seen == [_Named]
    assert made.tolist() == [[0, 0, 0], [0, 3, 0], [0, 0, 12]]
    assert vectorize or type(made) is _Named
    assert type(fb.autograd.functional.vjp(cubes, x, fb.ones(3))[1]) is _Named
    assert type(fb.autograd.functional.hvp(lambda x: x.pow(3).sum(), x, fb.ones(3))[1]) is _Named


def test_vectorized_jacobians_of_several_and_of_constant_outputs() -> None:
    a, b = fb.tensor([1.0, 2.0]), fb.tensor([3.0])

    def func(a: fb.Tensor, b: fb.Tensor) -> tuple[fb.Tensor, ...]:
        return a * b, fb.ones(2), a.sum()

    for kwargs in ({}, {"create_graph": True}):
        plain = fb.autograd.functional.jacobian(func, (a, b), **kwargs)
        made = fb.autograd.functional.jacobian(func, (a, b), vectorize=True, **kwargs)
        assert [[m.tolist() for m in row] for row in made] == [[p.tolist() for p in row] for row in plain]
        assert [[m.requires_grad for m in row] for row in made] == [[p.requires_grad for p in row] for row in plain]
