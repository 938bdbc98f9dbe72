"""Computed and pruned weights at their edges: second gradients, vmap, dtypes, autocast, loading; compared with torch."""

from __future__ import annotations

import importlib
import inspect
import io

import pytest
import torch

import flambeau as fb
from support.parametrizations import P, lin
from support.programs import Programs, agree

PROGRAMS = program = Programs()


def double(t):
    class Twice(t.nn.Module):
        def forward(self, X):
            return 2 * X

        def right_inverse(self, A):
            return A / 2

    return Twice()


def reg(t, m, p, name="weight", **k):
    return P(t).register_parametrization(m, name, p, **k)


@program
def wn_double(t):
    m = t.nn.utils.parametrizations.weight_norm(t.nn.Linear(3, 2).double())
    x = t.ones(2, 3, dtype=t.float64, requires_grad=True)
    t.manual_seed(0)
    t.nn.init.uniform_(m.parametrizations.weight.original1)
    (g,) = t.autograd.grad(t.tanh(m(x)).sum(), x, create_graph=True)
    g.pow(2).sum().backward()
    return [p.grad for p in m.parameters()]


@program
def sn_double(t):
    t.manual_seed(0)
    m = t.nn.utils.parametrizations.spectral_norm(t.nn.Linear(3, 2).double())
    x = t.ones(2, 3, dtype=t.float64, requires_grad=True)
    (g,) = t.autograd.grad(t.tanh(m(x)).sum(), x, create_graph=True)
    g.pow(2).sum().backward()
    return [p.grad for p in m.parameters()]


@program
def orth_double(t):
    for mp in ("matrix_exp", "cayley", "householder"):
        t.manual_seed(0)
        m = t.nn.utils.parametrizations.orthogonal(t.nn.Linear(3, 3).double(), orthogonal_map=mp)
        x = t.rand(2, 3, dtype=t.float64, requires_grad=True)
        (g,) = t.autograd.grad(t.tanh(m(x)).sum(), x, create_graph=True)
        g.pow(2).sum().backward()
    return [p.grad for p in m.parameters()]


@program
def hh_gradcheck(t):
    t.manual_seed(0)
    a = t.randn(4, 3, dtype=t.float64, requires_grad=True)
    tau = t.rand(3, dtype=t.float64, requires_grad=True)
    return [
        t.autograd.gradcheck(t.linalg.householder_product, (a, tau)),
        t.autograd.gradgradcheck(t.linalg.householder_product, (a, tau)),
    ]


@program
def hh_complex(t):
    t.manual_seed(0)
    a = t.randn(4, 3, dtype=t.complex128)
    q, tau = t.geqrf(a)
    return [t.linalg.householder_product(q, tau), q, tau]


@program
def hh_few(t):
    t.manual_seed(0)
    return t.linalg.householder_product(t.randn(2, 4, 3), t.rand(2, 2))


@program
def hh_vmap(t):
    t.manual_seed(0)
    return t.vmap(t.linalg.householder_product)(t.randn(2, 4, 3), t.rand(2, 3))


@program
def hh_wide(t):
    return t.geqrf(t.arange(6.0).reshape(2, 3) + t.eye(2, 3))


@program
def ned_dtypes(t):
    return [t.norm_except_dim(t.ones(2, 3, dtype=d), 2, 0) for d in (t.float64, t.float16, t.bfloat16)]


@program
def sn_autocast(t):
    t.manual_seed(0)
    m = t.nn.utils.parametrizations.spectral_norm(lin(t))
    with t.autocast("cpu", dtype=t.bfloat16):
        y = m(t.ones(1, 3))
    return y.dtype


@program
def par_train_mode(t):
    class Drop(t.nn.Module):
        def forward(s, x):
            return x * 2 if s.training else x

    m = lin(t).eval()
    reg(t, m, Drop())
    a = m.weight
    m.train()
    return [a, m.weight, m.parametrizations.weight[0].training]


@program
def par_grad_accum(t):
    m = lin(t)
    reg(t, m, double(t))
    for _ in range(2):
        m(t.ones(1, 3)).sum().backward()
    return m.parametrizations.weight.original.grad


@program
def load_into_pruned_twice(t):
    R = importlib.import_module(t.__name__ + ".nn.utils.prune")
    a, b = lin(t), lin(t)
    R.l1_unstructured(a, "weight", 3)
    R.l1_unstructured(a, "weight", 2)
    R.identity(b, "weight")
    b.load_state_dict(a.state_dict())
    b(t.ones(1, 3))
    return b.weight


@program
def prune_param(t):
    R = importlib.import_module(t.__name__ + ".nn.utils.prune")
    m = t.nn.utils.parametrizations.weight_norm(lin(t))
    R.l1_unstructured(m.parametrizations.weight, "original1", 3)
    return [m.weight, list(m.state_dict()), m(t.ones(1, 3))]


@program
def prune_double(t):
    R = importlib.import_module(t.__name__ + ".nn.utils.prune")
    m = lin(t)
    R.l1_unstructured(m, "weight", 2)
    m.double()
    return [m(t.ones(1, 3).double()), m.weight_mask.dtype]


@program
def old_wn_replace(t):
    m = t.nn.utils.weight_norm(lin(t))
    m.weight_g.data.fill_(2.0)
    a = m.weight.clone()
    m(t.ones(1, 3))
    return [a, m.weight]


SINGLE = ("double", "float", "half", "complex")  # programs that name a precision; the others run in float64


@pytest.mark.parametrize("name", PROGRAMS)
def test_edges(name):
    code = PROGRAMS[name]
    single = any(word in inspect.getsource(code) for word in SINGLE)

    def run(t):
        t.set_default_dtype(t.float32 if single else t.float64)
        try:
            return code(t)
        finally:
            t.set_default_dtype(t.float32)

    assert not isinstance(agree(run, words=None), NameError)


HOOKED = {
    "weight_norm": lambda t: t.nn.utils.weight_norm(t.nn.Linear(3, 3)),
    "spectral_norm": lambda t: t.nn.utils.spectral_norm(t.nn.Linear(3, 3)),
    "pruned": lambda t: pruning(t).l1_unstructured(t.nn.Linear(3, 3), "weight", 3),
    "pruned twice": lambda t: pruning(t).random_unstructured(
        pruning(t).l1_unstructured(t.nn.Linear(3, 3), "weight", 3), "weight", 2
    ),
}


def pruning(t):
    return importlib.import_module(t.__name__ + ".nn.utils.prune")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", HOOKED)
def test_files_of_modules_with_hooks_go_both_ways(name):
    def passed_on(saver, loader, module):
        with saver.no_grad():
            module.eval()(saver.ones(1, 3).double())  # a leaf, which can be pickled
        file = io.BytesIO()
        saver.save(module, file)
        file.seek(0)
        return loader.load(file, weights_only=False)

    theirs = HOOKED[name](torch).double()
    ours = passed_on(torch, fb, theirs)
    back = passed_on(fb, torch, ours)
    expected = theirs(torch.ones(1, 3).double()).tolist()
    assert ours(fb.ones(1, 3).double()).tolist() == [pytest.approx(expected[0])]
    assert back(torch.ones(1, 3).double()).tolist() == expected
