"""`torch.utils.data.graph_settings`: settings of all pipes that a data pipe is made of."""

from __future__ import annotations

import warnings
from typing import Any

from ...core.dispatch.messages import message
from .datapipes.datapipe import IterDataPipe, MapDataPipe
from .datapipes.iter.combinatorics import ShufflerIterDataPipe as Shuffler
from .sampler import draw_seed

__all__ = "apply_random_seed apply_sharding apply_shuffle_seed apply_shuffle_settings get_all_graph_pipes".split()


def _sources(pipe: Any) -> list[Any]:
    """The pipes that one is made of, at once."""
    found: list[Any] = []
    waiting = list(vars(pipe).values())
    while waiting:
        held = waiting.pop(0)
        if isinstance(held, (tuple, list)):
            waiting.extend(held)
        elif isinstance(held, (IterDataPipe, MapDataPipe)):
            found.append(held)
    return found


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
        warnings.warn(message("pipe_shuffler_added"))
        datapipe = datapipe.shuffle()
        shufflers = [datapipe]
    for pipe in shufflers:
        pipe.set_shuffle(shuffle)
    return datapipe


def apply_sharding(datapipe: Any, num_of_instances: int, instance_id: int, sharding_group: Any = None) -> Any:
    """Tell each pipe that gives a part of its items which part this is. RuntimeError where two of them lie in a row."""

    def go(pipe: Any, above: Any) -> None:
        if callable(own := getattr(type(pipe), "apply_sharding", None)):
            if above is not None:
                raise RuntimeError(message("pipe_sharded_twice", above=above, pipe=pipe))
            given = (
                (num_of_instances, instance_id)
                if sharding_group is None
                else (num_of_instances, instance_id, sharding_group)
            )
            own(pipe, *given)
            above = pipe
        for source in _sources(pipe):
            go(source, above)

    go(datapipe, None)
    return datapipe


def apply_random_seed(datapipe: Any, rng: Any) -> Any:
    """Give a seed, drawn from a generator, to each pipe that takes one."""
    for pipe in get_all_graph_pipes(datapipe):
        if callable(take := getattr(type(pipe), "set_seed", None)):
            take(pipe, draw_seed(rng))
    return datapipe


apply_shuffle_seed = apply_random_seed
