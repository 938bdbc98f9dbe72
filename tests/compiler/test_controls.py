"""`torch.compiler` and `torch._dynamo`: the names that programs use, threads, what a failed trace leaves behind, and scripts."""

from __future__ import annotations

import contextlib
import functools
import gc
import io
import re
import threading
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from compiler.scenarios import executions
from flambeau import nn

SCRIPTS = Path(__file__).parent / "scripts"

# ------------------------------------------------------------------------------------------------ controls


def test_disabled_functions_run_at_each_call() -> None:
    def slow(x):
        return x * 2 if x.sum() > 0 else x

    compiled = fb.compile(lambda x: fb.compiler.disable(slow)(x) + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k, expected in ((1.0, 3.0), (-1.0, 0.0), (2.0, 5.0)):
            assert compiled(fb.full((1,), k)).item() == expected
        assert executions(slow, lambda: compiled(fb.ones(1))) == 1


@pytest.mark.parametrize("how", ["decorator", "call", "with a reason", "recursive=False", "a module"])
def test_forms_of_disable(how: str) -> None:
    def double(x):
        return x * 2

    disable = fb.compiler.disable
    if how == "decorator":
        function: Any = disable()(double)
    elif how == "call":
        function = disable(double)
    elif how == "with a reason":
        function = disable(double, reason="it prints")
    elif how == "recursive=False":
        function = disable(recursive=False)(double)
    else:
        function = disable(nn.Linear(1, 1, bias=False))
        nn.init.constant_(function.weight, 2.0)
    assert function(fb.ones(1, 1)).item() == 2.0
    assert fb.compile(function)(fb.ones(1, 1)).item() == 2.0


def test_a_compiled_function_under_disable_runs_uncompiled() -> None:
    def body(x):
        return x * 2

    compiled = fb.compile(body)
    compiled(fb.ones(1))
    outer = fb.compiler.disable(lambda x: compiled(x))
    assert executions(body, lambda: outer(fb.ones(1))) == 1
    assert executions(body, lambda: compiled(fb.ones(1))) == 0


def test_disabled_modules_inside_a_compiled_one() -> None:
    class Disabled(nn.Module):
        @fb.compiler.disable
        def forward(self, x):
            return x * x.max().item()

    model = nn.Sequential(nn.Linear(2, 2), Disabled())
    compiled = fb.compile(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k in (1.0, 2.0):
            x = fb.full((1, 2), k)
            np.testing.assert_allclose(compiled(x).tolist(), model(x).tolist(), rtol=1e-5)


def test_is_compiling() -> None:
    def f(x):
        return x * 2 if fb.compiler.is_compiling() else x

    assert f(fb.ones(1)).item() == 1.0 and not fb.compiler.is_compiling()
    compiled = fb.compile(f)
    assert [compiled(fb.ones(1)).item() for _ in range(2)] == [2.0, 2.0]
    assert fb.compiler.is_dynamo_compiling() is False
    assert fb.compiler.is_exporting() is False


def test_allow_in_graph_and_assume_constant_result() -> None:
    @fb.compiler.allow_in_graph
    def twice(x):
        return x * 2

    @fb.compiler.assume_constant_result
    def three():
        return 3

    compiled = fb.compile(lambda x: twice(x) + three())
    assert compiled(fb.ones(1)).item() == 5.0 and twice(fb.ones(1)).item() == 2.0
    assert list(fb.compiler.allow_in_graph([twice, fb.sin])) == [twice, fb.sin]


def test_stance_force_eager() -> None:
    def f(x):
        return x * 2

    compiled, x = fb.compile(f), fb.ones(1)
    compiled(x)
    with fb.compiler.set_stance(stance="force_eager"):
        assert executions(f, lambda: compiled(x)) == 1
    assert executions(f, lambda: compiled(x)) == 0
    fb.compiler.set_stance("force_eager")
    try:
        assert executions(f, lambda: compiled(x)) == 1
    finally:
        fb.compiler.set_stance("default")
    assert executions(f, lambda: compiled(x)) == 0


def test_stances_about_new_programs() -> None:
    def f(x):
        return x * 2

    compiled, x = fb.compile(f), fb.ones(1)
    compiled(x)
    with fb.compiler.set_stance("eager_on_recompile"):
        assert executions(f, lambda: compiled(x)) == 0
        assert executions(f, lambda: compiled(fb.ones(1, 2, 3))) == 1
    with fb.compiler.set_stance("fail_on_recompile"):
        assert compiled(x).item() == 2.0
        with pytest.raises(RuntimeError, match="fail_on_recompile"):
            compiled(fb.ones(1, 2, 3, 4))
    with pytest.raises(RuntimeError, match="stance"):
        fb.compiler.set_stance("sideways")


def test_stance_decorates_a_function() -> None:
    def f(x):
        return x * 2

    compiled, x = fb.compile(f), fb.ones(1)
    compiled(x)

    @fb.compiler.set_stance("force_eager")
    def outer(x):
        return compiled(x)

    assert executions(f, lambda: outer(x)) == 1


def test_reset_forgets_programs() -> None:
    def f(x):
        return x * 2

    compiled = fb.compile(f)
    compiled(fb.ones(1))
    assert executions(f, lambda: compiled(fb.ones(1))) == 0
    fb.compiler.reset()
    assert executions(f, lambda: compiled(fb.ones(1))) == 1
    fb._dynamo.reset()
    assert executions(f, lambda: compiled(fb.ones(1))) == 1
    assert len(fb.compile.explain(compiled)) == 1


def test_cudagraph_mark_step_begin_and_backends() -> None:
    assert fb.compiler.cudagraph_mark_step_begin() is None
    assert isinstance(fb.compiler.list_backends(), list)
    for backend in ("eager", "inductor", "aot_eager", "cudagraphs"):
        assert fb.compile(lambda x: x * 2, backend=backend)(fb.ones(1)).item() == 2.0


def test_dynamo_names() -> None:
    import flambeau._dynamo as dynamo

    def f(x):
        return x * 2

    assert dynamo.disable(f)(fb.ones(1)).item() == 2.0
    assert dynamo.optimize("eager")(f)(fb.ones(1)).item() == 2.0
    assert dynamo.optimize()(f)(fb.ones(1)).item() == 2.0
    x = fb.ones(2, 3)
    dynamo.mark_static(x, 1), dynamo.maybe_mark_dynamic(x, 0)
    assert fb.compile(f)(x).tolist() == [[2.0] * 3] * 2
    for name in ("suppress_errors", "recompile_limit", "cache_size_limit", "verbose", "capture_scalar_outputs"):
        before = getattr(dynamo.config, name)
        setattr(dynamo.config, name, before)
    assert dynamo.is_compiling() is False


def test_graph_break() -> None:
    def f(x):
        y = x * 2
        fb._dynamo.graph_break()
        return y + 1

    assert f(fb.ones(1)).item() == 3.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert fb.compile(f)(fb.ones(1)).item() == 3.0
    with pytest.raises(fb.compiler.CompileError):
        fb.compile(f, fullgraph=True)(fb.ones(1))


def test_disabled_compile_and_other_forms() -> None:
    def f(x):
        return x * 2

    assert fb.compile(f, disable=True)(fb.ones(1)).item() == 2.0
    assert fb.compile(fullgraph=True, dynamic=False)(f)(fb.ones(1)).item() == 2.0
    module = nn.Linear(1, 1)
    x = fb.ones(1, 1)
    expected = module(x).item()
    module.compile()
    assert module(x).item() == pytest.approx(expected)
    assert executions(nn.Linear.forward, lambda: module(x)) == 0
    assert list(module.state_dict()) == ["weight", "bias"]


def test_the_default_of_fullgraph() -> None:
    import inspect

    assert inspect.signature(fb.compile).parameters["fullgraph"].default is False


# ------------------------------------------------------------------------------------------------- threads


def together(*codes: Callable[[], Any]) -> list[Any]:
    """Run the codes in threads that start at the same moment; results or exceptions."""
    gate, out = threading.Barrier(len(codes)), [None] * len(codes)

    def run(i: int) -> None:
        gate.wait()
        try:
            out[i] = codes[i]()
        except Exception as error:
            out[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(codes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return out


def plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, fb.Tensor) else value


def test_two_threads_make_the_first_call() -> None:
    for _ in range(3):
        model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).double()
        compiled = fb.compile(model)
        xs = [fb.full((1, 3), k, dtype=fb.float64) for k in (1.0, 2.0, 3.0)]
        expected = [model(x).tolist() for x in xs]
        found = together(*(functools.partial(compiled, x) for x in xs))
        for a, b in zip(found, expected, strict=True):
            assert not isinstance(a, Exception), a
            np.testing.assert_allclose(a.tolist(), b, rtol=1e-9)
        assert len(fb.compile.explain(compiled)) == 1


def test_two_threads_first_call_of_a_training_step() -> None:
    w = nn.Parameter(fb.ones(3, dtype=fb.float64))
    opt, box = fb.optim.SGD([w], lr=0.1), {"n": 0}

    @fb.compile
    def step(x):
        box["n"] += 1
        opt.zero_grad()
        (w * x).sum().backward()
        opt.step()

    x = fb.ones(3, dtype=fb.float64)
    assert together(lambda: step(x), lambda: step(x), lambda: step(x)) == [None] * 3
    np.testing.assert_allclose(w.tolist(), [0.7] * 3)
    assert box["n"] == 3


def test_uncompiled_work_of_another_thread_is_no_part_of_the_program() -> None:
    go, done = threading.Event(), threading.Event()
    other = fb.zeros(3)

    def beside():
        go.wait(60)
        for _ in range(5):
            other.add_(1)
        done.set()
        return other.tolist()

    def step(x):
        go.set()
        done.wait(60)
        return x * 2

    compiled = fb.compile(step)

    def first():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [plain(compiled(fb.ones(2))) for _ in range(3)]

    found = together(beside, first)
    assert found == [[5.0] * 3, [[2.0, 2.0]] * 3]
    assert other.tolist() == [5.0] * 3


def test_threads_compile_different_functions() -> None:
    def make(k):
        return fb.compile(lambda x: fb.sin(x) * k)

    x = fb.ones(2)
    functions = [make(float(k)) for k in range(1, 5)]
    found = together(*(lambda f=f: f(x) for f in functions))
    for k, y in enumerate(found, 1):
        np.testing.assert_allclose(plain(y), (fb.sin(x) * k).tolist(), rtol=1e-6)


def test_threads_call_a_traced_function_with_their_own_grad_mode() -> None:
    w = nn.Parameter(fb.ones(2))
    compiled, x = fb.compile(lambda x: x * w), fb.ones(2)
    compiled(x)

    def without():
        with fb.no_grad():
            return [compiled(x).requires_grad for _ in range(20)]

    found = together(without, lambda: [compiled(x).requires_grad for _ in range(20)])
    assert found == [[False] * 20, [True] * 20]


# --------------------------------------------------------------------------------------------------- leaks


def leftovers(call: Callable[[], Any], times: int = 20) -> int:
    """Objects more after `times` calls than before them, the first ones (which NumPy may compute) not counted."""
    for _ in range(12):
        call()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(times):
        call()
    gc.collect()
    return len(gc.get_objects()) - before


def fails_by_the_user(x):
    y = x * 2
    raise ValueError(str(y.shape))


def fails_by_an_operator(x):
    return x @ fb.ones(77)


def fails_for_a_value(x):
    return x * 2 if x.sum() > 0 else x


def fails_after_backward(x):
    w = fb.ones(3, requires_grad=True)
    (w * x).sum().backward()
    raise KeyError("later")


@pytest.mark.parametrize("function", [fails_by_the_user, fails_by_an_operator, fails_for_a_value, fails_after_backward])
@pytest.mark.parametrize("fullgraph", [False, True])
def test_a_trace_that_raises_leaks_nothing(function: Callable[..., Any], fullgraph: bool) -> None:
    compiled = fb.compile(function, fullgraph=fullgraph)

    def call() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(Exception):
                compiled(fb.ones(3))

    assert leftovers(call) < 20


def test_a_trace_that_raises_lets_its_arguments_go() -> None:
    x = fb.ones(3)
    gone = weakref.ref(x)
    with pytest.raises(ValueError):
        fb.compile(fails_by_the_user)(x)
    del x
    gc.collect()
    assert gone() is None


def test_calls_of_a_counter_leak_nothing() -> None:
    box = {"n": 0}

    def step(x):
        box["n"] += 1
        return x * box["n"]

    compiled, x = fb.compile(step), fb.ones(3)
    assert leftovers(lambda: compiled(x)) < 5


def test_compiled_functions_are_let_go() -> None:
    def used() -> Any:
        model = nn.Linear(2, 2)
        compiled = fb.compile(lambda x: model(x))
        compiled(fb.ones(2))
        return weakref.ref(model)

    gone = used()
    gc.collect()
    assert gone() is None


# ------------------------------------------------------------------------------------------------- scripts

# Where a compiled function differs on purpose, or from torch's own backends: the first words of a line of output.
DIFFERENT = {
    "compile_python_state": {
        "noncontig": "noncontig RuntimeError",  # the uncompiled function's exception
        "full": "full CompileError",  # torch finds the function's earlier, broken graph
    }
}


@pytest.mark.parametrize("script", sorted(p.stem for p in SCRIPTS.glob("*.py")))
def test_scripts_print_what_torch_prints(script: str) -> None:
    source = (SCRIPTS / f"{script}.py").read_text()
    source = re.sub(r"^import types, torch$", "import types\nimport torch", source, flags=re.M)
    source = re.sub(r"^import torch$", "import flambeau as torch", source, flags=re.M)
    source = source.replace("from torch import nn", "from flambeau import nn")
    out = io.StringIO()
    fb.manual_seed(0)
    with contextlib.redirect_stdout(out), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(source, str(SCRIPTS / f"{script}.py"), "exec"), {"__name__": "__main__"})
    changed = DIFFERENT.get(script, {})
    expected = [
        changed.get(line.split(" ")[0], line) for line in (SCRIPTS / f"{script}.expected").read_text().splitlines()
    ]
    assert out.getvalue().splitlines() == expected


def test_names_of_dynamo_that_say_what_to_do_instead() -> None:
    def double(x):
        return x * 2

    assert fb._dynamo.run(double) is double
    assert fb._dynamo.run()(double) is double
    with pytest.raises(NotImplementedError, match=r"torch\.compiler\.disable"):
        fb._dynamo.disallow_in_graph(fb.sub)
    with pytest.raises(NotImplementedError, match=r"torch\.export\.export"):
        fb._dynamo.export(double)
    with pytest.raises(NotImplementedError, match="XLA compiles"):
        fb._dynamo.lookup_backend("inductor")
    assert fb._dynamo.external_utils.wrap_inline(double) is double
