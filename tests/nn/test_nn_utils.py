"""Clipping, vectors of parameters, skip_init, functional_call."""

import pytest

import flambeau as fb
import flambeau.func
import flambeau.nn
import flambeau.nn.utils
from support.programs import agree

NAN, INF = float("nan"), float("inf")


def parameters(t, *gradients, dtype="float32"):
    made = []
    for gradient in gradients:
        p = t.nn.Parameter(t.zeros(len(gradient), dtype=getattr(t, dtype)))
        p.grad = t.tensor(gradient, dtype=getattr(t, dtype)) if gradient else None
        made.append(p)
    return made


CLIP = {
    "two": lambda t, p: t.nn.utils.clip_grad_norm_(p, 1.0),
    "loose": lambda t, p: t.nn.utils.clip_grad_norm_(p, 100),
    "generator": lambda t, p: t.nn.utils.clip_grad_norm_((q for q in p), 1.0, foreach=True),
    "nothing": lambda t, p: t.nn.utils.clip_grad_norm_([], 1.0),
    "no gradient": lambda t, p: t.nn.utils.clip_grad_norm_(parameters(t, []), 1.0),
    "empty generator": lambda t, p: t.nn.utils.clip_grad_norm_((q for q in []), 1.0),
    "one": lambda t, p: t.nn.utils.clip_grad_norm_(p[0], 1.0),
    "inf": lambda t, p: t.nn.utils.clip_grad_norm_(p, 1.0, norm_type=INF),
    "minus inf": lambda t, p: t.nn.utils.clip_grad_norm_(p, 0.5, norm_type=-INF),
    "one norm": lambda t, p: t.nn.utils.clip_grad_norm_(p, 1.0, 1),
    "three norm": lambda t, p: t.nn.utils.clip_grad_norm_(p, 1.0, 3),
    "zero norm": lambda t, p: t.nn.utils.clip_grad_norm_(p, 1.0, 0),
    "int": lambda t, p: t.nn.utils.clip_grad_norm_(3, 1.0),
    "old": lambda t, p: t.nn.utils.clip_grad_norm(p, 1.0),
    "value": lambda t, p: t.nn.utils.clip_grad_value_(p, 2.0),
    "value one": lambda t, p: t.nn.utils.clip_grad_value_(p[0], 2),
    "with norm": lambda t, p: t.nn.utils.clip_grads_with_norm_(p, 1.0, t.tensor(10.0)),
}


@pytest.mark.parametrize("code", CLIP.values(), ids=CLIP)
def test_clip(code):
    def run(t):
        p = parameters(t, [3.0, -4.0], [], [1.0, 2.0])
        return code(t, p), [q.grad for q in p]

    agree(run)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "complex64"])
def test_clip_dtypes(dtype):
    def run(t):
        p = parameters(t, [3.0, -4.0], [1.0, 2.0], dtype=dtype)
        return t.nn.utils.clip_grad_norm_(p, 1.0), [q.grad for q in p]

    agree(run)


def test_nonfinite():
    agree(lambda t: t.nn.utils.clip_grad_norm_(parameters(t, [NAN]), 1.0, error_if_nonfinite=True))

    def run(t):
        p = parameters(t, [INF, 4.0])
        return repr(t.nn.utils.clip_grad_norm_(p, 1.0)), repr(p[0].grad)

    agree(run)


def test_total_norm():
    agree(lambda t: [t.nn.utils.get_total_norm(v) for v in ([t.ones(2), t.ones(3)], [], t.ones(4))])
    agree(lambda t: t.nn.utils.get_total_norm([t.ones(2).half(), t.ones(3).double()]))
    agree(lambda t: t.nn.utils.get_total_norm([t.ones(2).half(), t.ones(3).bfloat16()]))
    agree(lambda t: t.nn.utils.get_total_norm([t.ones(0), t.ones(1)]))
    with pytest.raises(RuntimeError, match="Expected a floating point or complex tensor"):
        fb.nn.utils.get_total_norm([fb.ones(2, dtype=fb.int64)])


def test_vectors():
    def there(t):
        p = [t.nn.Parameter(t.ones(2, 3)), t.nn.Parameter(t.ones(2) * 2)]
        v = t.nn.utils.parameters_to_vector(p)
        (v * t.arange(8.0)).sum().backward()
        return v, [q.grad for q in p]

    def back(t):
        p = [t.nn.Parameter(t.ones(2, 3)), t.nn.Parameter(t.ones(2))]
        v = t.arange(8.0)
        t.nn.utils.vector_to_parameters(v, p)
        first = [q.detach().clone() for q in p]
        v.fill_(7)
        return first, p

    agree(there)
    agree(back)
    agree(lambda t: t.nn.utils.vector_to_parameters([1], []))
    agree(lambda t: t.nn.utils.vector_to_parameters(t.ones(2), [t.nn.Parameter(t.ones(3))]))


def test_skip_init():
    def code(t):
        t.manual_seed(3)
        made = t.nn.utils.skip_init(t.nn.Linear, 2, 3)
        return made, made.weight.shape, t.rand(2)

    agree(code)
    agree(lambda t: t.nn.utils.skip_init(t.nn.ReLU))
    agree(lambda t: t.nn.utils.skip_init(t.nn.Parameter, 1))


def tied(t):
    class Tied(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.a = t.nn.Parameter(t.ones(1))
            self.b = self.a
            self.lin = t.nn.Linear(1, 1)
            self.register_buffer("count", t.zeros(1))

        def forward(self, x, y=0):
            self.count += 1
            return self.a + 10 * self.b + x + y

    return Tied()


FUNCTIONAL = {
    "one": lambda t, f, m: f(m, {"a": t.ones(1) * 5}, t.ones(1)),
    "untied": lambda t, f, m: f(m, {"a": t.ones(1) * 5}, (t.ones(1),), {"y": 2}, tie_weights=False),
    "both": lambda t, f, m: f(m, {"a": t.ones(1), "b": t.ones(1) * 6}, t.ones(1)),
    "several": lambda t, f, m: f(m, ({"a": t.ones(1) * 2}, {"lin.bias": t.ones(1)}), kwargs={"x": t.ones(1)}),
    "twice": lambda t, f, m: f(m, ({"a": t.ones(1)}, {"a": t.ones(1)}), t.ones(1)),
    "unknown": lambda t, f, m: f(m, {"z": t.ones(1)}, t.ones(1)),
    "strict": lambda t, f, m: f(m, {"a": t.ones(1), "z": t.ones(1)}, t.ones(1), strict=True),
    "int": lambda t, f, m: f(m, {"a": 3}, t.ones(1)),
    "no dict": lambda t, f, m: f(m, 3, t.ones(1)),
    "buffer": lambda t, f, m: (lambda d: (f(m, d, t.ones(1)), d))({"count": t.ones(1) * 5}),
}


@pytest.mark.parametrize("code", FUNCTIONAL.values(), ids=FUNCTIONAL)
def test_functional_call(code):
    def run(t):
        m = tied(t)
        call = t.func.functional_call
        return code(t, call, m), m.state_dict(), [type(p) for p in m.parameters()]

    agree(run)


def test_functional_call_passes_gradients_and_restores_after_errors():
    m = fb.nn.Linear(2, 1)
    w = fb.ones(1, 2, requires_grad=True)
    before = m.weight
    fb.func.functional_call(m, {"weight": w}, fb.ones(3, 2)).sum().backward()
    assert w.grad.tolist() == [[3, 3]]
    with pytest.raises(RuntimeError):
        fb.func.functional_call(m, {"weight": w}, fb.ones(3, 5))
    assert m.weight is before
    assert m.weight.grad is None


FUSED = {
    "convolution": lambda t: (t.nn.Conv2d(3, 4, 3, bias=False), t.nn.BatchNorm2d(4), (2, 3, 5, 5), {}),
    "groups": lambda t: (t.nn.Conv1d(4, 4, 3, groups=2), t.nn.BatchNorm1d(4, affine=False), (2, 4, 5), {}),
    "transposed": lambda t: (t.nn.ConvTranspose2d(3, 4, 3), t.nn.BatchNorm2d(4), (2, 3, 5, 5), {"transpose": True}),
    "linear": lambda t: (t.nn.Linear(3, 4), t.nn.BatchNorm1d(4), (5, 3), {}),
    "linear, one feature": lambda t: (t.nn.Linear(3, 1), t.nn.BatchNorm1d(1), (5, 3), {}),
    "no statistics": lambda t: (t.nn.Linear(3, 4), t.nn.BatchNorm1d(4, track_running_stats=False), (5, 3), {}),
    "other features": lambda t: (t.nn.Linear(3, 4), t.nn.BatchNorm1d(3), (5, 4), {}),
}


@pytest.mark.parametrize("code", FUSED.values(), ids=FUSED)
def test_fusion(code):
    def run(t):
        t.manual_seed(7)
        layer, norm, shape, options = code(t)
        x = t.randn(shape)
        if norm.weight is not None:
            t.nn.init.uniform_(norm.weight)
            t.nn.init.uniform_(norm.bias)
        norm(x if norm.num_features == 3 else layer(x))
        fuse = t.nn.utils.fuse_linear_bn_eval if "Linear" in repr(layer) else t.nn.utils.fuse_conv_bn_eval
        made = fuse(layer.eval(), norm.eval(), **options)
        return repr(made), made(x), made.weight, made.bias, made.weight.requires_grad, made.bias.requires_grad

    agree(run)


def test_fusion_in_training():
    agree(lambda t: t.nn.utils.fuse_conv_bn_eval(t.nn.Conv1d(2, 2, 1), t.nn.BatchNorm1d(2)))
