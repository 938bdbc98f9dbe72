"""The networks of the tables, written once for either library: a network, its optimizer, a batch and the loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

SHAPES = {"ResNet34": (8, 3, 224, 224), "AlexNet": (16, 3, 224, 224), "LeNet": (64, 3, 32, 32)}


class Job(NamedTuple):
    """A training job: `build(nn)` makes the network, `inputs(lib)` the batch, `optimizer(lib, parameters)` the optimizer."""

    build: Callable[[Any], Any]
    inputs: Callable[[Any], Any]
    optimizer: Callable[[Any, Any], Any]
    targets: tuple[int, ...]  # their shape: class numbers below 10
    block: int  # steps between two looks at the loss


def network(lib: Any, name: str) -> Any:
    """A network of `lib` (flambeau or torch), with its usual layers and sizes."""
    return JOBS[name].build(lib.nn)


def training(lib: Any, name: str) -> tuple[Any, Any, Any, Any, Any]:
    """(model, step, forward, x, y) under seed 0."""
    job = JOBS[name]
    lib.manual_seed(0)
    model = job.build(lib.nn)
    optimizer = job.optimizer(lib, model.parameters())
    x, y = job.inputs(lib), lib.randint(0, 10, job.targets)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = lib.nn.functional.cross_entropy(model(x).flatten(0, -2), y.flatten())
        loss.backward()
        optimizer.step()
        return loss

    return model, step, lambda x: model(x), x, y


def _mlp(nn: Any) -> Any:
    return nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10))


def _deep(nn: Any) -> Any:
    layers = [part for _ in range(32) for part in (nn.Linear(128, 128), nn.LayerNorm(128), nn.GELU())]
    return nn.Sequential(*layers, nn.Linear(128, 10))


def _lenet(nn: Any) -> Any:
    features = [nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)]
    head = [nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)]
    return nn.Sequential(*features, nn.Flatten(), *head)


def _alexnet(nn: Any) -> Any:
    def convolution(*args: int, **kwargs: int) -> list[Any]:
        return [nn.Conv2d(*args, **kwargs), nn.ReLU(inplace=True)]

    features = [
        *convolution(3, 64, 11, stride=4, padding=2),
        nn.MaxPool2d(3, 2),
        *convolution(64, 192, 5, padding=2),
        nn.MaxPool2d(3, 2),
        *convolution(192, 384, 3, padding=1),
        *convolution(384, 256, 3, padding=1),
        *convolution(256, 256, 3, padding=1),
        nn.MaxPool2d(3, 2),
    ]
    head = [nn.Dropout(), nn.Linear(9216, 4096), nn.ReLU(True), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(True)]
    return nn.Sequential(*features, nn.AdaptiveAvgPool2d((6, 6)), nn.Flatten(), *head, nn.Linear(4096, 1000))


def _resnet34(nn: Any) -> Any:
    class Block(nn.Module):
        def __init__(self, inside: int, out: int, stride: int):
            super().__init__()
            self.main = nn.Sequential(
                nn.Conv2d(inside, out, 3, stride, 1, bias=False),
                nn.BatchNorm2d(out),
                nn.ReLU(inplace=True),
                nn.Conv2d(out, out, 3, 1, 1, bias=False),
                nn.BatchNorm2d(out),
            )
            self.side = nn.Identity()
            if stride != 1 or inside != out:
                self.side = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))

        def forward(self, x: Any) -> Any:
            return nn.functional.relu(self.main(x) + self.side(x))

    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    inside = 64
    for out, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(count):
            layers.append(Block(inside, out, stride if i == 0 else 1))
            inside = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def _gpt(nn: Any, blocks: int = 4, width: int = 256, heads: int = 4) -> Any:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
            self.attend, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

        def forward(self, x: Any) -> Any:
            n, length, _ = x.shape
            split = self.attend(self.before(x)).view(n, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
            mixed = nn.functional.scaled_dot_product_attention(split[0], split[1], split[2], is_causal=True)
            x = x + self.join(mixed.transpose(1, 2).reshape(n, length, width))
            return x + self.mlp(self.between(x))

    return nn.Sequential(
        nn.Embedding(1000, width), *(Block() for _ in range(blocks)), nn.LayerNorm(width), nn.Linear(width, 1000)
    )


def _lstm(nn: Any) -> Any:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(256, 256, 2, batch_first=True), nn.Linear(256, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.lstm(x)[0])

    return Tagger()


def _encoder(nn: Any) -> Any:
    layer = nn.TransformerEncoderLayer(256, 4, 1024, dropout=0.1, batch_first=True)
    return nn.Sequential(nn.TransformerEncoder(layer, 4, enable_nested_tensor=False), nn.Linear(256, 10))


def _sgd(lib: Any, parameters: Any) -> Any:
    return lib.optim.SGD(parameters, lr=0.01, momentum=0.9)


def _adam(lib: Any, parameters: Any) -> Any:
    return lib.optim.Adam(parameters, lr=1e-3)


def _adamw(lib: Any, parameters: Any) -> Any:
    return lib.optim.AdamW(parameters, lr=1e-3)


def _numbers(*shape: int) -> Callable[[Any], Any]:
    return lambda lib: lib.randn(*shape)


JOBS = {
    "MLP 20-256-10": Job(_mlp, _numbers(32, 20), _sgd, (32,), 200),
    "32 x (Linear 128, LN, GELU)": Job(_deep, _numbers(64, 128), _adamw, (64,), 20),
    "LeNet": Job(_lenet, _numbers(*SHAPES["LeNet"]), _adam, (64,), 20),
    "GPT 4 x 256": Job(_gpt, lambda lib: lib.randint(0, 1000, (16, 128)), _adamw, (16, 128), 2),
    "AlexNet": Job(_alexnet, _numbers(*SHAPES["AlexNet"]), _sgd, (16,), 2),
    "ResNet34": Job(_resnet34, _numbers(*SHAPES["ResNet34"]), _sgd, (8,), 1),
    "LSTM 2 x 256": Job(_lstm, _numbers(32, 64, 256), _adamw, (32, 64), 5),
    "Transformer encoder 4 x 256": Job(_encoder, _numbers(16, 128, 256), _adamw, (16, 128), 2),
}
