"""Pruning: masks, containers of methods, removal, training of pruned networks; compared with torch."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle

import pytest

from support.parametrizations import lin
from support.programs import Programs, agree

PROGRAMS = program = Programs()


def R(t):
    return importlib.import_module(t.__name__ + ".nn.utils.prune")


def conv(t, seed=0):
    t.manual_seed(seed)
    return t.nn.Conv2d(2, 4, 3)


def look(t, m):
    return [
        m,
        list(m.state_dict()),
        m.weight,
        getattr(m, "weight_mask", None),
        getattr(m, "weight_orig", None),
        [n for n, _ in m.named_parameters()],
        [n for n, _ in m.named_buffers()],
        [type(h).__name__ for h in m._forward_pre_hooks.values()],
        "weight" in vars(m),
        isinstance(m.weight, t.nn.Parameter),
        R(t).is_pruned(m),
    ]


for name, call in {
    "identity": lambda r, m: r.identity(m, "weight"),
    "rand": lambda r, m: r.random_unstructured(m, "weight", amount=0.3),
    "rand_n": lambda r, m: r.random_unstructured(m, name="weight", amount=3),
    "l1": lambda r, m: r.l1_unstructured(m, name="weight", amount=0.4),
    "l1_n": lambda r, m: r.l1_unstructured(m, "weight", 2),
    "l1_0": lambda r, m: r.l1_unstructured(m, "weight", 0),
    "l1_00": lambda r, m: r.l1_unstructured(m, "weight", 0.0),
    "l1_1": lambda r, m: r.l1_unstructured(m, "weight", 1.0),
    "l1_many": lambda r, m: r.l1_unstructured(m, "weight", 1000),
    "l1_neg": lambda r, m: r.l1_unstructured(m, "weight", -1),
    "l1_2": lambda r, m: r.l1_unstructured(m, "weight", 1.5),
    "l1_text": lambda r, m: r.l1_unstructured(m, "weight", "a"),
    "l1_name": lambda r, m: r.l1_unstructured(m, "nothing", 1),
    "l1_bias": lambda r, m: r.l1_unstructured(m, "bias", 1),
    "rs": lambda r, m: r.random_structured(m, name="weight", amount=2, dim=1 if m.weight.shape[1] > 2 else 0),
    "rs_f": lambda r, m: r.random_structured(m, "weight", 0.5, 0),
    "rs_bias": lambda r, m: r.random_structured(m, "bias", 0.5, 0),
    "rs_dim": lambda r, m: r.random_structured(m, "weight", 0.5, 7),
    "rs_neg": lambda r, m: r.random_structured(m, "weight", 0.5, -1),
    "ln": lambda r, m: r.ln_structured(m, name="weight", amount=0.5, n=2, dim=0),
    "ln1": lambda r, m: r.ln_structured(m, "weight", 1, n=1, dim=1),
    "ln_inf": lambda r, m: r.ln_structured(m, "weight", 1, n=float("inf"), dim=0),
    "ln_minf": lambda r, m: r.ln_structured(m, "weight", 1, n=float("-inf"), dim=0),
    "ln_many": lambda r, m: r.ln_structured(m, "weight", 100, n=2, dim=0),
    "ln_fro": lambda r, m: r.ln_structured(m, "weight", 1, n="fro", dim=0),
    "ln_neg": lambda r, m: r.ln_structured(m, "weight", 1, n=2, dim=-1),
    "ln_dim": lambda r, m: r.ln_structured(m, "weight", 1, n=2, dim=9),
    "ln_small": lambda r, m: r.ln_structured(m, "weight", 0.1, n=2, dim=0),
    "ln_bias": lambda r, m: r.ln_structured(m, "bias", 0.1, n=2, dim=0),
}.items():
    for which, make in (("lin", lambda t: lin(t, 4, 3)), ("conv", conv)):

        def f(t, call=call, make=make):
            m = make(t)
            r = call(R(t), m)
            return [r is m, *look(t, m), t.rand(1)]

        PROGRAMS[f"{name} {which}"] = f


@program
def imp(t):
    m = lin(t)
    R(t).l1_unstructured(m, "weight", 3, importance_scores=-m.weight.abs())
    return look(t, m)


@program
def imp_ln(t):
    m = lin(t)
    R(t).ln_structured(m, "weight", 1, 2, 0, importance_scores=t.arange(9.0).reshape(3, 3))
    return look(t, m)


@program
def imp_shape(t):
    m = lin(t)
    R(t).l1_unstructured(m, "weight", 3, importance_scores=t.ones(2))


@program
def custom(t):
    m = lin(t)
    r = R(t).custom_from_mask(m, "bias", t.tensor([0, 1, 0]))
    return [r is m, m.bias, m.bias_mask, m]


@program
def custom_shape(t):
    R(t).custom_from_mask(lin(t), "bias", t.tensor([0, 1]))


@program
def custom_bool(t):
    m = lin(t)
    R(t).custom_from_mask(m, "weight", t.eye(3).bool())
    return look(t, m)


@program
def twice(t):
    m = lin(t)
    R(t).l1_unstructured(m, "weight", 2)
    R(t).l1_unstructured(m, "weight", 2)
    h = next(iter(m._forward_pre_hooks.values()))
    return [*look(t, m), len(h), [type(x).__name__ for x in h], h._tensor_name]


@program
def iterative(t):
    m = conv(t)
    R(t).random_unstructured(m, "weight", 0.3)
    R(t).ln_structured(m, "weight", 0.5, n=2, dim=0)
    R(t).l1_unstructured(m, "weight", 0.2)
    R(t).random_structured(m, "weight", 1, dim=1)
    return look(t, m)


@program
def both_names(t):
    m = lin(t)
    R(t).l1_unstructured(m, "weight", 2)
    R(t).random_unstructured(m, "bias", 1)
    return [*look(t, m), m.bias]


@program
def remove_(t):
    m = lin(t)
    R(t).l1_unstructured(m, "weight", 3)
    r = R(t).remove(m, "weight")
    return [r is m, *look(t, m)]


@program
def remove_none(t):
    R(t).remove(lin(t), "weight")


@program
def remove_other(t):
    m = lin(t)
    R(t).l1_unstructured(m, "weight", 3)
    R(t).remove(m, "bias")


@program
def pruned(t):
    m = t.nn.Sequential(lin(t), lin(t))
    a = R(t).is_pruned(m)
    R(t).identity(m[1], "weight")
    return [a, R(t).is_pruned(m), R(t).is_pruned(m[0])]


@program
def glob(t):
    m = t.nn.Sequential(conv(t), t.nn.Flatten(), t.nn.Linear(4, 3))
    ps = [(m[0], "weight"), (m[2], "weight")]
    R(t).global_unstructured(ps, pruning_method=R(t).L1Unstructured, amount=0.4)
    return look(t, m[0]) + look(t, m[2]) + [float((m[0].weight == 0).sum()), float((m[2].weight == 0).sum())]


@program
def glob_n(t):
    m = t.nn.Sequential(lin(t), lin(t, 3, 2))
    R(t).global_unstructured(((m[0], "weight"), (m[1], "weight")), R(t).L1Unstructured, amount=5)
    R(t).global_unstructured(((m[0], "weight"), (m[1], "weight")), R(t).L1Unstructured, amount=3)
    return look(t, m[0]) + look(t, m[1])


@program
def glob_rand(t):
    m = t.nn.Sequential(lin(t), lin(t, 3, 2))
    R(t).global_unstructured([(m[0], "weight"), (m[1], "weight")], R(t).RandomUnstructured, amount=5)
    return look(t, m[0]) + look(t, m[1])


@program
def glob_struct(t):
    m = lin(t)
    R(t).global_unstructured([(m, "weight")], R(t).LnStructured, amount=1, n=2)


@program
def glob_type(t):
    lin(t)
    R(t).global_unstructured(3, R(t).L1Unstructured, amount=1)


@program
def glob_scores(t):
    m = t.nn.Sequential(lin(t), lin(t, 3, 2))
    R(t).global_unstructured(
        [(m[0], "weight"), (m[1], "weight")],
        R(t).L1Unstructured,
        importance_scores={(m[0], "weight"): t.ones(3, 3) * 5},
        amount=5,
    )
    return look(t, m[0]) + look(t, m[1])


@program
def glob_scores_t(t):
    m = lin(t)
    R(t).global_unstructured([(m, "weight")], R(t).L1Unstructured, importance_scores=t.ones(3, 3), amount=5)


@program
def glob_scores_shape(t):
    m = lin(t)
    R(t).global_unstructured(
        [(m, "weight")], R(t).L1Unstructured, importance_scores={(m, "weight"): t.ones(2)}, amount=5
    )


@program
def glob_many(t):
    m = lin(t)
    R(t).global_unstructured([(m, "weight")], R(t).L1Unstructured, amount=500)


def foobar(t):
    class FooBar(R(t).BasePruningMethod):
        PRUNING_TYPE = "unstructured"

        def compute_mask(self, x, default_mask):
            mask = default_mask.clone()
            mask.view(-1)[::2] = 0
            return mask

    return FooBar


@program
def user(t):
    m = lin(t)
    r = foobar(t).apply(m, "bias")
    return [type(r).__name__, m.bias, m.bias_mask, m]


@program
def user_twice(t):
    m = lin(t)
    foobar(t).apply(m, "weight")
    foobar(t).apply(m, "weight")
    return look(t, m)


@program
def user_bad_type(t):
    F = foobar(t)
    F.PRUNING_TYPE = "odd"
    m = lin(t)
    F.apply(m, "weight")
    R(t).l1_unstructured(m, "weight", 1)
    F.apply(m, "weight")


@program
def user_channels(t):
    class C(R(t).BasePruningMethod):
        PRUNING_TYPE = "structured"

        def __init__(self, dim):
            self.dim = dim

        def compute_mask(self, x, default_mask):
            mask = default_mask.clone()
            mask[0] = 0
            return mask

        @classmethod
        def apply(cls, module, name, dim):
            return super().apply(module, name, dim=dim)

    m = conv(t)
    C.apply(m, "weight", 0)
    C.apply(m, "weight", 0)
    R(t).l1_unstructured(m, "weight", 3)
    return look(t, m)


@program
def base(t):
    R(t).BasePruningMethod()


@program
def prune_tensor(t):
    p = R(t).L1Unstructured(amount=2)
    x = t.tensor([3.0, -1, 2, 0.5])
    return [
        p.prune(x),
        p.prune(x, default_mask=t.tensor([1.0, 1, 0, 1])),
        p.prune(x, importance_scores=t.tensor([0.0, 9, 9, 0])),
        p.compute_mask(x, t.ones(4)),
    ]


@program
def prune_scores_shape(t):
    R(t).L1Unstructured(amount=2).prune(t.ones(3), importance_scores=t.ones(2))


@program
def cont(t):
    c = R(t).PruningContainer()
    c._tensor_name = "w"
    p = R(t).L1Unstructured(amount=1)
    p._tensor_name = "w"
    c.add_pruning_method(p)
    q = R(t).RandomUnstructured(0.5)
    q._tensor_name = "w"
    c.add_pruning_method(q)
    return [len(c), type(c[0]).__name__, [type(x).__name__ for x in c], c[0:1].__class__.__name__]


@program
def cont_type(t):
    R(t).PruningContainer(3)


@program
def cont_add_type(t):
    c = R(t).PruningContainer()
    c._tensor_name = "a"
    c.add_pruning_method(3)


@program
def grads(t):
    m = lin(t)
    R(t).l1_unstructured(m, "weight", 4)
    m(t.ones(2, 3)).pow(2).sum().backward()
    return [m.weight_orig.grad, m.bias.grad]


@program
def train(t):
    m = t.nn.Sequential(lin(t, 3, 8), t.nn.ReLU(), lin(t, 8, 2))
    o = t.optim.Adam(m.parameters(), 0.01)
    for _r in range(2):
        for l in (m[0], m[2]):
            R(t).l1_unstructured(l, "weight", 0.3)
        o = t.optim.Adam(m.parameters(), 0.01)
        for _ in range(3):
            o.zero_grad()
            l = (m(t.arange(6.0).reshape(2, 3)) - 1).pow(2).mean()
            l.backward()
            o.step()
    for l_ in (m[0], m[2]):
        R(t).remove(l_, "weight")
    return [l, m[0].weight, m[2].weight, m, list(m.state_dict())]


@program
def state_load(t):
    a, b = lin(t), t.nn.Linear(3, 3)
    R(t).l1_unstructured(a, "weight", 4)
    R(t).identity(b, "weight")
    r = b.load_state_dict(a.state_dict())
    return [repr(r), b(t.ones(1, 3)), b.weight_mask]


@program
def state_wrong(t):
    a = lin(t)
    R(t).l1_unstructured(a, "weight", 4)
    lin(t).load_state_dict(a.state_dict())


@program
def deep(t):
    m = lin(t)
    R(t).l1_unstructured(m, "weight", 4)
    return copy.deepcopy(m)


@program
def deep_nograd(t):
    m = lin(t)
    R(t).l1_unstructured(m, "weight", 4)
    with t.no_grad():
        m(t.ones(1, 3))
    c = copy.deepcopy(m)
    return look(t, c)


@program
def pickled(t):
    m = lin(t)
    R(t).l1_unstructured(m, "weight", 4)
    with t.no_grad():
        m(t.ones(1, 3))
    c = pickle.loads(pickle.dumps(m))
    return look(t, c)


@program
def lottery(t):
    m = t.nn.Sequential(lin(t, 4, 8), t.nn.Tanh(), lin(t, 8, 2))
    init = copy.deepcopy(m.state_dict())
    x, y = t.rand(8, 4), t.tensor([0, 1] * 4)
    for _r in range(2):
        o = t.optim.SGD(m.parameters(), 0.1)
        for _ in range(3):
            o.zero_grad()
            l = t.nn.functional.cross_entropy(m(x), y)
            l.backward()
            o.step()
        R(t).global_unstructured([(m[0], "weight"), (m[2], "weight")], pruning_method=R(t).L1Unstructured, amount=0.2)
        for i in (0, 2):
            with t.no_grad():
                m[i].weight_orig.copy_(init[f"{i}.weight"])
    zeros = sum(int((m[i].weight_mask == 0).sum()) for i in (0, 2))
    return [
        l,
        zeros,
        m[0].weight,
        m[2].weight_mask,
        100.0 * float(t.sum(m[0].weight == 0)) / float(m[0].weight.nelement()),
    ]


@program
def hooks_(t):
    m = lin(t)
    R(t).l1_unstructured(m, "weight", 4)
    h = list(m._forward_pre_hooks.values())
    return [len(h), h[0].amount, h[0]._tensor_name, h[0].PRUNING_TYPE, h[0].apply_mask(m)]


@program
def custom_layer(t):
    class N(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = t.nn.Parameter(t.arange(4.0))

        def forward(self, x):
            return x * self.w

    m = N()
    R(t).l1_unstructured(m, "w", 2)
    return [m(t.ones(4)), list(m.state_dict())]


@program
def buffer_(t):
    m = lin(t)
    m.register_buffer("b", t.ones(3))
    R(t).l1_unstructured(m, "b", 1)


@program
def nan_amount(t):
    m = lin(t)
    R(t).l1_unstructured(m, "weight", float("nan"))


@program
def freeze(t):
    m = lin(t)
    m.weight.requires_grad_(False)
    R(t).l1_unstructured(m, "weight", 1)
    return [m.weight_orig.requires_grad]


SINGLE = ("double", "float", "half", "complex")  # programs that name a precision; the others run in float64


@pytest.mark.parametrize("name", PROGRAMS)
def test_prune(name):
    code = PROGRAMS[name]
    single = any(word in inspect.getsource(code) for word in SINGLE)

    def run(t):
        t.set_default_dtype(t.float32 if single else t.float64)
        try:
            return code(t)
        finally:
            t.set_default_dtype(t.float32)

    assert not isinstance(agree(run, words=None), NameError)
