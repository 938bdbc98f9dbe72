"""LeNet-5 (LeCun, Bottou, Bengio and Haffner 1998), with ReLU and max pooling as it is built today."""

from __future__ import annotations

from typing import Any

from flambeau import nn
from flambeau.core.tensor.tensor import Tensor
from flambeau.vision.models._weights import refuse_weights

__all__ = ["LeNet", "lenet"]


class LeNet(nn.Module):
    """Two convolutions and three linear layers, for images (N, in_channels, 32, 32)."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.conv1: nn.Conv2d = nn.Conv2d(in_channels, 6, 5)
        self.conv2: nn.Conv2d = nn.Conv2d(6, 16, 5)
        self.fc1: nn.Linear = nn.Linear(16 * 5 * 5, 120)
        self.fc2: nn.Linear = nn.Linear(120, 84)
        self.fc3: nn.Linear = nn.Linear(84, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(nn.functional.relu(self.conv1(x)), 2)
        x = nn.functional.max_pool2d(nn.functional.relu(self.conv2(x)), 2)
        x = nn.functional.relu(self.fc1(x.flatten(1)))
        return self.fc3(nn.functional.relu(self.fc2(x)))


def lenet(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> LeNet:
    """An untrained `LeNet(**kwargs)`."""
    refuse_weights("lenet", weights, kwargs)
    return LeNet(**kwargs)
