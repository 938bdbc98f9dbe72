"""The formulas of `help()` written down in NumPy, beside what PyTorch computes: `test_formulas.py` compares the two.

A check is found by the formula's text, so that a text that changes has no check until one is written for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy import abs, cos, exp, log, maximum, minimum, pi, sqrt, tanh
from torch import nn
from torch.nn import functional as F

Pairs = Iterator[tuple[Any, Any]]
CHECKS: dict[str, Callable[[], Pairs]] = {}
RNG = np.random.default_rng(0)
T = torch.tensor


def of(*texts: str) -> Callable[[Callable[[], Pairs]], Callable[[], Pairs]]:
    def keep(check: Callable[[], Pairs]) -> Callable[[], Pairs]:
        CHECKS.update(dict.fromkeys(texts, check))
        return check

    return keep


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


def uniform(*shape: int) -> np.ndarray:
    return RNG.uniform(0.05, 0.95, size=shape)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + exp(-x))


def softmax(x: Any, axis: int = -1) -> Any:
    return exp(x) / exp(x).sum(axis, keepdims=True)


def normed(x: Any, axes: tuple[int, ...], eps: float = 1e-5) -> Any:
    return (x - x.mean(axes, keepdims=True)) / sqrt(x.var(axes, keepdims=True) + eps)


NORM = "y = (x - mean) / sqrt(var + eps) * weight + bias, mean and var over "


@of(NORM + "all but the channels")
def batch_norm() -> Pairs:
    x, w, b = normal(4, 3, 5), normal(3), normal(3)
    ours = normed(x, (0, 2)) * w[:, None] + b[:, None]
    yield ours, F.batch_norm(T(x), None, None, T(w), T(b), training=True)


@of(NORM + "each channel of each sample")
def instance_norm() -> Pairs:
    x, w, b = normal(4, 3, 5), normal(3), normal(3)
    yield normed(x, (2,)) * w[:, None] + b[:, None], F.instance_norm(T(x), weight=T(w), bias=T(b))


@of(NORM + "the last dimensions")
def layer_norm() -> Pairs:
    x, w, b = normal(4, 3, 5), normal(3, 5), normal(3, 5)
    yield normed(x, (1, 2)) * w + b, F.layer_norm(T(x), (3, 5), T(w), T(b))


@of(NORM + "each group of channels")
def group_norm() -> Pairs:
    x, w, b = normal(2, 4, 5), normal(4), normal(4)
    ours = normed(x.reshape(2, 2, 10), (2,)).reshape(x.shape) * w[:, None] + b[:, None]
    yield ours, F.group_norm(T(x), 2, T(w), T(b))


@of("y = x / sqrt(mean(x^2) + eps) * weight")
def rms_norm() -> Pairs:
    x, w = normal(3, 5), normal(5)
    yield x / sqrt((x**2).mean(1, keepdims=True) + 1e-3) * w, F.rms_norm(T(x), (5,), T(w), 1e-3)


@of("y = x / (k + alpha / size * sum of x^2 over neighbouring channels)^beta")
def local_response_norm() -> Pairs:
    x = normal(2, 6, 4)
    around = np.stack([(x[:, max(c - 1, 0) : c + 2] ** 2).sum(1) for c in range(6)], 1)
    yield x / (2 + 0.3 / 3 * around) ** 0.75, F.local_response_norm(T(x), 3, 0.3, 0.75, 2.0)


@of("y = x / max(norm_p(x), eps)")
def normalize() -> Pairs:
    x = normal(3, 4)
    yield x / maximum((abs(x) ** 3).sum(1, keepdims=True) ** (1 / 3), 1e-12), F.normalize(T(x), 3.0, 1)


@of("y = x W^T + b")
def linear() -> Pairs:
    x, w, b = normal(3, 4), normal(2, 4), normal(2)
    yield x @ w.T + b, F.linear(T(x), T(w), T(b))


@of("y_k = x1^T W_k x2 + b_k")
def bilinear() -> Pairs:
    x, z, w, b = normal(3, 4), normal(3, 5), normal(2, 4, 5), normal(2)
    yield np.einsum("ni,kij,nj->nk", x, w, z) + b, F.bilinear(T(x), T(z), T(w), T(b))


@of("y[o] = b[o] + sum over c of W[o, c] * x[c], where * is the cross-correlation")
def convolution() -> Pairs:
    x, w, b = normal(2, 3, 7), normal(4, 3, 3), normal(4)
    ours = [[b[o] + sum(np.correlate(x[n, c], w[o, c], "valid") for c in range(3)) for o in range(4)] for n in range(2)]
    yield ours, F.conv1d(T(x), T(w), T(b))


@of("the gradient of a convolution by its input")
def transposed_convolution() -> Pairs:
    x, w = normal(2, 3, 7), normal(3, 4, 3)
    yield torch.nn.grad.conv1d_input((2, 4, 15), T(w), T(x), stride=2), F.conv_transpose1d(T(x), T(w), stride=2)


@of("y = x * mask / (1 - p), each element (channel) of the mask is 0 with probability p")
def dropout() -> Pairs:
    x = T(normal(50, 40))
    y = F.dropout(x, 0.3)
    yield x * (y != 0) / 0.7, y
    assert 0.25 < (y == 0).double().mean() < 0.35
    x = T(normal(50, 40, 3))
    y = F.dropout1d(x, 0.3)
    yield x * (y != 0).all(-1, keepdim=True) / 0.7, y


@of("selu(x) = scale * (max(0, x) + min(0, alpha * (exp(x) - 1))), alpha = 1.6733, scale = 1.0507")
def selu() -> Pairs:
    x = normal(20)
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    yield scale * (maximum(0, x) + minimum(0, alpha * (exp(x) - 1))), F.selu(T(x))
    yield (round(alpha, 4), round(scale, 4)), (1.6733, 1.0507)


@of("y = max(0, x)")
def relu() -> Pairs:
    x = normal(20)
    yield maximum(0, x), F.relu(T(x))


@of("y = x if x > 0, else alpha * (exp(x) - 1)")
def elu() -> Pairs:
    x = normal(20)
    yield np.where(x > 0, x, 0.7 * (exp(x) - 1)), F.elu(T(x), 0.7)


@of("y = max(0, x) + min(0, alpha * (exp(x / alpha) - 1))")
def celu() -> Pairs:
    x = normal(20)
    yield maximum(0, x) + minimum(0, 0.7 * (exp(x / 0.7) - 1)), F.celu(T(x), 0.7)


@of(
    "y = x * Phi(x), Phi the normal distribution function; 'tanh': x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))"
)
def gelu() -> Pairs:
    x = normal(20)
    yield x * np.array([(1 + math.erf(v / math.sqrt(2))) / 2 for v in x]), F.gelu(T(x))
    yield x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))), F.gelu(T(x), approximate="tanh")


@of("y = x / (1 + exp(-x))")
def silu() -> Pairs:
    x = normal(20)
    yield x / (1 + exp(-x)), F.silu(T(x))


@of("y = x * tanh(log(1 + exp(x)))")
def mish() -> Pairs:
    x = normal(20)
    yield x * tanh(log(1 + exp(x))), F.mish(T(x))


@of("hardsigmoid(x) = min(max(x / 6 + 1 / 2, 0), 1); hardswish(x) = x * hardsigmoid(x)")
def hard() -> Pairs:
    x = normal(50) * 3
    hardsigmoid = minimum(maximum(x / 6 + 1 / 2, 0), 1)
    yield hardsigmoid, F.hardsigmoid(T(x))
    yield x * hardsigmoid, F.hardswish(T(x))


@of("y = max(0, x) + weight * min(0, x)")
def prelu() -> Pairs:
    x, w = normal(4, 3), normal(3)
    yield maximum(0, x) + w * minimum(0, x), F.prelu(T(x), T(w))


@of("y = max(0, x) + a * min(0, x), a drawn from [lower, upper]")
def rrelu() -> Pairs:
    x = normal(200)
    y = F.rrelu(T(x), 0.2, 0.4, training=True).numpy()
    a = y[x < 0] / x[x < 0]
    assert a.min() >= 0.2 and a.max() <= 0.4 and a.std() > 0.04
    yield maximum(0, x), maximum(0, y)


@of("y = a * sigmoid(b), a and b the two halves")
def glu() -> Pairs:
    x = normal(3, 8)
    yield x[:, :4] * sigmoid(x[:, 4:]), F.glu(T(x))


@of("y_i = exp(x_i) / sum over j of exp(x_j)")
def softmax_() -> Pairs:
    x = normal(3, 4)
    yield softmax(x), F.softmax(T(x), 1)


@of("y = softmax((logits + g) / tau), g from a Gumbel distribution")
def gumbel_softmax() -> Pairs:
    x = T(normal(3, 4))
    torch.manual_seed(0)
    y = F.gumbel_softmax(x, 0.5)
    torch.manual_seed(0)
    g = -torch.empty_like(x).exponential_().log()
    yield softmax(((x + g) / 0.5).numpy()), y


@of("attention(Q, K, V) = softmax(Q K^T / sqrt(E) + mask) V")
def attention() -> Pairs:
    q, k, v, mask = normal(2, 3, 4), normal(2, 5, 4), normal(2, 5, 6), normal(3, 5)
    ours = softmax(q @ k.transpose(0, 2, 1) / sqrt(4) + mask) @ v
    yield ours, F.scaled_dot_product_attention(T(q), T(k), T(v), T(mask))


def cell(kind: type, hidden: int = 3) -> tuple[Any, ...]:
    layer = kind(4, hidden).double()
    w, u, b, c = (p.detach().numpy() for p in layer.parameters())
    layer.requires_grad_(False)
    return layer, normal(2, 4), normal(2, hidden), w, u, b, c


@of("i, f, o = sigmoid(W x + U h + b), g = tanh(W_g x + U_g h + b_g); c' = f * c + i * g, h' = o * tanh(c')")
def lstm() -> Pairs:
    layer, x, h, w, u, b, b2 = cell(nn.LSTMCell)
    c = normal(2, 3)
    i, f, g, o = np.split(x @ w.T + h @ u.T + b + b2, 4, 1)
    new = sigmoid(f) * c + sigmoid(i) * tanh(g)
    theirs = layer(T(x), (T(h), T(c)))
    yield sigmoid(o) * tanh(new), theirs[0]
    yield new, theirs[1]


@of("r, z = sigmoid(W x + U h + b), n = tanh(W_n x + b_in + r * (U_n h + b_hn)); h' = (1 - z) * n + z * h")
def gru() -> Pairs:
    layer, x, h, w, u, b, c = cell(nn.GRUCell)
    (r, z, n), (r2, z2, n2) = np.split(x @ w.T + b, 3, 1), np.split(h @ u.T + c, 3, 1)
    z, n = sigmoid(z + z2), tanh(n + sigmoid(r + r2) * n2)
    yield (1 - z) * n + z * h, layer(T(x), T(h))


@of("h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu")
def rnn() -> Pairs:
    layer, x, h, w, u, b, c = cell(nn.RNNCell)
    yield tanh(x @ w.T + b + h @ u.T + c), layer(T(x), T(h))


@of("l = (x - y)^2")
def mse() -> Pairs:
    x, y = normal(5), normal(5)
    yield (x - y) ** 2, F.mse_loss(T(x), T(y), reduction="none")


@of("l = |x - y|")
def l1() -> Pairs:
    x, y = normal(5), normal(5)
    yield abs(x - y), F.l1_loss(T(x), T(y), reduction="none")


@of("l = (x - y)^2 / (2 beta) if |x - y| < beta, else |x - y| - beta / 2")
def smooth_l1() -> Pairs:
    x, y = normal(50), normal(50)
    d = abs(x - y)
    yield np.where(d < 0.7, d**2 / 1.4, d - 0.35), F.smooth_l1_loss(T(x), T(y), reduction="none", beta=0.7)


@of("l = (x - y)^2 / 2 if |x - y| <= delta, else delta * (|x - y| - delta / 2)")
def huber() -> Pairs:
    x, y = normal(50), normal(50)
    d = abs(x - y)
    yield np.where(d <= 0.7, d**2 / 2, 0.7 * (d - 0.35)), F.huber_loss(T(x), T(y), reduction="none", delta=0.7)


@of("l = -weight[y] * log(exp(x_y) / sum over c of exp(x_c)); the mean divides by the sum of the weights")
def cross_entropy() -> Pairs:
    x, w, y = normal(5, 3), uniform(3), np.array([0, 2, 1, 1, 0])
    each = -w[y] * log(softmax(x)[range(5), y])
    yield each, F.cross_entropy(T(x), T(y), T(w), reduction="none")
    yield each.sum() / w[y].sum(), F.cross_entropy(T(x), T(y), T(w))


@of("l = -weight[y] * x_y; the mean divides by the sum of the weights")
def nll() -> Pairs:
    x, w, y = normal(5, 3), uniform(3), np.array([0, 2, 1, 1, 0])
    each = -w[y] * x[range(5), y]
    yield each, F.nll_loss(T(x), T(y), T(w), reduction="none")
    yield each.sum() / w[y].sum(), F.nll_loss(T(x), T(y), T(w))


@of("l = -weight * (y log x + (1 - y) log(1 - x)), logarithms not below -100")
def bce() -> Pairs:
    x, y, w = uniform(5), uniform(5), uniform(5)
    yield -w * (y * log(x) + (1 - y) * log(1 - x)), F.binary_cross_entropy(T(x), T(y), T(w), reduction="none")
    yield 100.0, F.binary_cross_entropy(T([0.0]), T([1.0]))


@of("l = -weight * (pos_weight * y log sigmoid(x) + (1 - y) log(1 - sigmoid(x)))")
def bce_with_logits() -> Pairs:
    x, y, w = normal(5), uniform(5), uniform(5)
    ours = -w * (2.5 * y * log(sigmoid(x)) + (1 - y) * log(1 - sigmoid(x)))
    yield (
        ours,
        F.binary_cross_entropy_with_logits(T(x), T(y), T(w), reduction="none", pos_weight=T(2.5, dtype=torch.float64)),
    )


@of("l = y * (log y - x), where x is a logarithm already")
def kl_div() -> Pairs:
    x, y = log(uniform(5)), uniform(5)
    yield y * (log(y) - x), F.kl_div(T(x), T(y), reduction="none")


@of("l = -log of the sum of the probabilities of all alignments")
def ctc() -> Pairs:
    p = softmax(normal(3, 1, 3))  # three steps, classes blank, a, b; the target is "a"
    total = 0.0
    for path in np.ndindex(3, 3, 3):
        kept = [c for i, c in enumerate(path) if c and (i == 0 or path[i - 1] != c)]
        if kept == [1]:
            total += math.prod(p[t, 0, c] for t, c in enumerate(path))
    yield -log(total), F.ctc_loss(T(log(p)), T([[1]]), T([3]), T([1]), reduction="sum")


@of("l = exp(x) - y x, or x - y log(x + eps) with `log_input=False`")
def poisson_nll() -> Pairs:
    x, y = uniform(5), uniform(5)
    yield exp(x) - y * x, F.poisson_nll_loss(T(x), T(y), reduction="none")
    ours = x - y * log(x + 0.1)
    yield ours, F.poisson_nll_loss(T(x), T(y), log_input=False, eps=0.1, reduction="none")


@of("l = (log max(var, eps) + (x - y)^2 / max(var, eps)) / 2")
def gaussian_nll() -> Pairs:
    x, y, var = normal(5), normal(5), uniform(5)
    v = maximum(var, 0.4)
    yield (log(v) + (x - y) ** 2 / v) / 2, F.gaussian_nll_loss(T(x), T(y), T(var), eps=0.4, reduction="none")


def cosine(a: Any, b: Any) -> Any:
    return (a * b).sum(-1) / sqrt((a**2).sum(-1) * (b**2).sum(-1))


@of("l = 1 - cos(x1, x2) if y = 1, else max(0, cos(x1, x2) - margin)")
def cosine_embedding() -> Pairs:
    a, b, y = normal(6, 2), normal(6, 2), np.array([1, -1, 1, -1, -1, -1])
    ours = np.where(y == 1, 1 - cosine(a, b), maximum(0, cosine(a, b) - 0.1))
    yield ours, F.cosine_embedding_loss(T(a), T(b), T(y), 0.1, reduction="none")


@of("l = max(0, -y * (x1 - x2) + margin)")
def margin_ranking() -> Pairs:
    a, b, y = normal(6), normal(6), np.array([1, -1, 1, -1, -1, 1])
    yield maximum(0, -y * (a - b) + 0.1), F.margin_ranking_loss(T(a), T(b), T(y), 0.1, reduction="none")


@of("l = max(0, d(anchor, positive) - d(anchor, negative) + margin)")
def triplet() -> Pairs:
    a, p, n = normal(6, 3), normal(6, 3), normal(6, 3)
    d = [sqrt(((a - o + 1e-6) ** 2).sum(1)) for o in (p, n)]
    yield maximum(0, d[0] - d[1] + 1), F.triplet_margin_loss(T(a), T(p), T(n), reduction="none")


@of("l = x if y = 1, else max(0, margin - x)")
def hinge_embedding() -> Pairs:
    x, y = normal(6), np.array([1, -1, 1, -1, -1, 1])
    ours = np.where(y == 1, x, maximum(0, 0.5 - x))
    yield ours, F.hinge_embedding_loss(T(x), T(y), 0.5, reduction="none")


@of("l = log(1 + exp(-y x))")
def soft_margin() -> Pairs:
    x, y = normal(6), np.array([1.0, -1, 1, -1, -1, 1])
    yield log(1 + exp(-y * x)), F.soft_margin_loss(T(x), T(y), reduction="none")


@of("l = sum over i != y of max(0, margin - x_y + x_i)^p / C")
def multi_margin() -> Pairs:
    x, y = normal(4, 3), np.array([0, 2, 1, 1])
    ours = [sum(maximum(0, 0.5 - x[n, y[n]] + x[n, i]) ** 2 for i in range(3) if i != y[n]) / 3 for n in range(len(y))]
    yield ours, F.multi_margin_loss(T(x), T(y), 2, 0.5, reduction="none")


@of("y[c, h r + i, w r + j] = x[c r^2 + i r + j, h, w]")
def pixel_shuffle() -> Pairs:
    x, r = normal(8, 3, 4), 2
    y = np.zeros((2, 6, 8))
    for c, h, w, i, j in np.ndindex(2, 3, 4, r, r):
        y[c, h * r + i, w * r + j] = x[c * r**2 + i * r + j, h, w]
    yield y, F.pixel_shuffle(T(x), r)


@of("y[i g + j] = x[j n + i] for g groups of n channels")
def channel_shuffle() -> Pairs:
    x, y, g, n = normal(6, 1, 1), np.zeros((6, 1, 1)), 2, 3
    for i, j in np.ndindex(n, g):
        y[i * g + j] = x[j * n + i]
    yield y[None], F.channel_shuffle(T(x)[None], g)


@of("std = gain * sqrt(2 / (fan_in + fan_out))")
def xavier() -> Pairs:
    for fill in (nn.init.xavier_normal_, nn.init.xavier_uniform_):
        std = fill(torch.empty(400, 600), 1.5).std().item()
        yield np.round(std / (1.5 * sqrt(2 / 1000)), 2), 1.0


@of("std = gain / sqrt(fan)")
def kaiming() -> Pairs:
    for fill in (nn.init.kaiming_normal_, nn.init.kaiming_uniform_):
        std = fill(torch.empty(400, 600), nonlinearity="relu").std().item()
        yield np.round(std / (sqrt(2) / sqrt(600)), 2), 1.0


@of("Q of the QR decomposition of normal values")
def orthogonal() -> Pairs:
    w = nn.init.orthogonal_(torch.empty(4, 4, dtype=torch.float64))
    yield w @ w.T, np.eye(4)


def steps(make: Callable[..., Any], count: int = 3) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """A parameter, its gradients at some steps, and what an optimizer makes of it."""
    start = normal(4)
    grads = [normal(4) for _ in range(count)]
    p = nn.Parameter(T(start.copy()))
    optimizer, after = make([p]), []
    for g in grads:
        p.grad = T(g)
        optimizer.step()
        after.append(p.detach().numpy().copy())
    return start, grads, after


@of("v = momentum * v + g; p = p - lr * v (nesterov: p - lr * (g + momentum * v)")
def sgd() -> Pairs:
    for nesterov in (False, True):
        p, grads, after = steps(lambda ps, n=nesterov: torch.optim.SGD(ps, 0.1, 0.9, nesterov=n))
        v = 0
        for g, theirs in zip(grads, after, strict=True):
            v = 0.9 * v + g
            p = p - 0.1 * (g + 0.9 * v if nesterov else v)
            yield p, theirs


ADAM = "m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2; p = p - lr * m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)"


@of(ADAM, "p = p * (1 - lr * weight_decay), then Adam's step")
def adam() -> Pairs:
    for make, decay in ((torch.optim.Adam, 0), (torch.optim.AdamW, 0.3)):
        p, grads, after = steps(lambda ps, make=make, d=decay: make(ps, 0.1, (0.8, 0.9), 1e-2, weight_decay=d))
        m = v = 0
        for t, (g, theirs) in enumerate(zip(grads, after, strict=True), 1):
            p = p * (1 - 0.1 * decay)
            m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g**2
            p = p - 0.1 * m / (1 - 0.8**t) / (sqrt(v / (1 - 0.9**t)) + 1e-2)
            yield p, theirs


@of("m = b1 m + (1 - b1) g, u = max(b2 u, |g| + eps); p = p - lr / (1 - b1^t) * m / u")
def adamax() -> Pairs:
    p, grads, after = steps(lambda ps: torch.optim.Adamax(ps, 0.1, (0.8, 0.9), 1e-2))
    m = u = 0
    for t, (g, theirs) in enumerate(zip(grads, after, strict=True), 1):
        m, u = 0.8 * m + 0.2 * g, maximum(0.9 * u, abs(g) + 1e-2)
        p = p - 0.1 / (1 - 0.8**t) * m / u
        yield p, theirs


@of("Adam's step for the entries that the sparse gradient stores")
def sparse_adam() -> Pairs:
    p = nn.Parameter(torch.ones(3, 2, dtype=torch.float64))
    g = normal(1, 2)
    p.grad = torch.sparse_coo_tensor(T([[1]]), T(g), (3, 2), check_invariants=True)
    torch.optim.SparseAdam([p], 0.1).step()
    ours = np.ones((3, 2))
    ours[1] -= 0.1 * g[0] / (abs(g[0]) + 1e-8)
    yield ours, p.detach()


@of("s = s + g^2; p = p - lr / (1 + (t - 1) lr_decay) * g / (sqrt(s) + eps)")
def adagrad() -> Pairs:
    p, grads, after = steps(lambda ps: torch.optim.Adagrad(ps, 0.1, 0.2, eps=1e-2))
    s = 0
    for t, (g, theirs) in enumerate(zip(grads, after, strict=True), 1):
        s = s + g**2
        p = p - 0.1 / (1 + (t - 1) * 0.2) * g / (sqrt(s) + 1e-2)
        yield p, theirs


@of(
    "s = rho s + (1 - rho) g^2, d = g * sqrt(u + eps) / sqrt(s + eps), u = rho u + (1 - rho) d^2; p = p - lr d",
)
def adadelta() -> Pairs:
    p, grads, after = steps(lambda ps: torch.optim.Adadelta(ps, 0.5, 0.8, 1e-2))
    s = u = 0
    for g, theirs in zip(grads, after, strict=True):
        s = 0.8 * s + 0.2 * g**2
        d = g * sqrt(u + 1e-2) / sqrt(s + 1e-2)
        u = 0.8 * u + 0.2 * d**2
        p = p - 0.5 * d
        yield p, theirs


@of("s = alpha s + (1 - alpha) g^2; p = p - lr * g / (sqrt(s) + eps)")
def rmsprop() -> Pairs:
    p, grads, after = steps(lambda ps: torch.optim.RMSprop(ps, 0.1, 0.8, 1e-2))
    s = 0
    for g, theirs in zip(grads, after, strict=True):
        s = 0.8 * s + 0.2 * g**2
        p = p - 0.1 * g / (sqrt(s) + 1e-2)
        yield p, theirs


@of("p = p (1 - lambd eta) - eta g, and a running mean of p")
def asgd() -> Pairs:
    p, grads, after = steps(lambda ps: torch.optim.ASGD(ps, 0.1, 0.3), 1)
    yield p * (1 - 0.3 * 0.1) - 0.1 * grads[0], after[0]


def rates(make: Callable[..., Any], count: int = 8) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.5)
    scheduler, found = make(optimizer), []
    for _ in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


E = np.arange(8)
S = torch.optim.lr_scheduler


@of("lr = eta_min + (lr_0 - eta_min) * (1 + cos(pi * T_cur / T_max)) / 2")
def cosine_annealing() -> Pairs:
    yield 0.1 + 0.4 * (1 + cos(pi * E / 10)) / 2, rates(lambda o: S.CosineAnnealingLR(o, 10, 0.1))
    yield 0.1 + 0.4 * (1 + cos(pi * (E % 5) / 5)) / 2, rates(lambda o: S.CosineAnnealingWarmRestarts(o, 5, 1, 0.1))


@of("lr = lr_0 * gamma^floor(epoch / step_size)")
def step_lr() -> Pairs:
    yield 0.5 * 0.3 ** (E // 3), rates(lambda o: S.StepLR(o, 3, 0.3))


@of("lr = lr_0 * gamma^epoch")
def exponential_lr() -> Pairs:
    yield 0.5 * 0.3**E, rates(lambda o: S.ExponentialLR(o, 0.3))


@of("lr = lr_0 * (1 - epoch / total_iters)^power")
def polynomial_lr() -> Pairs:
    yield 0.5 * (1 - E / 10) ** 2, rates(lambda o: S.PolynomialLR(o, 10, 2))


@of("lr = lr_0 * (start_factor + (end_factor - start_factor) * min(epoch / total_iters, 1))")
def linear_lr() -> Pairs:
    yield 0.5 * (0.2 + 0.7 * minimum(E / 5, 1)), rates(lambda o: S.LinearLR(o, 0.2, 0.9, 5))


@of("y[i, k] = sum over j of input[i, j] * other[j, k]")
def matmul() -> Pairs:
    a, b = normal(3, 4), normal(4, 2)
    yield np.einsum("ij,jk->ik", a, b), torch.mm(T(a), T(b))


@of("var = sum of (x - mean)^2 / (n - correction)")
def var() -> Pairs:
    x = normal(6)
    yield ((x - x.mean()) ** 2).sum() / 4, torch.var(T(x), correction=2)
    yield sqrt(((x - x.mean()) ** 2).sum() / 4), torch.std(T(x), correction=2)


@of("y = log(sum of exp(x))")
def logsumexp() -> Pairs:
    x = normal(6)
    yield log(exp(x).sum()), torch.logsumexp(T(x), 0)


@of("X[f, m] = sum over k of window[k] * input[m * hop_length + k] * exp(-2 pi i f k / n_fft)")
def stft() -> Pairs:
    x, w = normal(20), uniform(8)
    k = np.arange(8)
    ours = [[(w * x[m * 4 : m * 4 + 8] * exp(-2j * pi * f * k / 8)).sum() for m in range(4)] for f in range(5)]
    yield ours, torch.stft(T(x), 8, 4, window=T(w), center=False, return_complex=True)


@of("X[f] = sum over k of input[k] * exp(-2 pi i f k / n)")
def fft() -> Pairs:
    x, k = normal(6), np.arange(6)
    yield [(x * exp(-2j * pi * f * k / 6)).sum() for f in range(6)], torch.fft.fft(T(x))


@of(
    "m and v as Adam's, u_t = b1 (1 - 0.96^(t momentum_decay) / 2), U_t = u_1 ... u_t; p = p - lr * (u_(t+1) m / (1 - U_(t+1)) + "
    "(1 - u_t) g / (1 - U_t)) / (sqrt(v / (1 - b2^t)) + eps)"
)
def nadam() -> Pairs:
    p, grads, after = steps(lambda ps: torch.optim.NAdam(ps, 0.1, (0.8, 0.9), 1e-2, momentum_decay=0.3))
    m, v, product = 0, 0, 1.0
    for t, (g, theirs) in enumerate(zip(grads, after, strict=True), 1):
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g**2
        u, following = (0.8 * (1 - 0.96 ** (k * 0.3) / 2) for k in (t, t + 1))
        product *= u
        moved = following * m / (1 - product * following) + (1 - u) * g / (1 - product)
        p = p - 0.1 * moved / (sqrt(v / (1 - 0.9**t)) + 1e-2)
        yield p, theirs


@of(
    "n = 2 / (1 - b2) - 1, n_t = n - 2 t b2^t / (1 - b2^t); where n_t > 5 Adam's step times "
    "sqrt((n_t - 4) (n_t - 2) n / ((n - 4) (n - 2) n_t)), else p = p - lr * m / (1 - b1^t)"
)
def radam() -> Pairs:
    p, grads, after = steps(lambda ps: torch.optim.RAdam(ps, 0.1, (0.8, 0.9), 1e-12), 9)
    m = v = 0
    n, rectified = 2 / (1 - 0.9) - 1, set()
    for t, (g, theirs) in enumerate(zip(grads, after, strict=True), 1):
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g**2
        n_t = n - 2 * t * 0.9**t / (1 - 0.9**t)
        step = 0.1 * m / (1 - 0.8**t)
        if n_t > 5:
            step = step / sqrt(v / (1 - 0.9**t)) * sqrt((n_t - 4) * (n_t - 2) * n / ((n - 4) * (n - 2) * n_t))
        rectified.add(n_t > 5)
        p = p - step
        yield p, theirs
    assert rectified == {True, False}


@of(
    "s = min(s * etaplus, the largest step) where g has kept its sign, max(s * etaminus, the smallest) and g = 0 where it has changed; "
    "p = p - sign(g) * s"
)
def rprop() -> Pairs:
    p, grads, after = steps(lambda ps: torch.optim.Rprop(ps, 0.1, (0.5, 1.2), (0.06, 0.13)), 6)
    s, before = np.full(4, 0.1), np.zeros(4)
    for g, theirs in zip(grads, after, strict=True):
        kept, changed = g * before > 0, g * before < 0
        s = np.where(kept, minimum(s * 1.2, 0.13), np.where(changed, maximum(s * 0.5, 0.06), s))
        before = np.where(changed, 0, g)
        p = p - np.sign(before) * s
        yield p, theirs


@of(
    "lr = base_lr + (max_lr - base_lr) * max(0, 1 - |epoch / step_size - 2 c + 1|), c = floor(1 + epoch / (2 step_size)), "
    "for mode 'triangular'"
)
def cyclic_lr() -> Pairs:
    c = np.floor(1 + E / 6)
    ours = 0.1 + 0.4 * maximum(0, 1 - abs(E / 3 - 2 * c + 1))
    yield ours, rates(lambda o: S.CyclicLR(o, 0.1, 0.5, step_size_up=3, cycle_momentum=False))


@of(
    "from max_lr / div_factor up to max_lr at step pct_start * total_steps - 1, then down to max_lr / div_factor / final_div_factor at "
    "the last, by half cosines: a + (b - a) * (1 - cos(pi x)) / 2"
)
def one_cycle_lr() -> Pairs:
    ends = (0.5 / 10, 0.5, 0.5 / 10 / 100)
    top, last = 0.4 * 10 - 1, 9
    between = lambda a, b, x: a + (b - a) * (1 - cos(pi * x)) / 2  # noqa: E731
    ours = [
        between(ends[0], ends[1], e / top) if e <= top else between(ends[1], ends[2], (e - top) / (last - top))
        for e in E
    ]
    yield (
        ours,
        rates(
            lambda o: S.OneCycleLR(o, 0.5, 10, pct_start=0.4, div_factor=10, final_div_factor=100, cycle_momentum=False)
        ),
    )


@of("lr = lr_0 * gamma^(number of milestones <= epoch)")
def multi_step_lr() -> Pairs:
    yield 0.5 * 0.1 ** np.searchsorted([2, 5], E, "right"), rates(lambda o: S.MultiStepLR(o, [2, 5], 0.1))


@of("lr = lr_0 * factor while epoch < total_iters, then lr_0")
def constant_lr() -> Pairs:
    yield np.where(E < 3, 0.5 * 0.2, 0.5), rates(lambda o: S.ConstantLR(o, 0.2, 3))


@of("lr = lr_0 * lr_lambda(epoch)")
def lambda_lr() -> Pairs:
    yield 0.5 / (1 + E), rates(lambda o: S.LambdaLR(o, lambda epoch: 1 / (1 + epoch)))


@of("lr = lr * lr_lambda(epoch), from epoch 1 on")
def multiplicative_lr() -> Pairs:
    yield (
        0.5 * np.cumprod(np.r_[1, 1 / (1 + E[1:])]),
        rates(lambda o: S.MultiplicativeLR(o, lambda epoch: 1 / (1 + epoch))),
    )


@of("y = (exp(x) - exp(-x)) / (exp(x) + exp(-x))")
def tanh_() -> Pairs:
    x = normal(9)
    yield (exp(x) - exp(-x)) / (exp(x) + exp(-x)), torch.tanh(T(x))


@of("y = x - lambd if x > lambd, x + lambd if x < -lambd, else 0")
def softshrink() -> Pairs:
    x = normal(20)
    yield np.where(x > 0.4, x - 0.4, np.where(x < -0.4, x + 0.4, 0)), F.softshrink(T(x), 0.4)


@of("y_i = x_i - log(sum over j of exp(x_j))")
def log_softmax() -> Pairs:
    x = normal(3, 4)
    yield x - log(exp(x).sum(1, keepdims=True)), F.log_softmax(T(x), 1)


@of("l = sum over the classes j that are named and i that are not of max(0, 1 - (x_j - x_i)) / C")
def multilabel_margin() -> Pairs:
    x = normal(4)
    ours = sum(maximum(0, 1 - (x[j] - x[i])) for j in (3, 0) for i in (1, 2)) / 4
    yield ours, F.multilabel_margin_loss(T(x), T([3, 0, -1, 1]))


@of("l = -sum over c of weight_c * (y_c log sigmoid(x_c) + (1 - y_c) log sigmoid(-x_c)) / C")
def multilabel_soft_margin() -> Pairs:
    x, y, w = normal(3, 4), np.eye(4)[:3], uniform(4)
    ours = -(w * (y * log(sigmoid(x)) + (1 - y) * log(sigmoid(-x)))).sum(1) / 4
    yield ours, F.multilabel_soft_margin_loss(T(x), T(y), T(w), reduction="none")


@of("y = (sum of x^p over the window)^(1 / p)")
def lp_pool() -> Pairs:
    x = uniform(1, 1, 6)
    yield (x.reshape(1, 1, 3, 2) ** 3).sum(-1) ** (1 / 3), F.lp_pool1d(T(x), 3.0, 2)


@of("y[i] = sum over k of x[stride * i + k] / kernel_size, in each dimension")
def avg_pool() -> Pairs:
    x = normal(7)
    yield [sum(x[2 * i + k] for k in range(3)) / 3 for i in range(3)], F.avg_pool1d(T(x)[None], 3, 2)[0]


@of("y[i] = max over k of x[stride * i + dilation * k], in each dimension")
def max_pool() -> Pairs:
    x = normal(9)
    yield [max(x[2 * i + 2 * k] for k in range(3)) for i in range(3)], F.max_pool1d(T(x)[None], 3, 2, dilation=2)[0]


@of("y = (sum of |x1 - x2 + eps|^p)^(1 / p)")
def pairwise_distance() -> Pairs:
    a, b = normal(3, 4), normal(3, 4)
    yield (abs(a - b + 0.1) ** 3).sum(1) ** (1 / 3), F.pairwise_distance(T(a), T(b), 3.0, 0.1)


@of("y = sum of x1 x2 / (max(|x1|, eps) * max(|x2|, eps))")
def cosine_similarity() -> Pairs:
    a, b = normal(3, 4) * [[1], [1], [0.01]], normal(3, 4)
    sizes = [maximum(sqrt((v**2).sum(1)), 0.5) for v in (a, b)]
    yield (a * b).sum(1) / (sizes[0] * sizes[1]), F.cosine_similarity(T(a), T(b), eps=0.5)


W = torch.signal.windows
POINTS = ", where D is the number of points, less 1 if symmetric"


def windows(formula: Callable[[Any], Any], new: Callable[..., Any], old: Callable[..., Any] | None = None) -> Pairs:
    """A window as a function of n / D, in both forms of both functions."""
    n = np.arange(8)
    yield formula(n / 7), new(8, dtype=torch.float64)
    yield formula(n / 8), new(8, sym=False, dtype=torch.float64)
    if old is not None:
        yield formula(n / 8), old(8, dtype=torch.float64)
        yield formula(n / 7), old(8, periodic=False, dtype=torch.float64)


@of("w[n] = (1 - cos(2 pi n / D)) / 2" + POINTS)
def hann() -> Pairs:
    yield from windows(lambda x: (1 - cos(2 * pi * x)) / 2, W.hann, torch.hann_window)


@of("w[n] = alpha - (1 - alpha) * cos(2 pi n / D)" + POINTS)
def hamming() -> Pairs:
    yield from windows(lambda x: 0.54 - 0.46 * cos(2 * pi * x), W.hamming, torch.hamming_window)
    yield from windows(lambda x: 0.6 - 0.4 * cos(2 * pi * x), lambda n, **k: W.general_hamming(n, alpha=0.6, **k))


@of("w[n] = 0.42 - 0.5 cos(2 pi n / D) + 0.08 cos(4 pi n / D)" + POINTS)
def blackman() -> Pairs:
    formula = lambda x: 0.42 - 0.5 * cos(2 * pi * x) + 0.08 * cos(4 * pi * x)  # noqa: E731
    yield from windows(formula, W.blackman, torch.blackman_window)


@of("w[n] = 1 - |2 n / D - 1|" + POINTS)
def bartlett() -> Pairs:
    yield from windows(lambda x: 1 - abs(2 * x - 1), W.bartlett, torch.bartlett_window)


@of("w[n] = 0.3635819 - 0.4891775 cos(z) + 0.1365995 cos(2 z) - 0.0106411 cos(3 z), z = 2 pi n / D" + POINTS)
def nuttall() -> Pairs:
    a = (0.3635819, -0.4891775, 0.1365995, -0.0106411)
    yield from windows(lambda x: sum(a[k] * cos(2 * pi * k * x) for k in range(4)), W.nuttall)


@of("w[n] = exp(-(n - c)^2 / (2 std^2)), where c is the middle")
def gaussian_window() -> Pairs:
    yield exp(-((np.arange(8) - 3.5) ** 2) / 8), W.gaussian(8, std=2.0, dtype=torch.float64)


@of("w[n] = sin(pi (n + 1 / 2) / M), where M is the number of points, one more if not symmetric")
def cosine_window() -> Pairs:
    n = np.arange(8)
    yield np.sin(pi * (n + 1 / 2) / 8), W.cosine(8, dtype=torch.float64)
    yield np.sin(pi * (n + 1 / 2) / 9), W.cosine(8, sym=False, dtype=torch.float64)


@of("w[n] = I_0(beta sqrt(1 - (2 n / D - 1)^2)) / I_0(beta)" + POINTS)
def kaiser() -> Pairs:
    formula = lambda x: np.i0(9 * sqrt(maximum(1 - (2 * x - 1) ** 2, 0))) / np.i0(9.0)  # noqa: E731
    yield from windows(
        formula,
        lambda n, **given: W.kaiser(n, beta=9.0, **given),
        lambda n, periodic=True, **given: torch.kaiser_window(n, periodic, 9.0, **given),
    )


L = torch.distributions
gamma, factorial, comb = np.vectorize(math.gamma), np.vectorize(math.factorial), np.vectorize(math.comb)


def law(*texts: str) -> Callable[[Callable[[], tuple[Any, Any, Any]]], Any]:
    """Like `of`, for a function that gives a law, places, and the formula's values there."""

    def keep(given: Callable[[], tuple[Any, Any, Any]]) -> Any:
        def check() -> Pairs:
            made, x, p = given()
            yield p, made.log_prob(T(x)).exp()

        of(*texts)(check)
        return given

    return keep


def d(*values: Any) -> Any:
    made = tuple(T(v, dtype=torch.float64) for v in values)
    return made if len(made) > 1 else made[0]


X = np.array([0.1, 0.7, 1.3, 2.9])
U = np.array([0.1, 0.45, 0.9])
K = np.array([0.0, 1, 2, 3])
law("p(x) = exp(-(x - loc)^2 / (2 scale^2)) / (scale sqrt(2 pi))")(
    lambda: (L.Normal(*d(0.4, 1.5)), X, exp(-((X - 0.4) ** 2) / (2 * 1.5**2)) / (1.5 * sqrt(2 * pi)))
)
law("p(x) = exp(-(log x - loc)^2 / (2 scale^2)) / (x scale sqrt(2 pi))")(
    lambda: (L.LogNormal(*d(0.4, 1.5)), X, exp(-((log(X) - 0.4) ** 2) / (2 * 1.5**2)) / (X * 1.5 * sqrt(2 * pi)))
)
law("p(x) = sqrt(2 / pi) / scale * exp(-x^2 / (2 scale^2)), x >= 0")(
    lambda: (L.HalfNormal(d(1.5)), X, sqrt(2 / pi) / 1.5 * exp(-(X**2) / (2 * 1.5**2)))
)
law("p(x) = 1 / (high - low), low <= x < high")(lambda: (L.Uniform(*d(0.0, 4.0)), X, np.full(4, 1 / 4)))
law("p(x) = rate exp(-rate x), x >= 0")(lambda: (L.Exponential(d(1.5)), X, 1.5 * exp(-1.5 * X)))
law("p(x) = exp(-|x - loc| / scale) / (2 scale)")(lambda: (L.Laplace(*d(0.4, 1.5)), X, exp(-abs(X - 0.4) / 1.5) / 3))
law("p(x) = 1 / (pi scale (1 + ((x - loc) / scale)^2))")(
    lambda: (L.Cauchy(*d(0.4, 1.5)), X, 1 / (pi * 1.5 * (1 + ((X - 0.4) / 1.5) ** 2)))
)
law("p(x) = 2 / (pi scale (1 + (x / scale)^2)), x >= 0")(
    lambda: (L.HalfCauchy(d(1.5)), X, 2 / (pi * 1.5 * (1 + (X / 1.5) ** 2)))
)
law("p(x) = exp(-z - exp(-z)) / scale, z = (x - loc) / scale")(
    lambda: (L.Gumbel(*d(0.4, 1.5)), X, exp(-(X - 0.4) / 1.5 - exp(-(X - 0.4) / 1.5)) / 1.5)
)
law("p(x) = rate^a x^(a - 1) exp(-rate x) / Gamma(a), a the concentration")(
    lambda: (L.Gamma(*d(2.5, 1.5)), X, 1.5**2.5 * X**1.5 * exp(-1.5 * X) / gamma(2.5))
)
law("p(x) = rate^a x^(-a - 1) exp(-rate / x) / Gamma(a), a the concentration")(
    lambda: (L.InverseGamma(*d(2.5, 1.5)), X, 1.5**2.5 * X**-3.5 * exp(-1.5 / X) / gamma(2.5))
)
law("p(x) = x^(df / 2 - 1) exp(-x / 2) / (2^(df / 2) Gamma(df / 2))")(
    lambda: (L.Chi2(d(3.0)), X, X**0.5 * exp(-X / 2) / (2**1.5 * gamma(1.5)))
)
law("p(x) = x^(a - 1) (1 - x)^(b - 1) Gamma(a + b) / (Gamma(a) Gamma(b)), a and b the concentrations")(
    lambda: (L.Beta(*d(2.5, 1.5)), U, U**1.5 * (1 - U) ** 0.5 * gamma(4.0) / (gamma(2.5) * gamma(1.5)))
)
law("p(x) = a b x^(a - 1) (1 - x^a)^(b - 1), a and b the concentrations")(
    lambda: (L.Kumaraswamy(*d(2.5, 1.5)), U, 2.5 * 1.5 * U**1.5 * (1 - U**2.5) ** 0.5)
)
law("p(x) = alpha scale^alpha / x^(alpha + 1), x >= scale")(
    lambda: (L.Pareto(*d(1.5, 2.5)), X + 1.5, 2.5 * 1.5**2.5 / (X + 1.5) ** 3.5)
)
law("p(x) = c / scale * (x / scale)^(c - 1) exp(-(x / scale)^c), c the concentration")(
    lambda: (L.Weibull(*d(1.5, 2.5)), X, 2.5 / 1.5 * (X / 1.5) ** 1.5 * exp(-((X / 1.5) ** 2.5)))
)
law(
    "p(x) = Gamma((df + 1) / 2) / (Gamma(df / 2) sqrt(df pi) scale) * (1 + z^2 / df)^(-(df + 1) / 2), z = (x - loc) / scale"
)(
    lambda: (
        L.StudentT(*d(3.0, 0.4, 1.5)),
        X,
        gamma(2.0) / (gamma(1.5) * sqrt(3 * pi) * 1.5) * (1 + ((X - 0.4) / 1.5) ** 2 / 3) ** -2.0,
    )
)
law("p(x) = sqrt((df1 x)^df1 df2^df2 / (df1 x + df2)^(df1 + df2)) / (x B(df1 / 2, df2 / 2)), B the beta function")(
    lambda: (
        L.FisherSnedecor(*d(3.0, 5.0)),
        X,
        sqrt((3 * X) ** 3 * 5.0**5 / (3 * X + 5) ** 8) / (X * gamma(1.5) * gamma(2.5) / gamma(4.0)),
    )
)
law("p(x) = probs^x (1 - probs)^(1 - x), x 0 or 1")(
    lambda: (L.Bernoulli(d(0.3)), K[:2], 0.3 ** K[:2] * 0.7 ** (1 - K[:2]))
)
law("p(x) = C(n, x) probs^x (1 - probs)^(n - x), n the total count")(
    lambda: (L.Binomial(5, d(0.3)), K, comb(5, K.astype(int)) * 0.3**K * 0.7 ** (5 - K))
)
law("p(x) = C(n + x - 1, x) (1 - probs)^n probs^x, n the total count")(
    lambda: (L.NegativeBinomial(5, d(0.3)), K, comb(4 + K.astype(int), K.astype(int)) * 0.7**5 * 0.3**K)
)
law("p(x) = (1 - probs)^x probs, x = 0, 1, 2 ...")(lambda: (L.Geometric(d(0.3)), K, 0.7**K * 0.3))
law("p(x) = rate^x exp(-rate) / x!")(lambda: (L.Poisson(d(1.5)), K, 1.5**K * exp(-1.5) / factorial(K.astype(int))))
law("p(k) = probs_k / sum of probs")(lambda: (L.Categorical(d([1.0, 2, 3])), np.arange(3), np.array([1, 2, 3]) / 6))
law("p(x) = n! * product of probs_k^x_k / x_k!, n the total count")(
    lambda: (L.Multinomial(3, d([0.2, 0.3, 0.5])), np.array([1.0, 0, 2]), 6 * 0.2 * 0.5**2 / 2)
)
law("p(x) = Gamma(sum of a) * product of x_k^(a_k - 1) / Gamma(a_k), a the concentrations")(
    lambda: (
        L.Dirichlet(d([1.5, 2, 2.5])),
        np.array([0.2, 0.3, 0.5]),
        gamma(6.0) * 0.2**0.5 * 0.3 * 0.5**1.5 / (gamma(1.5) * gamma(2.0) * gamma(2.5)),
    )
)


@of("p(x) = exp(concentration cos(x - loc)) / (2 pi I_0(concentration))")
def von_mises() -> Pairs:  # torch's Bessel functions have seven digits
    yield exp(1.5 * cos(X - 0.4)) / (2 * pi * np.i0(1.5)), L.VonMises(*d(0.4, 1.5)).log_prob(T(X)).exp()


@of("p(x) = exp(-(x - loc)^T S^-1 (x - loc) / 2) / sqrt(det(2 pi S)), S the covariance")
def multivariate_normal() -> Pairs:
    s, x = np.array([[2.0, 0.5], [0.5, 1.0]]), normal(2)
    ours = exp(-x @ np.linalg.inv(s) @ x / 2) / sqrt(np.linalg.det(2 * pi * s))
    yield ours, L.MultivariateNormal(d([0.0, 0.0]), d(s.tolist())).log_prob(T(x)).exp()


@of("KL(p || q) = sum, or integral, over x of p(x) log(p(x) / q(x))")
def kl_divergence() -> Pairs:
    p, q = np.array([0.2, 0.3, 0.5]), np.array([0.4, 0.4, 0.2])
    yield (p * log(p / q)).sum(), L.kl_divergence(L.Categorical(T(p)), L.Categorical(T(q)))
    x = np.linspace(-12, 12, 200001)
    a, b = L.Normal(*d(0.4, 1.2)), L.Normal(*d(-0.3, 1.7))
    pa, qa = (one.log_prob(T(x)).exp().numpy() for one in (a, b))
    yield (pa * log(pa / qa)).sum() * (x[1] - x[0]), L.kl_divergence(a, b)
