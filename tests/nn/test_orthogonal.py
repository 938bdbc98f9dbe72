"""Orthogonal weights: compared with torch."""

from __future__ import annotations

import inspect

import pytest

from support.parametrizations import P
from support.programs import Programs, agree

PROGRAMS = program = Programs()


def Z(t):
    return t.nn.utils.parametrizations


def close(t, a, b):
    return bool(t.allclose(a, b, atol=1e-5))


def orth(t, i, o, seed=3, dtype=None, **k):
    t.manual_seed(seed)
    m = t.nn.Linear(i, o, dtype=dtype)
    Z(t).orthogonal(m, **k)
    return m


for mp in ("matrix_exp", "cayley", "householder"):
    for triv in (True, False):
        for i, o in ((3, 3), (2, 4), (4, 2)):

            def f(t, mp=mp, triv=triv, i=i, o=o):
                m = orth(t, i, o, orthogonal_map=mp, use_trivialization=triv)
                w = m.weight
                Q = w if o >= i else w.T
                m(t.ones(2, i)).pow(2).sum().backward()
                out = [
                    m,
                    w,
                    m.parametrizations.weight.original,
                    list(m.state_dict()),
                    close(t, Q.T @ Q, t.eye(Q.shape[1])),
                    m.parametrizations.weight.original.grad,
                    t.rand(1),
                ]
                return out

            PROGRAMS[f"orth {mp} {triv} {i}x{o}"] = f

            def g(t, mp=mp, triv=triv, i=i, o=o):
                m = orth(t, i, o, orthogonal_map=mp, use_trivialization=triv)
                opt = t.optim.SGD(m.parameters(), 0.05)
                for _k in range(3):
                    opt.zero_grad()
                    (m(t.arange(2.0 * i).reshape(2, i) / 5) - 1).pow(2).sum().backward()
                    opt.step()
                return m.weight

            PROGRAMS[f"train {mp} {triv} {i}x{o}"] = g

            def h(t, mp=mp, triv=triv, i=i, o=o):
                m = orth(t, i, o, orthogonal_map=mp, use_trivialization=triv)
                Q = t.eye(max(i, o))[:o, :i] * -1
                m.weight = Q
                return [m.weight, m.parametrizations.weight.original, m.parametrizations.weight[0]]

            PROGRAMS[f"assign {mp} {triv} {i}x{o}"] = h


@program
def orth_not(t):
    m = orth(t, 3, 3)
    m.weight = t.ones(3, 3)


@program
def orth_not_h(t):
    m = orth(t, 3, 3, orthogonal_map="householder")
    m.weight = t.ones(3, 3)


@program
def orth_not_h2(t):
    m = orth(t, 3, 3, orthogonal_map="householder", use_trivialization=False)
    m.weight = t.tensor([[1.0, 2, 0], [0, 1, 3], [2, 0, 1]])  # of full rank: else its QR is a matter of rounding
    return m.weight


@program
def orth_shape(t):
    m = orth(t, 3, 3)
    m.weight = t.eye(4)


@program
def orth_map(t):
    orth(t, 3, 3, orthogonal_map="nothing")


@program
def orth_name(t):
    orth(t, 3, 3, name="nothing")


@program
def orth_bias(t):
    orth(t, 3, 3, name="bias")


@program
def orth_complex(t):
    m = orth(t, 3, 3, dtype=t.complex64)
    w = m.weight
    return [close(t, w.mH @ w, t.eye(3, dtype=t.complex64)), str(m.parametrizations.weight[0])]


@program
def orth_complex_h(t):
    orth(t, 3, 3, dtype=t.complex64, orthogonal_map="householder")


@program
def orth_double(t):
    return orth(t, 3, 5, dtype=t.float64).weight


@program
def orth_conv(t):
    t.manual_seed(0)
    m = t.nn.Conv2d(3, 4, 3)
    Z(t).orthogonal(m)
    return [m.weight.shape, m.weight.sum()]


@program
def orth_conv1(t):
    t.manual_seed(0)
    m = t.nn.Conv1d(3, 4, 5)
    Z(t).orthogonal(m)
    return [m.weight, t.rand(2)]


@program
def orth_rnn(t):
    t.manual_seed(0)

    class Cell(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.i = t.nn.Linear(2, 4)
            self.h = Z(t).orthogonal(t.nn.Linear(4, 4, bias=False))

        def forward(self, x):
            h = t.zeros(x.shape[1], 4)
            with P(t).cached():
                for s in x:
                    h = t.tanh(self.i(s) + self.h(h))
            return h

    m = Cell()
    o = t.optim.Adam(m.parameters(), 0.01)
    x = t.rand(5, 2, 2)
    for _ in range(4):
        o.zero_grad()
        l = m(x).pow(2).mean()
        l.backward()
        o.step()
    return [m, l, m.h.weight, t.dist(m.h.weight.T @ m.h.weight, t.eye(4)) < 1e-4]


@program
def orth_load(t):
    a, b = orth(t, 3, 3, 1), orth(t, 3, 3, 2)
    b.load_state_dict(a.state_dict())
    return [close(t, a.weight, b.weight), list(a.state_dict())]


@program
def orth_remove(t):
    a = orth(t, 3, 3)
    w = a.weight.clone()
    P(t).remove_parametrizations(a, "weight")
    return [a, close(t, w, a.weight)]


@program
def orth_init(t):
    a = orth(t, 3, 3)
    with t.no_grad():
        a.weight = t.nn.init.orthogonal_(t.empty(3, 3))
    return [close(t, a.weight.T @ a.weight, t.eye(3)), a.weight]


@program
def orth_buffer(t):
    m = t.nn.Module()
    m.register_buffer("w", t.eye(3)[[1, 0, 2]])
    Z(t).orthogonal(m, "w")
    return [m.w, list(m.state_dict())]


SINGLE = ("double", "float", "half", "complex")  # programs that name a precision; the others run in float64


def seldom(name):
    """Whether the sweep alone has it: weights that are not square are trained and assigned by what square ones are."""
    return name.startswith(("train", "assign")) and not name.endswith("3x3")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * seldom(n)) for n in PROGRAMS])
def test_orthogonal(name):
    code = PROGRAMS[name]
    single = any(word in inspect.getsource(code) for word in SINGLE)

    def run(t):
        t.set_default_dtype(t.float32 if single else t.float64)
        try:
            return code(t)
        finally:
            t.set_default_dtype(t.float32)

    assert not isinstance(agree(run, words=None), NameError)
