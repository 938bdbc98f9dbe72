"""What a user writes, without a mistake: the type checkers say nothing of it (see test_types.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import flambeau
import flambeau.nn.functional as F
from flambeau import Tensor, nn, optim
from flambeau.utils.data import DataLoader, Dataset, TensorDataset, random_split

device = flambeau.device("cuda" if flambeau.cuda.is_available() else "cpu")
flambeau.manual_seed(0)


class Points(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, count: int, noise: float = 0.1) -> None:
        self.x = flambeau.rand(count, 2) * 2 - 1
        self.y = (self.x.pow(2).sum(dim=1) < 0.5).long()
        self.x += noise * flambeau.randn_like(self.x)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.x[index], self.y[index]


class Block(nn.Module):
    scale: Tensor

    def __init__(self, channels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, (3, 3), padding="same")
        self.drop = nn.Dropout(dropout)
        self.gain = nn.Parameter(flambeau.ones(1))
        self.register_buffer("scale", flambeau.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.drop(self.conv2(out)) * self.scale
        return F.relu(x + self.gain * out)


class Net(nn.Module):
    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 5, stride=2, padding=2), nn.ReLU(), nn.MaxPool2d(2))
        self.blocks = nn.ModuleList([Block(8) for _ in range(2)])
        self.heads = nn.ModuleDict({"main": nn.Linear(8, classes)})
        self.apply(self.initialise)

    @staticmethod
    def initialise(module: nn.Module) -> None:
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor, return_features: bool = False) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        x = F.adaptive_avg_pool2d(x, 1).flatten(1)
        return x if return_features else self.heads["main"](x)


class Recurrent(nn.Module):
    def __init__(self, vocabulary: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden, padding_idx=0)
        self.rnn = nn.LSTM(hidden, hidden, num_layers=2, batch_first=True, dropout=0.1)
        self.out = nn.Linear(hidden, vocabulary)

    def forward(
        self, tokens: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        features, state = self.rnn(self.embedding(tokens), state)
        return self.out(features), state


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.heads = heads
        self.mha = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        att = (q @ k.transpose(-2, -1)) / (c // self.heads) ** 0.5
        mask = flambeau.tril(flambeau.ones(t, t, dtype=flambeau.bool, device=x.device))
        att = att.masked_fill(~mask, float("-inf")).softmax(dim=-1)
        y = (att @ v).transpose(1, 2).contiguous().view(b, t, c)
        z, _weights = self.mha(y, y, y, need_weights=False)
        return y + z


@flambeau.no_grad()
def evaluate(model: nn.Module, loader: DataLoader[tuple[Tensor, Tensor]]) -> float:
    model.eval()
    correct, total = 0, 0
    for x, y in loader:
        x, y = x.to(device), y.to(device, non_blocking=True)
        predicted = model(x).argmax(dim=1)
        correct += int((predicted == y).sum().item())
        total += y.size(0)
    return correct / total


def train(model: nn.Module, loader: DataLoader[tuple[Tensor, Tensor]], epochs: int = 2) -> list[float]:
    optimizer = optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01, betas=(0.9, 0.99))
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    losses: list[float] = []
    for epoch in range(epochs):
        model.train()
        for _i, (x, y) in enumerate(loader):
            optimizer.zero_grad(set_to_none=True)
            loss = criterion(model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
            optimizer.step()
            losses.append(loss.item())
        scheduler.step()
        print(f"{epoch} {sum(losses) / len(losses):.3f} {scheduler.get_last_lr()[0]:.5f}")
    return losses


def closure_step(model: nn.Linear, x: Tensor) -> float:
    optimizer = optim.LBFGS(model.parameters(), lr=1, max_iter=4)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        return loss

    return float(optimizer.step(closure))


def batches(x: Tensor, size: int) -> Iterator[Tensor]:
    for start in range(0, len(x), size):
        yield x[start : start + size]


data = Points(64)
first, rest = random_split(data, [16, 48], generator=flambeau.Generator().manual_seed(1))
loader = DataLoader(first, batch_size=8, shuffle=True, num_workers=0, drop_last=True)
model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2)).to(device)
train(model, loader)
print(evaluate(model, DataLoader(rest, batch_size=16)))
flambeau.save({"model": model.state_dict(), "epoch": 3}, "checkpoint.pt")
checkpoint: dict[str, Any] = flambeau.load("checkpoint.pt", map_location="cpu", weights_only=True)
missing, unexpected = model.load_state_dict(checkpoint["model"], strict=False)
pairs = TensorDataset(flambeau.zeros(4, 2), flambeau.tensor([0, 1, 0, 1]))
a, b = pairs[0]
x = flambeau.arange(6, dtype=flambeau.float32).reshape(2, 3)
x.requires_grad_()
values, indices = x.max(dim=1)
top = flambeau.topk(x, k=2, dim=-1).values
y = flambeau.cat([x, x], dim=0)[:, None, ::2].squeeze(1)
z = flambeau.stack((x[0], x[1])).T @ x
w = flambeau.where(x > 0, x, flambeau.zeros_like(x))
u = flambeau.einsum("ij,kj->ik", x, x)
(grad,) = flambeau.autograd.grad(u.sum(), [x])
p, q = x.split(1, dim=0)
mean, std = float(x.mean()), x.std(dim=0, unbiased=False)
normal = flambeau.distributions.Normal(0.0, 1.0)
sample: Tensor = normal.rsample((3,))
n: int = sum(p.numel() for p in model.parameters() if p.requires_grad)
names: list[str] = [name for name, _ in model.named_parameters()]
lengths = list(map(len, batches(x, 1)))
as_program = flambeau.compile(model)
out = as_program(x[:, :2].detach())
with flambeau.no_grad(), flambeau.autocast("cpu", dtype=flambeau.bfloat16):
    out = model(x[:, :2])
array = x.detach().cpu().numpy()
back = flambeau.from_numpy(array).to(flambeau.float64).clone()
hook = model[0].register_forward_hook(lambda module, inputs, output: None)
hook.remove()
x.data.mul_(2).clamp_(min=0, max=1)
if x.grad is not None:
    print(x.grad.norm())
norm: Tensor = flambeau.linalg.norm(x, ord=2)
u_, s_, vh = flambeau.linalg.svd(x, full_matrices=False)
pooled, where_ = F.max_pool2d(flambeau.zeros(1, 1, 4, 4), 2, return_indices=True)


def measured(loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    return loss(flambeau.zeros(2), flambeau.zeros(2))


measured(nn.MSELoss())
