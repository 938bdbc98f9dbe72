"""Tensors that are computed from others: removal, copies, state dicts, sharing; compared with torch."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from support.parametrizations import P, double, lin, lowrank, mod, reg, skew, sym
from support.programs import Programs, agree

PROGRAMS = program = Programs()


@program
def remove(t):
    m = lin(t)
    reg(t, m, sym(t))
    w = m.weight
    r = P(t).remove_parametrizations(m, "weight")
    return [
        r is m,
        t.equal(w, m.weight),
        m,
        type(m),
        list(m.state_dict()),
        hasattr(m, "parametrizations"),
        isinstance(m.weight, t.nn.Parameter),
        [n for n, _ in m.named_parameters()],
    ]


@program
def remove_not_left(t):
    m = lin(t)
    w = m.weight.detach().clone()
    reg(t, m, skew(t))
    P(t).remove_parametrizations(m, "weight", leave_parametrized=False)
    return [m.weight, t.equal(w, m.weight)]


@program
def remove_missing(t):
    P(t).remove_parametrizations(lin(t), "weight")


@program
def remove_other(t):
    m = lin(t)
    reg(t, m, sym(t))
    P(t).remove_parametrizations(m, "bias")


@program
def remove_one_of_two(t):
    m = lin(t)
    reg(t, m, sym(t))
    reg(t, m, double(t), "bias")
    P(t).remove_parametrizations(m, "weight")
    return [m, type(m), list(m.state_dict()), [n for n, _ in m.named_parameters()]]


@program
def remove_keeps_identity(t):
    m = lin(t)
    w = m.weight
    reg(t, m, sym(t))
    o = m.parametrizations.weight.original
    P(t).remove_parametrizations(m, "weight")
    return [w is o, m.weight is w]


@program
def buffer(t):
    m = lin(t)
    m.register_buffer("b", t.ones(3))
    reg(t, m, double(t), "b")
    return [m, list(m.state_dict()), m.b, [n for n, _ in m.named_buffers()], list(m._buffers)]


@program
def buffer_remove(t):
    m = lin(t)
    m.register_buffer("b", t.ones(3))
    reg(t, m, double(t), "b")
    P(t).remove_parametrizations(m, "b")
    return [m.b, list(m.state_dict()), [n for n, _ in m.named_buffers()]]


@program
def pickle_refused(t):
    m = lin(t)
    reg(t, m, mod(t, lambda s, x: x))
    pickle.dumps(m)


@program
def deep(t):
    m = lin(t)
    reg(t, m, sym(t))
    c = copy.deepcopy(m)
    t.nn.init.zeros_(m.parametrizations.weight.original)
    return [c, c.weight, m.weight, type(c) is type(m), list(c.state_dict())]


@program
def deep_chain(t):
    m = t.nn.Sequential(lin(t), t.nn.ReLU(), lin(t))
    reg(t, m[0], sym(t))
    c = copy.deepcopy(m)
    return [c, P(t).is_parametrized(c[0]), P(t).is_parametrized(c), c(t.ones(1, 3))]


@program
def state(t):
    m, n = lin(t), lin(t)
    t.nn.init.ones_(n.weight)
    reg(t, m, sym(t))
    reg(t, n, sym(t))
    r = n.load_state_dict(m.state_dict())
    return [repr(r), n.weight]


@program
def state_wrong(t):
    m, n = lin(t), lin(t)
    reg(t, m, sym(t))
    n.load_state_dict(m.state_dict())


@program
def cached(t):
    calls = []
    m = lin(t)
    reg(t, m, mod(t, lambda s, x: (calls.append(1), x * 1)[1]))
    n0 = len(calls)
    with P(t).cached():
        a = m.weight
        b = m.weight
        with P(t).cached():
            c = m.weight
        d = m.weight
    return [a is b, a is c, a is d, len(calls) - n0, (m.weight is m.weight)]


@program
def cached_assign(t):
    m = lin(t)
    reg(t, m, double(t))
    with P(t).cached():
        m.weight = t.ones(3, 3)
        return [m.weight]


@program
def cached_grad(t):
    m = lin(t)
    reg(t, m, double(t))
    with P(t).cached():
        loss = (m(t.ones(1, 3)) + m(t.ones(1, 3))).sum()
    loss.backward()
    return m.parametrizations.weight.original.grad


@program
def grads(t):
    m = lin(t)
    reg(t, m, sym(t))
    m(t.ones(2, 3)).pow(2).sum().backward()
    return [m.parametrizations.weight.original.grad, m.bias.grad]


@program
def train(t):
    m = lin(t)
    reg(t, m, sym(t))
    o = t.optim.SGD(m.parameters(), 0.1)
    for i in range(5):
        o.zero_grad()
        l = m(t.ones(2, 3) * i).pow(2).sum()
        l.backward()
        o.step()
    return m.weight


@program
def transfer(t):
    a = lin(t)
    reg(t, a, sym(t))
    b = lin(t)
    r = P(t).transfer_parametrizations_and_params(a, b)
    return [
        r is b,
        b,
        list(b.state_dict()),
        b.weight,
        b.parametrizations.weight.original is a.parametrizations.weight.original,
        b.bias is a.bias,
    ]


@program
def transfer_name(t):
    a = lin(t)
    reg(t, a, sym(t))
    reg(t, a, double(t), "bias")
    b = lin(t)
    P(t).transfer_parametrizations_and_params(a, b, "bias")
    return [b, list(b.state_dict())]


@program
def transfer_none(t):
    a = lin(t)
    b = lin(t)
    return P(t).transfer_parametrizations_and_params(a, b) is b


@program
def transfer_none_name(t):
    a = lin(t)
    b = lin(t)
    reg(t, a, sym(t))
    P(t).transfer_parametrizations_and_params(a, b, "bias")


@program
def transfer_several(t):
    a = lin(t)
    reg(t, a, lowrank(t))
    b = lin(t)
    P(t).transfer_parametrizations_and_params(a, b)
    return [b, b.weight]


@program
def transfer_extra(t):
    a = lin(t)
    reg(t, a, sym(t))
    a.register_parameter("extra", t.nn.Parameter(t.ones(2)))
    b = lin(t)
    P(t).transfer_parametrizations_and_params(a, b)
    return [b, list(b.state_dict())]


@program
def is_param_none(t):
    return [
        P(t).is_parametrized(lin(t)),
        P(t).is_parametrized(lin(t), "weight"),
        P(t).type_before_parametrizations(lin(t)),
    ]


@program
def requires_grad(t):
    m = lin(t)
    m.weight.requires_grad_(False)
    reg(t, m, sym(t))
    a = m.parametrizations.weight.original.requires_grad, m.weight.requires_grad
    P(t).remove_parametrizations(m, "weight")
    return [a, m.weight.requires_grad]


@program
def frozen_several(t):
    m = lin(t)
    m.weight.requires_grad_(False)
    reg(t, m, lowrank(t))
    return [p.requires_grad for p in m.parametrizations.parameters()]


@program
def double_(t):
    m = lin(t)
    reg(t, m, sym(t))
    m.double()
    return [m.weight, list(m.state_dict())]


@program
def train_eval(t):
    m = lin(t)
    reg(t, m, t.nn.Dropout(0.5))
    m.eval()
    return [m.weight, m.parametrizations.weight[0].training]


@program
def apply_(t):
    names = []
    m = lin(t)
    reg(t, m, sym(t))
    m.apply(lambda x: names.append(type(x).__name__))
    return names


@program
def constructed(t):
    return P(t).ParametrizationList([sym(t)], t.nn.Parameter(t.eye(3)))


@program
def constructed_empty(t):
    P(t).ParametrizationList([], t.eye(3))


@program
def constructed_buffer(t):
    l = P(t).ParametrizationList([sym(t)], t.ones(3, 3))
    return [l(), list(l.state_dict()), [n for n, _ in l.named_buffers()]]


@program
def list_ops(t):
    m = lin(t)
    reg(t, m, sym(t))
    reg(t, m, double(t))
    l = m.parametrizations.weight
    return [
        len(l),
        l[0],
        l[-1],
        [type(x).__name__ for x in l],
        m.parametrizations["weight"] is l,
        "weight" in m.parametrizations,
        list(m.parametrizations.keys()),
    ]


@program
def right_inverse_called(t):
    m = lin(t)
    reg(t, m, skew(t))
    m.parametrizations.weight.right_inverse(t.eye(3))


@program
def inverse_not_implemented(t):
    def inv(self, x):
        raise NotImplementedError

    m = lin(t)
    reg(t, m, mod(t, lambda s, x: x, inv))
    return m


@program
def custom_user(t):
    class Net(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = t.nn.Parameter(t.ones(2))
            self.k = 3

        def forward(self, x):
            return x * self.w

    m = Net()
    reg(t, m, double(t), "w")
    return [m, m(t.ones(2)), m.k, type(m).__qualname__, hasattr(m, "w"), "w" in m.__dict__, list(m.__dict__)[:1]]


@program
def inplace_under_no_grad(t):
    m = lin(t)
    reg(t, m, sym(t))
    with t.no_grad():
        m.weight = t.eye(3)
    return m.weight


@program
def setattr_module(t):
    m = lin(t)
    reg(t, m, sym(t))
    m.weight = None


@program
def func_call(t):
    m = lin(t)
    reg(t, m, double(t))
    return t.func.functional_call(m, {"parametrizations.weight.original": t.ones(3, 3)}, (t.ones(1, 3),))


@program
def func_call_weight(t):
    m = lin(t)
    reg(t, m, double(t))
    return t.func.functional_call(m, {"weight": t.ones(3, 3)}, (t.ones(1, 3),))


@program
def hooks(t):
    m = lin(t)
    reg(t, m, double(t))
    seen = []
    m.parametrizations.weight[0].register_forward_hook(lambda mo, a, o: seen.append(o.shape[0]))
    m(t.ones(1, 3))
    return seen


@program
def embedding(t):
    t.manual_seed(0)
    m = t.nn.Embedding(4, 3)
    reg(t, m, double(t))
    return [m, m(t.tensor([1, 2]))]


@program
def conv(t):
    t.manual_seed(0)
    m = t.nn.Conv2d(2, 3, 3)
    reg(t, m, double(t))
    return [m, m(t.ones(1, 2, 4, 4))]


@program
def shared(t):
    a, b = lin(t), lin(t)
    p = double(t)
    reg(t, a, p)
    reg(t, b, p)
    m = t.nn.Sequential(a, b)
    return [m, len(list(m.modules()))]


SINGLE = ("double", "float", "half", "complex")  # programs that name a precision; the others run in float64


@pytest.mark.parametrize("name", PROGRAMS)
def test_parametrize(name):
    code = PROGRAMS[name]
    single = any(word in inspect.getsource(code) for word in SINGLE)

    def run(t):
        t.set_default_dtype(t.float32 if single else t.float64)
        try:
            return code(t)
        finally:
            t.set_default_dtype(t.float32)

    assert not isinstance(agree(run, words=None), NameError)
