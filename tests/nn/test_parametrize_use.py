"""Tensors that are computed from others: what is refused, functional_call, compiled and adapted models; compared with torch."""

from __future__ import annotations

import copy
import inspect

import pytest

from support.parametrizations import double, lin, mod, reg, skew, sym
from support.programs import Programs, agree

PROGRAMS = program = Programs()


@program
def inv_int(t):
    reg(t, lin(t), mod(t, lambda s, x: x, lambda s, x: 3))


@program
def inv_none(t):
    reg(t, lin(t), mod(t, lambda s, x: x, lambda s, x: None))


@program
def inv_set(t):
    reg(t, lin(t), mod(t, lambda s, x: x, lambda s, x: {x}))


@program
def inv_empty(t):
    reg(t, lin(t), mod(t, lambda s: s.w, lambda s, x: []))


@program
def several_dtype(t):
    m = lin(t)
    reg(t, m, mod(t, lambda s, x, y: x + y.float(), lambda s, x: (x, x.double())))
    return [m.weight, m.parametrizations.weight.original1]


@program
def second_dtype(t):
    m = lin(t)
    reg(t, m, sym(t))
    reg(t, m, mod(t, lambda s, x: x.double()))


@program
def second_tuple(t):
    m = lin(t)
    reg(t, m, sym(t))
    reg(t, m, mod(t, lambda s, x: (x, x)))


@program
def second_inv_tuple(t):
    m = lin(t)
    reg(t, m, sym(t))
    reg(t, m, mod(t, lambda s, x: x, lambda s, x: (x, x)))


@program
def second_inv_shape(t):
    m = lin(t)
    reg(t, m, sym(t))
    reg(t, m, mod(t, lambda s, x: x, lambda s, x: x[:2]))


@program
def second_inv_dtype(t):
    m = lin(t)
    reg(t, m, sym(t))
    reg(t, m, mod(t, lambda s, x: x, lambda s, x: x.double()))


@program
def second_unsafe(t):
    m = lin(t)
    reg(t, m, sym(t))
    reg(t, m, mod(t, lambda s, x: x[:2]), unsafe=True)
    reg(t, m, mod(t, lambda s, x: x[:1]))
    return [m.weight, m.parametrizations.weight.unsafe]


@program
def second_unsafe_then(t):
    m = lin(t)
    reg(t, m, sym(t), unsafe=True)
    reg(t, m, mod(t, lambda s, x: x[:1]))
    return [m.weight, m.parametrizations.weight.unsafe]


@program
def second_not_module(t):
    m = lin(t)
    reg(t, m, sym(t))
    reg(t, m, lambda x: x)


@program
def assign_seq_not(t):
    flag = []
    m = lin(t)
    reg(t, m, mod(t, lambda s, x, y: x + y, lambda s, x: 3 if flag else (x / 2, x / 2)))
    flag.append(1)
    m.weight = t.ones(3, 3)


@program
def assign_seq_tensor(t):
    flag = []
    m = lin(t)
    reg(t, m, mod(t, lambda s, x, y: x + y, lambda s, x: x if flag else (x / 2, x / 2)))
    flag.append(1)
    m.weight = t.ones(3, 3)
    return m.weight


@program
def assign_seq_len(t):
    flag = []
    m = lin(t)
    reg(t, m, mod(t, lambda s, x, y: x + y, lambda s, x: (x, x, x) if flag else (x / 2, x / 2)))
    flag.append(1)
    m.weight = t.ones(3, 3)


@program
def assign_seq_elem(t):
    flag = []
    m = lin(t)
    reg(t, m, mod(t, lambda s, x, y: x + y, lambda s, x: (x, "a") if flag else (x / 2, x / 2)))
    flag.append(1)
    m.weight = t.ones(3, 3)


@program
def assign_seq_dtype(t):
    flag = []
    m = lin(t)
    reg(t, m, mod(t, lambda s, x, y: x + y, lambda s, x: (x, x.double()) if flag else (x / 2, x / 2)))
    flag.append(1)
    m.weight = t.ones(3, 3)


@program
def assign_one_not(t):
    flag = []
    m = lin(t)
    reg(t, m, mod(t, lambda s, x: x, lambda s, x: 3 if flag else x))
    flag.append(1)
    m.weight = t.ones(3, 3)


@program
def assign_two_no_inverse(t):
    m = lin(t)
    reg(t, m, double(t))
    reg(t, m, skew(t))
    m.weight = t.ones(3, 3)


@program
def assign_two(t):
    m = lin(t)
    reg(t, m, double(t))
    reg(t, m, double(t))
    m.weight = t.ones(3, 3)
    return [m.weight, m.parametrizations.weight.original]


@program
def fc_strict_par(t):
    m = lin(t)
    reg(t, m, double(t))
    return t.func.functional_call(m, {"weight": t.ones(3, 3)}, (t.ones(1, 3),), strict=True)


@program
def fc_restores(t):
    m = lin(t)
    reg(t, m, double(t))
    w = m.weight.detach().clone()
    t.func.functional_call(m, {"weight": t.ones(3, 3)}, (t.ones(1, 3),))
    return t.allclose(w, m.weight)


@program
def fc_grad(t):
    m = lin(t)
    reg(t, m, double(t))
    p = {k: v.detach() for k, v in m.named_parameters()}
    return t.func.grad(lambda p: t.func.functional_call(m, p, (t.ones(1, 3),)).pow(2).sum())(p)


@program
def vm(t):
    m = lin(t)
    reg(t, m, double(t))
    p = {k: t.stack([v.detach()] * 2) for k, v in m.named_parameters()}
    return t.func.vmap(lambda p, x: t.func.functional_call(m, p, (x,)))(p, t.ones(2, 1, 3))


@program
def zero_grad(t):
    m = lin(t)
    reg(t, m, double(t))
    m(t.ones(1, 3)).sum().backward()
    m.zero_grad()
    return [p.grad for p in m.parameters()]


@program
def setattr_buffer(t):
    m = lin(t)
    m.register_buffer("b", t.ones(3))
    reg(t, m, double(t), "b")
    m.b = t.ones(3) * 8
    return [m.b, m.parametrizations.b.original]


@program
def copy_copy(t):
    m = lin(t)
    reg(t, m, double(t))
    return copy.copy(m)


@program
def share(t):
    m = lin(t)
    reg(t, m, double(t))
    n = lin(t)
    reg(t, n, double(t))
    n.parametrizations.weight.original = m.parametrizations.weight.original
    return [len(list(t.nn.Sequential(m, n).parameters()))]


@program
def lazy(t):
    m = t.nn.LazyLinear(3)
    return str(reg(t, m, double(t)))


@program
def container(t):
    m = t.nn.ParameterList([t.nn.Parameter(t.ones(2))])
    reg(t, m, double(t), "0")
    return [m, m[0]]


@program
def gradcheck(t):
    m = lin(t).double()
    reg(t, m, sym(t))
    return t.autograd.gradcheck(
        lambda w: t.func.functional_call(m, {"parametrizations.weight.original": w}, (t.ones(2, 3, dtype=t.float64),)),
        (t.eye(3, dtype=t.float64).requires_grad_(),),
    )


@program
def param_with_params(t):
    class Scale(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.s = t.nn.Parameter(t.ones(1))
            self.register_buffer("k", t.ones(1) * 2)

        def forward(self, x):
            return x * self.s * self.k

    m = lin(t)
    reg(t, m, Scale())
    m(t.ones(1, 3)).sum().backward()
    return [list(m.state_dict()), m.parametrizations.weight[0].s.grad]


@program
def lora(t):
    class LoRA(t.nn.Module):
        def __init__(self, i, o, r=2, alpha=1):
            super().__init__()
            self.A = t.nn.Parameter(t.zeros((r, o)))
            self.B = t.nn.Parameter(t.zeros((i, r)))
            t.nn.init.normal_(self.A, mean=0, std=1)
            self.scale = alpha / r
            self.enabled = True

        def forward(self, W):
            return W + t.matmul(self.B, self.A).view(W.shape) * self.scale if self.enabled else W

    m = t.nn.Sequential(lin(t, 3, 4), t.nn.ReLU(), lin(t, 4, 2))
    for l in (m[0], m[2]):
        reg(t, l, LoRA(*l.weight.shape))
    for n, p in m.named_parameters():
        if "original" in n or "bias" in n:
            p.requires_grad = False
    o = t.optim.Adam([p for p in m.parameters() if p.requires_grad], 0.1)
    for _ in range(3):
        o.zero_grad()
        l = (m(t.ones(2, 3)) - 1).pow(2).mean()
        l.backward()
        o.step()
    for l in (m[0], m[2]):
        l.parametrizations["weight"][0].enabled = False
    a = m(t.ones(1, 3))
    for l in (m[0], m[2]):
        l.parametrizations["weight"][0].enabled = True
    return [a, m(t.ones(1, 3)), [n for n, p in m.named_parameters() if p.requires_grad]]


SINGLE = ("double", "float", "half", "complex")  # programs that name a precision; the others run in float64


@pytest.mark.parametrize("name", PROGRAMS)
def test_use(name):
    code = PROGRAMS[name]
    single = any(word in inspect.getsource(code) for word in SINGLE)

    def run(t):
        t.set_default_dtype(t.float32 if single else t.float64)
        try:
            return code(t)
        finally:
            t.set_default_dtype(t.float32)

    assert not isinstance(agree(run, words=None), NameError)
