"""Makes the pictures of the site, each for light and for dark pages, from real runs: `python tools/pictures.py [NAME...]`.

Networks are drawn by `flambeau.plot`. The LeNet of examples/lenet_digits.py is trained on scikit-learn's digits for the curves, the
kernels and the maps that a hook sees. Needs the extra `demo`.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

from flambeau import drop_in

drop_in.install()
matplotlib.use("Agg")

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
import torchvision
from options import asked
from torch import nn

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "pictures"
sys.path.insert(0, str(ROOT / "examples"))
_INK = {"light": "#1b2027", "dark": "#dde4ec"}
_DOTS = {"light": "binary", "dark": "gray"}


# --- drawn networks ---------------------------------------------------------------------------------------------------


class LeNet(nn.Module):
    def __init__(self, classes: int = 10):
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2, 2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2, 2))
        )
        self.classifier = nn.Sequential(
            *(nn.Linear(16 * 5 * 5, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes))
        )

    def forward(self, x: Any) -> Any:
        return self.classifier(self.features(x).flatten(1))


class Residual(nn.Module):
    def __init__(self, inside: int, outside: int, stride: int = 1):
        super().__init__()

        def conv(a: int, size: int, step: int) -> nn.Module:
            return nn.Conv2d(a, outside, size, step, size // 2, bias=False)

        norm = nn.BatchNorm2d
        self.left = nn.Sequential(
            conv(inside, 3, stride), norm(outside), nn.ReLU(inplace=True), conv(outside, 3, 1), norm(outside)
        )
        self.right = None
        if stride != 1 or inside != outside:
            self.right = nn.Sequential(conv(inside, 1, stride), norm(outside))

    def forward(self, x: Any) -> Any:
        return F.relu(self.left(x) + (x if self.right is None else self.right(x)))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(1000, 64)
        self.places = nn.Parameter(torch.zeros(1, 32, 64))
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), 6)
        self.head = nn.Linear(64, 5)

    def forward(self, tokens: Any) -> Any:
        x = self.embed(tokens) + self.places[:, : tokens.shape[1]]
        return self.head(self.encoder(x).mean(1))


def _nested() -> nn.Module:
    def block() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU())

    blocks = nn.Sequential(OrderedDict((f"block{i}", block()) for i in range(4)))
    return nn.Sequential(blocks, nn.Linear(4, 1))


def _small() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 16 * 16, 10))
    )


# name: the network, its input, its dtype
NETWORKS: dict[str, tuple[Callable[[], nn.Module], Any, Any]] = {
    "small": (_small, (1, 3, 32, 32), None),
    "lenet": (LeNet, (1, 3, 32, 32), None),
    "alexnet": (torchvision.models.alexnet, None, None),
    "resnet18": (torchvision.models.resnet18, None, None),
    "residual": (lambda: Residual(16, 32, stride=2), (1, 16, 8, 8), None),
    "nested": (_nested, (2, 4), None),
    "encoder": (Encoder, (2, 16), torch.int64),
}


def draw(name: str) -> None:
    import flambeau

    make, input, dtype = NETWORKS[name]
    for theme in ("light", "dark"):
        flambeau.plot(make(), input, theme=theme, dtype=dtype).save(FOLDER / f"{name}-{theme}.svg")


# --- figures ----------------------------------------------------------------------------------------------------------


def figure(name: str, size: tuple[float, float], paint: Callable[[Any, str], None]) -> None:
    """A figure in ink that both kinds of pages show well, on no ground of its own."""
    for theme, ink in _INK.items():
        keys = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "axes.titlecolor")
        fixed = {"svg.hashsalt": name, "svg.fonttype": "path", "font.size": 9, "axes.grid": False}
        with plt.rc_context({**dict.fromkeys(keys, ink), **fixed}):
            made = plt.figure(figsize=size, layout="constrained")
            paint(made, theme)
            made.savefig(FOLDER / f"{name}-{theme}.svg", transparent=True, metadata={"Date": None})
            plt.close(made)


def activations(made: Any, theme: str) -> None:
    x = torch.linspace(-4, 4, 200)
    kinds = (nn.Sigmoid(), nn.Tanh(), nn.ReLU(), nn.LeakyReLU(0.1), nn.GELU(), nn.SiLU())
    for axes, act in zip(made.subplots(2, 3, sharex=True).flat, kinds, strict=True):
        axes.plot(x.numpy(), act(x).numpy(), color="tab:orange", linewidth=2)
        axes.set_title(type(act).__name__)
        axes.grid(alpha=0.25)


def spread(made: Any, theme: str) -> None:
    axes = made.subplots()
    begins = {
        "normal, std 0.02": lambda w: nn.init.normal_(w, std=0.02),
        "Xavier, gain 5/3": lambda w: nn.init.xavier_normal_(w, gain=5 / 3),
        "normal, std 1": lambda w: nn.init.normal_(w, std=1.0),
    }
    for (label, init), mark in zip(begins.items(), "os^", strict=True):
        torch.manual_seed(0)
        x, stds = torch.randn(64, 100), []
        for _ in range(20):
            weight = torch.empty(100, 100)
            init(weight)
            x = torch.tanh(x @ weight.T)
            stds.append(x.std().item())
        axes.semilogy(range(1, 21), stds, marker=mark, markersize=3, label=label)
    axes.set(xlabel="layer", ylabel="spread of the values", ylim=(1e-6, 3))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)


class Trained:
    """The LeNet of the example after its 15 epochs."""

    def __init__(self) -> None:
        import lenet_digits as example

        torch.manual_seed(0)
        training, self.test = example.digits()
        self.net, self.example = example.LeNet(), example
        self.losses, self.accuracies = example.train(self.net, training, self.test, 15)

    def curves(self, made: Any, theme: str) -> None:
        left, right = made.subplots(1, 2)
        epochs = range(1, len(self.losses) + 1)
        left.semilogy(epochs, self.losses, marker=".", color="tab:orange")
        left.set(title="Training loss", xlabel="epoch")
        right.plot(epochs, [100 * a for a in self.accuracies], marker=".", color="tab:green")
        right.set(title="Test accuracy, %", xlabel="epoch")
        for axes in (left, right):
            axes.grid(alpha=0.25)

    def kernels(self, made: Any, theme: str) -> None:
        kernels = self.net.features[0].weight.detach()[:, 0]
        largest = kernels.abs().max().item()
        for i, axes in enumerate(made.subplots(1, 6)):
            axes.imshow(kernels[i].numpy(), cmap="PuOr", vmin=-largest, vmax=largest)
            axes.set_title(f"kernel {i}")
            axes.axis("off")

    def hooks(self, made: Any, theme: str) -> None:
        seen = []
        handle = self.net.features[0].register_forward_hook(lambda module, args, output: seen.append((args[0], output)))
        with torch.no_grad():
            self.net(self.example.crop(self.test.tensors[0][:1]))
        handle.remove()
        [(image, maps)] = seen
        pictures = [("input", image[0, 0]), *((f"map {i}", m) for i, m in enumerate(maps[0]))]
        for axes, (title, picture) in zip(made.subplots(1, 7), pictures, strict=True):
            axes.imshow(picture.numpy(), cmap=_DOTS[theme] if title == "input" else "viridis")
            axes.set_title(title)
            axes.axis("off")


def main() -> None:
    wanted = asked(__doc__, names="pictures to draw; all if none is named").names
    FOLDER.mkdir(exist_ok=True)
    for name in NETWORKS:
        if not wanted or name in wanted:
            draw(name)
    plain = {"activations": ((7, 3.6), activations), "spread": ((6, 3), spread)}
    for name, (size, paint) in plain.items():
        if not wanted or name in wanted:
            figure(name, size, paint)
    if not wanted or not {"curves", "kernels", "hooks"}.isdisjoint(wanted):
        trained = Trained()
        figure("curves", (7, 2.6), trained.curves)
        figure("kernels", (7, 1.5), trained.kernels)
        figure("hooks", (7, 1.4), trained.hooks)


if __name__ == "__main__":
    main()
