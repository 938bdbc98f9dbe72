"""Convolutional networks written once, for either library."""

from __future__ import annotations

from typing import Any

SHAPES = {"ResNet34": (8, 3, 224, 224), "AlexNet": (16, 3, 224, 224), "LeNet": (64, 3, 32, 32)}


def network(lib: Any, name: str) -> Any:
    """A network of `lib` (flambeau or torch), with its usual layers and sizes."""
    return {"ResNet34": _resnet34, "AlexNet": _alexnet, "LeNet": _lenet}[name](lib.nn)


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
