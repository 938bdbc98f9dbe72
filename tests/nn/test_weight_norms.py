"""Weight and spectral normalization, old and new: compared with torch."""

from __future__ import annotations

import copy
import inspect
import sys

import pytest

from support.parametrizations import P, lin
from support.programs import Programs, agree

PROGRAMS = program = Programs()


def Z(t):
    return t.nn.utils.parametrizations


def close(t, a, b):
    return bool(t.allclose(a, b, atol=1e-5))


@program
def wn(t):
    m = lin(t)
    w = m.weight.clone()
    r = Z(t).weight_norm(m)
    m(t.ones(1, 3)).pow(2).sum().backward()
    return [
        r is m,
        m,
        list(m.state_dict()),
        m.parametrizations.weight.original0,
        m.weight,
        [p.grad for p in m.parameters()],
        close(t, w, m.weight),
    ]


for d in (0, 1, -1, None, 2, -2):

    def f(t, d=d):
        m = lin(t, 3, 2)
        Z(t).weight_norm(m, dim=d)
        m(t.ones(1, 3)).pow(2).sum().backward()
        return [m.parametrizations.weight.original0, m.weight, [p.grad for p in m.parameters()]]

    PROGRAMS[f"wn {d}"] = f

    def f(t, d=d):
        t.manual_seed(0)
        m = t.nn.Conv2d(2, 3, 3)
        Z(t).weight_norm(m, dim=d)
        m(t.ones(1, 2, 4, 4)).pow(2).sum().backward()
        return [m.parametrizations.weight.original0, m.weight, [p.grad for p in m.parameters()]]

    PROGRAMS[f"wn conv {d}"] = f

    def f(t, d=d):
        t.manual_seed(0)
        m = t.nn.Conv2d(2, 3, 3)
        m = t.nn.utils.weight_norm(m, dim=d)
        m(t.ones(1, 2, 4, 4)).pow(2).sum().backward()
        return [m, m.weight_g, m.weight, [p.grad for p in m.parameters()], list(m.state_dict())]

    PROGRAMS[f"old wn conv {d}"] = f


@program
def wn_old_state(t):
    a = t.nn.utils.weight_norm(lin(t))
    with t.no_grad():
        a.weight_g.mul_(2)
    t.manual_seed(4)
    b = Z(t).weight_norm(t.nn.Linear(3, 3))
    r = b.load_state_dict(a.state_dict())
    return [repr(r), b.weight, b.parametrizations.weight.original0]


@program
def wn_old_state_nested(t):
    a = t.nn.Sequential(t.nn.utils.weight_norm(lin(t)))
    b = t.nn.Sequential(Z(t).weight_norm(t.nn.Linear(3, 3)))
    r = b.load_state_dict(a.state_dict())
    return [repr(r), b[0].weight]


@program
def wn_assign(t):
    m = Z(t).weight_norm(lin(t))
    m.weight = t.ones(3, 3)
    return [m.weight, m.parametrizations.weight.original0]


@program
def wn_remove(t):
    m = Z(t).weight_norm(lin(t))
    P(t).remove_parametrizations(m, "weight")
    return [m, m.weight]


@program
def wn_name(t):
    Z(t).weight_norm(lin(t), "nothing")


@program
def wn_zero(t):
    m = lin(t)
    t.nn.init.zeros_(m.weight)
    Z(t).weight_norm(m)
    return t.isnan(m.weight)


@program
def wn_train(t):
    m = t.nn.Sequential(Z(t).weight_norm(lin(t)), t.nn.Tanh(), t.nn.utils.weight_norm(lin(t)))
    o = t.optim.Adam(m.parameters(), 0.05)
    for _k in range(5):
        o.zero_grad()
        l = (m(t.arange(6.0).reshape(2, 3)) - 1).pow(2).mean()
        l.backward()
        o.step()
    return [l, m[0].weight, m[2].weight]


@program
def wn_deep(t):
    m = Z(t).weight_norm(lin(t))
    c = copy.deepcopy(m)
    t.nn.init.zeros_(m.parametrizations.weight.original0)
    return [c.weight, m.weight]


@program
def wn_bias(t):
    m = Z(t).weight_norm(lin(t), "bias")
    return [m.bias, m.parametrizations.bias.original0]


# old weight norm
@program
def own(t):
    m = lin(t)
    r = t.nn.utils.weight_norm(m)
    return [
        r is m,
        m,
        list(m.state_dict()),
        m.weight_g,
        m.weight_v,
        m.weight,
        [n for n, _ in m.named_parameters()],
        isinstance(m.weight, t.nn.Parameter),
        len(m._forward_pre_hooks),
        [type(h).__name__ for h in m._forward_pre_hooks.values()],
        "weight" in m.__dict__,
    ]


@program
def own_hook(t):
    m = t.nn.utils.weight_norm(lin(t))
    h = next(iter(m._forward_pre_hooks.values()))
    return [h.name, h.dim, h.compute_weight(m)]


@program
def own_remove(t):
    m = t.nn.utils.weight_norm(lin(t))
    w = m.weight.clone()
    r = t.nn.utils.remove_weight_norm(m)
    return [r is m, m, list(m.state_dict()), m.weight, close(t, w, m.weight), len(m._forward_pre_hooks)]


@program
def own_remove_missing(t):
    t.nn.utils.remove_weight_norm(lin(t))


@program
def own_twice(t):
    t.nn.utils.weight_norm(t.nn.utils.weight_norm(lin(t)))


@program
def own_name(t):
    t.nn.utils.weight_norm(lin(t), "nothing")


@program
def own_two(t):
    m = lin(t)
    t.nn.utils.weight_norm(m)
    t.nn.utils.weight_norm(m, "bias")
    return [m(t.ones(1, 3)), list(m.state_dict())]


@program
def own_deepcopy(t):
    m = t.nn.utils.weight_norm(lin(t))
    c = copy.deepcopy(m)
    return c(t.ones(1, 3))


@program
def own_deepcopy_after(t):
    m = t.nn.utils.weight_norm(lin(t))
    m(t.ones(1, 3))
    c = copy.deepcopy(m)
    return c(t.ones(1, 3))


@program
def own_deepcopy_nograd(t):
    m = t.nn.utils.weight_norm(lin(t))
    with t.no_grad():
        m(t.ones(1, 3))
    c = copy.deepcopy(m)
    return c(t.ones(1, 3))


@program
def own_remove_deepcopy(t):
    m = t.nn.utils.weight_norm(lin(t))
    m(t.ones(1, 3))
    t.nn.utils.remove_weight_norm(m)
    return copy.deepcopy(m)(t.ones(1, 3))


@program
def own_double(t):
    m = t.nn.utils.weight_norm(lin(t)).double()
    return m(t.ones(1, 3).double())


@program
def own_lazy(t):
    return t.nn.utils.weight_norm(t.nn.LazyLinear(3))


@program
def own_load(t):
    a, b = t.nn.utils.weight_norm(lin(t)), t.nn.utils.weight_norm(t.nn.Linear(3, 3))
    b.load_state_dict(a.state_dict())
    return b(t.ones(1, 3))


@program
def own_class(t):
    W = sys.modules[t.nn.utils.__name__ + ".weight_norm"].WeightNorm
    m = lin(t)
    W.apply(m, "weight", 0)
    return m(t.ones(1, 3))


# spectral norm
def sn(t, *a, seed=0, i=3, o=4, **k):
    t.manual_seed(seed)
    return Z(t).spectral_norm(t.nn.Linear(i, o), *a, **k)


@program
def snb(t):
    m = sn(t)
    return [
        m,
        list(m.state_dict()),
        m.parametrizations.weight[0]._u,
        m.parametrizations.weight[0]._v,
        m.weight,
        m(t.ones(1, 3)),
        t.rand(1),
        sorted(k for k in vars(m.parametrizations.weight[0]) if k[0] != "_"),
    ]


@program
def sn_train(t):
    m = sn(t)
    o = t.optim.SGD(m.parameters(), 0.1)
    for _k in range(4):
        o.zero_grad()
        l = m(t.ones(2, 3)).pow(2).sum()
        l.backward()
        o.step()
    return [m.weight, m.parametrizations.weight[0]._u, l]


@program
def sn_eval(t):
    m = sn(t).eval()
    a = m.weight
    b = m.weight
    m.train()
    c = m.weight
    d = m.weight
    return [a, t.equal(a, b), c, d]


@program
def sn_iter(t):
    return sn(t, n_power_iterations=5).weight


@program
def sn_iter0(t):
    return sn(t, n_power_iterations=0)


@program
def sn_dim(t):
    return [sn(t, dim=1).weight, sn(t, dim=-1).weight]


@program
def sn_dim_wrong(t):
    return sn(t, dim=5)


@program
def sn_name(t):
    sn(t, "nothing")


@program
def sn_bias(t):
    m = sn(t, "bias")
    return [m.bias, list(m.state_dict())]


@program
def sn_conv(t):
    t.manual_seed(0)
    m = Z(t).spectral_norm(t.nn.Conv2d(2, 3, 3))
    return [m.weight, m(t.ones(1, 2, 4, 4))]


@program
def sn_convt(t):
    t.manual_seed(0)
    m = Z(t).spectral_norm(t.nn.ConvTranspose2d(2, 3, 3))
    return [m.weight, m(t.ones(1, 2, 4, 4)), m.parametrizations.weight[0]._u.shape]


@program
def sn_emb(t):
    t.manual_seed(0)
    m = Z(t).spectral_norm(t.nn.Embedding(5, 3))
    return m(t.tensor([1, 2]))


@program
def sn_scalar(t):
    m = t.nn.Module()
    m.w = t.nn.Parameter(t.tensor(3.0))
    Z(t).spectral_norm(m, "w")


@program
def sn_assign(t):
    m = sn(t)
    m.weight = t.ones(4, 3)
    return [m.parametrizations.weight.original, m.weight]


@program
def sn_remove(t):
    m = sn(t)
    P(t).remove_parametrizations(m, "weight")
    return [m, m.weight]


@program
def sn_load(t):
    a, b = sn(t), sn(t, seed=2)
    b.load_state_dict(a.state_dict())
    return [a.eval().weight, b.eval().weight]


@program
def sn_double(t):
    m = sn(t).double()
    return [m.weight]


@program
def sn_complex(t):
    t.manual_seed(0)
    m = Z(t).spectral_norm(t.nn.Linear(3, 2, dtype=t.complex64))
    return m.weight


# old
@program
def osn(t):
    t.manual_seed(0)
    m = t.nn.Linear(3, 4)
    r = t.nn.utils.spectral_norm(m)
    return [
        r is m,
        m,
        list(m.state_dict()),
        m.weight_u,
        m.weight_v,
        m.weight,
        m(t.ones(1, 3)),
        m.weight,
        [n for n, _ in m.named_parameters()],
        [n for n, _ in m.named_buffers()],
        "weight" in m.__dict__,
        t.rand(1),
    ]


@program
def osn_train(t):
    t.manual_seed(0)
    m = t.nn.utils.spectral_norm(t.nn.Linear(3, 4))
    o = t.optim.SGD(m.parameters(), 0.1)
    for _k in range(4):
        o.zero_grad()
        l = m(t.ones(2, 3)).pow(2).sum()
        l.backward()
        o.step()
    return [m.weight, m.weight_u, l, m.weight_orig.grad]


@program
def osn_eval(t):
    t.manual_seed(0)
    m = t.nn.utils.spectral_norm(t.nn.Linear(3, 4)).eval()
    m(t.ones(1, 3))
    return [m.weight, m.weight_u]


@program
def osn_remove_missing(t):
    t.nn.utils.remove_spectral_norm(lin(t))


@program
def osn_twice(t):
    t.nn.utils.spectral_norm(t.nn.utils.spectral_norm(lin(t)))


@program
def osn_name(t):
    t.nn.utils.spectral_norm(lin(t), "nothing")


@program
def osn_none(t):
    t.nn.utils.spectral_norm(lin(t, bias=False), "bias")


@program
def osn_iter0(t):
    t.nn.utils.spectral_norm(lin(t), n_power_iterations=0)


@program
def osn_conv(t):
    t.manual_seed(0)
    m = t.nn.utils.spectral_norm(t.nn.ConvTranspose2d(2, 3, 3))
    return [m(t.ones(1, 2, 4, 4)), m.weight_u.shape, m.weight_v.shape]


@program
def osn_dim(t):
    t.manual_seed(0)
    m = t.nn.utils.spectral_norm(t.nn.Linear(3, 4), dim=1)
    return [m(t.ones(1, 3)), m.weight_u.shape]


@program
def osn_load(t):
    t.manual_seed(0)
    a = t.nn.utils.spectral_norm(t.nn.Linear(3, 4))
    b = t.nn.utils.spectral_norm(t.nn.Linear(3, 4))
    a(t.ones(1, 3))
    r = b.load_state_dict(a.state_dict())
    return [repr(r), b.eval()(t.ones(1, 3)), dict(a.state_dict()._metadata)]


@program
def osn_load_old(t):
    t.manual_seed(0)
    a = t.nn.utils.spectral_norm(t.nn.Linear(3, 4))
    a(t.ones(1, 3))
    s = a.state_dict()
    s._metadata[""] = {"version": 1}
    w = a.weight
    del s["weight_v"]
    s["weight"] = w.detach()
    b = t.nn.utils.spectral_norm(t.nn.Linear(3, 4))
    r = b.load_state_dict(s)
    return [repr(r), b.weight_v]


@program
def osn_load_missing(t):
    t.manual_seed(0)
    a = t.nn.utils.spectral_norm(t.nn.Linear(3, 4))
    s = a.state_dict()
    del s["weight_v"]
    a.load_state_dict(s)


@program
def osn_deepcopy(t):
    t.manual_seed(0)
    m = t.nn.utils.spectral_norm(t.nn.Linear(3, 4))
    return copy.deepcopy(m)(t.ones(1, 3))


@program
def osn_hook(t):
    m = t.nn.utils.spectral_norm(lin(t))
    h = next(iter(m._forward_pre_hooks.values()))
    return [
        type(h).__name__,
        h.name,
        h.dim,
        h.n_power_iterations,
        h.eps,
        [type(x).__name__ for x in m._state_dict_hooks.values()],
    ]


@program
def gan(t):
    t.manual_seed(0)
    S = t.nn.utils.spectral_norm
    D = t.nn.Sequential(
        S(t.nn.Conv2d(1, 4, 3, 2, 1)),
        t.nn.LeakyReLU(0.2),
        S(t.nn.Conv2d(4, 8, 3, 2, 1)),
        t.nn.LeakyReLU(0.2),
        t.nn.Flatten(),
        S(t.nn.Linear(32, 1)),
    )
    G = t.nn.Sequential(t.nn.Linear(4, 64), t.nn.Tanh(), t.nn.Unflatten(1, (1, 8, 8)))
    od, og = t.optim.Adam(D.parameters(), 2e-3, betas=(0.5, 0.9)), t.optim.Adam(G.parameters(), 2e-3, betas=(0.5, 0.9))
    out = []
    for _k in range(3):
        x, z = t.rand(4, 1, 8, 8), t.randn(4, 4)
        od.zero_grad()
        l = t.relu(1 - D(x)).mean() + t.relu(1 + D(G(z).detach())).mean()
        l.backward()
        od.step()
        og.zero_grad()
        g = -D(G(z)).mean()
        g.backward()
        og.step()
        out += [l.detach(), g.detach()]
    return [*out, D, list(D.state_dict())]


SINGLE = ("double", "float", "half", "complex")  # programs that name a precision; the others run in float64


@pytest.mark.parametrize("name", PROGRAMS)
def test_norms(name):
    code = PROGRAMS[name]
    single = any(word in inspect.getsource(code) for word in SINGLE)

    def run(t):
        t.set_default_dtype(t.float32 if single else t.float64)
        try:
            return code(t)
        finally:
            t.set_default_dtype(t.float32)

    assert not isinstance(agree(run, words=None), NameError)
