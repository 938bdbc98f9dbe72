"""swap_tensors, torch.__future__, replacement by dotted names, memory formats; compared with torch."""

from __future__ import annotations

import importlib
import inspect

import pytest

from support.parametrizations import lin
from support.programs import Programs, agree

PROGRAMS = program = Programs()


def F(t):
    return importlib.import_module(t.__name__ + ".__future__")


def U(t):
    return importlib.import_module(t.__name__ + ".utils")


def A(t):
    return importlib.import_module(t.__name__ + ".nn.utils._named_member_accessor")


@program
def swap(t):
    a, b = t.ones(2), t.zeros(3)
    a.x = 1
    i = id(a)
    U(t).swap_tensors(a, b)
    return [a, b, hasattr(a, "x"), b.x, id(a) == i]


@program
def swap_param(t):
    p, b = t.nn.Parameter(t.ones(2)), t.zeros(3)
    U(t).swap_tensors(p, b)
    return [p, b, type(p), type(b)]


@program
def swap_params(t):
    m = lin(t)
    p = m.weight
    q = t.nn.Parameter(t.eye(3))
    U(t).swap_tensors(m.weight, q)
    return [m.weight is p, m.weight, q, m(t.ones(1, 3))]


@program
def swap_grad(t):
    p, q = t.nn.Parameter(t.ones(2)), t.nn.Parameter(t.zeros(2))
    p.grad = t.ones(2)
    U(t).swap_tensors(p, q)
    return [p.grad, q.grad, p, q]


@program
def swap_live(t):
    a, b = t.nn.Parameter(t.ones(2)), t.nn.Parameter(t.zeros(2))
    a * 2
    U(t).swap_tensors(a, b)
    return [a, b]


@program
def swap_same(t):
    a = t.ones(2)
    U(t).swap_tensors(a, a)
    return a


@program
def swap_sub(t):
    class S(t.Tensor):
        pass

    a = t.ones(2).as_subclass(S)
    b = t.zeros(3)
    U(t).swap_tensors(a, b)
    return [type(a).__name__, type(b).__name__]


@program
def swap_view(t):
    a = t.ones(4)
    v = a[:2]
    b = t.zeros(2)
    U(t).swap_tensors(v, b)
    b.add_(5)
    return [a, v, b]


@program
def swap_opt(t):
    m = lin(t)
    o = t.optim.SGD(m.parameters(), 0.1)
    q = t.nn.Parameter(t.eye(3))
    U(t).swap_tensors(m.weight, q)
    m(t.ones(1, 3)).sum().backward()
    o.step()
    return m.weight


@program
def flags(t):
    return [F(t).get_overwrite_module_params_on_conversion(), F(t).get_swap_module_params_on_conversion()]


@program
def overwrite(t):
    m = lin(t)
    p = m.weight
    try:
        F(t).set_overwrite_module_params_on_conversion(True)
        m.double()
        return [m.weight is p, m.weight, p, F(t).get_overwrite_module_params_on_conversion()]
    finally:
        F(t).set_overwrite_module_params_on_conversion(False)


@program
def overwrite_grad(t):
    m = lin(t)
    p = m.weight
    m(t.ones(1, 3)).sum().backward()
    try:
        F(t).set_overwrite_module_params_on_conversion(True)
        m.double()
        return [m.weight is p, m.weight.grad, p.grad]
    finally:
        F(t).set_overwrite_module_params_on_conversion(False)


@program
def swapconv(t):
    m = lin(t)
    p = m.weight
    try:
        F(t).set_swap_module_params_on_conversion(True)
        m.double()
        return [m.weight is p, m.weight, F(t).get_swap_module_params_on_conversion()]
    finally:
        F(t).set_swap_module_params_on_conversion(False)


@program
def swapconv_grad(t):
    m = lin(t)
    p = m.weight
    m(t.ones(1, 3)).sum().backward()
    try:
        F(t).set_swap_module_params_on_conversion(True)
        m.double()
        return [m.weight is p, m.weight.grad, m.weight]
    finally:
        F(t).set_swap_module_params_on_conversion(False)


@program
def swap_load(t):
    m = lin(t)
    p = m.weight
    s = {k: v.clone() * 2 for k, v in m.state_dict().items()}
    try:
        F(t).set_swap_module_params_on_conversion(True)
        r = m.load_state_dict(s)
        return [m.weight is p, m.weight, repr(r)]
    finally:
        F(t).set_swap_module_params_on_conversion(False)


@program
def swap_load_assign(t):
    m = lin(t)
    p = m.weight
    s = {k: v.clone().double() * 2 for k, v in m.state_dict().items()}
    try:
        F(t).set_swap_module_params_on_conversion(True)
        r = m.load_state_dict(s, assign=True)
        return [m.weight is p, m.weight, repr(r)]
    finally:
        F(t).set_swap_module_params_on_conversion(False)


@program
def swap_load_shape(t):
    m = lin(t)
    s = m.state_dict()
    s["weight"] = t.ones(2, 3)
    try:
        F(t).set_swap_module_params_on_conversion(True)
        m.load_state_dict(s)
    finally:
        F(t).set_swap_module_params_on_conversion(False)


@program
def swap_load_sub(t):
    m = lin(t)
    s = {k: v.double() for k, v in m.state_dict().items()}
    try:
        F(t).set_swap_module_params_on_conversion(True)
        m.load_state_dict(s)
        return m.weight
    finally:
        F(t).set_swap_module_params_on_conversion(False)


@program
def acc(t):
    m = t.nn.Sequential(lin(t), t.nn.BatchNorm1d(3))
    a = A(t).NamedMemberAccessor(m)
    out = [
        a.get_tensor("0.weight"),
        type(a.get_submodule("1")),
        [n for n, _ in a.named_parameters()],
        [n for n, _ in a.named_buffers()],
        [n for n, _ in a.named_tensors()],
        [n for n, _ in a.named_modules()],
    ]
    old = a.swap_tensor("0.weight", t.eye(3))
    out += [old, m[0].weight]
    a.set_tensor("0.weight", old)
    out += [a.check_keys(["0.weight", "x"]), a.get_tensors(["0.bias"])]
    o, miss = a.swap_tensors_dict({"0.bias": t.ones(3), "zz": t.ones(1)}, allow_missing=True)
    out += [o["0.bias"], miss, hasattr(m, "zz"), list(o)]
    a.del_tensor("1.weight")
    out += [list(m.state_dict())]
    return out


@program
def acc_text(t):
    return A(t).NamedMemberAccessor(lin(t)).get_tensor("nope")


@program
def acc_text1(t):
    return A(t).NamedMemberAccessor(lin(t)).get_tensor("a.nope")


@program
def acc_text2(t):
    return A(t).NamedMemberAccessor(lin(t)).swap_tensor("nope", t.ones(1))


@program
def acc_text3(t):
    return A(t).NamedMemberAccessor(lin(t)).swap_tensor("weight", 3)


@program
def acc_text4(t):
    return A(t).NamedMemberAccessor(lin(t)).set_tensors(["weight"], [])


@program
def acc_text5(t):
    return A(t).NamedMemberAccessor(lin(t)).del_tensor("nope")


@program
def acc_text6(t):
    return A(t).NamedMemberAccessor(t.nn.Sequential(lin(t))).get_tensor("0")


@program
def acc_text7(t):
    return A(t).set_tensor(lin(t), "a.b", t.ones(1))


@program
def acc_text8(t):
    return A(t).set_tensor(3, "a", t.ones(1))


@program
def acc_text9(t):
    return A(t).swap_tensor(lin(t), "", t.ones(1))


@program
def acc_sub(t):
    m = t.nn.Sequential(lin(t))
    old = A(t).NamedMemberAccessor(m).swap_submodule("0", t.nn.ReLU())
    return [old, m]


@program
def acc_sub2(t):
    A(t).NamedMemberAccessor(lin(t)).swap_submodule("0", t.nn.ReLU())


@program
def acc_sub3(t):
    A(t).swap_submodule(lin(t), "weight", t.nn.ReLU())


@program
def acc_sub4(t):
    A(t).swap_submodule(t.nn.Sequential(lin(t)), "0", 3)


@program
def acc_none(t):
    m = lin(t)
    old = A(t).swap_tensor(m, "weight", None)
    return [old, m.weight, list(m.state_dict())]


@program
def old_stateless(t):
    return t.nn.utils.stateless.functional_call(lin(t), {"weight": t.eye(3)}, t.ones(1, 3))


@program
def repar(t):
    m = lin(t)
    with t.nn.utils.stateless._reparametrize_module(m, {"weight": t.eye(3)}):
        a = m(t.ones(1, 3))
    return [a, m(t.ones(1, 3))]


@program
def mf(t):
    m = t.nn.Sequential(t.nn.Conv2d(2, 3, 3), t.nn.ConvTranspose2d(3, 2, 3), t.nn.Conv1d(2, 3, 1), t.nn.Conv3d(2, 2, 2))
    r = t.nn.utils.convert_conv2d_weight_memory_format(m, t.channels_last)
    q = t.nn.utils.convert_conv3d_weight_memory_format(m, t.channels_last_3d)
    return [r is m, q is m, m[0].weight, isinstance(m[0].weight, t.nn.Parameter), m[3].weight]


@program
def skip(t):
    m = t.nn.utils.skip_init(t.nn.Linear, 3, 4, bias=False)
    return [str(m), m.weight.shape, t.rand(1)]


@program
def skip2(t):
    t.nn.utils.skip_init(t.nn.ReLU)


@program
def skip3(t):
    t.nn.utils.skip_init(3)


SINGLE = ("double", "float", "half", "complex")  # programs that name a precision; the others run in float64


@pytest.mark.parametrize("name", PROGRAMS)
def test_swapping(name):
    code = PROGRAMS[name]
    single = any(word in inspect.getsource(code) for word in SINGLE)

    def run(t):
        t.set_default_dtype(t.float32 if single else t.float64)
        try:
            return code(t)
        finally:
            t.set_default_dtype(t.float32)

    assert not isinstance(agree(run, words=None), NameError)
