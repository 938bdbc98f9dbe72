"""Small models, each of one kind of expression, for both libraries: a test runs this file with `torch` set to one of them."""

# ruff: noqa: RUF059

import math
from collections import OrderedDict, namedtuple
from typing import Any

torch: Any = globals().get("torch")
nn: Any = torch.nn
F: Any = torch.nn.functional
fx: Any = torch.fx
MODELS: dict[str, tuple[type, tuple]] = {}
Pt = namedtuple("Pt", "a b")


def model(*inputs):
    def keep(cls):
        MODELS[cls.__name__] = (cls, inputs)
        return cls

    return keep


def lin(n, *s):
    k = 1
    for q in s:
        k *= q
    return torch.linspace(-1, n, k).reshape(s)


@fx.wrap
def my_leaf(x, n=2):
    return x * n


fx.wrap("len")


@model(lin(1, 4, 6))
class Consts(nn.Module):
    def forward(s, x):
        return x + torch.tensor([1.0, 2, 3, 4, 5, 6]) + torch.ones(6) * torch.arange(6) + torch.zeros(x.shape[1])


@model(lin(1, 4, 6))
class Math(nn.Module):
    def forward(s, x):
        return (
            x.exp().log1p().sqrt().clamp(min=0.1, max=2)
            + x.abs() ** 0.5
            + torch.pow(x, 2)
            + x.pow(3)
            - (-x)
            + (+x)
            + 2 * x
            - 1 / (x + 5)
            + x // 2
            + x % 2
        )


@model(lin(1, 4, 6))
class Reduce(nn.Module):
    def forward(s, x):
        a, b = x.max(dim=1)
        return (
            a.sum()
            + b.sum()
            + x.mean(-1, keepdim=True)
            + x.std(0)
            + x.argmax(1).unsqueeze(1)
            + torch.norm(x)
            + x.var(dim=1, unbiased=False)[:, None]
            + F.normalize(x, dim=1)
        )


@model(lin(1, 4, 6))
class Shapes(nn.Module):
    def forward(s, x):
        return (
            x.reshape(2, 2, -1)
            .permute(2, 0, 1)
            .flatten(1)
            .t()
            .unsqueeze(0)
            .expand(3, -1, -1)
            .squeeze()
            .contiguous()
            .view(x.size(0) * 3, x.shape[1])
        )


@model(lin(1, 4, 6))
class SizeMath(nn.Module):
    def forward(s, x):
        n, c = x.size()
        return x.view(n * c // 2, 2).repeat(1, 2)[: n - 1] / math.sqrt(c)


@model(lin(1, 4, 6))
class Leafy(nn.Module):
    def forward(s, x):
        return my_leaf(x) + my_leaf(x, n=len(x))


@model(lin(1, 4, 6))
class FStr(nn.Module):
    def forward(s, x):
        n = f"{s.training}-{type(s).__name__}"
        return x + len(n)


@model(lin(1, 4, 6))
class Split(nn.Module):
    def forward(s, x):
        a, b, c = torch.split(x, 2, dim=1)
        d, e = x.split([2, 4], 1)
        u = torch.stack([a, b, c]).sum(0)
        return torch.cat((u, d, e), -1), torch.chunk(x, 2, 1)[0], x.unbind(0)[1]


@model(lin(1, 4, 6))
class Einsum(nn.Module):
    def forward(s, x):
        return (
            torch.einsum("ij,kj->ik", x, x)
            + torch.matmul(x, x.T)
            + x.mm(x.t())
            + torch.tensordot(x, x, dims=([1], [1]))
        )


@model(lin(1, 4, 6))
class Losses(nn.Module):
    def forward(s, x):
        return (
            F.mse_loss(x, x * 2)
            + F.smooth_l1_loss(x, x * 0)
            + F.cross_entropy(x, x.argmax(1))
            + F.binary_cross_entropy_with_logits(x, torch.sigmoid(x))
            + F.kl_div(F.log_softmax(x, 1), F.softmax(x, 1), reduction="batchmean")
        )


@model(lin(1, 4, 6))
class Acts(nn.Module):
    def __init__(s):
        super().__init__()
        s.a = nn.ModuleList(
            [
                nn.ReLU(),
                nn.GELU(),
                nn.SiLU(),
                nn.Tanh(),
                nn.ELU(),
                nn.PReLU(),
                nn.Softplus(),
                nn.Hardswish(),
                nn.LeakyReLU(0.2),
            ]
        )

    def forward(s, x):
        y = x
        for a in s.a:
            y = y + a(x)
        return (
            y
            + F.gelu(x)
            + F.elu(x)
            + F.leaky_relu(x, 0.1)
            + F.softplus(x)
            + F.hardtanh(x)
            + F.relu6(x)
            + F.selu(x)
            + torch.tanh(x)
            + torch.sigmoid(x)
            + F.mish(x)
            + F.hardsigmoid(x)
            + F.glu(torch.cat([x, x], 1))
            + F.logsigmoid(x)
            + F.tanhshrink(x)
            + F.threshold(x, 0.1, 0.0)
        )


@model(lin(1, 4, 6))
class Norms(nn.Module):
    def __init__(s):
        super().__init__()
        s.g = nn.GroupNorm(2, 6)
        s.l = nn.LayerNorm(6, elementwise_affine=False)
        s.r = nn.RMSNorm(6)
        s.b = nn.BatchNorm1d(6)

    def forward(s, x):
        return (
            s.g(x)
            + s.l(x)
            + s.r(x)
            + s.b(x)
            + F.layer_norm(x, (6,))
            + F.group_norm(x, 3)
            + F.batch_norm(x, s.b.running_mean, s.b.running_var)
        )


@model(lin(1, 1, 2, 8, 8))
class Pools(nn.Module):
    def forward(s, x):
        return (
            F.avg_pool2d(x, 2)
            + F.max_pool2d(x, 2, stride=2)
            + F.adaptive_max_pool2d(x, 4)
            + F.interpolate(x, size=(4, 4), mode="bilinear", align_corners=False)
            + F.lp_pool2d(x, 2.0, 2)
            + F.interpolate(x, scale_factor=0.5)
        )


@model(lin(1, 1, 2, 8, 8))
class Pads(nn.Module):
    def forward(s, x):
        return (
            F.pad(x, (1, 1, 2, 2))[:, :, 2:-2, 1:-1]
            + F.pad(x, (1, 1, 1, 1), mode="reflect")[..., 1:-1, 1:-1]
            + F.unfold(x, 2).sum()
            + F.pixel_shuffle(torch.cat([x, x], 1), 2)[:, :, :8, :8]
        )


@model(lin(1, 1, 2, 8, 8))
class Convs(nn.Module):
    def __init__(s):
        super().__init__()
        s.w = nn.Parameter(torch.ones(2, 2, 3, 3) * 0.1)
        s.d = nn.Conv2d(2, 2, 3, groups=2, padding="same", dilation=2)

    def forward(s, x):
        return F.conv2d(x, s.w, padding=1) + s.d(x) + F.conv_transpose2d(x, s.w, stride=1, padding=1)


@model(lin(1, 4, 6))
class Drop(nn.Module):
    def forward(s, x):
        return F.dropout(x, p=0.5, training=s.training) + F.dropout(x, 0.0, True)


@model(lin(1, 4, 6))
class TrainBranch(nn.Module):
    def forward(s, x):
        if s.training:
            return x * 2
        return x * 3


@model(lin(1, 4, 6))
class Loop(nn.Module):
    def __init__(s):
        super().__init__()
        s.ws = nn.ParameterList([nn.Parameter(torch.eye(6) * i) for i in range(3)])
        s.pd = nn.ParameterDict({"a": nn.Parameter(torch.ones(6))})

    def forward(s, x):
        for i, w in enumerate(s.ws):
            x = x @ w + i
        return x * s.pd["a"]


@model(lin(1, 4, 6))
class Inner(nn.Module):
    def __init__(s):
        super().__init__()

        class Sub(nn.Module):
            def __init__(q):
                super().__init__()
                q.l = nn.Linear(6, 6)
                q.s = nn.Parameter(torch.tensor(2.0))

            def forward(q, x, scale=1.0, **kw):
                return q.l(x) * scale * q.s + kw.get("bias", 0)

        s.a = Sub()
        s.b = nn.Sequential(OrderedDict(one=Sub(), two=nn.ReLU()))

    def forward(s, x):
        return s.b(s.a(x, scale=2.0, bias=x))


@model(lin(1, 4, 6))
class NTout(nn.Module):
    def forward(s, x):
        return Pt(x + 1, b=x * 2)


@model(lin(1, 4, 6))
class Meth(nn.Module):
    def helper(s, x, *, k):
        return x * k

    @property
    def two(s):
        return 2

    @staticmethod
    def st(x):
        return x + 1

    def forward(s, x):
        return s.helper(s.st(x), k=s.two)


@model(lin(1, 4, 6))
class Casts(nn.Module):
    def forward(s, x):
        return (
            x.to(torch.float64).float().to("cpu").type(torch.float32).half().to(dtype=torch.float32).detach()
            + x.double().to(x.dtype)
            + x.new_ones(6)
            + torch.full_like(x, 2)
            + x.int().float()
        )


@model(lin(1, 4, 6))
class InplaceOps(nn.Module):
    def forward(s, x):
        y = x.clone()
        y.add_(1)
        y += 2
        y.mul_(x).relu_()
        y = y.clamp_(0, 5)
        torch.add(y, 1, out=y.clone()) if False else None
        return y


@model(lin(1, 4, 6))
class Gather(nn.Module):
    def forward(s, x):
        i = x.argsort(1)
        v, j = x.topk(2, 1)
        return (
            x.gather(1, i)
            + x.sort(1)[0]
            + v.sum(1, keepdim=True)
            + x.cumsum(0)
            + x.roll(1, 0)
            + x.flip(1)
            + torch.triu(x)
            + x.index_select(1, torch.tensor([5, 4, 3, 2, 1, 0]))
            + x.scatter(1, j, 0.0)
        )


@model(lin(1, 4, 6))
class Attrs(nn.Module):
    def forward(s, x):
        return (
            x.T.mT.reshape(x.shape).mul(x.ndim).add(x.dtype.itemsize if False else 0).to(x.device)
            + x.shape[0]
            + x.shape[-1]
            + x.numel()
        )


@model(lin(1, 4, 6))
class Compare(nn.Module):
    def forward(s, x):
        return (
            ((x > 0) & (x <= 0.5) | (x == 1) ^ (x != 0)).float()
            + torch.maximum(x, -x)
            + torch.logical_not(x > 0)
            + (x >= 0).all(1, keepdim=True)
        )


@model(lin(1, 2, 3, 4))
class Bmm(nn.Module):
    def forward(s, x):
        return torch.bmm(x, x.transpose(1, 2)).softmax(-1).log_softmax(dim=-1) + torch.baddbmm(
            torch.zeros(2, 3, 3), x, x.mT, beta=0.5, alpha=2
        )


@model(lin(1, 2, 3, 4))
class Linalg(nn.Module):
    def forward(s, x):
        return (
            torch.linalg.norm(x, dim=-1)
            + torch.linalg.vector_norm(x, 2, -1)
            + torch.special.expm1(x).sum(-1)
            + torch.fft.rfft(x).abs().sum(-1)
        )


@model(lin(1, 2, 3, 4))
class Grad(nn.Module):
    def forward(s, x):
        with torch.no_grad():
            y = x * 2
        return y + x


@model(lin(1, 4, 6))
class Cond(nn.Module):
    def forward(s, x):
        if x.sum() > 0:
            return x
        return -x


@model(lin(1, 4, 6))
class CondShape(nn.Module):
    def forward(s, x):
        if x.shape[0] == 4:
            return x
        return -x


@model(lin(1, 4, 6))
class LoopX(nn.Module):
    def forward(s, x):
        o = 0
        for r in x:
            o = o + r
        return o


@model(lin(1, 4, 6))
class RangeX(nn.Module):
    def forward(s, x):
        return sum(x[i] for i in range(x.shape[0]))


@model(lin(1, 4, 6))
class Assert(nn.Module):
    def forward(s, x):
        assert x.shape[1] == 6, "bad"
        return x


@model(lin(1, 4, 6))
class ItemX(nn.Module):
    def forward(s, x):
        return x * float(x.max().item())


@model(lin(1, 4, 6))
class NumpyX(nn.Module):
    def forward(s, x):
        import numpy as np

        return x + torch.from_numpy(np.ones(6))


@model(lin(1, 4, 6))
class StarArgs(nn.Module):
    def f(s, *a):
        return a[0]

    def forward(s, x):
        return s.f(*x)


@model(lin(1, 4, 6))
class Checkp(nn.Module):
    def __init__(s):
        super().__init__()
        s.l = nn.Linear(6, 6)

    def forward(s, x):
        return s.l(x).tanh().sum(dim=(0, 1)).mul(2).expand(3)


@model(lin(1, 2, 4, 3))
class Enc(nn.Module):
    def __init__(s):
        super().__init__()
        s.c = nn.Conv1d(4, 4, 1)
        s.g = nn.GRU(3, 3)
        s.t = nn.Unflatten(1, (2, 2))
        s.f = nn.Flatten()
        s.i = nn.Identity()

    def forward(s, x):
        o, h = s.g(s.c(x))
        return s.i(s.f(s.t(o)))


@model(lin(1, 2, 4, 3))
class BoolIdx(nn.Module):
    def forward(s, x):
        return x[:, 1:3, None, ..., 0] * x[0, 1, 2] + x[:, :2, :1].unsqueeze(2)[:, :, 0]
