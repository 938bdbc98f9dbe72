"""Ten kinds of what users write, without a mistake: the type checkers say nothing of it (see test_types.py)."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import flambeau
import flambeau.nn as nn
import flambeau.nn.functional as F
from flambeau import Tensor
from flambeau.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from flambeau.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau, SequentialLR
from flambeau.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Subset,
    WeightedRandomSampler,
)

# --- data sets and loaders


class Item(NamedTuple):
    tokens: Tensor
    label: int


class Texts(Dataset[Item]):
    def __init__(self, rows: Sequence[str], vocabulary: dict[str, int] | None = None) -> None:
        self.rows = [row.split() for row in rows]
        self.vocabulary = vocabulary or {w: i + 1 for i, w in enumerate(sorted({w for r in self.rows for w in r}))}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Item:
        ids = [self.vocabulary.get(word, 0) for word in self.rows[index]]
        return Item(flambeau.tensor(ids, dtype=flambeau.long), index % 2)


class Numbers(IterableDataset[Tensor]):
    def __iter__(self):  # type: ignore[no-untyped-def]
        info = flambeau.utils.data.get_worker_info()
        first = 0 if info is None else info.id
        for n in range(first, 10, 1 if info is None else info.num_workers):
            yield flambeau.tensor(float(n))


def collate(items: list[Item]) -> tuple[Tensor, Tensor, Tensor]:
    lengths = flambeau.tensor([len(item.tokens) for item in items])
    tokens = pad_sequence([item.tokens for item in items], batch_first=True, padding_value=0)
    return tokens, lengths, flambeau.tensor([item.label for item in items])


texts = Texts(["a b c", "b c", "c a a a", "d"])
loader = DataLoader(texts, batch_size=2, shuffle=True, collate_fn=collate, num_workers=0, pin_memory=False)
for tokens, lengths, labels in loader:
    print(tokens.shape[0], lengths.max().item(), labels.tolist())
both = ConcatDataset([texts, Subset(texts, [0, 1])])
sampler = WeightedRandomSampler([0.1, 0.9, 0.5, 0.5], num_samples=4, replacement=True)
weighted: DataLoader[Item] = DataLoader(texts, sampler=sampler, collate_fn=collate)
batched = DataLoader(texts, batch_sampler=BatchSampler(RandomSampler(texts), 2, drop_last=False), collate_fn=collate)
print(len(both), len(batched), sum(float(n) for n in Numbers()))

# --- a recurrent network with packed sequences


class Tagger(nn.Module):
    embedding: nn.Embedding

    def __init__(self, words: int, width: int = 8, classes: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width, padding_idx=0)
        self.gru = nn.GRU(width, width, bidirectional=True, batch_first=True)
        self.out = nn.Linear(2 * width, classes)
        for name, parameter in self.gru.named_parameters():
            if name.startswith("weight"):
                nn.init.orthogonal_(parameter)
            else:
                nn.init.zeros_(parameter)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.embedding(tokens), lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, last = self.gru(packed)
        padded, _ = pad_packed_sequence(states, batch_first=True)
        return self.out(padded.mean(dim=1) + 0 * last.sum())


# --- a layer of one's own, with buffers, parametrizations and a state


class Scaled(nn.Module):
    count: Tensor
    bias: nn.Parameter | None

    def __init__(
        self, n: int, bias: bool = True, device: flambeau.device | None = None, dtype: flambeau.dtype | None = None
    ):
        super().__init__()
        self.weight = nn.Parameter(flambeau.empty((n, n), device=device, dtype=dtype))
        if bias:
            self.bias = nn.Parameter(flambeau.zeros(n))
        else:
            self.register_parameter("bias", None)
        self.register_buffer("count", flambeau.zeros((), dtype=flambeau.int64), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight.size(1))
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        self.count += 1
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"n={self.weight.shape[0]}, bias={self.bias is not None}"


# --- an autograd function and an optimizer of one's own


class Round(flambeau.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, digits: int = 0) -> Tensor:
        ctx.save_for_backward(x)
        return flambeau.round(x, decimals=digits)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grads[0] * (x.abs() < 1).to(x.dtype), None


class Lion(flambeau.optim.Optimizer):
    def __init__(self, params: Iterable[Tensor], lr: float = 1e-4, beta: float = 0.9) -> None:
        if lr <= 0:
            raise ValueError(f"lr {lr}")
        super().__init__(params, {"lr": lr, "beta": beta})

    @flambeau.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss: float | None = None
        if closure is not None:
            with flambeau.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = flambeau.zeros_like(p)
                momentum = state["momentum"]
                p.add_(momentum.mul(group["beta"]).add(p.grad, alpha=1 - group["beta"]).sign(), alpha=-group["lr"])
                momentum.mul_(group["beta"]).add_(p.grad, alpha=1 - group["beta"])
        return loss


# --- training with schedules, clipping, mixed precision, checkpoints


@dataclass
class Config:
    epochs: int = 2
    lr: float = 1e-3
    folder: Path = Path("runs")
    device: flambeau.device = field(default_factory=lambda: flambeau.device("cpu"))


def schedule(optimizer: flambeau.optim.Optimizer, warmup: int) -> LRScheduler:
    rising = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / warmup))
    return SequentialLR(optimizer, [rising, OneCycleLR(optimizer, 0.1, total_steps=100)], milestones=[warmup])


def fit(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], config: Config) -> dict[str, list[float]]:
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = flambeau.optim.AdamW(groups, lr=config.lr)
    plateau = ReduceLROnPlateau(optimizer, "min", factor=0.5, patience=2)
    scaler = flambeau.amp.GradScaler("cuda", enabled=flambeau.cuda.is_available())
    history: dict[str, list[float]] = {"loss": []}
    for epoch in range(config.epochs):
        model.train()
        for x, y in batches:
            x, y = x.to(config.device, non_blocking=True), y.to(config.device)
            optimizer.zero_grad()
            with flambeau.autocast(device_type=config.device.type, dtype=flambeau.bfloat16):
                loss = F.cross_entropy(model(x), y, label_smoothing=0.1)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            total = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            history["loss"].append(loss.item())
            assert bool(total.isfinite())
        plateau.step(history["loss"][-1])
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
        config.folder.mkdir(exist_ok=True)
        flambeau.save(state, config.folder / "last.pt")
    with (config.folder / "last.pt").open("rb") as file:
        model.load_state_dict(flambeau.load(file, map_location=config.device)["model"])
    return history


# --- hooks


class Recorder:
    def __init__(self, model: nn.Module) -> None:
        self.shapes: OrderedDict[str, flambeau.Size] = OrderedDict()
        self.handles = [m.register_forward_hook(self.record(name)) for name, m in model.named_modules() if name]

    def record(self, name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if isinstance(output, Tensor):
                self.shapes[name] = output.shape

        return hook

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self.handles:
            handle.remove()


def double(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(2 * a for a in args)


net = nn.Sequential(OrderedDict([("scaled", Scaled(4)), ("act", nn.GELU("tanh")), ("out", nn.Linear(4, 2))]))
with Recorder(net) as recorder:
    net(flambeau.randn(3, 4))
first = net.get_submodule("scaled")
handle = first.register_forward_pre_hook(double)
backward_handle = first.register_full_backward_hook(lambda m, gi, go: None)
leaf = flambeau.ones(2, requires_grad=True)
leaf.register_hook(lambda g: g * 2)
net.out.weight.requires_grad_(False)
print({name: tuple(shape) for name, shape in recorder.shapes.items()}, net[0], net.act)

# --- compiled functions


@flambeau.compile
def norm(x: Tensor, p: float = 2.0) -> Tensor:
    return x.abs().pow(p).sum().pow(1 / p)


@flambeau.compile(fullgraph=True, dynamic=False)
def step(x: Tensor, y: Tensor) -> tuple[Tensor, int]:
    return F.mse_loss(x, y, reduction="sum"), x.dim()


loss, dims = step(flambeau.zeros(2), flambeau.ones(2))
print(norm(flambeau.ones(3), p=1.0).item() + dims, flambeau.compile(net)(flambeau.zeros(1, 4)).shape)

# --- functional transforms


def energy(w: Tensor, x: Tensor) -> Tensor:
    return (x @ w).tanh().sum()


w, x = flambeau.randn(3), flambeau.randn(5, 3)
slope: Tensor = flambeau.func.grad(energy)(w, x)
each = flambeau.vmap(flambeau.func.grad(energy), in_dims=(None, 0))(w, x)
hessian = flambeau.func.hessian(energy)(w, x)
values, pull = flambeau.func.vjp(lambda t: t.sin(), w)
parameters = dict(net.named_parameters())
result = flambeau.func.functional_call(net, parameters, (flambeau.zeros(1, 4),))

# --- indexing, shapes and numbers

image = flambeau.rand(2, 3, 8, 8)
n, c, h, v = image.shape
patches = image.unfold(2, 4, 4).unfold(3, 4, 4).reshape(n, c, -1, 16).flatten(1, 2)
mask = image > 0.5
image[mask] = 0.0
image[:, 0] += 1
image[0, ..., ::2] = flambeau.tensor(1.0)
order = image.flatten().argsort(descending=True)[:5].tolist()
one_hot = F.one_hot(flambeau.tensor([0, 2]), num_classes=3).float()
scores = one_hot.log_softmax(-1).gather(1, flambeau.tensor([[0], [1]])).squeeze(-1)
low, high = flambeau.aminmax(image)
as_list: list[float] = image.mean((0, 2, 3)).tolist()
parts = image.chunk(2, dim=0)
joined = flambeau.cat([p.mean(dim=(2, 3), keepdim=True) for p in parts]).squeeze()
outer = flambeau.outer(w, w) + flambeau.eye(3) * 1e-3
factor, info = flambeau.linalg.cholesky_ex(outer)
eigenvalues, eigenvectors = flambeau.linalg.eigh(outer)
array: np.ndarray[Any, Any] = outer.numpy()
count = int((image != 0).sum()) // 2
text = f"{image.mean().item():.3f} {image.dtype} {image.device} {image.std():.2f}"
good: bool = flambeau.allclose(outer, outer.T) and flambeau.equal(outer, outer) and not mask.any()
near = bool(flambeau.isclose(w, w).all()) and float(low) <= float(high)
g = flambeau.Generator().manual_seed(3)
noise = flambeau.normal(0.0, 1.0, (2, 3), generator=g) if count else flambeau.randint(0, 3, (2, 3), generator=g).float()
bins = flambeau.bincount(flambeau.tensor([0, 1, 1]), minlength=3)
spectrum = flambeau.fft.rfft(noise, dim=-1).abs()
swapped = noise.movedim(0, 1).swapaxes(0, 1)[None, :, None].expand(2, -1, 1, -1)
flambeau.set_printoptions(precision=3, sci_mode=False)
flambeau.testing.assert_close(outer, outer.clone(), rtol=1e-4, atol=1e-6)

# --- distributions, attention, pooling

law = flambeau.distributions.MultivariateNormal(flambeau.zeros(2), covariance_matrix=flambeau.eye(2))
likelihood = law.log_prob(law.sample((5,))).mean() - law.entropy()
chosen = flambeau.distributions.Categorical(logits=flambeau.zeros(3)).sample().item()
divergence = flambeau.distributions.kl_divergence(law, law)
q = k = flambeau.randn(1, 2, 4, 8)
attended = F.scaled_dot_product_attention(q, k, k, is_causal=True, dropout_p=0.0)
layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, activation="gelu", batch_first=True, norm_first=True)
encoded = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)(flambeau.randn(1, 4, 8))
output, weights = nn.MultiheadAttention(8, 2)(encoded, encoded, encoded, average_attn_weights=False)
pooled = nn.AdaptiveAvgPool2d((1, None))(image)
bigger = F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)
padded = F.pad(image, (1, 1, 2, 2), mode="reflect")
tagger = Tagger(10)
print(tagger(*collate([texts[0], texts[1]])[:2]).shape, tagger.embedding.weight.shape, tagger.out.bias is None)


def sizes(x: flambeau.Tensor, n: int, shape: tuple[int, ...]) -> flambeau.Tensor:
    y = (
        x.permute(0, 1)
        .permute((1, 0))
        .permute([1, 0])
        .permute(dims=(1, 0))
        .view(n, -1)
        .view(shape)
        .view(x.size(0), *shape)
        .view(flambeau.int32)
        .view(dtype=flambeau.int32)
    )
    y = (
        y.expand(n, -1)
        .expand(x.shape)
        .expand_as(x)
        .repeat(2, 1)
        .repeat((2, 1))
        .reshape(-1)
        .reshape((n, n))
        .reshape(shape=(2, 3))
        .flip(0)
        .flip([0])
        .flip(dims=(0,))
        .tile(2)
        .tile((2, 2))
    )
    y = (
        flambeau.permute(y, (1, 0))
        + flambeau.flip(y, [0])
        + flambeau.flip(y, dims=[0])
        + flambeau.reshape(y, (2, 3))
        + flambeau.reshape(y, shape=shape)
        + flambeau.tile(y, (2,))
        + flambeau.tile(y, dims=(2,))
    )
    y = (
        flambeau.zeros(2, 3)
        + flambeau.zeros((2, 3))
        + flambeau.zeros([2])
        + flambeau.zeros(x.shape)
        + flambeau.zeros(size=(2,))
        + flambeau.zeros(*x.shape, n)
        + flambeau.rand(n, 2, device="cpu")
        + flambeau.randn(x.size(), dtype=flambeau.float32)
        + flambeau.empty(x.shape[0], 2)
        + flambeau.ones(len(x), n // 2)
    )
    y = (
        y
        + flambeau.randint(10, (2,))
        + flambeau.randint(0, 10, (2, 3))
        + flambeau.randint(low=0, high=5, size=(3,))
        + flambeau.randint(high=5, size=shape)
        + flambeau.randint(0, 2, x.shape, dtype=flambeau.long, device=x.device)
        + flambeau.randint(0, n, [n], generator=None)
    )
    y = (
        y.new_zeros(2, 3)
        + y.new_ones((2,))
        + y.new_empty(x.shape)
        + y.unflatten(0, (2, 3))
        + flambeau.randint_like(y, 0, 10)
        + y.resize_(2, 3)
        + y.sum_to_size(1)
        + y.sum_to_size((1,))
    )
    return y


groups = flambeau.optim.SGD(
    [{"params": tagger.embedding.parameters(), "lr": 0.01}, {"params": tagger.out.parameters()}], lr=0.1, momentum=0.9
)
held = (
    flambeau.distributions.Normal(0.0, 1.0).log_prob(flambeau.nn.ReflectionPad2d(1)(image)),
    flambeau.random.initial_seed(),
)
tagger = tagger.to("cpu").to(flambeau.float32).to(device="cpu", dtype=flambeau.float32).to(image)


class Masked(nn.Linear):
    """Buffers that are registered by name are tensors."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.register_buffer("mask", flambeau.ones(outputs, inputs))

    def forward(self, input: Tensor) -> Tensor:
        return flambeau.nn.functional.linear(input, self.mask * self.weight, self.bias)[: self.mask.bool().size(0)]


class Stack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"first": Masked(2, 2), "rest": nn.ModuleList([nn.Linear(2, 2)])})
        self.parts.first.weight = nn.Parameter(flambeau.zeros(2, 2))

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts.rest:
            x = part(self.parts.first(x))
        return x


def take_apart(model: nn.Module) -> nn.Module:
    """Of what is only known to be a module, a name may be anything."""
    model.fc = nn.Linear(model.fc.in_features, 2)
    for child in model.children():
        if hasattr(child, "reset_parameters"):
            child.reset_parameters()
    return nn.Sequential(model.features, nn.Sequential(model)[0][1][0])


def numbers(x: Tensor, index: Tensor) -> tuple[int, float, bool]:
    """Where PyTorch takes a number for a tensor, it may stand; what `item` gives goes wherever a number is wanted."""
    x.scatter_(1, index, 1).index_fill_(0, index, 2.0).index_add_(0, index, x, alpha=2)
    flambeau.xlogy(x, 2), flambeau.lerp(x, x, 0.5), flambeau.float_power(x, 2), flambeau.copysign(x, -1.0)
    nn.BatchNorm2d(3).running_mean.add_(1), nn.Conv2d(1, 2, 3).bias.data.zero_()
    return x.sum().item(), x.mean().item(), (x > 0).all().item()


def spread(rank: int, x: Tensor) -> None:
    flambeau.distributed.init_process_group("gloo", rank=rank, world_size=2)
    flambeau.distributed.all_reduce(x, op=flambeau.distributed.ReduceOp.SUM)
    flambeau.multiprocessing.spawn(spread, args=(x,), nprocs=flambeau.multiprocessing.cpu_count())
    halves = flambeau.utils.data.random_split(range(10), [5, 5])
    len(flambeau.utils.data.DataLoader(halves[0]).dataset)
    flambeau.utils.checkpoint.checkpoint(nn.Linear(2, 2), x, use_reentrant=False)


def of_forms(x: Tensor, count: np.int64) -> list[Tensor]:
    """What has several forms: ranges, types, values that are scattered."""
    ranges = [
        flambeau.arange(5),
        flambeau.arange(1, 5, 0.5),
        flambeau.arange(start=0, end=4),
        flambeau.arange(count),
        flambeau.arange(x[0]),
    ]
    types = [x.type(flambeau.float64), x.type("torch.DoubleTensor"), x.type(flambeau.DoubleTensor)]
    laid = [x.contiguous(memory_format=flambeau.channels_last), x.float(memory_format=flambeau.preserve_format)]
    put = [x.scatter(0, x, 1.0), x.scatter_(0, x, value=1), x.scatter(0, x, src=x, reduce="add")]
    return [*ranges, *types, *laid, *put, nn.init.normal_(x, mean=0.0, std=0.02), nn.init.trunc_normal_(x, std=0.02)]
