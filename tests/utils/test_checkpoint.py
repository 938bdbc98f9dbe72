"""Recomputation in the backward pass: values, gradients, calls and errors of both libraries."""

from __future__ import annotations

import dataclasses
import random
import types
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch.utils.checkpoint

import flambeau as fb
import flambeau.utils.checkpoint
from flambeau.utils.checkpoint import checkpoint, checkpoint_sequential
from support.programs import agree

nn = fb.nn
Pair = namedtuple("Pair", "first second")


@dataclasses.dataclass
class Output:
    hidden: Any
    count: int


def make() -> tuple[fb.nn.Sequential, fb.Tensor]:
    fb.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 2)), fb.randn(3, 4)


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("form", ["module", "sequential", "closure"])
@pytest.mark.parametrize("input_needs_grad", [True, False])
def test_same_gradients(form: str, input_needs_grad: bool, reentrant: bool) -> None:
    if reentrant and (form == "closure" or not input_needs_grad):
        pytest.skip("refused, and without a gradient, in PyTorch too")
    net, x = make()
    x.requires_grad_(input_needs_grad)
    state = fb.get_rng_state()
    plain = net(x)
    plain.square().sum().backward()
    wanted = [p.grad for p in net.parameters()], x.grad
    net.zero_grad()
    x.grad = None
    fb.set_rng_state(state)
    if form == "sequential":
        again = checkpoint_sequential(net, 2, x, use_reentrant=reentrant)
    elif form == "closure":
        again = checkpoint(lambda v, twice: net(v * twice / 2), x, twice=2, use_reentrant=reentrant)
    else:
        again = checkpoint(net, x, use_reentrant=reentrant)
    assert fb.equal(again, plain)
    after = fb.get_rng_state()
    again.square().sum().backward()
    assert fb.equal(fb.get_rng_state(), after)
    for p, g in zip(net.parameters(), wanted[0], strict=True):
        assert fb.allclose(p.grad, g)
    assert x.grad is None if not input_needs_grad else fb.allclose(x.grad, wanted[1])


# --- programs whose every result is compared with PyTorch's ----------------------------------------------------------


def ones(t: Any, n: int = 2) -> Any:
    return t.ones(n, dtype=t.float64, requires_grad=True)


def run(t: Any, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    return t.utils.checkpoint.checkpoint(function, *args, **{"use_reentrant": False, **options})


def structures(t: Any) -> Any:
    x, w = ones(t), ones(t)
    kinds: tuple[Callable[[Any], Any], ...] = (
        lambda a: {"o": a.sin() * w, "n": 3, "s": "text", "none": None},
        lambda a: (a.sin(), [a.cos(), {"deep": a * w}], "s"),
        lambda a: [a.sin(), None],
        lambda a: Pair(a.exp(), 1),
        lambda a: OrderedDict(x=a * a, y=a),
        lambda a: a.long(),
        lambda a: None,
    )
    made = [run(t, kind, x) for kind in kinds]
    total = made[0]["o"] + made[1][0] + made[1][1][1]["deep"] + made[2][0] + made[3].first + made[4]["x"]
    total.sum().backward()
    return made, x.grad, w.grad


def of_a_dataclass(t: Any) -> Any:
    x = ones(t)
    made = run(t, lambda a: Output(a.sin(), 2), x)
    made.hidden.sum().backward()
    return type(made).__name__, made.count, made.hidden, x.grad


def second_order(t: Any) -> Any:
    x, w = ones(t), ones(t)

    def inner(v: Any) -> Any:
        return run(t, t.tanh, v * 2 * w) + v.sin()

    found = []
    for function in (t.tanh, inner, lambda v: run(t, inner, v) * w):
        y = run(t, function, x).sum()
        (first,) = t.autograd.grad(y, x, create_graph=True)
        found += [first, *t.autograd.grad(first.square().sum(), (x, w), allow_unused=True, create_graph=True)]
    third = t.autograd.grad(found[-1].sum(), (x, w))
    return found, third


def forces(t: Any) -> Any:
    x, w = ones(t), ones(t)
    modes = []

    def energy(position: Any) -> Any:
        modes.append((t.is_grad_enabled(), position.requires_grad))
        e = (w * position**3).sum()
        (force,) = t.autograd.grad(e, position, create_graph=True)
        return force.sin()

    y = run(t, energy, x)
    y.sum().backward()
    return y, x.grad, w.grad, modes[0]


def nested_calls(t: Any) -> Any:
    found: list[Any] = []
    for depth in (1, 2, 3, 4):
        calls = [0] * depth

        def level(d: int, calls: list[int] = calls, depth: int = depth) -> Callable[[Any], Any]:
            def function(a: Any) -> Any:
                calls[d] += 1
                a = a.sin()
                return (run(t, level(d + 1), a) if d + 1 < depth else a).cos()

            return function

        x = ones(t)
        run(t, level(0), x).sum().backward()
        found += [list(calls), x.grad]
    return found


def of_subsets(t: Any) -> Any:
    x, w, calls = ones(t), ones(t), [0]

    def function(a: Any) -> Any:
        calls[0] += 1
        return (a * w).sin() * w

    y = run(t, function, x).sum()
    first = t.autograd.grad(y, x, retain_graph=True)
    second = t.autograd.grad(y, w, retain_graph=True)
    y.backward()
    return calls, first, second, x.grad, w.grad


def early_stop(t: Any) -> Any:
    logs: list[Any] = []

    def function(a: Any) -> Any:
        y = a.sin()
        logs.append("between")
        return y + 1

    for options in ({}, {"early_stop": False}):
        run(t, function, ones(t), **options).sum().backward()
    for enable in (True, False):
        with t.utils.checkpoint.set_checkpoint_early_stop(enable):
            y = run(t, function, ones(t))
        y.sum().backward()
        logs.append(enable)
    return logs


def batch_norm(t: Any) -> Any:
    found: list[Any] = []
    for reentrant in (True, False):
        for layers in ((t.nn.Linear(3, 3), t.nn.BatchNorm1d(3)), (t.nn.BatchNorm1d(3), t.nn.Linear(3, 3))):
            net = t.nn.Sequential(*layers).double()
            x = t.arange(12, dtype=t.float64).reshape(4, 3).sin().requires_grad_()
            run(t, net, x, use_reentrant=reentrant).square().sum().backward()
            found += [x.grad, *[p.grad for p in net.parameters()], *net.buffers()]
    return found


def contexts(t: Any) -> Any:
    log: list[str] = []

    class Note:
        def __init__(self, name: str):
            self.name = name

        def __enter__(self) -> None:
            log.append("in " + self.name)

        def __exit__(self, *error: Any) -> None:
            log.append("out " + self.name)

    def both() -> Any:
        log.append("made")
        return Note("first"), Note("second")

    def function(a: Any) -> Any:
        log.append(f"run {t.is_grad_enabled()}")
        return a.sin()

    with t.no_grad():
        run(t, function, ones(t), context_fn=both)
    y = run(t, function, ones(t), context_fn=both).sum()
    y.backward(retain_graph=True)
    y.backward()
    run(t, function, t.ones(2), context_fn=both)
    return log


def draws(t: Any) -> Any:
    """Every kind of number is the same again, and the stream goes on where it was."""
    numbers: list[Any] = []

    def function(a: Any) -> Any:
        kinds = (t.rand(2), t.randn(3), t.randperm(4), t.randint(0, 9, (2,)), t.bernoulli(t.full((3,), 0.5)))
        numbers.append([k.tolist() for k in kinds])
        return (a * kinds[0]).exp() * a

    found: list[Any] = []
    for reentrant in (True, False):
        x = ones(t)
        run(t, function, x, use_reentrant=reentrant).sum().backward()
        assert numbers[-1] == numbers[-2]
        found += [x.grad, t.rand(1)]
    run(t, function, ones(t), preserve_rng_state=False).sum().backward()
    assert numbers[-1] != numbers[-2]
    return found


def hooks(t: Any) -> Any:
    """Hooks around a part see its arguments, hooks inside of it what is saved there."""
    log: list[Any] = []
    noting = lambda name: t.autograd.graph.saved_tensors_hooks(  # noqa: E731
        lambda x: (log.append((name, list(x.shape))), x)[1], lambda x: (log.append(("un" + name, list(x.shape))), x)[1]
    )

    def inside(a: Any) -> Any:
        with noting("in"):
            b = a.sin()
        return b.cos()

    x = ones(t)
    for reentrant in (True, False):
        with noting("around"):
            y = run(t, lambda a: a.sin().cos(), x, use_reentrant=reentrant)
        y.sum().backward()
    run(t, inside, x).sum().backward()
    with t.autograd.graph.save_on_cpu():
        y = run(t, lambda a: a.sin().cos(), x)
        z = run(t, lambda a: a.exp() * a, y)
    z.sum().backward()
    return log, x.grad


def leaves(t: Any) -> Any:
    seen = []

    def function(a: Any) -> Any:
        seen.append((a.is_leaf, a.requires_grad, type(a).__name__))
        return a.sin()

    p = t.nn.Parameter(t.ones(2))
    for reentrant in (True, False):
        for value in (p, p * 2):
            run(t, function, value, use_reentrant=reentrant).sum().backward(retain_graph=True)
    return seen


def own_functions(t: Any) -> Any:
    class Cube(t.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any, b: Any) -> Any:
            ctx.save_for_backward(a, b)
            return a**3 * b

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            a, b = ctx.saved_tensors
            return 3 * a**2 * b * g, a**3 * g

    x, w = ones(t), ones(t)
    y = run(t, lambda a: Cube.apply(a.sin(), w).cos(), x).sum()
    first = t.autograd.grad(y, (x, w), create_graph=True)
    return first, t.autograd.grad(first[0].sum() + first[1].sum(), (x, w))


def hooks_on_saved_functions(t: Any) -> Any:
    """A second derivative goes on through what hooks gave back to a Function."""

    class Square(t.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any) -> Any:
            ctx.save_for_backward(a)
            return a * a

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return 2 * ctx.saved_tensors[0] * g

    x = ones(t)
    with t.autograd.graph.saved_tensors_hooks(lambda v: v, lambda v: v):
        y = Square.apply(x.sin()).sum()
        (first,) = t.autograd.grad(y, x, create_graph=True)
    return first, t.autograd.grad(first.sum(), x)


def sequential(t: Any) -> Any:
    net = t.nn.Sequential(*(t.nn.Linear(3, 3) for _ in range(7))).double()
    found: list[Any] = []
    for segments in (1, 2, 3, 7):
        for functions in (net, list(net)):
            x = ones(t, 3)
            y = t.utils.checkpoint.checkpoint_sequential(functions, segments, x, use_reentrant=False)
            y.sum().backward()
            found += [y, x.grad, net[0].weight.grad]
    return found


def autocast_state(t: Any) -> Any:
    kinds: list[str] = []
    net = t.nn.Sequential(t.nn.Linear(4, 4), t.nn.ReLU(), t.nn.Linear(4, 4))
    net[1].register_forward_hook(lambda module, args, out: kinds.append(str(out.dtype)))
    x = t.ones(2, 4, requires_grad=True)
    for reentrant in (True, False):
        with t.autocast("cpu", dtype=t.bfloat16):
            y = run(t, net, x, use_reentrant=reentrant)
        y.float().sum().backward()
        kinds.append(str(y.dtype))
    return kinds, str(x.grad.dtype)


def inputs_without_gradient(t: Any) -> Any:
    w = ones(t)
    y = run(t, lambda a: (a * w).sin(), t.ones(2, dtype=t.float64))
    y.sum().backward()
    with t.no_grad():
        off = run(t, lambda a: (a * w).sin(), w)
    other = run(t, lambda a: a.sin(), t.ones(2))
    closed = run(t, lambda: w.sin())
    closed.sum().backward()
    return y, w.grad, off, other


def dictionaries(t: Any) -> Any:
    d = {"q": ones(t), "k": [ones(t)]}
    made = run(t, lambda e, scale=1.0: {"o": e["q"] ** 2 * e["k"][0] * scale}, d, scale=ones(t) * 3)
    made["o"].sum().backward()
    return made, d["q"].grad, d["k"][0].grad


PROGRAMS = (
    structures, of_a_dataclass, second_order, forces, nested_calls, of_subsets, early_stop, batch_norm, contexts, draws,
    hooks, leaves, own_functions, hooks_on_saved_functions, sequential, autocast_state, inputs_without_gradient, dictionaries,
)  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_as_pytorch(program: Callable[[Any], Any]) -> None:
    agree(program)


# --- refusals and warnings -------------------------------------------------------------------------------------------


def changing(t: Any, *functions: Callable[[Any], Any], **options: Any) -> Any:
    """A function that is another one the second time."""
    which = iter(functions)
    x = ones(t)
    run(t, lambda a: next(which)(a), x, **options).sum().backward()
    return x.grad


def three(a: Any) -> Any:
    return a.sin().cos().exp()


def reentrant(t: Any, function: Callable[[Any], Any], *args: Any, **options: Any) -> Any:
    return run(t, function, *(args or (ones(t),)), use_reentrant=True, **options)


REFUSED: dict[str, Callable[[Any], Any]] = {
    "fewer": lambda t: changing(t, three, t.sin),
    "fewer unchecked": lambda t: changing(t, three, t.sin, determinism_check="none"),
    "more": lambda t: changing(t, t.sin, three, early_stop=False),
    "shape": lambda t: changing(t, three, lambda a: three(a.repeat(2))),
    "dtype": lambda t: changing(t, three, lambda a: three(a.float())),
    "first two": lambda t: changing(t, three, lambda a: a.repeat(2).sin().cos()[:2].exp()),
    "check": lambda t: run(t, t.sin, ones(t), determinism_check="some"),
    "debug and contexts": lambda t: run(t, t.sin, ones(t), debug=True, context_fn=lambda: (1, 2)),
    "keywords": lambda t: reentrant(t, lambda a, b: a * b, b=ones(t)),
    "contexts": lambda t: reentrant(t, t.sin, context_fn=lambda: (1, 2)),
    "debug": lambda t: reentrant(t, t.sin, debug=True),
    "sequential": lambda t: t.utils.checkpoint.checkpoint_sequential([t.sin], 1, ones(t), use_reentrant=False, foo=1),
    "grad": lambda t: (x := ones(t)) is None or t.autograd.grad(reentrant(t, t.sin, x).sum(), x),
    "inputs": lambda t: (x := ones(t)) is None or reentrant(t, t.sin, x).sum().backward(inputs=[x]),
    "detached": lambda t: reentrant(t, lambda a: a.detach()).sum().backward(),
    "twice": lambda t: [(y := run(t, t.sin, ones(t)).sum()).backward(), y.backward()],
    "twice reentrant": lambda t: [(y := reentrant(t, t.sin).sum()).backward(), y.backward()],
    "hooks disabled": lambda t: _without_hooks(t),
    "list": lambda t: t.utils.checkpoint.detach_variable([ones(t)]),
}


def _without_hooks(t: Any) -> Any:
    with t.autograd.graph.disable_saved_tensors_hooks("no hooks here"):
        return run(t, t.sin, ones(t))


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    def told(t: Any) -> Any:
        try:
            return REFUSED[name](t)
        except t.utils.checkpoint.CheckpointError as error:  # of another class in each library
            return "CheckpointError: " + str(error).split("If this error occurs under torch.compile")[0].rstrip()

    agree(told, words=40)


def test_another_shape_that_is_not_checked() -> None:
    """The gradient can't be computed from it, in words of ours: PyTorch tells what its kernel of the derivative met."""
    for library in (fb, torch):
        with pytest.raises(RuntimeError) as caught:
            changing(library, library.sin, lambda a: a.repeat(2).sin(), determinism_check="none")
    for shape in ((2, 2), (1,)):  # PyTorch's kernel broadcasts these, and gives numbers
        with pytest.raises(RuntimeError, match=r"sin: a gradient of shape \[2\] .* checkpoint") as caught:
            changing(fb, fb.sin, lambda a, s=shape: a.sum().expand(s).sin(), determinism_check="none")
    assert type(caught.value) is RuntimeError


@pytest.mark.parametrize("given", [{}, {"use_reentrant": True}, {"use_reentrant": False}])
@pytest.mark.parametrize("needs_grad", [True, False])
def test_warnings(given: dict[str, bool], needs_grad: bool) -> None:
    agree(lambda t: t.utils.checkpoint.checkpoint(t.sin, t.ones(2, requires_grad=needs_grad), **given))
    agree(lambda t: t.utils.checkpoint.checkpoint_sequential([t.sin, t.cos], 2, t.ones(2), **given))


def test_debug_tells_the_operators() -> None:
    with pytest.raises(
        flambeau.utils.checkpoint.CheckpointError, match=r"original forward:(.|\n)*Sin(.|\n)*Cos(.|\n)*Exp"
    ):
        changing(fb, three, fb.sin, debug=True)
    with fb.utils.checkpoint.set_checkpoint_debug_enabled(True), pytest.raises(RuntimeError, match="dumping logs"):
        changing(fb, three, fb.sin)


# --- what PyTorch refuses or does not do ------------------------------------------------------------------------------


def test_other_generators() -> None:
    """Their numbers are the same again, too; PyTorch draws new ones."""
    generator = fb.Generator().manual_seed(3)
    x = fb.ones(4, requires_grad=True)
    y = checkpoint(lambda a: (a * fb.rand(4, generator=generator)).exp(), x, use_reentrant=False)
    after = generator.get_state()
    y.sum().backward()
    assert fb.equal(generator.get_state(), after)
    assert fb.allclose(x.grad, fb.rand(4, generator=fb.Generator().manual_seed(3)) * y)


def test_arguments_written_to() -> None:
    """The second run gets the values that the first got."""
    for write_inside in (True, False):
        x = fb.full((2,), 0.5, requires_grad=True)
        z = x * 1
        y = checkpoint(lambda a: (a.mul_(2) if write_inside else a * 2).sin(), z, use_reentrant=False)  # noqa: B023
        kept = z.clone() if write_inside else z.mul_(3).clone()
        y.sum().backward()
        assert fb.allclose(x.grad, fb.full((2,), 2.0) * fb.ones(2).cos())
        assert fb.equal(z, kept)


def test_function_saves_values() -> None:
    class Square(fb.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any) -> Any:
            ctx.save_for_backward(a)
            return a * a

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return 2 * ctx.saved_tensors[0] * g + 0 * ctx.saved_tensors[0]

    x = fb.ones(2, requires_grad=True)
    z = x * 3
    y = checkpoint(Square.apply, z, use_reentrant=False) + Square.apply(z)
    z.mul_(10)
    y.sum().backward()
    assert x.grad.tolist() == [36.0, 36.0]


@pytest.mark.parametrize("outer", ["grad", "vmap", "jacrev", "hessian"])
def test_in_function_transforms(outer: str) -> None:
    x = fb.arange(3.0) + 1

    def function(v: Any, again: bool) -> Any:
        part = lambda a: (a * a.sin()).exp()  # noqa: E731
        return (checkpoint(part, v, use_reentrant=False) if again else part(v)).sum()

    transformed = getattr(fb.func, outer)
    plain, again = (transformed(lambda v, a=a: function(v, a))(x) for a in (False, True))
    assert fb.allclose(plain, again)


@pytest.mark.slow
def test_random_networks() -> None:
    """Random chains of blocks, parts within parts, in both libraries."""
    for seed in range(40):

        def program(t: Any, seed: int = seed) -> Any:
            choose = random.Random(seed)
            weights = [ones(t, 3) * (i + 1) / 3 for i in range(3)]
            steps = (t.sin, t.exp, t.tanh, lambda v: v * v, lambda v: v + 1, lambda v: v[:1] * v)

            def block(depth: int) -> Callable[[Any], Any]:
                chosen = [choose.choice(steps) for _ in range(choose.randrange(1, 4))]
                w, again = choose.choice(weights), choose.random() < 0.6
                inner = block(depth - 1) if depth else None

                def function(v: Any) -> Any:
                    for step in chosen:
                        v = (step(v) * w).sin()
                    return v if inner is None else inner(v) + v

                return (lambda v: run(t, function, v)) if again else function

            x = ones(t, 3)
            y = block(choose.randrange(4))(x)
            (first,) = t.autograd.grad(y.sum(), x, create_graph=True)
            return y, first, t.autograd.grad(first.sum(), x, allow_unused=True)

        agree(program)


def test_states_of_devices() -> None:
    for lib in (flambeau, torch):
        checkpoint = lib.utils.checkpoint
        assert checkpoint.get_device_states(lib.ones(2), [lib.ones(1)], 3) == ([], [])
        checkpoint.set_device_states([], [])


def test_numbers_are_those_of_the_first_run() -> None:
    def gradients(compile: Callable[[Any], Any]) -> list[Any]:
        counted = types.SimpleNamespace(n=0)

        def block(x: Any) -> Any:
            counted.n += 1
            return (x.exp() * counted.n).sin()

        @compile
        def step(x: Any) -> Any:
            fb.utils.checkpoint.checkpoint(block, x, use_reentrant=False).sum().backward()

        made = []
        for _ in range(3):
            x = fb.tensor([0.1, 0.2], dtype=fb.float64, requires_grad=True)
            step(x)
            made.append((x.grad.tolist(), counted.n))
        return made

    for mine, theirs in zip(gradients(fb.compile), gradients(lambda f: f), strict=True):
        assert mine[1] == theirs[1]
        np.testing.assert_allclose(mine[0], theirs[0], rtol=1e-12)
