"""Compiled steps of models with computed, normalized and pruned weights give what torch gives."""

from __future__ import annotations

import importlib
import inspect

import pytest

from support.parametrizations import P, double, lin, reg, sym
from support.programs import Programs, agree

PROGRAMS = program = Programs()


def compiled_form(t, function, **options):
    return function if t.__name__ == "torch" else t.compile(function, **options)


def Z(t):
    return t.nn.utils.parametrizations


def orth(t, i, o, seed=3, dtype=None, **k):
    t.manual_seed(seed)
    m = t.nn.Linear(i, o, dtype=dtype)
    Z(t).orthogonal(m, **k)
    return m


def sn(t, *a, seed=0, i=3, o=4, **k):
    t.manual_seed(seed)
    return Z(t).spectral_norm(t.nn.Linear(i, o), *a, **k)


def R(t):
    return importlib.import_module(t.__name__ + ".nn.utils.prune")


@program
def compiled(t):
    m = lin(t)
    reg(t, m, sym(t))
    o = t.optim.SGD(m.parameters(), 0.1)

    def step(x):
        o.zero_grad()
        l = m(x).pow(2).sum()
        l.backward()
        o.step()
        return l.detach()

    c = compiled_form(t, step)
    return [c(t.ones(2, 3) * i) for i in range(4)] + [m.weight]


@program
def compiled_cached(t):
    m = lin(t)
    reg(t, m, sym(t))

    def f(x):
        with P(t).cached():
            return m(m(x))

    c = compiled_form(t, f)
    return [c(t.ones(2, 3) * i) for i in range(3)]


@program
def compiled_after_registration(t):
    m = lin(t)

    def f(x):
        return m(x)

    c = compiled_form(t, f)
    a = c(t.ones(1, 3))
    reg(t, m, sym(t))
    b = c(t.ones(1, 3))
    P(t).remove_parametrizations(m, "weight")
    d = c(t.ones(1, 3))
    m.weight.data.zero_()
    return [a, b, d, c(t.ones(1, 3))]


@program
def compiled_model(t):
    m = t.nn.Sequential(lin(t), t.nn.Tanh(), lin(t))
    reg(t, m[0], sym(t))
    reg(t, m[2], double(t))
    c = compiled_form(t, m)
    o = t.optim.Adam(m.parameters())
    out = []
    for _i in range(3):
        l = c(t.ones(2, 3)).pow(2).mean()
        o.zero_grad()
        l.backward()
        o.step()
        out.append(l.detach())
    return out


@program
def sn_compiled(t):
    m = sn(t)
    o = t.optim.SGD(m.parameters(), 0.1)

    def step(x):
        o.zero_grad()
        l = m(x).pow(2).sum()
        l.backward()
        o.step()
        return l.detach()

    c = compiled_form(t, step, fullgraph=True)
    return [c(t.ones(2, 3)) for _ in range(4)] + [m.parametrizations.weight[0]._u, m.weight]


@program
def osn_compiled(t):
    t.manual_seed(0)
    m = t.nn.utils.spectral_norm(t.nn.Linear(3, 4))
    o = t.optim.SGD(m.parameters(), 0.1)

    def step(x):
        o.zero_grad()
        l = m(x).pow(2).sum()
        l.backward()
        o.step()
        m.requires_grad_(False)  # as a GAN's critic in the generator's turn: the weight that is left is off the tape
        g = m(x).sum()
        m.requires_grad_(True)
        return l.detach(), g

    c = compiled_form(t, step, fullgraph=True)
    return [c(t.ones(2, 3)) for _ in range(4)] + [m.weight_u]


@program
def own_compiled(t):
    m = t.nn.Sequential(t.nn.utils.weight_norm(lin(t)), Z(t).weight_norm(lin(t)), orth(t, 3, 3))
    o = t.optim.SGD(m.parameters(), 0.1)

    def step(x):
        o.zero_grad()
        l = m(x).pow(2).sum()
        l.backward()
        o.step()
        return l.detach()

    c = compiled_form(t, step, fullgraph=True)
    return [c(t.ones(2, 3)) for _ in range(4)] + [m[2].weight]


@program
def train_compiled(t):
    m = t.nn.Sequential(lin(t, 3, 8), t.nn.ReLU(), lin(t, 8, 2))
    out = []
    for _r in range(2):
        for l in (m[0], m[2]):
            R(t).l1_unstructured(l, "weight", 0.3)
        o = t.optim.SGD(m.parameters(), 0.01, momentum=0.9)

        def step(x, o=o, m=m):
            o.zero_grad()
            l = (m(x) - 1).pow(2).mean()
            l.backward()
            o.step()
            return l.detach()

        c = compiled_form(t, step, fullgraph=True)
        out += [c(t.arange(6.0).reshape(2, 3)) for _ in range(4)]
    return [*out, m[0].weight]


SINGLE = ("double", "float", "half", "complex")  # programs that name a precision; the others run in float64


@pytest.mark.parametrize("name", PROGRAMS)
def test_compiled(name):
    code = PROGRAMS[name]
    single = any(word in inspect.getsource(code) for word in SINGLE)

    def run(t):
        t.set_default_dtype(t.float32 if single else t.float64)
        try:
            return code(t)
        finally:
            t.set_default_dtype(t.float32)

    assert not isinstance(agree(run, words=None), NameError)
