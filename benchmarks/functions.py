"""Functions of `nn.functional` and frequent operators of tensors at a usual size: flambeau and torch, both eager, on the CPU.

    python benchmarks/functions.py              all
    python benchmarks/functions.py pool sort    those whose names hold one of these words

The table is that of `layers.py`: the forward in `no_grad` and a step of each, on one core, in the processor's time.
"""

from __future__ import annotations

import sys

import layers
from layers import LAYERS, layer

LAYERS.clear()

POINTWISE = """abs neg exp exp2 expm1 log1p sqrt rsqrt reciprocal square sin cos tan atan sinh cosh tanh sigmoid erf erfc lgamma
digamma floor ceil round trunc frac sign logit isnan isfinite isinf signbit nan_to_num deg2rad sinc log log2 log10 asinh""".split()
REDUCTIONS = """sum mean std var amax amin prod logsumexp norm cumsum cumprod logcumsumexp argmax argmin any all median sort argsort max min
softmax log_softmax unique count_nonzero""".split()
BINARY = "add sub mul div pow maximum minimum fmod remainder atan2 hypot eq lt ge logaddexp copysign xlogy".split()

for _name in POINTWISE:
    layer(f"{_name}", f"lambda x: lib.{_name}(x)", "r(128, 512).abs() + 0.1")
    if _name in ("exp", "sqrt", "tanh", "abs"):
        layer(f"{_name}, 64 elements", f"lambda x: lib.{_name}(x)", "r(64).abs() + 0.1")
for _name in BINARY:
    layer(f"{_name}", f"lambda x, y: lib.{_name}(x, y)", "r(128, 512).abs() + 0.1, r(128, 512).abs() + 0.1")
    layer(f"{_name}, 64 elements", f"lambda x, y: lib.{_name}(x, y)", "r(64).abs() + 0.1, r(64).abs() + 0.1")
    layer(f"{_name}, a row", f"lambda x, y: lib.{_name}(x, y)", "r(128, 512).abs() + 0.1, r(512).abs() + 0.1")
for _name in REDUCTIONS:
    _all = "lambda x: lib.{0}(x{1}){2}"
    _first = "[0]" if _name in ("median", "sort", "max", "min") else ""
    if _name not in (
        "cumsum",
        "cumprod",
        "logcumsumexp",
        "softmax",
        "log_softmax",
        "sort",
        "max",
        "min",
        "logsumexp",
        "unique",
        "argsort",
    ):
        layer(f"{_name}, all", _all.format(_name, "", ""), "r(128, 512)")
    if _name != "unique":
        for _dim in (0, 1):
            layer(f"{_name}, dim {_dim}", _all.format(_name, f", dim={_dim}", _first), "r(128, 512)")
layer("unique of integers", "lambda x: lib.unique(x)", "i(100, 4096)")

for _name, _sizes in {
    "images": "r(32, 16, 32, 32)",
    "digits": "r(64, 32, 28, 28)",
    "heads": "r(8, 8, 128, 32)",
}.items():
    for _make in (
        "nn.functional.relu(x)",
        "x.sigmoid()",
        "x * 0.5",
        "x / 255",
        "x + x",
        "nn.functional.leaky_relu(x, 0.1)",
    ):
        layer(f"{_name}, {_make.replace('nn.functional.', '')}", f"lambda x: {_make}", _sizes)
layer("embedding of 1,024 rows", "lambda w, i: nn.functional.embedding(i, w)", "r(1000, 64), i(1000, 32, 32)")
layer("index_select of 256 rows", "lambda w, i: w.index_select(0, i)", "r(512, 256), i(512, 256)")

_x = "r(128, 512)"
for _name, _make in {
    "x + 1": "lambda x: x + 1",
    "x * 0.5": "lambda x: x * 0.5",
    "1 / x": "lambda x: 1 / x",
    "x ** 2": "lambda x: x ** 2",
    "x > 0": "lambda x: x > 0",
    "-x": "lambda x: -x",
    "x @ x.T": "lambda x: x @ x.T",
    "clamp": "lambda x: x.clamp(-1, 1)",
    "clamp, min": "lambda x: x.clamp(min=0)",
    "where": "lambda x: lib.where(x > 0, x, 0.0)",
    "masked_fill": "lambda x: x.masked_fill(x > 0, 0.0)",
    "masked_select": "lambda x: x[x > 0]",
    "tril": "lambda x: x.tril()",
    "x[0]": "lambda x: x[0]",
    "x[:, 0]": "lambda x: x[:, 0]",
    "x[:, ::2]": "lambda x: x[:, ::2]",
    "x[:64]": "lambda x: x[:64]",
    "x[..., None]": "lambda x: x[..., None]",
    "x[rows]": "lambda x, i=lib.arange(0, 128, 2): x[i]",
    "x[rows, columns]": "lambda x, i=lib.arange(0, 128, 2): x[i, i]",
    "view": "lambda x: x.view(64, 1024)",
    "view and use": "lambda x: x.view(64, 1024) * 2",
    "transpose and use": "lambda x: x.transpose(0, 1) * 2",
    "permute, contiguous": "lambda x: x.view(8, 16, 512).permute(1, 0, 2).contiguous()",
    "unsqueeze, expand": "lambda x: x.unsqueeze(0).expand(4, 128, 512).sum(0)",
    "flatten": "lambda x: x.flatten()",
    "reshape of a transposed": "lambda x: x.t().reshape(-1)",
    "cat": "lambda x: lib.cat([x, x])",
    "cat, dim 1": "lambda x: lib.cat([x, x], 1)",
    "stack": "lambda x: lib.stack([x, x, x])",
    "chunk": "lambda x: x.chunk(4, 1)[1] * 2",
    "split": "lambda x: sum(x.split(128, 1))",
    "unbind": "lambda x: x.unbind(0)[3] + 1",
    "repeat": "lambda x: x.repeat(2, 2)",
    "repeat_interleave": "lambda x: x.repeat_interleave(2, 0)",
    "roll": "lambda x: x.roll(3, 1)",
    "flip": "lambda x: x.flip(1)",
    "gather": "lambda x, i=lib.arange(128).reshape(128, 1): x.gather(1, i)",
    "index_select": "lambda x, i=lib.arange(0, 128, 2): x.index_select(0, i)",
    "take_along_dim": "lambda x: lib.take_along_dim(x, x.argmax(1, keepdim=True), 1)",
    "scatter": "lambda x, i=lib.arange(128).reshape(128, 1): lib.zeros_like(x).scatter(1, i, x[:, :1])",
    "scatter_add": "lambda x, i=lib.zeros(128, 512, dtype=lib.long): lib.zeros_like(x).scatter_add(0, i, x)",
    "index_add": "lambda x, i=lib.arange(128): lib.zeros_like(x).index_add(0, i, x)",
    "topk": "lambda x: x.topk(5, 1)[0]",
    "kthvalue": "lambda x: x.kthvalue(5, 1)[0]",
    "diff": "lambda x: x.diff(dim=1)",
    "outer": "lambda x: lib.outer(x[0], x[1])",
    "einsum": "lambda x: lib.einsum('ij,kj->ik', x, x)",
    "mv": "lambda x: lib.mv(x, x[0])",
    "dot": "lambda x: lib.dot(x[0], x[1])",
    "bmm": "lambda x: lib.bmm(x.view(8, 16, 512), x.view(8, 16, 512).transpose(1, 2))",
    "matmul, heads": "lambda x: x.view(4, 8, 32, 64) @ x.view(4, 8, 32, 64).transpose(-1, -2)",
    "addmm": "lambda x: lib.addmm(x[:, :128], x, x.t())",
    "baddbmm": "lambda x: lib.baddbmm(x.view(8, 16, 512)[..., :16], x.view(8, 16, 512), x.view(8, 16, 512).mT)",
    "cdist": "lambda x: lib.cdist(x, x)",
    "zeros_like": "lambda x: lib.zeros_like(x)",
    "ones": "lambda x: lib.ones(128, 512)",
    "arange": "lambda x: lib.arange(1000)",
    "rand": "lambda x: lib.rand(128, 512)",
    "randn": "lambda x: lib.randn(128, 512)",
    "randn, 64": "lambda x: lib.randn(64)",
    "randint": "lambda x: lib.randint(0, 10, (128, 512))",
    "randperm": "lambda x: lib.randperm(1000)",
    "linspace": "lambda x: lib.linspace(0, 1, 1000)",
    "eye": "lambda x: lib.eye(64)",
    "tensor of a list": "lambda x: lib.tensor([1.0, 2.0, 3.0])",
    "clone": "lambda x: x.clone()",
    "detach": "lambda x: x.detach()",
    "item": "lambda x: x[0, 0].item()",
    "tolist": "lambda x: x[0].tolist()",
    "to float64": "lambda x: x.to(lib.float64)",
    "to bfloat16": "lambda x: x.bfloat16()",
    "long": "lambda x: x.long()",
    "add_": "lambda x: x.detach().add_(1)",
    "mul_": "lambda x: x.detach().mul_(1.0)",
    "copy_": "lambda x: x.detach().copy_(x.detach())",
    "zero_": "lambda x: lib.zeros(128, 512).zero_()",
    "x[0] = 1": "lambda x: x.detach().__setitem__(0, 1.0)",
    "x[mask] = 0": "lambda x: x.detach().__setitem__(x.detach() > 5, 0.0)",
    "lerp": "lambda x: x.lerp(x + 1, 0.3)",
    "addcmul": "lambda x: lib.addcmul(x, x, x, value=0.5)",
    "addcdiv": "lambda x: lib.addcdiv(x, x, x.abs() + 1, value=0.5)",
    "one_hot": "lambda x, i=lib.arange(128): nn.functional.one_hot(i, 512)",
    "bincount": "lambda x, i=lib.arange(128): lib.bincount(i)",
    "histc": "lambda x: lib.histc(x.detach(), 20)",
    "multinomial": "lambda x: lib.multinomial(x.detach().abs(), 1)",
    "bernoulli": "lambda x: lib.bernoulli(x.detach().sigmoid())",
    "allclose": "lambda x: lib.allclose(x, x)",
    "equal": "lambda x: lib.equal(x, x)",
    "searchsorted": "lambda x, e=lib.linspace(-3, 3, 50): lib.searchsorted(e, x.detach())",
    "meshgrid": "lambda x: lib.meshgrid(x[0], x[1], indexing='ij')[0] * 1",
    "fft": "lambda x: lib.fft.rfft(x).abs()",
    "quantile": "lambda x: x.quantile(0.5, 1)",
    "trace": "lambda x: x.trace()",
    "diagonal": "lambda x: x.diagonal() * 2",
    "diag_embed": "lambda x: lib.diag_embed(x[:, :32])",
    "F.normalize": "lambda x: nn.functional.normalize(x, dim=1)",
    "F.pad": "lambda x: nn.functional.pad(x, (1, 1))",
    "F.linear": "lambda x, w=lib.randn(64, 512): nn.functional.linear(x, w)",
    "F.gumbel_softmax": "lambda x: nn.functional.gumbel_softmax(x)",
    "F.dropout": "lambda x: nn.functional.dropout(x, 0.1)",
    "F.interpolate": "lambda x: nn.functional.interpolate(x.view(4, 4, 64, 64), scale_factor=2)",
    "F.unfold": "lambda x: nn.functional.unfold(x.view(4, 4, 64, 64), 3)",
    "F.rms_norm": "lambda x: nn.functional.rms_norm(x, (512,))",
    "F.layer_norm": "lambda x: nn.functional.layer_norm(x, (512,))",
    "F.logsigmoid": "lambda x: nn.functional.logsigmoid(x)",
    "F.glu": "lambda x: nn.functional.glu(x)",
    "F.cosine_similarity": "lambda x: nn.functional.cosine_similarity(x, x + 1)",
    "F.mse_loss, 64 elements": "lambda x: nn.functional.mse_loss(x[0, :64], x[1, :64])",
    "linalg.norm": "lambda x: lib.linalg.norm(x, dim=1)",
    "linalg.inv": "lambda x: lib.linalg.inv(x[:, :128])",
    "linalg.solve": "lambda x: lib.linalg.solve(x[:, :128], x)",
    "linalg.det": "lambda x: lib.linalg.det(x[:32, :32])",
    "linalg.qr": "lambda x: lib.linalg.qr(x[:, :64])[0]",
    "linalg.svdvals": "lambda x: lib.linalg.svdvals(x[:64, :64])",
    "linalg.cholesky": "lambda x: lib.linalg.cholesky(x @ x.T + 600 * lib.eye(128))",
}.items():  # fmt: skip
    layer(_name, _make, _x)

# what training loops do besides, at the sizes of a batch
_r = "lib.randn(64, 10)"
for _name, _make in {
    "accuracy of a batch": f"lambda x, p={_r}, y=lib.arange(64) % 10: (p.argmax(1) == y).float().mean().item()",
    "correct ones of a batch": f"lambda x, p={_r}, y=lib.arange(64) % 10: (p.argmax(1) == y).sum().item()",
    "loss.item()": "lambda x, l=lib.randn(()): l.item()",
    "lerp_ of an average": "lambda x, e=lib.zeros(64): e.lerp_(x.detach(), 0.1)",
    "masked mean": "lambda x, k=(lib.randn(64) > 0).float(): (x.detach() * k).sum() / k.sum()",
    "if any": "lambda x: bool((x.detach() > 5).any())",
    "isnan, any": "lambda x: x.detach().isnan().any()",
    "a number into a place": "lambda x, m=lib.zeros(64): m.__setitem__(3, 1.0)",
    "a row into a buffer": "lambda x, m=lib.zeros(64, 10), r=lib.ones(10): m.__setitem__(3, r)",
    "scatter of a number": "lambda x, m=lib.zeros(64, 10), i=(lib.arange(64) % 10)[:, None]: m.scatter(1, i, 1.0)",
    "one_hot of a batch": "lambda x, i=lib.arange(64) % 10: nn.functional.one_hot(i, 10)",
    "integers": "lambda x, i=lib.arange(64): (i * 2 + 1) % 7",
    "a target of rewards": f"lambda x, q={_r}, d=(lib.randn(64) > 0).float(): x.detach() + 0.99 * q.max(1).values * (1 - d)",
    "cat of three": "lambda x: lib.cat([x.detach(), x.detach(), x.detach()])",
    "scaled to 0 and 1": "lambda x: (x - x.min()) / (x.max() - x.min())",
    "permute alone": "lambda x, y=lib.randn(8, 16, 32): y.permute(1, 0, 2)",
    "view alone": "lambda x: x.view(8, 8)",
    "t alone": "lambda x, y=lib.randn(8, 16): y.t()",
    "cumsum of a batch": f"lambda x, p={_r}: p.cumsum(1)",
    "unique of a batch": "lambda x, i=lib.arange(64) % 10: lib.unique(i)",
    "clip_grad_norm_": "lambda x, p=[lib.randn(8, 8).requires_grad_() for _ in range(4)]: nn.utils.clip_grad_norm_(p, 1.0)",
    "log_prob of Categorical": f"lambda x, d=lib.distributions.Categorical(logits={_r}), a=lib.arange(64) % 10: d.log_prob(a)",
}.items():  # fmt: skip
    layer(_name, _make, "r(64)")

if __name__ == "__main__":
    layers.main(sys.argv[1:], ())
