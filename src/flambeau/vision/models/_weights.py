"""What the builders do when they are asked for trained weights."""

from __future__ import annotations

from typing import Any


def refuse_weights(builder: str, weights: Any, arguments: dict[str, Any]) -> None:
    """Raise ValueError if trained weights are asked for; take torchvision's old `pretrained=` out of `arguments`."""
    wanted = weights or arguments.pop("pretrained", None)
    if wanted:
        raise ValueError(
            f"{builder}: flambeau downloads no weights (got weights={wanted!r}). Build the network without them and "
            f"load a checkpoint file that you have: model.load_state_dict(torch.load('{builder}.pth'))"
        )
