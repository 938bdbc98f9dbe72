"""Tensors that are computed from others: registration, copies, state dicts, removal; compared with torch."""

from __future__ import annotations

import contextlib
import inspect

import pytest

from support.parametrizations import P, double, lin, lowrank, mod, reg, skew, sym
from support.programs import Programs, agree

PROGRAMS = program = Programs()


@program
def basic(t):
    m = lin(t)
    r = reg(t, m, sym(t))
    return [
        r is m,
        m,
        m.weight,
        list(m.state_dict()),
        [n for n, _ in m.named_parameters()],
        m(t.ones(2, 3)),
        type(m).__name__,
        type(m).__mro__[1].__name__,
        P(t).is_parametrized(m),
        P(t).is_parametrized(m, "weight"),
        P(t).is_parametrized(m, "bias"),
        P(t).type_before_parametrizations(m),
        isinstance(m, t.nn.Linear),
        type(m.parametrizations).__name__,
        type(m.parametrizations.weight).__name__,
        [n for n, _ in m.named_modules()],
        [n for n, _ in m.named_parameters()],
        list(m._parameters),
        m.parametrizations.weight.unsafe if True else 0,
        m.parametrizations.weight.is_tensor,
        sorted(k for k in vars(m.parametrizations.weight) if not k.startswith("_")),
        "weight" in dir(m),
        m.weight is m.weight,
        isinstance(m.weight, t.nn.Parameter),
    ]


@program
def two(t):
    m = lin(t)
    reg(t, m, skew(t))
    reg(t, m, double(t))
    return [m, m.weight, list(m.state_dict()), type(m).__name__]


@program
def assign_(t):
    m = lin(t)
    reg(t, m, sym(t))
    A = t.arange(9.0).reshape(3, 3)
    A = A + A.T
    m.weight = A
    return [m.weight, m.parametrizations.weight.original]


@program
def assign_no_inverse(t):
    m = lin(t)
    reg(t, m, skew(t))
    m.weight = t.zeros(3, 3)


@program
def assign_parameter(t):
    m = lin(t)
    reg(t, m, sym(t))
    m.weight = t.nn.Parameter(t.eye(3))
    return m.weight


@program
def assign_shape(t):
    m = lin(t)
    reg(t, m, sym(t))
    m.weight = t.eye(4)
    return m.weight


@program
def assign_dtype(t):
    m = lin(t)
    reg(t, m, sym(t))
    m.weight = t.eye(3).double()
    return m.weight


@program
def assign_text(t):
    m = lin(t)
    reg(t, m, sym(t))
    m.weight = "a"
    return m.weight


@program
def no_tensor(t):
    reg(t, lin(t), sym(t), "nothing")


@program
def no_tensor2(t):
    m = lin(t)
    reg(t, m, sym(t))
    reg(t, m, sym(t), "nothing")


@program
def not_module(t):
    reg(t, lin(t), lambda x: x)


@program
def bias_none(t):
    reg(t, lin(t, bias=False), sym(t), "bias")


@program
def shape_changes(t):
    reg(t, lin(t), mod(t, lambda s, x: x[:2]))


@program
def shape_changes_unsafe(t):
    m = lin(t)
    reg(t, m, mod(t, lambda s, x: x[:2]), unsafe=True)
    return [m.weight, m]


@program
def dtype_changes(t):
    reg(t, lin(t), mod(t, lambda s, x: x.double()))


@program
def not_tensor(t):
    reg(t, lin(t), mod(t, lambda s, x: (x, x)))


@program
def inverse_shape(t):
    reg(t, lin(t), mod(t, lambda s, x: x, lambda s, x: x[:2]))


@program
def inverse_dtype(t):
    reg(t, lin(t), mod(t, lambda s, x: x.float(), lambda s, x: x.double()))


@program
def inverse_text(t):
    reg(t, lin(t), mod(t, lambda s, x: x, lambda s, x: "a"))


@program
def no_forward(t):
    reg(t, lin(t), mod(t))


@program
def second_shape(t):
    m = lin(t)
    reg(t, m, sym(t))
    try:
        reg(t, m, mod(t, lambda s, x: x[:2]))
    except ValueError as e2:
        return [str(e2), m, list(m.state_dict())]


@program
def failed_leaves(t):
    m = lin(t)
    with contextlib.suppress(ValueError):
        reg(t, m, mod(t, lambda s, x: x[:2]))
    return [m, type(m), list(m.state_dict()), m(t.ones(1, 3))]


@program
def several(t):
    m = lin(t)
    reg(t, m, lowrank(t))
    return [
        m,
        m.weight,
        list(m.state_dict()),
        [n for n, _ in m.named_parameters()],
        m.parametrizations.weight.ntensors,
        m.parametrizations.weight.is_tensor,
    ]


@program
def several_remove(t):
    m = lin(t)
    reg(t, m, lowrank(t))
    P(t).remove_parametrizations(m, "weight")
    return [m, m.weight, list(m.state_dict()), type(m)]


@program
def several_remove_not(t):
    m = lin(t)
    reg(t, m, lowrank(t))
    P(t).remove_parametrizations(m, "weight", leave_parametrized=False)


@program
def several_assign(t):
    m = lin(t)
    reg(t, m, lowrank(t))
    m.weight = t.ones(3, 3)
    return [m.weight, m.parametrizations.weight.original0]


@program
def several_second(t):
    m = lin(t)
    reg(t, m, lowrank(t))
    reg(t, m, double(t))
    return [m.weight, m]


@program
def several_none(t):
    reg(t, lin(t), mod(t, lambda s, x: x, lambda s, x: (x, "a")))


@program
def several_forward_wrong(t):
    reg(t, lin(t), mod(t, lambda s, x: x, lambda s, x: (x, x)))


@program
def several_list(t):
    m = lin(t)
    reg(t, m, mod(t, lambda s, x, y: x + y, lambda s, x: [x / 2, x / 2]))
    return [m.weight, list(m.state_dict())]


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
