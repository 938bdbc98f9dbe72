"""State dicts: what is in them, and loading them whole or not at all."""

from collections import OrderedDict

import pytest
import torch

import flambeau as fb
import flambeau.nn
from support.programs import agree, described
from support.values import to_flambeau


def network(t):
    class Net(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = t.nn.Linear(2, 2)
            self.p = t.nn.Parameter(t.ones(2))
            self.tied = self.p
            self.register_buffer("b", t.ones(2))
            self.register_buffer("temporary", t.ones(2), persistent=False)
            self.register_buffer("nothing", None)
            self.register_parameter("none", None)

    return Net()


def changed(t, m, **entries):
    state = m.state_dict()
    for key, value in entries.items():
        if value is None:
            del state[key.replace("__", ".")]
        else:
            state[key.replace("__", ".")] = value
    return state


def test_contents_and_metadata():
    agree(lambda t: (lambda s: (s, s._metadata))(network(t).state_dict()))
    agree(lambda t: (lambda s: (s, s._metadata))(network(t).state_dict(prefix="a.")))
    agree(lambda t: (lambda s: (s, s._metadata))(network(t).state_dict(prefix="a")))
    agree(lambda t: network(t).state_dict(keep_vars=True))
    agree(lambda t: (lambda d: (network(t).state_dict(destination=d) is d, d, hasattr(d, "_metadata")))({}))
    agree(lambda t: list(network(t).state_dict(OrderedDict(), "x.", True)))


def test_entries_share_memory():
    def code(t):
        m = network(t)
        m.state_dict()["p"].fill_(7)
        return m.p

    agree(code)


LOADS = {
    "same": lambda t: {},
    "missing": lambda t: {"p": None, "lin__bias": None},
    "unexpected": lambda t: {
        "q": t.ones(1),
        "foo__bar": t.ones(1),
        "lin__x": t.ones(1),
        "lin__x__y": t.ones(1),
        "lin__weight__x": t.ones(1),
        "_extra_state": 3,
    },
    "left out": lambda t: {"none": t.ones(1), "temporary": t.ones(2)},
    "shapes": lambda t: {"p": t.ones(3), "lin__weight": t.ones(4)},
    "no dimension": lambda t: {"p": t.tensor(1.0)},
    "no tensor": lambda t: {"p": 3},
    "everything": lambda t: {"p": 3, "b": None, "q": t.ones(1), "lin__weight": t.ones(4)},
    "dtype": lambda t: {"p": t.ones(2, dtype=t.float64) * 4, "b": t.ones(2, dtype=t.int64) * 4},
}


@pytest.mark.parametrize("options", [{}, {"strict": False}, {"assign": True}], ids=["strict", "lax", "assign"])
@pytest.mark.parametrize("entries", LOADS.values(), ids=LOADS)
def test_load(entries, options):
    def code(t):
        m = network(t)
        keys = m.load_state_dict(changed(t, m, **entries(t)), **options)
        return repr(keys), list(keys), m.state_dict(), [p.requires_grad for p in m.parameters()]

    agree(code, words=None)


def test_load_of_a_plain_dict_and_of_no_dict():
    agree(lambda t: network(t).load_state_dict(dict(network(t).state_dict())))
    agree(lambda t: network(t).load_state_dict([1]))


def test_scalars_once_had_a_dimension():
    def code(t, assign):
        m = t.nn.Module()
        m.p = t.nn.Parameter(t.tensor(1.0))
        return m.load_state_dict({"p": t.ones(1) * 5}, assign=assign), m.p

    agree(lambda t: code(t, False))
    agree(lambda t: code(t, True))


def test_assign():
    def code(t):
        m = network(t)
        given = t.nn.Parameter(t.ones(2, dtype=t.float64) * 2, requires_grad=False)
        buffer = t.ones(2, dtype=t.int64)
        m.lin.weight.requires_grad_(False)
        m.load_state_dict(changed(t, m, p=given, b=buffer), assign=True)
        return m.p is given, m.p, m.b is buffer, m.b, m.lin.weight

    agree(code)

    def wrong(t):
        m = network(t)
        m.load_state_dict(changed(t, m, p=t.ones(2, dtype=t.int64)), assign=True)

    agree(wrong, words=20)


def test_copying_keeps_the_parameters_and_does_not_tie_them_to_the_dict():
    m, state = network(fb), network(fb).state_dict()
    before = m.p
    m.load_state_dict(state)
    state["p"].fill_(9)
    assert m.p is before
    assert m.p.tolist() == [1, 1]


# --- what fits is loaded ----------------------------------------------------------------------------------------------

WRONG = {
    "missing": lambda t, state: state.pop("lin.weight"),
    "two missing": lambda t, state: (state.pop("p"), state.pop("lin.bias")),
    "none there": lambda t, state: state.clear(),
    "unexpected": lambda t, state: state.update({"x": t.ones(1), "lin.y.z": t.ones(1)}),
    "shape": lambda t, state: state.update({"lin.weight": t.ones(7)}),
    "two shapes": lambda t, state: state.update({"p": t.ones(7), "b": t.ones(1)}),
    "all at once": lambda t, state: (state.update({"p": t.ones(7), "x": 1}), state.pop("b")),
    "a number": lambda t, state: state.update({"p": 3.0}),
    "nothing": lambda t, state: state.update({"p": None}),
    "a list": lambda t, state: state.update({"p": [1.0, 2.0]}),
    "integers": lambda t, state: state.update({"p": t.ones(2, dtype=t.int64)}),
    "another dtype": lambda t, state: state.update({"p": t.ones(2, dtype=t.float64)}),
    "a computed tensor": lambda t, state: state.update({"p": t.ones(2, requires_grad=True) * 2}),
}


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_load_that_fails_has_loaded_what_fits(wrong, strict, assign):
    def code(t):
        m = network(t)
        state = {k: v.clone() + 4 for k, v in m.state_dict().items()}
        WRONG[wrong](t, state)
        try:
            result = str(m.load_state_dict(state, strict=strict, assign=assign))
        except Exception as error:
            text = str(error).partition("\n\tin the model ")[0].partition("\n\tCure: ")[0]
            result = f"{type(error).__name__}: {text}".replace("flambeau", "torch")
        return result, m.state_dict(), [p.requires_grad for p in m.parameters()]

    agree(code)


def test_what_is_no_dict():
    for wrong in (None, 5, [], "a"):
        agree(lambda t, wrong=wrong: network(t).load_state_dict(wrong), words=20)


def test_an_overridden_load_that_works_on_its_values_is_respected():
    def code(t):
        class Doubles(t.nn.Linear):
            def _load_from_state_dict(self, *args):
                super()._load_from_state_dict(*args)
                self.weight.data.mul_(2)

        m = t.nn.Sequential(Doubles(1, 1, bias=False), t.nn.Linear(1, 1, bias=False))
        m.load_state_dict({"0.weight": t.ones(1, 1) * 3, "1.weight": t.ones(1, 1)})
        try:
            m.load_state_dict({"0.weight": t.ones(1, 1) * 5, "1.weight": t.ones(2, 2)})
        except RuntimeError as error:
            return str(error).partition("\n\tin the model ")[0], m.state_dict()

    agree(code)


# --- versions, extra state, hooks -------------------------------------------------------------------------------------


def extra(t, base=None):
    class Extra(t.nn.Module):
        _version = 3

        def __init__(self, value):
            super().__init__()
            self.value = value
            self.p = t.nn.Parameter(t.ones(1))

        def get_extra_state(self):
            return {"value": self.value}

        def set_extra_state(self, state):
            self.value = state["value"]

    return Extra


def test_extra_state_and_version():
    def code(t):
        source, target = t.nn.Sequential(extra(t)(4)), t.nn.Sequential(extra(t)(5))
        state = source.state_dict()
        keys = target.load_state_dict(state)
        lacking = OrderedDict((k, v) for k, v in state.items() if not k.endswith("_extra_state"))
        lacking["0._extra_states"] = 1
        return state, state._metadata, keys, target[0].value, target.load_state_dict(lacking, strict=False)

    agree(code)
    agree(lambda t: t.nn.Sequential(extra(t)(4)).load_state_dict({"0.p": t.ones(1)}))
    with pytest.raises(RuntimeError, match="override get_extra_state"):
        fb.nn.Module().get_extra_state()


@pytest.mark.parametrize("options", [{}, {"strict": False}, {"assign": True}])
def test_load_from_state_dict_is_given_what_pytorch_gives(options):
    def code(t):
        seen = []

        class Spy(t.nn.Linear):
            def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict, missing, unexpected, errors):
                seen.append((list(state_dict), prefix, dict(local_metadata), strict))
                state_dict.pop(prefix + "old", None)
                super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing, unexpected, errors)

        m = t.nn.Sequential(Spy(2, 2), t.nn.Sequential(Spy(1, 1)))
        state = m.state_dict()
        state["1.0.old"] = 3
        first = m.load_state_dict(state, **options)
        m[0]._load_from_state_dict(m[0].state_dict(prefix="z."), "z.", {}, True, [], [], [])
        return seen, first, "1.0.old" in state

    agree(code)


def test_hooks_of_saving():
    def code(t):
        seen = []
        m = t.nn.Sequential(t.nn.Linear(1, 1), t.nn.Sequential(t.nn.Linear(1, 1)))
        m[0].register_state_dict_pre_hook(lambda *a: seen.append(("pre", a[1:])))
        m[0].register_state_dict_post_hook(lambda m, s, p, d: seen.append(("post", list(s), p, dict(d))))
        m._register_state_dict_hook(lambda m, s, p, d: OrderedDict(a=1))
        return m.state_dict(), list(t.nn.Sequential(m).state_dict()), seen

    agree(code)

    def wrong(t):
        m = t.nn.Linear(1, 1)
        m.register_state_dict_post_hook(lambda *a: 3)
        m.state_dict()

    agree(wrong)


def test_hooks_of_loading():
    def code(t):
        seen = []
        m = t.nn.Sequential(t.nn.Linear(1, 1), t.nn.Sequential(t.nn.Linear(1, 1)))

        def note(*args):
            seen.append([a if isinstance(a, (str, list, bool)) else type(a).__name__ for a in args])

        m[0]._register_load_state_dict_pre_hook(lambda s, *a: note(*a))
        m[0]._register_load_state_dict_pre_hook(lambda mod, s, *a: note(mod, *a), with_module=True)
        m[0].register_load_state_dict_pre_hook(lambda mod, s, *a: (note(mod, *a), s.pop(a[0] + "weight"))[0])
        m[0].register_load_state_dict_post_hook(lambda mod, keys: (note(mod, str(keys)), keys.missing_keys.clear())[0])
        m.register_load_state_dict_post_hook(lambda mod, keys: note(mod, str(keys)))
        return m.load_state_dict({**m.state_dict(), "1.0.x": t.ones(1)}, strict=False), seen

    agree(code)

    def wrong(t):
        m = t.nn.Linear(1, 1)
        m.register_load_state_dict_post_hook(lambda *a: 3)
        m.load_state_dict(m.state_dict())

    agree(wrong)


def test_a_state_dict_of_pytorchs_loads():
    theirs = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    ours = fb.nn.Sequential(fb.nn.Linear(2, 3), fb.nn.Linear(3, 1))
    assert repr(ours.load_state_dict(to_flambeau(dict(theirs.state_dict())))) == "<All keys matched successfully>"
    assert described(dict(ours.state_dict())) == described(dict(theirs.state_dict()))
