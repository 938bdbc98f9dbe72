"""Small models of six kinds, three steps each: tagging, graphs, critics, adapters, straight-through rounding, decoding with a cache."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize


def train(name, model, loss, *batch, **options):
    print(name, [(key, tuple(value.shape)) for key, value in model.state_dict().items()])
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.01, **options)
    for _ in range(3):
        optimizer.zero_grad()
        value = loss(model, *batch)
        value.backward()
        optimizer.step()
        print(f"  {value.item():.9f}")


class Tagger(nn.Module):
    """A conditional random field over an LSTM."""

    def __init__(self, words, tags):
        super().__init__()
        self.transitions = nn.Parameter(torch.randn(tags, tags))
        self.start = nn.Parameter(torch.empty(tags).uniform_(-0.1, 0.1))
        self.embedding = nn.Embedding(words, 4)
        self.lstm = nn.LSTM(4, 3, bidirectional=True, batch_first=True)
        self.emission = nn.Linear(6, tags)

    def forward(self, words, tags, mask):
        scores = self.emission(self.lstm(self.embedding(words))[0])
        rows = torch.arange(len(words))
        alpha = self.start + scores[:, 0]
        score = self.start[tags[:, 0]] + scores[rows, 0, tags[:, 0]]
        for t in range(1, words.size(1)):
            step = alpha.unsqueeze(2) + scores[:, t].unsqueeze(1) + self.transitions
            alpha = torch.where(mask[:, t].unsqueeze(1), torch.logsumexp(step, dim=1), alpha)
            score += (self.transitions[tags[:, t - 1], tags[:, t]] + scores[rows, t, tags[:, t]]) * mask[:, t]
        return (alpha.logsumexp(-1) - score).sum()


class Graph(nn.Module):
    """Attention over a node's neighbours by scatter_reduce and index_add, then a mean for each graph."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.lift = nn.Linear(width, width)
        self.near = nn.Parameter(torch.empty(1, heads, width // heads))
        nn.init.xavier_normal_(self.near, gain=nn.init.calculate_gain("relu"))
        self.out = nn.Linear(width, 2)

    def forward(self, x, edges, graph):
        source, target = edges
        z = self.lift(x).view(len(x), self.heads, -1)
        e = F.leaky_relu((z * self.near).sum(-1)[source], 0.2)
        index = target[:, None].expand_as(e)
        top = torch.full((len(x), self.heads), -torch.inf).scatter_reduce(0, index, e, "amax")
        e = (e - top[target]).exp()
        share = e / torch.zeros(len(x), self.heads).index_add(0, target, e)[target]
        x = F.elu(torch.zeros_like(z).index_add_(0, target, share.unsqueeze(-1) * z[source]).flatten(1))
        mean = torch.zeros(int(graph.max()) + 1, x.size(1))
        return self.out(mean.scatter_reduce(0, graph[:, None].expand_as(x), x, reduce="mean", include_self=False))


def gradient_penalty(critic, real, fake):
    weight = torch.rand(len(real), 1).expand_as(real)
    between = (weight * real + (1 - weight) * fake).requires_grad_()
    value = critic(between)
    (slope,) = torch.autograd.grad(value, between, torch.ones_like(value), create_graph=True)
    return critic(fake).mean() - critic(real).mean() + 10 * ((slope.norm(2, dim=1) - 1) ** 2).mean()


class LowRank(nn.Module):
    def __init__(self, rows, columns, rank=2):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.randn(rank, columns)), nn.Parameter(torch.zeros(rows, rank))

    def forward(self, weight):
        return weight + self.b @ self.a


class Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale, bits):
        most = 2 ** (bits - 1) - 1
        ctx.save_for_backward((x / scale).abs() <= most)
        return torch.clamp(torch.round(x / scale), -most - 1, most) * scale

    @staticmethod
    def backward(ctx, gradient):
        (inside,) = ctx.saved_tensors
        return gradient * inside, None, None


class RoundedLinear(nn.Linear):
    def forward(self, x):
        return F.linear(x, Rounded.apply(self.weight, self.weight.detach().abs().max() / 7, 4), self.bias)


class Decoder(nn.Module):
    """Rotary positions as complex numbers, two heads that share keys, and a cache."""

    def __init__(self, tokens, width=8):
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.q, self.k, self.v = (nn.Linear(width, n, bias=False) for n in (width, width // 2, width // 2))
        self.out = nn.Linear(width, tokens, bias=False)
        self.out.weight = self.embedding.weight
        angles = torch.outer(torch.arange(16.0), 10000.0 ** (-torch.arange(0.0, 4, 2) / 4))
        self.register_buffer("turns", torch.polar(torch.ones_like(angles), angles), persistent=False)
        self.cache = {}

    def turned(self, x, start):
        pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
        return torch.view_as_real(pairs * self.turns[start : start + x.size(1), None]).flatten(-2)

    def forward(self, tokens, start=None):
        x = self.embedding(tokens)
        y, first = self.norm(x), start or 0
        q = self.turned(self.q(y).unflatten(-1, (2, 4)), first)
        k, v = self.turned(self.k(y).unflatten(-1, (1, 4)), first), self.v(y).unflatten(-1, (1, 4))
        if start is not None:
            k, v = (torch.cat([*self.cache.get(n, ()), t], 1) for n, t in (("k", k), ("v", v)))
            self.cache = {"k": [k], "v": [v]}
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=tokens.size(1) > 1, enable_gqa=True)
        return self.out(x + y.transpose(1, 2).flatten(2)) / math.sqrt(x.size(-1))


torch.set_default_dtype(torch.float64)
torch.manual_seed(0)

mask = torch.tensor([[1] * 5, [1] * 3 + [0] * 2], dtype=torch.bool)
words, tags = torch.randint(0, 10, (2, 5)), torch.randint(0, 3, (2, 5))
train("tagger", Tagger(10, 3), lambda m, *b: m(*b), words, tags, mask)

edges = torch.tensor([[0, 1, 2, 3, 4, 5, 1, 0, 3], [1, 0, 1, 4, 3, 4, 2, 2, 5]])
graph = torch.tensor([0, 0, 0, 1, 1, 1])
train("graph", Graph(4, 2), lambda m, x: F.cross_entropy(m(x, edges, graph), torch.tensor([0, 1])), torch.randn(6, 4))

critic = nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(0.2), nn.Linear(8, 8), nn.Softplus(), nn.Linear(8, 1))
train("critic", critic, gradient_penalty, torch.randn(5, 4), torch.randn(5, 4), betas=(0.0, 0.9))

adapted = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).requires_grad_(False)
for layer in (adapted[0], adapted[2]):
    parametrize.register_parametrization(layer, "weight", LowRank(*layer.weight.shape))
train("adapters", adapted, lambda m, x: F.cross_entropy(m(x), torch.tensor([0, 2, 1])), torch.randn(3, 4))
print(adapted)

rounded = nn.Sequential(RoundedLinear(4, 6), nn.ReLU6(), RoundedLinear(6, 2))
train("rounded", rounded, lambda m, x: F.huber_loss(m(x), torch.ones(5, 2)), torch.randn(5, 4))

decoder, tokens = Decoder(10), torch.randint(0, 10, (2, 6))
train("decoder", decoder, lambda m, i: F.cross_entropy(m(i[:, :-1]).flatten(0, 1), i[:, 1:].flatten()), tokens)
with torch.inference_mode():
    parts = [decoder(tokens[:, :3], 0), *(decoder(tokens[:, t : t + 1], t) for t in range(3, 6))]
    print(torch.allclose(torch.cat(parts, 1), decoder(tokens)))
