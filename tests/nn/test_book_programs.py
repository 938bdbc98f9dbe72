"""Programs in the style of books and repositories: surgery, adapters, averaging, normalized and pruned networks; compared with torch."""

from __future__ import annotations

import copy
import importlib
import inspect
import warnings

import pytest

from support.parametrizations import P, lin
from support.programs import Programs, agree

PROGRAMS = program = Programs()


def F(t):
    return t.nn.functional


def steps(t, m, x, y, n=3, opt="SGD", lr=0.05, loss=None, **k):
    o = getattr(t.optim, opt)([p for p in m.parameters() if p.requires_grad], lr=lr, **k)
    out = []
    for _ in range(n):
        o.zero_grad()
        l = (loss or F(t).mse_loss)(m(x), y)
        l.backward()
        o.step()
        out.append(l.detach())
    return out


@program
def tcn(t):
    WN = t.nn.utils.weight_norm

    class Chomp(t.nn.Module):
        def __init__(s, n):
            super().__init__()
            s.n = n

        def forward(s, x):
            return x[:, :, : -s.n].contiguous()

    class Block(t.nn.Module):
        def __init__(s, i, o, k, d):
            super().__init__()
            p = (k - 1) * d
            s.conv1 = WN(t.nn.Conv1d(i, o, k, padding=p, dilation=d))
            s.chomp1 = Chomp(p)
            s.relu1 = t.nn.ReLU()
            s.dropout1 = t.nn.Dropout(0.0)
            s.conv2 = WN(t.nn.Conv1d(o, o, k, padding=p, dilation=d))
            s.chomp2 = Chomp(p)
            s.relu2 = t.nn.ReLU()
            s.net = t.nn.Sequential(s.conv1, s.chomp1, s.relu1, s.dropout1, s.conv2, s.chomp2, s.relu2)
            s.downsample = t.nn.Conv1d(i, o, 1) if i != o else None
            s.relu = t.nn.ReLU()
            s.init_weights()

        def init_weights(s):
            s.conv1.weight.data.normal_(0, 0.01)
            s.conv2.weight.data.normal_(0, 0.01)
            if s.downsample is not None:
                s.downsample.weight.data.normal_(0, 0.01)

        def forward(s, x):
            r = x if s.downsample is None else s.downsample(x)
            return s.relu(s.net(x) + r)

    m = t.nn.Sequential(Block(2, 4, 2, 1), Block(4, 4, 2, 2))
    x = t.rand(2, 2, 9)
    return [steps(t, m, x, t.ones(2, 4, 9)), m, list(m.state_dict())]


@program
def wavenet(t):
    W = t.nn.utils.parametrizations.weight_norm

    class Gate(t.nn.Module):
        def __init__(s, d):
            super().__init__()
            s.f = W(t.nn.Conv1d(3, 3, 2, dilation=d))
            s.g = W(t.nn.Conv1d(3, 3, 2, dilation=d))
            s.o = W(t.nn.Conv1d(3, 3, 1))
            s.d = d

        def forward(s, x):
            z = F(t).pad(x, (s.d, 0))
            h = t.tanh(s.f(z)) * t.sigmoid(s.g(z))
            h = s.o(h)
            return x + h, h

    class Net(t.nn.Module):
        def __init__(s):
            super().__init__()
            s.layers = t.nn.ModuleList(Gate(2**i) for i in range(3))
            s.out = W(t.nn.Conv1d(3, 2, 1))

        def forward(s, x):
            k = 0
            for l in s.layers:
                x, h = l(x)
                k = k + h
            return s.out(F(t).relu(k))

        def remove_weight_norm(s):
            for m in s.modules():
                if isinstance(m, t.nn.Conv1d):
                    t.nn.utils.parametrize.remove_parametrizations(m, "weight")

    m = Net()
    x = t.rand(1, 3, 8)
    out = steps(t, m, x, t.zeros(1, 2, 8), opt="Adam")
    a = m(x)
    m.remove_weight_norm()
    return [out, t.allclose(a, m(x), atol=1e-6), m, list(m.state_dict())[:3]]


@program
def wgan_gp(t):
    D = t.nn.Sequential(t.nn.utils.parametrizations.spectral_norm(t.nn.Linear(4, 8)), t.nn.Tanh(), t.nn.Linear(8, 1))
    o = t.optim.Adam(D.parameters(), 1e-2)
    out = []
    for _ in range(2):
        r, f = t.rand(3, 4), t.rand(3, 4)
        a = t.rand(3, 1)
        x = (a * r + (1 - a) * f).requires_grad_(True)
        d = D(x)
        g = t.autograd.grad(d, x, t.ones_like(d), create_graph=True, retain_graph=True)[0]
        gp = ((g.norm(2, dim=1) - 1) ** 2).mean()
        l = D(f).mean() - D(r).mean() + 10 * gp
        o.zero_grad()
        l.backward()
        o.step()
        out += [l.detach(), gp.detach()]
    return out


@program
def transfer(t):
    m = t.nn.Sequential(t.nn.Linear(4, 8), t.nn.ReLU(), t.nn.Linear(8, 8), t.nn.ReLU(), t.nn.Linear(8, 3))
    for p in m.parameters():
        p.requires_grad = False
    m[4] = t.nn.Linear(m[4].in_features, 2)
    l = steps(t, m, t.rand(3, 4), t.rand(3, 2), opt="SGD", momentum=0.9)
    return [
        l,
        [n for n, p in m.named_parameters() if p.requires_grad],
        sum(p.numel() for p in m.parameters()),
        sum(p.numel() for p in m.parameters() if p.requires_grad),
        m,
    ]


@program
def partial_load(t):
    a = t.nn.Sequential(t.nn.Linear(4, 8), t.nn.Linear(8, 3))
    b = t.nn.Sequential(t.nn.Linear(4, 8), t.nn.Linear(8, 5))
    d = b.state_dict()
    pre = {k: v for k, v in a.state_dict().items() if k in d and v.shape == d[k].shape}
    d.update(pre)
    r = b.load_state_dict(d)
    return [repr(r), list(pre), b[0].weight]


@program
def partial_load2(t):
    a = t.nn.Sequential(t.nn.Linear(4, 8), t.nn.Linear(8, 3))
    s = a.state_dict()
    s.pop("1.weight")
    s["extra"] = t.ones(1)
    r = a.load_state_dict(s, strict=False)
    missing, unexpected = r
    return [r, missing, unexpected, r.missing_keys == ["1.weight"], len(r), str(r)]


@program
def ema(t):
    class EMA:
        def __init__(s, model, decay):
            s.m = copy.deepcopy(model).eval()
            s.d = decay
            [p.requires_grad_(False) for p in s.m.parameters()]

        @t.no_grad()
        def update(s, model):
            for a, b in zip(s.m.state_dict().values(), model.state_dict().values(), strict=False):
                if a.dtype.is_floating_point:
                    a.mul_(s.d).add_(b.detach(), alpha=1 - s.d)

    m = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.BatchNorm1d(4))
    em = EMA(m, 0.9)
    o = t.optim.SGD(m.parameters(), 0.1)
    for _ in range(3):
        o.zero_grad()
        m(t.rand(5, 3)).pow(2).sum().backward()
        o.step()
        em.update(m)
    return em.m.state_dict()


@program
def swa(t):
    m = t.nn.utils.parametrizations.orthogonal(lin(t))
    s = t.optim.swa_utils.AveragedModel(m)
    steps(t, m, t.rand(2, 3), t.rand(2, 3))
    s.update_parameters(m)
    return [s, s.n_averaged, list(s.state_dict())]


@program
def feat_all(t):
    m = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.Sequential(t.nn.ReLU(), t.nn.Linear(4, 2)))
    shapes = []
    hs = [
        l.register_forward_hook(
            lambda mod, i, o: shapes.append((type(mod).__name__, tuple(i[0].shape), tuple(o.shape)))
        )
        for l in m.modules()
    ]
    m(t.ones(2, 3))
    [h.remove() for h in hs]
    m(t.ones(2, 3))
    return shapes


@program
def gradcam(t):
    m = t.nn.Sequential(t.nn.Conv2d(1, 2, 3), t.nn.ReLU(), t.nn.AdaptiveAvgPool2d(1), t.nn.Flatten(), t.nn.Linear(2, 3))
    st = {}
    m[0].register_forward_hook(lambda mod, i, o: st.__setitem__("a", o))
    m[0].register_full_backward_hook(lambda mod, gi, go: st.__setitem__("g", go[0]))
    y = m(t.rand(1, 1, 6, 6))
    y[0, y.argmax()].backward()
    w = st["g"].mean((2, 3), keepdim=True)
    return F(t).relu((w * st["a"]).sum(1))


@program
def surgery(t):
    m = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.ReLU(), t.nn.Sequential(t.nn.Linear(4, 4), t.nn.ReLU()))

    def replace(mod):
        for n, c in mod.named_children():
            if isinstance(c, t.nn.ReLU):
                setattr(mod, n, t.nn.GELU())
            else:
                replace(c)

    replace(m)
    m.add_module("head", t.nn.Linear(4, 1))
    a = repr(m)
    del m[1]
    m.insert(0, t.nn.Identity())
    m.append(t.nn.Sigmoid())
    return [a, repr(m), m(t.ones(1, 3)), len(m), m[-1], m[1:3], [n for n, _ in m.named_children()]]


@program
def surgery_bn(t):
    def conv(m):
        out = m
        if isinstance(m, t.nn.BatchNorm2d):
            out = t.nn.GroupNorm(1, m.num_features)
        for n, c in m.named_children():
            out.add_module(n, conv(c))
        return out

    return conv(t.nn.Sequential(t.nn.Conv2d(1, 2, 3), t.nn.Sequential(t.nn.BatchNorm2d(2))))


@program
def lora_linear(t):
    class LoRALinear(t.nn.Module):
        def __init__(s, base, r=2, alpha=4):
            super().__init__()
            s.base = base
            s.base.requires_grad_(False)
            s.A = t.nn.Parameter(t.randn(r, base.in_features) * 0.01)
            s.B = t.nn.Parameter(t.zeros(base.out_features, r))
            s.scale = alpha / r

        def forward(s, x):
            return s.base(x) + (x @ s.A.T @ s.B.T) * s.scale

    m = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.ReLU(), t.nn.Linear(4, 2))
    for n, c in list(m.named_modules()):
        if isinstance(c, t.nn.Linear):
            p, _, k = n.rpartition(".")
            setattr(m.get_submodule(p), k, LoRALinear(c))
    return [
        steps(t, m, t.rand(3, 3), t.rand(3, 2), opt="AdamW"),
        m,
        [n for n, p in m.named_parameters() if p.requires_grad],
    ]


@program
def plist(t):
    class M(t.nn.Module):
        def __init__(s):
            super().__init__()
            s.ps = t.nn.ParameterList([t.nn.Parameter(t.randn(2, 2)) for i in range(3)])
            s.d = t.nn.ParameterDict({"left": t.nn.Parameter(t.ones(2)), "right": t.nn.Parameter(t.zeros(2))})

        def forward(s, x, c):
            for i, p in enumerate(s.ps):
                x = s.ps[i // 2].mm(x) + p.mm(x)
            return x + s.d[c]

    m = M()
    m.ps.append(t.nn.Parameter(t.ones(2, 2)))
    m(t.ones(2, 2), "left").sum().backward()
    return [
        m,
        list(m.state_dict()),
        [p.grad is None for p in m.parameters()],
        "left" in m.d,
        list(m.d),
        len(m.ps),
        m.ps[-1],
        m.ps[1:3],
    ]


@program
def mdict(t):
    class M(t.nn.Module):
        def __init__(s):
            super().__init__()
            s.choices = t.nn.ModuleDict({"conv": t.nn.Conv1d(1, 1, 3), "lin": t.nn.Linear(3, 3)})
            s.acts = t.nn.ModuleDict([["lrelu", t.nn.LeakyReLU()], ["prelu", t.nn.PReLU()]])

        def forward(s, x, c, a):
            return s.acts[a](s.choices[c](x))

    m = M()
    return [
        m,
        m(t.ones(1, 1, 3), "conv", "prelu"),
        list(m.choices),
        m.choices.pop("conv"),
        m,
        [k for k, v in m.acts.items()],
        m.acts.update({"r": t.nn.ReLU()}),
        m,
    ]


@program
def walks(t):
    m = t.nn.Sequential()
    m.add_module("a", t.nn.Linear(2, 2))
    m.add_module("b", t.nn.Sequential(t.nn.Linear(2, 2), t.nn.BatchNorm1d(2)))
    m.add_module("c", m.a)
    return [
        [n for n, _ in m.named_modules()],
        [n for n, _ in m.named_modules(remove_duplicate=False)],
        [n for n, _ in m.named_parameters()],
        [n for n, _ in m.named_parameters(remove_duplicate=False)],
        [n for n, _ in m.named_buffers()],
        [n for n, _ in m.named_children()],
        len(list(m.children())),
        [n for n, _ in m.named_parameters(prefix="net", recurse=True)],
        [n for n, _ in m.named_parameters(recurse=False)],
        list(m.state_dict()),
        list(m.state_dict(prefix="x.")),
        m.get_submodule("b.0"),
        m.get_parameter("b.1.weight").shape,
        m.get_buffer("b.1.running_mean"),
    ]


@program
def gradual_unfreeze(t):
    m = t.nn.Sequential(t.nn.Linear(2, 2), t.nn.Linear(2, 1)).requires_grad_(False)
    m[1].requires_grad_(True)
    o = t.optim.Adam(filter(lambda p: p.requires_grad, m.parameters()), 0.1)
    m(t.ones(1, 2)).sum().backward()
    o.step()
    m[0].requires_grad_(True)
    o.add_param_group({"params": m[0].parameters(), "lr": 0.01})
    o.zero_grad()
    m(t.ones(1, 2)).sum().backward()
    o.step()
    return m.state_dict()


@program
def fuse_tree(t):
    def fuse(m):
        prev = pn = None
        for n, c in list(m.named_children()):
            if isinstance(c, t.nn.BatchNorm2d) and isinstance(prev, t.nn.Conv2d):
                m._modules[pn] = t.nn.utils.fusion.fuse_conv_bn_eval(prev, c)
                m._modules[n] = t.nn.Identity()
            else:
                fuse(c)
            prev, pn = c, n
        return m

    m = t.nn.Sequential(t.nn.Conv2d(1, 2, 3), t.nn.BatchNorm2d(2), t.nn.ReLU()).eval()
    return fuse(m)


@program
def ensembles(t):
    ms = [t.nn.Linear(2, 1) for _ in range(3)]
    p, b = t.func.stack_module_state(ms)
    base = copy.deepcopy(ms[0])
    x = t.ones(4, 2)
    return t.vmap(lambda p, b: t.func.functional_call(base, (p, b), (x,)))(p, b)


@program
def maml(t):
    m = lin(t)
    x, y = t.rand(4, 3), t.rand(4, 3)
    p = dict(m.named_parameters())
    l = F(t).mse_loss(t.func.functional_call(m, p, (x,)), y)
    g = t.autograd.grad(l, tuple(p.values()), create_graph=True)
    fast = {k: v - 0.1 * d for (k, v), d in zip(p.items(), g, strict=False)}
    F(t).mse_loss(t.func.functional_call(m, fast, (x,)), y).backward()
    return [q.grad for q in m.parameters()]


@program
def per_sample(t):
    m = lin(t)
    p = {k: v.detach() for k, v in m.named_parameters()}

    def f(p, x, y):
        return F(t).mse_loss(t.func.functional_call(m, p, (x.unsqueeze(0),)), y.unsqueeze(0))

    return t.func.vmap(t.func.grad(f), in_dims=(None, 0, 0))(p, t.rand(4, 3), t.rand(4, 3))


@program
def tied_prune(t):
    P_ = importlib.import_module(t.__name__ + ".nn.utils.prune")
    m = t.nn.Sequential(lin(t), lin(t))
    for _n, l in m.named_modules():
        if isinstance(l, t.nn.Linear):
            P_.l1_unstructured(l, "weight", amount=0.4)
            P_.random_unstructured(l, name="bias", amount=1)
    a = {n: float((b == 0).float().mean()) for n, b in m.named_buffers()}
    for l in m:
        P_.remove(l, "weight")
        P_.remove(l, "bias")
    return [a, dict(m.named_buffers()), m.state_dict()]


@program
def tutorial_prune(t):
    prune = importlib.import_module(t.__name__ + ".nn.utils.prune")

    class LeNet(t.nn.Module):
        def __init__(s):
            super().__init__()
            s.conv1 = t.nn.Conv2d(1, 6, 5)
            s.fc1 = t.nn.Linear(16, 10)

    m = LeNet()
    module = m.conv1
    prune.random_unstructured(module, name="weight", amount=0.3)
    prune.l1_unstructured(module, name="bias", amount=3)
    prune.ln_structured(module, name="weight", amount=0.5, n=2, dim=0)
    out = [
        list(m.state_dict()),
        list(module.named_buffers()),
        module._forward_pre_hooks.__class__.__name__,
        [type(h).__name__ for h in module._forward_pre_hooks.values()],
    ]
    for hook in module._forward_pre_hooks.values():
        if hook._tensor_name == "weight":
            break
    out.append([type(x).__name__ for x in hook])
    prune.remove(module, "weight")
    out.append([n for n, _ in module.named_parameters()])
    return out


@program
def rename_hook(t):
    class New(t.nn.Module):
        def __init__(s):
            super().__init__()
            s.proj = t.nn.Linear(2, 2)

        def _load_from_state_dict(s, sd, prefix, *a):
            for k in list(sd):
                if k.startswith(prefix + "fc."):
                    sd[k.replace("fc.", "proj.")] = sd.pop(k)
            super()._load_from_state_dict(sd, prefix, *a)

    class Old(t.nn.Module):
        def __init__(s):
            super().__init__()
            s.fc = t.nn.Linear(2, 2)

    return repr(t.nn.Sequential(New()).load_state_dict(t.nn.Sequential(Old()).state_dict()))


@program
def noisy(t):
    class Noisy(t.nn.Linear):
        def __init__(s, i, o):
            super().__init__(i, o)
            s.sigma = t.nn.Parameter(t.full((o, i), 0.1))
            s.register_buffer("eps", t.zeros(o, i))

        def forward(s, x):
            s.eps.normal_()
            return F(t).linear(x, s.weight + s.sigma * s.eps, s.bias)

    m = Noisy(3, 2)
    return [m, m(t.ones(1, 3)), list(m.state_dict())]


@program
def ws_param(t):
    class WS(t.nn.Module):
        def forward(s, w):
            v, m = t.var_mean(w, dim=[1, 2, 3], keepdim=True)
            return (w - m) / (v + 1e-5).sqrt()

    c = t.nn.Conv2d(1, 2, 3)
    P(t).register_parametrization(c, "weight", WS())
    return [c, steps(t, c, t.rand(1, 1, 5, 5), t.zeros(1, 2, 3, 3))]


@program
def target_net(t):
    q = t.nn.Sequential(t.nn.Linear(2, 4), t.nn.ReLU(), t.nn.Linear(4, 2))
    tg = copy.deepcopy(q)
    tg.load_state_dict(q.state_dict())
    o = t.optim.Adam(q.parameters(), 1e-2)
    for _ in range(3):
        s, a, r, n = t.rand(4, 2), t.tensor([[0], [1], [0], [1]]), t.rand(4), t.rand(4, 2)
        v = q(s).gather(1, a)
        y = r + 0.9 * tg(n).max(1).values.detach()
        l = F(t).smooth_l1_loss(v, y.unsqueeze(1))
        o.zero_grad()
        l.backward()
        t.nn.utils.clip_grad_value_(q.parameters(), 100)
        o.step()
        ts, qs = tg.state_dict(), q.state_dict()
        for k in qs:
            ts[k] = qs[k] * 0.05 + ts[k] * 0.95
        tg.load_state_dict(ts)
    return [l, tg.state_dict()]


def ao(t):
    return importlib.import_module(f"{t.__name__}.ao.quantization"), importlib.import_module(f"{t.__name__}.nn")


@program
def quantizable_lstm(t):
    layers = ao(t)[1].quantizable
    t.manual_seed(0)
    q, x = layers.LSTM(3, 4, split_gates=True), t.randn(5, 2, 3)
    made, (h, c) = q(x, (t.ones(1, 2, 4), t.zeros(1, 2, 4)))
    made.square().sum().backward()
    lstm = t.nn.LSTM(3, 4, 2, bidirectional=True).eval()
    lstm.qconfig = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's `prepare` warns that there is nothing to do
        both = layers.LSTM.from_float(lstm)
    return (
        q,
        q.state_dict(),
        made,
        h,
        c,
        [p.grad for p in q.parameters()],
        both(x, (t.ones(4, 2, 4), t.zeros(4, 2, 4))),
        list(both.state_dict()),
    )


@program
def quantizable_attention(t):
    layers, out = ao(t)[1].quantizable, []
    for options in (
        {"add_bias_kv": True, "add_zero_attn": True},
        {"batch_first": True, "bias": False},
        {"dropout": 0.5},
    ):
        t.manual_seed(0)
        q, x = layers.MultiheadAttention(4, 2, **options), t.randn(3, 3, 4)
        mask = t.ones(3, 3).tril() == 0
        out += [q, q.state_dict(), q(x, x, x), q(x, x, x, mask, attn_mask=mask, average_attn_weights=False)]
    return out


@program
def layers_are_joined(t):
    tools, out = ao(t)[0], []
    layers = t.nn
    for mode, join in ((True, tools.fuse_modules_qat), (False, tools.fuse_modules)):
        t.manual_seed(0)
        net = [
            layers.Conv2d(1, 2, 3),
            layers.BatchNorm2d(2),
            layers.ReLU(),
            layers.Flatten(),
            layers.Linear(8, 2),
            layers.ReLU(),
        ]
        net = join(
            tools.QuantWrapper(layers.Sequential(*net)).train(mode),
            [["module.0", "module.1", "module.2"], ["module.4", "module.5"]],
        )
        out += [net, net(t.randn(2, 1, 4, 4)), net.state_dict()]
    return out


@program
def layers_that_cannot_be_joined(t):
    tools, fused = ao(t)[0], ao(t)[1].intrinsic
    told = []
    for wrong in (
        lambda: fused.LinearReLU(t.nn.ReLU(), t.nn.Linear(2, 3)),
        lambda: fused.ConvBnReLU1d(t.nn.Conv1d(1, 1, 1), t.nn.BatchNorm2d(1), t.nn.ReLU()),
        lambda: tools.fuse_modules(t.nn.Sequential(t.nn.Linear(1, 1), t.nn.Flatten()), ["0", "1"]),
        lambda: tools.fuse_linear_bn(True, t.nn.Linear(1, 1), t.nn.BatchNorm1d(2)),
        lambda: tools.fuse_conv_bn(True, t.nn.Conv2d(1, 1, 1).eval(), t.nn.BatchNorm2d(1)),
    ):
        try:
            wrong()
        except AssertionError as error:
            told.append(str(error).replace("flambeau", "torch"))
    return told


SINGLE = ("double", "float", "half", "complex")  # programs that name a precision; the others run in float64


SLOW = ("tcn", "wavenet", "wgan_gp")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in PROGRAMS])
def test_programs(name):
    code = PROGRAMS[name]
    single = any(word in inspect.getsource(code) for word in SINGLE)

    def run(t):
        t.set_default_dtype(t.float32 if single else t.float64)
        try:
            return code(t)
        finally:
            t.set_default_dtype(t.float32)

    assert not isinstance(agree(run, words=None), NameError)
