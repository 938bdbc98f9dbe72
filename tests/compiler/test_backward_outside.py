"""A compiled function's backward pass that runs after its call: hooks, what a Function's backward does, errors caught inside."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import pytest

import flambeau as fl
from flambeau import nn

X = [[-1.0, 0.5, 2.0], [3.0, -0.25, 1.0]]


def both(make: Any) -> None:
    """`make(wrap)` is the same with `wrap` as `compile` and as nothing; what can't be one program says so once."""
    expected = make(lambda f: f)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = make(fl.compile)
    assert found == expected
    assert sum("runs uncompiled" in str(w.message) for w in told) == 1


def test_a_hook_inside_runs_in_each_backward_pass() -> None:
    def make(wrap: Any) -> Any:
        w = fl.ones(3, requires_grad=True)
        seen: list[float] = []

        @wrap
        def f(x: Any) -> Any:
            y = x * w
            y.register_hook(lambda g: seen.append(g.sum().item()))
            return y * y

        for scale in (1.0, 2.0):
            f(fl.tensor(X) * scale).sum().backward()
        return seen, w.grad.tolist()

    both(make)


def test_a_hook_inside_that_scales_reads_what_is_there_at_the_backward_pass() -> None:
    def make(wrap: Any) -> Any:
        w = fl.ones(3, requires_grad=True)
        scale = [2.0]

        @wrap
        def f(x: Any) -> Any:
            y = x * w
            y.register_hook(lambda g: g * scale[0])
            return y * y

        out = f(fl.tensor(X)).sum()
        scale[0] = 5.0
        out.backward()
        return w.grad.tolist()

    both(make)


@pytest.mark.parametrize("kind", ["register_full_backward_hook", "register_full_backward_pre_hook"])
def test_backward_hooks_of_modules(kind: str) -> None:
    def make(wrap: Any) -> Any:
        fl.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        seen: dict[str, Any] = {}
        getattr(model[1], kind)(lambda module, *gradients: seen.update(last=gradients[-1][0].sum().item()))
        called = wrap(model)
        found = []
        for scale in (1.0, 3.0):
            called(fl.tensor(X) * scale).square().sum().backward()
            found.append(seen["last"])
        return [round(f, 3) for f in found]

    both(make)


def test_retain_grad_inside() -> None:
    def make(wrap: Any) -> Any:
        w = fl.ones(3, requires_grad=True)

        @wrap
        def f(x: Any) -> Any:
            y = x * w
            y.retain_grad()
            return y * y, y

        out, y = f(fl.tensor(X))
        out.sum().backward()
        return y.grad.tolist()

    both(make)


def test_a_function_whose_backward_counts() -> None:
    def make(wrap: Any) -> Any:
        class Counting(fl.autograd.Function):
            count = 0

            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                return x * 2

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                Counting.count += 1
                return g * Counting.count

        w = fl.ones(3, requires_grad=True)
        f = wrap(lambda x: Counting.apply(x * w))
        for _ in range(3):
            f(fl.tensor(X)).sum().backward()
        return w.grad.tolist(), Counting.count

    both(make)


def test_a_function_whose_backward_only_reads_stays_compiled_and_sees_changes() -> None:
    strength = {"value": 1.0}

    class Reversed(fl.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.view_as(x)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return -strength["value"] * g

    w = fl.ones(3, requires_grad=True)
    f = fl.compile(lambda x: Reversed.apply(x * w), fullgraph=True)
    for value in (1.0, 4.0):
        strength["value"] = value
        w.grad = None
        f(fl.ones(2, 3)).sum().backward()
        assert w.grad.tolist() == [-2 * value] * 3


def test_hooks_of_leaves_run_once_for_each_backward_pass() -> None:
    w = fl.ones(3, requires_grad=True)
    calls = []

    def double(g: Any) -> Any:
        calls.append(1)
        return g * 2

    w.register_hook(double)
    f = fl.compile(lambda x: x * w, fullgraph=True)
    for n in (1, 2):
        f(fl.ones(2, 3)).sum().backward()
        assert len(calls) == n
        assert w.grad.tolist() == [4.0 * n] * 3


def test_the_gradient_of_what_other_results_were_computed_from_is_refused() -> None:
    w = fl.ones(3, requires_grad=True)

    def f(x: Any) -> Any:
        hidden = x * w
        return hidden, hidden.exp()

    hidden, out = fl.compile(f)(fl.ones(3))
    for ask in (hidden.retain_grad, lambda: hidden.register_hook(print), lambda: fl.autograd.grad(out.sum(), hidden)):
        with pytest.raises(RuntimeError, match="this tensor's gradient is not to be had"):
            ask()
    out.retain_grad()
    (hidden.sum() + out.sum()).backward()
    assert out.grad.tolist() == [1.0] * 3
    assert w.grad.tolist() == pytest.approx([1 + 2.718281828] * 3)


def caught_by_name(x: Any, index: Any) -> Any:
    try:
        return x[index]
    except (KeyError, IndexError):
        return x * 5


def caught_around_finally(x: Any, index: Any) -> Any:
    try:
        try:
            return x[index]
        finally:
            x = x + 1
    except Exception as error:
        return x * len(error.args)


def caught_bare(x: Any, index: Any) -> Any:
    try:
        y = x[index]
    except:  # noqa: E722
        y = x - 1
    return y


def suppressed(x: Any, index: Any) -> Any:
    with contextlib.suppress(IndexError):
        x = x[index]
    return x * 7


def caught_in_a_helper(x: Any, index: Any) -> Any:
    return caught_by_name(x.exp().log().round(), index) + 1


@pytest.mark.parametrize(
    "function", [caught_by_name, caught_around_finally, caught_bare, suppressed, caught_in_a_helper]
)
def test_errors_that_depend_on_values_are_caught_where_they_are_without_compile(function: Any) -> None:
    def make(wrap: Any) -> Any:
        f = wrap(function)
        return [f(fl.tensor(x), fl.tensor([0, 2])).tolist() for x in ([1.0, 2.0, 3.0], [1.0, 2.0])]

    both(make)


def test_a_try_that_does_not_catch_it_stays_one_program() -> None:
    def f(x: Any, index: Any) -> Any:
        try:
            return x[index] * 2
        except (KeyError, ImportError):
            return x
        finally:
            x = x + 1

    compiled = fl.compile(f, fullgraph=True)
    assert compiled(fl.tensor([1.0, 2.0, 3.0]), fl.tensor([0, 2])).tolist() == [2.0, 6.0]
    with pytest.raises(IndexError, match="index 3 is out of bounds"):
        compiled(fl.tensor([1.0, 2.0, 3.0]), fl.tensor([0, 3]))


def test_another_way_for_a_matrix_that_is_singular() -> None:
    def make(wrap: Any) -> Any:
        @wrap
        def f(x: Any) -> Any:
            for attempt in range(4):
                try:
                    return fl.linalg.cholesky(x + attempt * fl.eye(2)), attempt
                except fl.linalg.LinAlgError:
                    continue
            return None

        return [(made[0].tolist(), made[1]) for made in (f(-1.5 * fl.eye(2)), f(fl.eye(2)))]

    both(make)


def branches(x: Any) -> Any:
    try:
        if x.sum() > 0:
            return x * 2
    except Exception:
        pass
    return x - 1


def item(x: Any) -> Any:
    try:
        return x * x.max().item()
    except (TypeError, RuntimeError, ValueError):
        return x - 1


def mask(x: Any) -> Any:
    try:
        return x[x > 0]
    except:  # noqa: E722
        return x - 1


def numpy(x: Any) -> Any:
    try:
        return fl.from_numpy(x.numpy() + 1)
    except BaseException:
        return x - 1


def text(x: Any) -> Any:
    try:
        return x + len(str(x))
    except Exception:
        return x - 1


def bounds(x: Any) -> Any:
    try:
        return x + len(range(x.sum().long()))
    except TypeError:
        return x - 1


def suppressing(x: Any) -> Any:
    with contextlib.suppress(Exception):
        x = x * x.sum().item()
    return x


def again_and_again(x: Any) -> Any:
    while True:
        try:
            return x * int(x[0])
        except Exception:
            continue


@pytest.mark.parametrize("function", [branches, item, mask, numpy, text, bounds, suppressing, again_and_again])
def test_what_needs_values_is_not_taken_for_an_error_by_the_functions_own_except(function: Any) -> None:
    def make(wrap: Any) -> Any:
        f = wrap(function)
        return [f(fl.tensor(x)).tolist() for x in ([3.0, 3.0], [-1.0, 2.0])]

    both(make)
    with pytest.raises(fl.compiler.CompileError):
        fl.compile(function, fullgraph=True)(fl.ones(2))


def test_what_was_recorded_before_the_call_is_passed_once() -> None:
    def make(wrap: Any) -> Any:
        found = []
        for use in (lambda x, v, w: x * v, lambda x, v, w: x * v + w, lambda x, v, w: x * v * v + v.sum() + w.exp()):
            w = fl.ones(3, dtype=fl.float64, requires_grad=True)
            v = w * 2
            u = v * v

            @wrap
            def f(x: Any, use: Any = use, u: Any = u, v: Any = v, w: Any = w) -> Any:
                return use(x, v, w) + u

            f(fl.tensor(X, dtype=fl.float64)).sum().backward()
            found.append([round(g, 9) for g in w.grad.tolist()])
        return found

    assert make(fl.compile) == make(lambda f: f)


def test_hooks_of_what_was_recorded_before_the_call() -> None:
    w = fl.ones(3, requires_grad=True)
    v = w * 2
    v.register_hook(lambda g: g * 10)
    fl.compile(lambda x: x * v, fullgraph=True)(fl.ones(2, 3)).sum().backward()
    assert w.grad.tolist() == [40.0] * 3


def hooks_a_leaf(x: Any, w: Any, other: Any) -> Any:
    w.register_hook(lambda g: g * 2)
    return x * w


def hooks_a_leaf_of_a_closure(x: Any, w: Any, other: Any) -> Any:
    other[0].register_hook(lambda g: g * 2)
    return x * w * other[0]


@pytest.mark.parametrize("function", [hooks_a_leaf, hooks_a_leaf_of_a_closure])
def test_each_call_puts_its_hook_on_a_tensor_from_outside(function: Any) -> None:
    def make(wrap: Any) -> Any:
        w, other = fl.ones(3, requires_grad=True), [fl.ones(3, requires_grad=True)]
        f = wrap(lambda x, w: function(x, w, other))
        found = []
        for _ in range(3):
            f(fl.tensor(X), w).sum().backward()
            found.append(w.grad.tolist())
        return found

    both(make)


def test_gradients_taken_inside_of_arguments_with_hooks() -> None:
    def make(wrap: Any) -> Any:
        w = fl.ones(3, requires_grad=True)
        f = wrap(lambda x, w: fl.autograd.grad((x * w).sum(), w)[0])
        before = f(fl.tensor(X), w).tolist()
        w.register_hook(lambda g: g * 2)
        return before, f(fl.tensor(X), w).tolist()

    both(make)


class Swallows:
    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: Any, *rest: Any) -> bool:
        return kind is not None and issubclass(kind, IndexError)


class Passes:
    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: Any) -> None:
        return None


@contextlib.contextmanager
def swallowing() -> Any:
    try:  # noqa: SIM105
        yield
    except IndexError:
        pass


def stacked() -> Any:
    stack = contextlib.ExitStack()
    stack.enter_context(swallowing())
    return stack


@pytest.mark.parametrize("manager", [Swallows, swallowing, stacked])
def test_context_managers_that_end_errors(manager: Any) -> None:
    def make(wrap: Any) -> Any:
        @wrap
        def f(x: Any, index: Any) -> Any:
            with Passes(), manager(), fl.no_grad():
                x = x[index]
            return x * 2

        return [f(fl.tensor([1.0, 2.0]), fl.tensor([i])).tolist() for i in (1, 7, 0)]

    both(make)


def test_context_managers_that_end_none_stay_in_the_program() -> None:
    @fl.compile(fullgraph=True)
    def f(x: Any, index: Any) -> Any:
        with Passes(), fl.no_grad(), contextlib.nullcontext(), fl.autocast("cpu", enabled=False):
            return x[index]

    assert f(fl.ones(2), fl.tensor([1])).tolist() == [1.0]


class Cut(fl.autograd.Function):
    """Gives its first input no gradient, and the second one only if `through`."""

    @staticmethod
    def forward(ctx: Any, x: Any, y: Any, through: bool) -> Any:
        ctx.save_for_backward(x)
        ctx.through = through
        return x * y

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        (x,) = ctx.saved_tensors
        return None, (gradient * x if ctx.through else None), None


@pytest.mark.parametrize("through", [False, True])
@pytest.mark.parametrize("of", ["leaves", "results of operators", "parts"])
def test_results_are_on_the_tape_through_what_gets_no_gradient(through: bool, of: str) -> None:
    def make(wrap: Any) -> Any:
        w = fl.ones(3, requires_grad=True)
        seen: list[Any] = []

        @wrap
        def f(x: Any, y: Any) -> Any:
            if of == "results of operators":
                return Cut.apply(x * 3, w.exp(), through)
            return Cut.apply(x, y, through) * (w if of == "parts" else 1)

        for k in range(3):
            x, y = fl.tensor(X, requires_grad=k != 2), fl.full((2, 3), 1.0 + k, requires_grad=k != 1)
            out = f(x, y)
            seen.append((out.requires_grad, out.grad_fn is not None, out.tolist()))
            if out.requires_grad:
                out.sum().backward()
            seen += [None if t.grad is None else t.grad.tolist() for t in (y, w)]
        return seen

    expected = make(lambda f: f)
    assert all(flag for flag, *_ in expected[::3])
    assert make(fl.compile) == expected


def test_a_model_trains_on_where_a_function_cuts_it_off() -> None:
    def make(wrap: Any) -> Any:
        fl.manual_seed(0)
        model, head = nn.Linear(3, 3), nn.Parameter(fl.ones(3))
        model.head = head
        model.forward = lambda x: Cut.apply(nn.functional.linear(x, model.weight, model.bias), head, True)
        optimizer, called = fl.optim.AdamW(model.parameters(), lr=0.1), wrap(model)
        seen: list[Any] = []
        for _ in range(3):
            optimizer.zero_grad()
            loss = called(fl.tensor(X)).square().sum()
            loss.backward()
            optimizer.step()
            seen.append((loss.requires_grad, round(loss.item(), 4), model.weight.grad, len(optimizer.state)))
        return seen

    assert make(fl.compile) == make(lambda f: f)
