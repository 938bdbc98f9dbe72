"""Models in the styles of books and repositories, for both libraries: a test runs this file with `torch` set to one of them."""

# ruff: noqa: RUF059

import math
from collections import namedtuple
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


@model(lin(1, 2, 8))
class MLP(nn.Module):
    def __init__(s):
        super().__init__()
        s.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 4))

    def forward(s, x):
        return s.net(x)


@model(lin(1, 1, 3, 16, 16))
class Res(nn.Module):
    def __init__(s):
        super().__init__()

        def blk(i, o):
            return nn.ModuleDict(
                {
                    "c1": nn.Conv2d(i, o, 3, padding=1, bias=False),
                    "b1": nn.BatchNorm2d(o),
                    "c2": nn.Conv2d(o, o, 3, padding=1, bias=False),
                    "b2": nn.BatchNorm2d(o),
                }
            )

        s.stem = nn.Conv2d(3, 8, 3, padding=1)
        s.blocks = nn.ModuleList([blk(8, 8) for _ in range(2)])
        s.fc = nn.Linear(8, 5)

    def forward(s, x):
        x = F.relu(s.stem(x))
        for b in s.blocks:
            i = x
            x = F.relu(b["b1"](b["c1"](x)), inplace=True)
            x = b["b2"](b["c2"](x))
            x = x + i
            x = F.relu(x)
        x = F.adaptive_avg_pool2d(x, (1, 1))
        return s.fc(torch.flatten(x, 1))


@model(lin(1, 2, 5, 16))
class Attn(nn.Module):
    def __init__(s):
        super().__init__()
        s.qkv = nn.Linear(16, 48)
        s.o = nn.Linear(16, 16)
        s.h = 4
        s.n = nn.LayerNorm(16)

    def forward(s, x):
        B, T, C = x.shape
        q, k, v = s.qkv(s.n(x)).chunk(3, dim=-1)
        q = q.view(B, T, s.h, C // s.h).transpose(1, 2)
        k = k.view(B, T, s.h, C // s.h).transpose(1, 2)
        v = v.view(B, T, s.h, C // s.h).transpose(1, 2)
        a = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
        a = F.softmax(a, dim=-1)
        return x + s.o((a @ v).transpose(1, 2).contiguous().view(B, T, C))


@model(lin(1, 2, 5, 16))
class SDPA(nn.Module):
    def __init__(s):
        super().__init__()
        s.q = nn.Linear(16, 16)
        s.register_buffer("mask", torch.tril(torch.ones(5, 5)).bool())

    def forward(s, x):
        q = s.q(x)
        return F.scaled_dot_product_attention(q, q, q, attn_mask=s.mask)


@model(lin(1, 2, 5, 16))
class Block(nn.Module):
    def __init__(s):
        super().__init__()
        s.a = nn.MultiheadAttention(16, 4, batch_first=True)
        s.n1 = nn.LayerNorm(16)
        s.n2 = nn.LayerNorm(16)
        s.m = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))

    def forward(s, x):
        y = s.n1(x)
        x = x + s.a(y, y, y, need_weights=False)[0]
        return x + s.m(s.n2(x))


@model(lin(1, 1, 4, 8, 8))
class Dense(nn.Module):
    def __init__(s):
        super().__init__()
        s.l = nn.ModuleList([nn.Conv2d(4 + 2 * i, 2, 3, padding=1) for i in range(3)])

    def forward(s, x):
        f = [x]
        for l in s.l:
            f.append(F.relu(l(torch.cat(f, 1))))
        return torch.cat(f, dim=1)


@model(lin(1, 1, 4, 8, 8))
class SE(nn.Module):
    def __init__(s):
        super().__init__()
        s.f1 = nn.Conv2d(4, 2, 1)
        s.f2 = nn.Conv2d(2, 4, 1)

    def forward(s, x):
        return x * torch.sigmoid(s.f2(F.silu(s.f1(x.mean((2, 3), keepdim=True)))))


@model(lin(1, 1, 2, 8, 8))
class UNet(nn.Module):
    def __init__(s):
        super().__init__()
        s.d = nn.Conv2d(2, 4, 3, padding=1)
        s.m = nn.Conv2d(4, 4, 3, padding=1)
        s.u = nn.ConvTranspose2d(4, 4, 2, stride=2)
        s.o = nn.Conv2d(8, 1, 1)

    def forward(s, x):
        d = F.relu(s.d(x))
        m = s.m(F.max_pool2d(d, 2))
        return s.o(torch.cat([s.u(m), d], 1))


@model(torch.tensor([[1, 2, 3], [0, 1, 2]]))
class Emb(nn.Module):
    def __init__(s):
        super().__init__()
        s.e = nn.Embedding(5, 6)
        s.p = nn.Parameter(torch.zeros(3, 6))
        s.h = nn.Linear(6, 5)

    def forward(s, i):
        x = s.e(i) + s.p[: i.shape[1]]
        return F.log_softmax(s.h(x), -1)


@model(torch.tensor([[1, 2, 3], [0, 1, 2]]))
class RNNm(nn.Module):
    def __init__(s):
        super().__init__()
        s.e = nn.Embedding(5, 6)
        s.r = nn.LSTM(6, 4, batch_first=True)

    def forward(s, i):
        o, (h, c) = s.r(s.e(i))
        return o[:, -1] + h[0]


@model(lin(1, 2, 3), lin(2, 2, 3))
class Two(nn.Module):
    def forward(s, x, y):
        return {"sum": x + y, "prod": (x * y, x / (y + 3))}


@model(lin(1, 2, 3))
class Default(nn.Module):
    def forward(s, x, y=None, z=2.5, *, flag=True, name: str = "n"):
        return x * z


@model(lin(1, 2, 3))
class Tup(nn.Module):
    def forward(s, x):
        return x, (x + 1, [x + 2, x * 3])


@model([lin(1, 2, 3), lin(2, 2, 3)])
class ListArg(nn.Module):
    def forward(s, xs):
        return xs[0] + xs[1] * 2


@model({"a": lin(1, 2, 3), "b": lin(2, 2, 3)})
class DictArg(nn.Module):
    def forward(s, d):
        return d["a"] - d["b"]


@model(lin(1, 4, 6))
class Slices(nn.Module):
    def forward(s, x):
        return x[1:, ::2] + x[:-1, None, 0, :3][:, 0] + x[..., -1:][1:] + x[[0, 1, 2]][:, 1:4]


@model(lin(1, 4, 6))
class Index(nn.Module):
    def forward(s, x):
        m = x > 0
        y = torch.where(m, x, torch.zeros_like(x))
        return y.masked_fill(~m, -1.0)[torch.arange(2)]


@model(lin(1, 4, 6))
class Params(nn.Module):
    def __init__(s):
        super().__init__()
        s.w = nn.Parameter(torch.ones(6))
        s.sub = nn.Module()
        s.sub.v = nn.Parameter(torch.arange(6.0))
        s.register_buffer("c", torch.ones(6) * 2)
        s.k = torch.ones(6) * 3

    def forward(s, x):
        return x * s.w + s.sub.v * s.c - s.k + s.w.sum()


@model(lin(1, 4, 6))
class Shared(nn.Module):
    def __init__(s):
        super().__init__()
        s.a = nn.Linear(6, 6)
        s.b = s.a

    def forward(s, x):
        return s.b(s.a(x))


@model(lin(1, 4, 6))
class Tied(nn.Module):
    def __init__(s):
        super().__init__()
        s.a = nn.Linear(6, 6)
        s.b = nn.Linear(6, 6)
        s.b.weight = s.a.weight

    def forward(s, x):
        return F.linear(s.b(x), s.a.weight, s.b.bias)


@model(lin(1, 4, 6))
class Repeat(nn.Module):
    def __init__(s):
        super().__init__()
        s.a = nn.Linear(6, 6)
        s.relu = nn.ReLU()

    def forward(s, x):
        for _ in range(3):
            x = s.relu(s.a(x))
        return x
