"""Hooks of every kind: their order, what they see, what they may change, and how they go away."""

import copy
import inspect
import pickle
import warnings
from collections import OrderedDict, namedtuple

import pytest
import torch

import flambeau as fb
import flambeau.nn
from flambeau import nn
from flambeau.core.context.tracing import structure
from flambeau.nn.modules import _hooks
from flambeau.utils.hooks import RemovableHandle
from support.programs import agree


def x(t, grad=True):
    return t.ones(2, requires_grad=grad)


def scale(t):
    """A module with one parameter that multiplies."""

    class Scale(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = t.nn.Parameter(t.ones(2) * 3)

        def forward(self, a, k=None):
            return a * self.w

    return Scale()


def of(t, function):
    class Calls(t.nn.Module):
        def forward(self, *args, **kwargs):
            return function(t, *args, **kwargs)

    return Calls()


def boom(t, *args, **kwargs):
    raise ValueError("boom")


# --- forward ----------------------------------------------------------------------------------------------------------


def test_order_of_all_kinds():
    def code(t):
        seen = []

        def note(name):
            return lambda *args: seen.append((name, len(args)))

        mm = t.nn.modules.module
        m = scale(t)
        handles = [
            mm.register_module_forward_hook(note("global forward")),
            mm.register_module_forward_pre_hook(note("global pre")),
            mm.register_module_full_backward_hook(note("global backward")),
            mm.register_module_full_backward_pre_hook(note("global backward pre")),
            mm.register_module_forward_hook(note("global kwargs"), with_kwargs=True, always_call=True),
        ]
        for name, register in [
            ("forward", m.register_forward_hook),
            ("pre", m.register_forward_pre_hook),
            ("backward", m.register_full_backward_hook),
            ("backward pre", m.register_full_backward_pre_hook),
        ]:
            register(note(f"{name} last"))
            register(note(f"{name} first"), prepend=True)
        m.register_forward_hook(note("kwargs"), with_kwargs=True)
        m.register_forward_pre_hook(note("pre kwargs"), with_kwargs=True)
        m(x(t), k=1).sum().backward()
        for handle in handles:
            handle.remove()
        count = len(seen)
        m(x(t)).sum().backward()
        return seen[:count], seen[count:]

    agree(code)
    assert not _hooks.global_call_hooks


FORWARD = {
    "pre changes": lambda t, m: (m.register_forward_pre_hook(lambda m, a: a[0] * 3), m(x(t)))[1],
    "pre changes to a tuple": lambda t, m: (m.register_forward_pre_hook(lambda m, a: (a[0] * 3,)), m(x(t)))[1],
    "pre kwargs": lambda t, m: (
        m.register_forward_pre_hook(lambda m, a, k: (a, {"a": k["a"] * 5}), with_kwargs=True),
        m(a=x(t)),
    )[1],
    "pre kwargs wrong": lambda t, m: (
        m.register_forward_pre_hook(lambda m, a, k: 3, with_kwargs=True),
        m(a=x(t)),
    )[1],
    "changes": lambda t, m: (m.register_forward_hook(lambda m, a, o: o * 2), m(x(t)))[1],
    "changes twice": lambda t, m: (
        m.register_forward_hook(lambda m, a, o: o * 2),
        m.register_forward_hook(lambda m, a, k, o: [o, a, k], with_kwargs=True),
        m(x(t), k=7),
    )[2],
    "keeps": lambda t, m: (m.register_forward_hook(lambda m, a, o: None), m(x(t)))[1],
}


@pytest.mark.parametrize("code", FORWARD.values(), ids=FORWARD)
def test_forward(code):
    agree(lambda t: code(t, scale(t)))


def always(t, module, *, raising=None):
    seen = []

    def wrong(*args):
        raise KeyError("hook")

    def note(*args):
        seen.append(repr(args[1:]))

    if raising == "before":
        module.register_forward_hook(wrong)
    module.register_forward_hook(note, always_call=True)
    module.register_forward_hook(note, always_call=True, with_kwargs=True)
    module.register_forward_hook(note)
    if raising == "after":
        module.register_forward_hook(wrong)
    if raising == "pre":
        module.register_forward_pre_hook(wrong)
    if raising == "always":
        module.register_forward_hook(wrong, always_call=True)
    try:
        module(1)
    except (ValueError, KeyError) as error:
        seen.append(repr(error))
    return seen


@pytest.mark.parametrize("raising", [None, "before", "after", "pre", "always"])
@pytest.mark.parametrize("function", [boom, lambda t, a: a], ids=["boom", "fine"])
def test_always_called(function, raising):
    agree(lambda t: always(t, of(t, function), raising=raising))


def test_tables_and_handles():
    def code(t):
        m = scale(t)
        names = [
            "_forward_hooks",
            "_forward_hooks_with_kwargs",
            "_forward_hooks_always_called",
            "_forward_pre_hooks",
            "_forward_pre_hooks_with_kwargs",
            "_backward_hooks",
            "_backward_pre_hooks",
            "_state_dict_hooks",
            "_state_dict_pre_hooks",
            "_load_state_dict_pre_hooks",
            "_load_state_dict_post_hooks",
        ]

        def counts():
            return [len(getattr(m, name)) for name in names], m._is_full_backward_hook

        def nothing(*args):
            return None

        handles = [
            m.register_forward_hook(nothing, with_kwargs=True, always_call=True),
            m.register_forward_pre_hook(nothing, with_kwargs=True),
            m.register_full_backward_hook(nothing),
            m.register_full_backward_pre_hook(nothing),
            m.register_state_dict_post_hook(nothing),
            m.register_state_dict_pre_hook(nothing),
            m.register_load_state_dict_pre_hook(nothing),
            m.register_load_state_dict_post_hook(nothing),
        ]
        full = counts()
        for handle in handles:
            handle.remove()
            handle.remove()
        empty = counts()
        with m.register_forward_hook(nothing) as handle:
            inside = counts(), type(handle)
        return full, empty, inside, counts()

    agree(code)


def test_a_handle_holds_no_module_and_can_be_pickled_and_copied():
    m = scale(fb)
    m.handle = m.register_forward_hook(_double)
    twin = copy.deepcopy(m)
    twin.handle.remove()
    assert len(m._forward_hooks) == 1
    assert not twin._forward_hooks
    dead = pickle.loads(pickle.dumps(m.handle))
    assert isinstance(dead, RemovableHandle)
    dead.remove()
    assert RemovableHandle.__module__ == "flambeau.utils.hooks"


def _double(module, args, output):
    return output * 2


def test_registration_hooks():
    def code(t):
        mm = t.nn.modules.module
        seen = []

        def note(module, name, value):
            seen.append((type(module).__name__, name, type(value).__name__))

        handles = [
            mm.register_module_buffer_registration_hook(note),
            mm.register_module_module_registration_hook(note),
            mm.register_module_parameter_registration_hook(note),
        ]
        m = t.nn.Module()
        m.a = t.nn.Parameter(t.ones(1))
        m.b = t.nn.Buffer(t.ones(1))
        m.b = t.ones(2)
        m.c = t.nn.ReLU()
        m.a = m.b = m.c = None
        m.register_buffer("d", None)
        m.register_parameter("e", None)
        m.add_module("f", None)
        t.nn.Sequential(t.nn.ReLU())
        for handle in handles:
            handle.remove()
        with mm.register_module_parameter_registration_hook(lambda m, n, p: t.nn.Parameter(p.data * 5)):
            m.z = t.nn.Parameter(t.ones(1))
        m.y = t.nn.Parameter(t.ones(1))
        return seen, m.z, m.y

    agree(code)


# --- backward ---------------------------------------------------------------------------------------------------------

Pair = namedtuple("Pair", "p q")


def two(t, a, b, c=None):
    return a * 2, b * 3 if isinstance(b, t.Tensor) else b


CALLS = {
    "one": (lambda t, a: a * 2, lambda t: ((x(t),), {})),
    "two": (two, lambda t: ((x(t), x(t)), {})),
    "one without grad": (two, lambda t: ((x(t), x(t, False)), {})),
    "no tensor": (two, lambda t: ((x(t), 5), {})),
    "by keyword": (two, lambda t: ((x(t),), {"b": x(t)})),
    "a list": (two, lambda t: ((x(t), 5, [x(t)]), {})),
    "namedtuple": (lambda t, a: Pair(a * 2, a * 3), lambda t: ((x(t),), {})),
    "dict": (lambda t, a: {"x": a * 2}, lambda t: ((x(t),), {})),
    "list": (lambda t, a: [a * 2], lambda t: ((x(t),), {})),
}


def leaves(t, value):
    if isinstance(value, t.Tensor):
        return [value] if value.requires_grad else []
    values = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return [leaf for v in values for leaf in leaves(t, v)]


def total(t, value):
    return sum((leaf.sum() for leaf in leaves(t, value)), t.zeros(()))


@pytest.mark.parametrize("pre", [False, True])
@pytest.mark.parametrize(("function", "arguments"), CALLS.values(), ids=CALLS)
def test_full_backward(function, arguments, pre):
    def code(t):
        seen = []
        m = of(t, function)
        m.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go)))
        if pre:
            m.register_full_backward_pre_hook(lambda m, go: seen.append(go))
        args, kwargs = arguments(t)
        out = m(*args, **kwargs)
        total(t, out).backward()
        fired = ["BackwardHookFunction" in repr(leaf.grad_fn) for leaf in leaves(t, out)]
        return seen, type(out), fired, [a.grad for a in leaves(t, args)]

    agree(code)


@pytest.mark.parametrize("call", [lambda m, a: m(a), lambda m, a: m(a=a)], ids=["positional", "keyword"])
@pytest.mark.parametrize("grad", [False, True])
def test_full_backward_with_parameters(call, grad):
    def code(t):
        seen = []
        m = scale(t)
        m.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go)))
        call(m, x(t, grad)).sum().backward()
        return seen, m.w.grad

    agree(code)


CHANGES = {
    "tuple": lambda g: (g[0] * 10,),
    "list": lambda g: [g[0] * 10],
    "none": lambda g: None,
    "two": lambda g: (g[0], g[0]),
}


@pytest.mark.parametrize("pre", [False, True])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changed_gradients(change, pre):
    def code(t):
        m = scale(t)
        if pre:
            m.register_full_backward_pre_hook(lambda m, go: change(go))
        else:
            m.register_full_backward_hook(lambda m, gi, go: change(gi))
        a = x(t)
        m(a).sum().backward()
        return a.grad, m.w.grad

    if change is CHANGES["list"]:
        # PyTorch ignores or refuses a list, depending on the hook; here it is as good as a tuple
        code(fb)
    else:
        agree(code)


def test_gradients_of_no_input_cannot_be_changed():
    def code(t):
        m = scale(t)
        m.register_full_backward_hook(lambda m, gi, go: (go[0],))
        m(x(t, False)).sum().backward()

    agree(code)


def test_calls_partial_use_and_no_grad():
    def code(t):
        seen = []
        m = of(t, two)
        m.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go)))
        a, b = x(t), x(t)
        m(a, b)[0].sum().backward()
        s = scale(t)
        s.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go)))
        (s(a) + s(a)).sum().backward()
        t.autograd.grad(s(a).sum(), s.w)
        loss = s(a).sum()
        loss.backward(retain_graph=True)
        loss.backward()
        with t.no_grad():
            quiet = s(a)
        s.w.requires_grad_(False)
        return seen, a.grad, quiet.requires_grad, s(a.detach()).grad_fn

    agree(code)


def test_double_backward_through_a_hook():
    def code(t):
        m = of(t, lambda t, a: a * a * a)
        m.register_full_backward_hook(lambda m, gi, go: (gi[0] * 2,))
        a = x(t)
        (first,) = t.autograd.grad(m(a), a, t.ones(2), create_graph=True)
        return first, t.autograd.grad(first.sum(), a)

    agree(code)


def test_a_gradient_that_passes_by_the_output():
    def code(t):
        kept, seen = [], []
        m = of(t, lambda t, a: (kept.append(a * 2), a * 3)[1])
        m.register_full_backward_hook(lambda m, gi, go: seen.append(gi))
        a = x(t)
        m(a)
        kept[0].sum().backward()
        return seen, a.grad

    agree(code)


def test_kinds_do_not_mix():
    def first_old(t):
        m = scale(t)
        m.register_backward_hook(lambda *a: None)
        m.register_full_backward_hook(lambda *a: None)

    def first_full(t):
        m = scale(t)
        m.register_full_backward_hook(lambda *a: None)
        m.register_backward_hook(lambda *a: None)

    agree(first_old)
    agree(first_full)


def test_the_older_kind_sees_the_last_operation():
    def code(t):
        seen = []
        m = scale(t)
        m.register_backward_hook(lambda m, gi, go: seen.append((gi, go)))
        m(x(t)).sum().backward()
        return seen, m._is_full_backward_hook

    agree(code)


def test_hooked_calls_name_the_place_of_an_error():
    m = fb.nn.Sequential(of(fb, boom))
    m.register_forward_hook(_double)
    m[0].register_forward_hook(_double)
    with pytest.raises(ValueError) as caught:
        m(x(fb))
    assert str(caught.value) == "in 0 (Calls): boom"


def test_forward_called_directly():
    """Hooks are passed over, as in torch, and it is said once for each module; copies and pickles know no more of it."""
    called = []
    layer = fb.nn.Linear(2, 2)
    handle = layer.register_forward_hook(lambda *given: called.append(given))
    x = fb.ones(1, 2)
    layer(x)
    with pytest.warns(UserWarning, match=r"Linear\.forward\(\.\.\.\) was called directly.*1 in _forward_hooks"):
        layer.forward(x)
    layer.forward(x)
    assert len(called) == 1 and inspect.signature(layer.forward) == inspect.signature(fb.nn.Linear(1, 1).forward)
    assert b"WatchedForward" not in pickle.dumps(copy.deepcopy(layer).requires_grad_(False).state_dict())
    with pytest.warns(UserWarning, match="was called directly"):
        copy.deepcopy(layer).forward(x)
    plain = layer.forward  # a wrapper around it, as libraries put there, is no direct call
    layer.forward = lambda *given: plain(*given)
    layer(x)
    del layer.forward
    handle.remove()
    layer.forward(x)


def test_tables_of_hooks_tell_of_changes_and_are_pickled_as_plain_ones() -> None:
    table = nn.Linear(1, 1)._forward_hooks
    changes = {
        "set": lambda: table.__setitem__(1, print), "setdefault": lambda: table.setdefault(2, print), "update": lambda: table.update({3: print}),
        "move": lambda: table.move_to_end(1), "del": lambda: table.__delitem__(1), "pop": lambda: table.pop(2), "popitem": lambda: table.popitem(),
        "join": lambda: table.__ior__({4: print}), "clear": lambda: table.clear(),
    }  # fmt: skip
    for name, change in changes.items():
        before = structure.version
        change()
        assert structure.version > before, name
    table[5] = print
    assert isinstance(table, OrderedDict) and repr(table) == repr(OrderedDict(table))
    for made in (copy.copy(table), copy.deepcopy(table)):
        assert type(made) is type(table) and list(made) == [5]
    assert type(pickle.loads(pickle.dumps(table))) is OrderedDict


@pytest.mark.parametrize("register", ["register_full_backward_pre_hook", "register_full_backward_hook"])
@pytest.mark.parametrize("taped", [True, False])
def test_backward_from_the_outputs_warns(register: str, taped: bool) -> None:
    def warned(t) -> list[str]:
        m = t.nn.Linear(3, 2)
        getattr(m, register)(lambda *given: None)
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            m(t.ones(2, 3, requires_grad=taped)).sum().backward()
        return [str(w.message).split(". ")[0].rstrip(".") for w in found]

    assert warned(fb) == warned(torch)


@pytest.mark.parametrize(
    "returned",
    [
        lambda g: g[0] * 2,
        lambda g: (g[0] * 2,),
        lambda g: 5,
        lambda g: (g[0], g[0]),
        lambda g: None,
        lambda g: [g[0] * 2],
    ],
)
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("kind", ["pre_hook", "hook"])
def test_gradients_that_hooks_return_bare(returned, rows, kind):
    def call(t):
        layer, seen = t.nn.Linear(2, 2), []
        with t.no_grad():
            layer.weight.fill_(1.0)
        register = layer.register_full_backward_pre_hook if kind == "pre_hook" else layer.register_full_backward_hook
        register(lambda m, g, *rest: returned(g))
        register(lambda m, g, *rest: seen.append((type(g).__name__, [tuple(v.shape) for v in g])))
        x = t.ones(rows, 2, requires_grad=True)
        layer(x).sum().backward()
        return seen, x.grad.tolist()

    agree(call)


def test_the_warning_of_a_hook_without_input_gradients_is_whole_and_points_to_backward():
    def seen(library):
        layer = library.nn.Linear(2, 2)
        layer.register_full_backward_hook(lambda *given: None)
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            layer(library.ones(1, 2)).sum().backward()
        return [(str(w.message), w.filename == __file__) for w in found]

    assert seen(fb) == seen(torch) and seen(fb)[0][1]
