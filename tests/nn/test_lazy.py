"""Uninitialized parameters and lazy modules."""

import copy
import pickle

import pytest

import flambeau as fb
import flambeau.nn
from support.programs import agree

REFUSED = "Attempted to use an uninitialized parameter"


def lazy_scale(t, becomes=False):
    """A lazy module that multiplies by a parameter and adds a buffer."""
    base = t.nn.modules.lazy.LazyModuleMixin

    class Scale(t.nn.Module):
        def __init__(self, n, device=None):
            super().__init__()
            self.n = n
            self.w = t.nn.Parameter(t.ones(n))
            self.register_buffer("seen", t.zeros(n))

        def forward(self, a, by=1):
            self.seen += a.detach()
            return a * self.w * by

        def extra_repr(self):
            return str(self.n)

    class LazyScale(base, Scale):
        cls_to_become = Scale if becomes else None

        def __init__(self):
            super().__init__(0)
            self.w = t.nn.UninitializedParameter()
            self.seen = t.nn.UninitializedBuffer()

        def initialize_parameters(self, a, by=1):
            if self.has_uninitialized_params():
                self.n = a.shape[-1]
                self.w.materialize((self.n,))
                self.seen.materialize((self.n,))
                with t.no_grad():
                    self.w.fill_(3)
                    self.seen.zero_()

    return LazyScale(), Scale


UNINITIALIZED = {
    "print": lambda t, p: (repr(p), str(p), repr(t.nn.UninitializedBuffer())),
    "what": lambda t, p: (str(p.dtype), str(p.device), p.requires_grad, p.is_leaf, p.grad, type(p)),
    "options": lambda t, p: (lambda q: (str(q.dtype), q.requires_grad))(
        t.nn.UninitializedParameter(requires_grad=False, dtype=t.float64)
    ),
    "is_lazy": lambda t, p: [t.nn.parameter.is_lazy(v) for v in (p, t.nn.Parameter(), t.nn.UninitializedBuffer(), 3)],
    "data": lambda t, p: p.data,
    "half": lambda t, p: (str(p.half().dtype), str(p.to(t.float64).dtype), str(p.dtype)),
    "shape": lambda t, p: p.shape,
    "add": lambda t, p: p + 1,
    "radd": lambda t, p: t.ones(1) + p,
    "clone": lambda t, p: p.clone(),
    "detach": lambda t, p: p.detach(),
    "numel": lambda t, p: p.numel(),
    "len": lambda t, p: len(p),
    "sum": lambda t, p: t.sum(p),
    "share": lambda t, p: p.share_memory_(),
    "materialize": lambda t, p: (p.materialize((2, 3)), p.shape, type(p), p.requires_grad, str(p.dtype)),
    "materialize to": lambda t, p: (p.materialize((2,), dtype=t.float64, device="cpu"), str(p.dtype)),
    "buffer": lambda t, p: (lambda b: (b.persistent, b.materialize((2,)), b.shape, type(b), str(b.dtype)))(
        t.nn.UninitializedBuffer(dtype=t.int64, persistent=False)
    ),
    "copy": lambda t, p: (lambda q: (type(q), q.requires_grad, str(q.dtype)))(copy.deepcopy(p.requires_grad_())),
    "pickle": lambda t, p: pickle.loads(pickle.dumps(p)),
}


@pytest.mark.parametrize("code", UNINITIALIZED.values(), ids=UNINITIALIZED)
def test_uninitialized(code):
    if code is UNINITIALIZED["copy"]:
        twin = copy.deepcopy(fb.nn.UninitializedParameter(dtype=fb.float16))
        assert (twin.dtype, twin.requires_grad) == (fb.float16, True)
    else:
        agree(lambda t: code(t, t.nn.UninitializedParameter()), words=6)


def test_materialized_parameters_collect_gradients():
    p = fb.nn.UninitializedParameter()
    p.materialize((2,))
    with fb.no_grad():
        p.fill_(2)
    (p * p).sum().backward()
    assert p.grad.tolist() == [4, 4]
    assert repr(p).startswith("Parameter containing:")


@pytest.mark.parametrize("becomes", [False, True])
def test_the_first_call(becomes):
    def code(t):
        m, _ = lazy_scale(t, becomes)
        before = repr(m), m.has_uninitialized_params(), m.state_dict(), len(m._forward_pre_hooks)
        out = m(t.ones(4), by=2)
        again = m(t.ones(4))
        tables = len(m._forward_pre_hooks), len(m._load_state_dict_pre_hooks), hasattr(m, "_load_hook")
        return before, out, again, type(m), repr(m), m.w, m.seen, tables

    agree(code)


def test_loading():
    def code(t):
        m, plain = lazy_scale(t, True)
        keys = m.load_state_dict(plain(3).state_dict())
        loaded = m.w, m.seen, m.has_uninitialized_params(), type(m)
        out = m(t.ones(3))
        other, _ = lazy_scale(t)
        unchanged = other.load_state_dict(lazy_scale(t)[0].state_dict()), other.has_uninitialized_params()
        return keys, loaded, out, type(m), unchanged

    agree(code)
    agree(lambda t: lazy_scale(t)[1](3).load_state_dict(lazy_scale(t)[0].state_dict()), words=8)


def test_a_load_that_fails_has_loaded_what_fits():
    def code(t):
        m, _ = lazy_scale(t)
        try:
            m.load_state_dict({"w": t.ones(3)})
        except RuntimeError as error:
            return str(error).partition("\n\tin the model ")[0], m.has_uninitialized_params(), m.w

    agree(code)


def test_errors():
    def missing(t):
        class M(t.nn.modules.lazy.LazyModuleMixin, t.nn.Module):
            pass

        M()(t.ones(1))

    def unfinished(t):
        class M(t.nn.modules.lazy.LazyModuleMixin, t.nn.Module):
            def __init__(self):
                super().__init__()
                self.w = t.nn.UninitializedParameter()

            def initialize_parameters(self, a):
                pass

        M()(t.ones(1))

    agree(missing)
    agree(unfinished)
    agree(lambda t: lazy_scale(t)[0].share_memory())
    with pytest.raises(ValueError, match=REFUSED):
        fb.nn.Sequential(lazy_scale(fb)[0]).w_sum = sum(p.sum() for p in lazy_scale(fb)[0].parameters())


def test_conversion_and_copies_before_the_first_call():
    def code(t):
        m, _ = lazy_scale(t)
        m.to(t.float64)
        m.zero_grad()
        m.eval()
        return [(type(p), str(p.dtype)) for p in (m.w, m.seen)], m(t.ones(2, dtype=t.float64)), m.w

    agree(code)

    def copied(t):
        m = t.nn.LazyLinear(2)
        twin = copy.deepcopy(m)
        twin(t.ones(1, 3))
        return twin.weight.shape, m.has_uninitialized_params(), len(m._forward_pre_hooks), len(twin._forward_pre_hooks)

    agree(copied)
    agree(lambda t: copy.deepcopy(lazy_scale(t, True)[0]))  # PyTorch refuses to copy uninitialized buffers


def test_values_that_were_loaded_give_the_layer_its_size():
    def code(t):
        full = t.nn.LazyLinear(2)
        full(t.ones(1, 3))
        m = t.nn.LazyLinear(2)
        m.load_state_dict(full.state_dict())
        m(t.ones(1, 3))
        return repr(m), m.weight.shape

    agree(code)


def test_in_a_network():
    def code(t):
        m = t.nn.Sequential(lazy_scale(t, True)[0], t.nn.Sequential(lazy_scale(t, True)[0]))
        return m(t.ones(2)), repr(m), [p.shape for p in m.parameters()]

    agree(code)
