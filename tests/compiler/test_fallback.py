"""`fullgraph=False`, the default: Python that needs values runs uncompiled, with one warning; what it calls stays compiled."""

from __future__ import annotations

import contextlib
import inspect
import random
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from compiler.scenarios import executions, frozen, same
from flambeau import nn
from flambeau.nn import functional as F

# ------------------------------------------------------------------------------------- Python needs a value


def branch(x):
    if x.sum() > 0:  # here
        return x * 2
    return x - 1


def while_loop(x):
    while x.abs().sum() < 20:  # here
        x = x * 2
    return x


def conditional_expression(x):
    return x if (x > 0).all() else -x  # here


def assertion(x):
    assert x.abs().max() < 100, "too big"  # here
    return x * 2


def item(x):
    return x * x.max().item()  # here


def to_list(x):
    return [k * 2 for k in x.tolist()]  # here


def to_float(x):
    return x * float(x[0])  # here


def to_int(x):
    return x[: int(x.abs().sum()) % 3 + 1]  # here


def to_bool(x):
    return bool((x > 1).any()), x  # here


def to_numpy(x):
    return fb.from_numpy(np.sin(x.numpy()))  # here


def numpy_function(x):
    return x * float(np.asarray(x).sum())  # here


def masked(x):
    return x[x > 0] * 2  # here


def nonzero(x):
    return x.nonzero()  # here


def unique(x):
    return fb.unique(x)  # here


def where_of_one_argument(x):
    return fb.where(x > 0)[0]  # here


def index_by_a_value(x):
    table = [1.0, 2.0, 3.0]
    return x * table[x.argmax()]  # here


def loop_over_a_value(x):
    for _ in range(x.argmax() + 1):  # here
        x = x * 2
    return x


def dict_by_a_value(x):
    return x * {0: 1.0, 1: 2.0, 2: 3.0}[x.argmax().item()]  # here


def formatted(x):
    return f"{x.sum():.1f}", x * 2  # here


def shown(x):
    print(x)  # here
    return x * 2


def text(x):
    return str(x.sum()), x  # here


def compared(x):
    return x * 2 if fb.equal(x, x.abs()) else x  # here


def all_close(x):
    return x * 2 if fb.allclose(x, x.abs()) else x  # here


def is_in(x):
    return x * 2 if 2.0 in x else x  # here


def maximum_by_python(x):
    return max(x[0], x[1]) * x  # here


def sorted_by_python(x):
    return fb.stack(sorted(x))  # here


def in_a_helper(x):
    return branch(x) + 1


def in_a_nested_function(x):
    def inner(y):
        return y.item()  # here

    return x * inner(x.sum())


def in_a_comprehension(x):
    return x * sum([k for k in x if k > 0], fb.zeros(()))  # here


def after_a_gradient(x):
    w = fb.ones(3, requires_grad=True)
    (g,) = fb.autograd.grad((w * x).sum(), w)
    if g.norm() > 2:  # here
        g = g / g.norm()
    return g


VALUES = [
    branch, while_loop, conditional_expression, assertion, item, to_list, to_float, to_int, to_bool, to_numpy, numpy_function,
    masked, nonzero, unique, where_of_one_argument, index_by_a_value, loop_over_a_value, dict_by_a_value, formatted, shown, text,
    compared, all_close, is_in, maximum_by_python, sorted_by_python, in_a_helper, in_a_nested_function, in_a_comprehension,
    after_a_gradient,
]  # fmt: skip
CURES = ("where", "instead", "outside", "return", "write", "disable", "size=", "keep")


def line_of(function: Callable[..., Any]) -> int:
    """The line that is marked with `# here`."""
    lines, first = inspect.getsourcelines(branch if function is in_a_helper else function)
    return first + next(i for i, line in enumerate(lines) if "# here" in line)


def arguments() -> list[fb.Tensor]:
    return [fb.tensor([1.0, 2.0, 3.0]), fb.tensor([-3.0, -2.0, 1.0]), fb.tensor([2.0, 5.0, 4.0])]


@pytest.mark.parametrize("function", VALUES, ids=lambda f: f.__name__)
def test_runs_uncompiled_with_one_warning(function: Callable[..., Any], capsys: Any) -> None:
    compiled = fb.compile(function)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for x in arguments():
            expected, printed = frozen(function(x)), capsys.readouterr().out
            assert same(frozen(compiled(x)), expected)
            assert capsys.readouterr().out == printed
    told = [str(w.message) for w in caught]
    assert len(told) == 1, told
    assert "test_fallback.py" in told[0] and f"line {line_of(function)}" in told[0], told[0]
    assert any(cure in told[0] for cure in CURES), told[0]


@pytest.mark.parametrize("function", VALUES, ids=lambda f: f.__name__)
def test_fullgraph_refuses(function: Callable[..., Any]) -> None:
    compiled = fb.compile(function, fullgraph=True)
    for x in arguments()[:2]:
        with pytest.raises(fb.compiler.CompileError, match=rf"test_fallback\.py.*line {line_of(function)}"):
            compiled(x)


# ----------------------------------------------------------------------- Python reads what is not the program's


def reads_the_clock(x):
    return x * 0 + time.perf_counter()


def draws_by_random(x):
    return x * random.random()


def draws_by_numpy(x):
    return x * np.random.rand()


def draws_by_a_numpy_generator(x):
    return x * GENERATOR.normal()


def shuffles(x):
    order = [0, 1, 2]
    random.shuffle(order)
    return x[order]


def reads_a_file(x):
    with open(FILE) as file:
        return x * float(file.read())


def reads_the_environment(x):
    import os

    return x * float(os.environ.get("FLAMBEAU_TEST_SCALE", "1"))


GENERATOR = np.random.default_rng(0)
FILE = ""


@pytest.mark.parametrize("function", [draws_by_random, draws_by_numpy, draws_by_a_numpy_generator, shuffles])
def test_pythons_random_numbers_are_drawn_at_each_call(function: Callable[..., Any]) -> None:
    global GENERATOR
    x, runs = fb.tensor([1.0, 2.0, 3.0]), []
    for run in (function, fb.compile(function)):
        random.seed(0), np.random.seed(0)
        GENERATOR = np.random.default_rng(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            runs.append([frozen(run(x)) for _ in range(4)])
    assert same(*runs)


def test_the_clock_is_read_at_each_call() -> None:
    compiled = fb.compile(reads_the_clock)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seen = []
        for _ in range(3):
            before = time.perf_counter()
            value = compiled(fb.zeros(1, dtype=fb.float64)).item()
            seen.append(before <= value <= time.perf_counter())
    assert all(seen)


def test_a_file_is_read_at_each_call(tmp_path: Any) -> None:
    global FILE
    FILE, x = str(tmp_path / "scale"), fb.ones(1)
    compiled = fb.compile(reads_a_file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k in (1.0, 2.0, 3.0):
            (tmp_path / "scale").write_text(str(k))
            assert compiled(x).item() == k


def test_the_environment_is_read_at_each_call(monkeypatch: Any) -> None:
    compiled = fb.compile(reads_the_environment)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k in (1.0, 2.0, 3.0):
            monkeypatch.setenv("FLAMBEAU_TEST_SCALE", str(k))
            assert compiled(fb.ones(1)).item() == k


def test_print_of_plain_text_happens_at_each_call(capsys: Any) -> None:
    box = {"n": 0}

    def step(x):
        box["n"] += 1
        print("step", box["n"])
        return x * 2

    compiled = fb.compile(step)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(3):
            compiled(fb.ones(1))
    assert capsys.readouterr().out == "step 1\nstep 2\nstep 3\n"


# ------------------------------------------------------------------------------ what is called stays compiled


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        return self.b(F.relu(self.a(x)))


class Gated(nn.Module):
    """Can't be one program; its children can."""

    def __init__(self, inner: Any = Block):
        super().__init__()
        self.first, self.second = inner(), inner()

    def forward(self, x):
        x = self.first(x)
        if x.sum() > 0:
            x = self.second(x)
        return x * 2


def settled(model: nn.Module, x: fb.Tensor) -> Any:
    """The model compiled, after some calls and their warnings."""
    compiled = fb.compile(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k in (1.0, -1.0, 2.0):
            compiled(x * k)
    return compiled


def test_children_of_a_module_stay_compiled() -> None:
    fb.manual_seed(0)
    model, x = Gated(), fb.tensor([[1.0, 2.0, 3.0]])
    compiled = settled(model, x)
    for k in (1.0, -1.0):
        assert executions(Gated.forward, lambda k=k: compiled(x * k)) == 1
        assert executions(Block.forward, lambda k=k: compiled(x * k)) == 0
        np.testing.assert_allclose(compiled(x * k).tolist(), model(x * k).tolist(), rtol=1e-5)


def test_children_stay_compiled_downwards() -> None:
    fb.manual_seed(0)
    model, x = nn.Sequential(Block(), Gated(Gated), Block()), fb.tensor([[1.0, 2.0, 3.0]])
    compiled = settled(model, x)
    for k in (1.0, -1.0):
        assert executions(Block.forward, lambda k=k: compiled(x * k)) == 0
        np.testing.assert_allclose(compiled(x * k).tolist(), model(x * k).tolist(), rtol=1e-5)


def test_modules_that_a_function_calls_stay_compiled() -> None:
    fb.manual_seed(0)
    block, x = Block(), fb.tensor([[1.0, 2.0, 3.0]])

    @fb.compile
    def step(x):
        y = block(x)
        return y * y.max().item()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        step(x), step(x)
    assert executions(Block.forward, lambda: step(x)) == 0
    np.testing.assert_allclose(step(x).tolist(), (block(x) * block(x).max()).tolist(), rtol=1e-5)


def test_training_through_compiled_children() -> None:
    def run(wrap):
        fb.manual_seed(0)
        model = Gated().double()
        opt = fb.optim.SGD(model.parameters(), lr=0.1)
        call = wrap(model)
        losses = []
        for k in (1.0, -1.0, 2.0, 0.5):
            opt.zero_grad()
            loss = call(fb.tensor([[1.0, 2.0, 3.0]], dtype=fb.float64) * k).pow(2).sum()
            loss.backward()
            opt.step()
            losses.append(loss.item())
        return losses, [p.tolist() for p in model.parameters()]

    expected = run(lambda m: m)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = run(fb.compile)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-9)
    for a, b in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


def test_state_and_hooks_of_children_count_once_per_call() -> None:
    model, seen = Gated(lambda: nn.BatchNorm1d(3)), []
    model.first.register_forward_hook(lambda module, args, out: seen.append(tuple(out.shape)))
    compiled = fb.compile(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n in range(1, 4):
            compiled(fb.arange(6.0).view(2, 3))
            assert model.first.num_batches_tracked.item() == n
            assert len(seen) == n


def test_a_failed_trace_undoes_what_it_did() -> None:
    box, w = {"n": 0, "log": []}, fb.zeros(1)

    @fb.compile
    def step(x):
        box["n"] += 1
        box["log"].append("seen")
        w.add_(1)
        noise = fb.rand(1)
        if x.sum() > 0:
            w.add_(10)
        return x + w + noise * 0

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fb.manual_seed(0)
        for n in range(1, 4):
            step(fb.ones(1))
            assert (box["n"], len(box["log"]), w.item()) == (n, n, 11.0 * n)
    after = fb.rand(1).item()
    fb.manual_seed(0)
    assert after == fb.rand(4)[3].item()


def test_only_the_call_that_needs_values_is_uncompiled() -> None:
    def step(x, careful):
        if careful and x.sum() > 0:
            return x * 2
        return x * 3

    compiled, x = fb.compile(step), fb.ones(2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            assert compiled(x, False).tolist() == [3.0, 3.0]
            assert compiled(x, True).tolist() == [2.0, 2.0]
    assert len(caught) == 1
    assert executions(step, lambda: compiled(x, False)) == 0
    assert executions(step, lambda: compiled(x, True)) == 1


def test_the_warning_names_the_innermost_line_of_the_user() -> None:
    class Careful(nn.Module):
        def forward(self, x):
            return x if bool(x.any()) else -x  # here

    model = nn.Sequential(nn.Linear(2, 2), Careful())
    with pytest.warns(UserWarning, match=rf"line {line_of(Careful.forward)}\b"):
        fb.compile(model)(fb.ones(1, 2))


@contextlib.contextmanager
def _counted(seen: Any) -> Iterator[None]:
    seen.depth += 1
    try:
        yield
    finally:
        seen.depth -= 1
        seen.ends += 1


def _in_finally(x: Any, seen: Any) -> Any:
    try:
        return x * x.max().item()
    finally:
        seen.ends += 1
        seen.log.append(seen.ends)


def _in_a_manager(x: Any, seen: Any) -> Any:
    with _counted(seen), fb.no_grad(), contextlib.ExitStack() as stack:
        stack.enter_context(_counted(seen))
        return x * x.max().item()


def _in_a_bare_except(x: Any, seen: Any) -> Any:
    try:
        return x * x.max().item()
    except:
        seen.ends += 100
        raise


def _in_a_generator(x: Any, seen: Any) -> Any:
    def parts() -> Iterator[Any]:
        try:
            yield x
        finally:
            seen.ends += 1

    return next(parts()) * x.max().item()


def _tensors_in_finally(x: Any, seen: Any) -> Any:
    try:
        return x * x.max().item()
    finally:
        seen.weight.add_(1)
        seen.total = seen.total + x


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "function", [_in_finally, _in_a_manager, _in_a_bare_except, _in_a_generator, _tensors_in_finally]
)
def test_handlers_run_once_where_a_trace_ends(function: Callable[..., Any]) -> None:
    shown = []
    for compiled in (False, True):
        seen = types.SimpleNamespace(ends=0, depth=0, log=[], weight=fb.zeros(2), total=fb.zeros(2))
        call = (
            fb.compile(lambda x, seen=seen: function(x, seen)) if compiled else lambda x, seen=seen: function(x, seen)
        )
        results = [call(fb.tensor([1.0, k])).tolist() for k in (2.0, 3.0)]
        shown.append(
            (results, seen.ends, seen.depth, seen.log, seen.weight.tolist(), seen.total.tolist(), fb.is_grad_enabled())
        )
    assert shown[0] == shown[1]
    assert fb.is_grad_enabled() and sys.getswitchinterval() < 1


def test_an_interpreter_without_a_table_of_handlers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flambeau.compiler.guards.unwinding._can", lambda: False)
    seen = types.SimpleNamespace(ends=0, depth=0, log=[], weight=fb.zeros(2), total=fb.zeros(2))
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        fb.compile(lambda x: _in_finally(x, seen))(fb.tensor([1.0]))
    assert sum("what they write is done twice" in str(w.message) for w in given) == 1 and seen.ends == 2


def test_a_warning_that_names_the_users_module_does_not_end_the_trace() -> None:
    """Python notes in the module's `__warningregistry__` that it was given: nothing that a program would have to repeat."""
    source = (
        "def step(theta, x):\n    g = F.affine_grid(theta, x.shape)\n    return F.grid_sample(x, g).sum() * SCALE\n"
    )
    names = {"F": fb.nn.functional, "SCALE": 2.0, "__name__": "a_users_module"}
    exec(compile(source, "a_users_module.py", "exec"), names)
    theta, x = fb.eye(2, 3)[None], fb.arange(16.0).reshape(1, 1, 4, 4)
    step = fb.compile(names["step"], fullgraph=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        results = [step(theta, x).item() for _ in range(3)]
        names["SCALE"] = 1.0
        results.append(step(theta, x).item())
    assert {str(w.message).split(".")[0] for w in caught} == {
        "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1"
    }
    assert "__warningregistry__" in names
    assert results == [240.0, 240.0, 240.0, 120.0]
