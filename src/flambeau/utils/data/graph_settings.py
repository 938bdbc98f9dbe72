"""`torch.utils.data.graph_settings`: settings of all pipes that a data pipe is made of."""

from __future__ import annotations

from typing import Any

from .datapipes.datapipe import IterDataPipe, MapDataPipe
from .datapipes.iter import Shuffler

__all__ = ["apply_shuffle_settings", "get_all_graph_pipes"]


def get_all_graph_pipes(datapipe: Any) -> list[Any]:
    """A pipe and all that it is made of."""
    found: list[Any] = []
    waiting = [datapipe]
    while waiting:
        pipe = waiting.pop()
        if isinstance(pipe, (tuple, list)):
            waiting.extend(pipe)
        elif isinstance(pipe, (IterDataPipe, MapDataPipe)) and not any(pipe is known for known in found):
            found.append(pipe)
            waiting.extend(vars(pipe).values())
    return found


def apply_shuffle_settings(datapipe: Any, shuffle: bool | None = None) -> Any:
    """Turn all shuffling pipes on or off; one is put over the others if there is none and `shuffle` is true."""
    if shuffle is None:
        return datapipe
    shufflers = [pipe for pipe in get_all_graph_pipes(datapipe) if isinstance(pipe, Shuffler)]
    if not shufflers and shuffle:
        datapipe = datapipe.shuffle()
        shufflers = [datapipe]
    for pipe in shufflers:
        pipe.set_shuffle(shuffle)
    return datapipe
