"""Slots, copies, pickles and the cost of asking: what the programs of `tests/programs` do not show."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import threading
import types
import weakref

import numpy as np
import pytest
import torch

import flambeau as fb
import flambeau.overrides
import flambeau.utils._python_dispatch
from support.programs import agree


def test_an_instances_dict_is_the_users():
    def code(t):
        x = t.ones(2)
        p = t.nn.Parameter(x)
        before = [dict(vars(v)) for v in (x, p, x[0], x + 1, (p * 2), t.nn.Buffer(x))]
        x.note, p.note = "a", "b"
        (p * 2).sum().backward()
        return before, vars(x), vars(p), x.note, p.note

    agree(code)
    held = fb.ones(2)
    reference = weakref.ref(held)
    del held
    gc.collect()
    assert reference() is None


def test_subclasses_with_slots_constructors_and_other_bases():
    def code(t):
        class Slotted(t.Tensor):
            __slots__ = ("tag",)

        class Hello:
            def hello(self):
                return f"hello {self.called}"

        class Named(Hello, t.Tensor):
            def __new__(cls, data, name):
                return t.as_tensor(data).as_subclass(cls)

            def __init__(self, data, name):
                self.called = name

        s = t.ones(2).as_subclass(Slotted)
        s.tag, s.other = 1, 2
        n = Named([1.0, 2.0], "x")
        c = copy.copy(s)
        return s.tag, vars(s), n.hello(), vars(n), n * 2, c.tag, vars(c), hasattr(s * 2, "tag")

    agree(code)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_what_copies_share_and_keep(copied):
    def code(t):
        x = t.arange(4.0)
        x.note = ["a"]
        leaf = t.ones(2, requires_grad=True)
        (leaf * 3).sum().backward()
        parameter = t.nn.Parameter(t.ones(2))
        parameter.note = 1
        (parameter * 3).sum().backward()
        out = []
        for value in (x, x[1:3], leaf, parameter, x.view(2, 2).t()):
            made = copied(value)
            out += [made, made.is_leaf, made.grad, vars(made), made.stride(), made.data_ptr() == value.data_ptr()]
        with t.no_grad():
            copied(x).fill_(7)
        return out, x, copied(x).note is x.note

    agree(code)


def test_copies_of_computed_tensors():
    agree(lambda t: copy.deepcopy(t.ones(2, requires_grad=True) * 2), words=40)
    agree(lambda t: copy.copy(t.ones(2, requires_grad=True) * 2))
    agree(lambda t: pickle.loads(pickle.dumps(t.ones(2, requires_grad=True) * 2)))


def test_deep_copies_of_subclasses_need_new_empty():
    def code(t, gives_its_own):
        class Own(t.Tensor):
            if gives_its_own:

                def new_empty(self, *args, **kwargs):
                    return t.empty(0).as_subclass(Own)

        x = t.ones(2).as_subclass(Own)
        x.note = [1]
        made = copy.deepcopy(x)
        return made, vars(made), made.note is x.note

    agree(lambda t: code(t, True))
    agree(lambda t: code(t, False), words=40)


class _Tagged(fb.Tensor):
    __slots__ = ("slot",)


class _Chosen(fb.Tensor):
    def __getstate__(self):
        return {"kept": self.value}

    def __setstate__(self, state):
        self.given = state


class _OwnParameter(fb.nn.Parameter):
    pass


def _through_pickle(value):
    return pickle.loads(pickle.dumps(value))


def _through_file(value):
    file = io.BytesIO()
    fb.save(value, file)
    file.seek(0)
    return fb.load(file, weights_only=False)


@pytest.mark.parametrize("through", [_through_pickle, _through_file])
def test_subclasses_through_files(through):
    x = fb.arange(6.0).view(2, 3).t().as_subclass(_Tagged)
    x.slot, x.note = 1, [2]
    made = through(x)
    assert type(made) is _Tagged and made.slot == 1 and made.note == [2]
    assert made.tolist() == x.tolist() and made.stride() == (1, 3)
    y = fb.ones(2).as_subclass(_Chosen)
    y.value = 3
    assert vars(through(y)) == {"given": {"kept": 3}}
    p = _OwnParameter(fb.ones(2), requires_grad=False)
    p.note = 4
    made = through(p)
    assert type(made) is fb.nn.Parameter and made.note == 4 and not made.requires_grad  # as PyTorch has it


def test_functions_are_told_apart():
    public = [fb.add, fb.Tensor.add, fb.Tensor.add_, fb.abs, fb.absolute, fb.Tensor.absolute, fb.erf, fb.special.erf]
    assert len(set(public)) == len(public)
    assert fb.linalg.norm.__name__ == torch.linalg.norm.__name__ == "linalg_norm"
    shared = [n for n in fb.nn.functional.__all__ if hasattr(fb, n) and hasattr(torch, n)]
    for name in shared:
        same = getattr(torch, name) is getattr(torch.nn.functional, name, None)
        if same:
            assert getattr(fb, name) is getattr(fb.nn.functional, name), name


def test_names_are_torchs():
    functions = [f for listed in fb.overrides.get_overridable_functions().values() for f in listed]
    assert len(functions) > 1000
    unknown = []
    for function in functions:
        owner = torch
        for part in (fb.overrides.resolve_name(function) or "torch.missing").split(".")[1:]:
            owner = getattr(owner, part, None)
        if owner is None:
            unknown.append(fb.overrides.resolve_name(function))
    assert not [n for n in unknown if n is None]
    assert len(unknown) < 60, unknown


def test_every_public_function_asks():
    class Anything:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return "asked", func

    overrides = fb.overrides
    checked = 0
    assert (
        overrides.get_overridable_functions()["another"] == torch.overrides.get_overridable_functions()["another"] == []
    )
    for home, listed in overrides.get_overridable_functions().items():
        if not isinstance(home, types.ModuleType) or home is fb.random:
            continue
        for function in listed:
            assert function(Anything()) == ("asked", function), function.__name__
            assert function([Anything()]) == ("asked", function), function.__name__
            checked += 1
    assert checked > 500


def test_a_mode_is_its_threads_own():
    seen = []

    class Seeing(fb.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append(func.__name__)
            return func(*args, **(kwargs or {}))

    with Seeing():
        other = threading.Thread(target=lambda: fb.ones(2).add(1).shape)
        other.start()
        other.join()
        assert seen == []
        fb.zeros(1)
    assert seen == ["zeros"]
    assert fb.core.context.overrides.plain  # plain tensors are not asked any more


def test_compiled_functions_keep_subclasses():
    class Own(fb.Tensor):
        pass

    compiled = fb.compile(lambda x: x * 2 + 1)
    x = fb.ones(2).as_subclass(Own)
    assert [type(compiled(v)) for v in (x, fb.ones(2), x)] == [Own, fb.Tensor, Own]


def test_dispatch_modes_see_operators_under_composites():
    class Seeing(flambeau.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    seen: list[str] = []
    x = fb.ones(3, 2, requires_grad=True)
    with Seeing():
        y = fb.nn.functional.linear(x, fb.ones(2, 2)).T.relu().sum()
    y.backward()
    assert x.grad is not None and len(seen) >= 4 and "aten.relu.default" in seen


def test_requires_grad_takes_bools_and_no_mode_can_be_left_that_was_not_entered():
    def code(t, write):
        write(t, t.ones(2))

    for write in (
        lambda t, x: setattr(x, "requires_grad", 1),
        lambda t, x: setattr(x, "requires_grad", None),
        lambda t, x: x.requires_grad_("a"),
        lambda t, x: x.requires_grad_(t.tensor(True)),
        lambda t, x: t.overrides.TorchFunctionMode().__exit__(None, None, None),
    ):
        errors = []
        for lib in (torch, fb):
            with pytest.raises((RuntimeError, TypeError)) as caught:
                code(lib, write)
            errors.append((caught.type, str(caught.value)))
        assert errors[0] == errors[1]


def test_modes_see_what_torchs_see():
    def code(t):
        seen = []

        class Seeing(t.overrides.TorchFunctionMode):
            def __torch_function__(self, func, types, args=(), kwargs=None):
                seen.append(func.__name__)
                return func(*args, **(kwargs or {}))

        x, array = t.ones(2), np.ones(2)
        with t.random.fork_rng(), Seeing():
            t.is_tensor(x), t.from_numpy(array), t.frombuffer(bytearray(8), dtype=t.float32)
            t.set_rng_state(t.get_rng_state()), t.initial_seed(), t.manual_seed(3), t.seed()
            t.broadcast_shapes((1,), (2,)), t.nn.Parameter(x), t.as_tensor([1.0]), x.requires_grad_()
        return seen

    agree(code)


def test_a_tensor_made_of_a_tensor_is_on_its_tape():
    """`torch.Tensor(x)` and the `__new__` of subclasses that calls it: the gradient had been lost."""
    for fw in (torch, fb):
        labelled = type(
            "Labelled",
            (fw.Tensor,),
            {"__new__": lambda cls, x, label, fw=fw: fw.Tensor.__new__(cls, x), "__init__": lambda *_: None},
        )
        x = fw.tensor([1.0, 2.0], requires_grad=True)
        made = labelled(x * 2, "u")
        assert type(made) is labelled and made.grad_fn is not None and made.data_ptr() != x.data_ptr()
        (fw.Tensor(made) ** 2).sum().backward()
        assert x.grad.tolist() == [8.0, 16.0]
        assert not fw.Tensor(x.detach()).requires_grad
