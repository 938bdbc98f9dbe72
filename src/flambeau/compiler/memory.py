"""Memory of NumPy's that several hold: a program must not write into what it also sees as another array or tensor.

Each storage is a value of its own in a program, and an array of NumPy's a constant that it holds for. So where a storage that is written
lies in memory that NumPy shares, all else that the function has looked into must lie elsewhere: at the trace, and at each call.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..core.context.tracing import Untraceable
from ..core.tensor import tree
from ..core.tensor.storage import Storage
from .arguments import Arguments
from .guards.reads import Reads
from .guards.values import is_buffer
from .recorder import Recorder

_WHY = "it writes into memory of NumPy that it also sees as another array or tensor: copy it (torch.tensor(array))"


def check(recorder: Recorder, arguments: Arguments, writes: list[tuple[tuple[int, bool], int]]) -> None:
    """Raises Untraceable if they lie in one at the trace. `writes` are those into arguments."""
    written = [*recorder.written, *(arguments.tensors[i]._storage for (i, _), _ in writes)]
    if not any(storage.volatile for storage in written):
        return
    storages = [*recorder.values, *(tensor._storage for tensor in arguments.tensors)]
    if meet(written, storages, [*buffers_of(recorder.reads), *arguments.arrays_of_numpy]):
        raise Untraceable(_WHY)


def tell_apart(reads: Reads, arguments: Arguments, kept: Iterable[int]) -> None:
    """Raises Untraceable if an array that the caller gives, and the function keeps or gives out, is also found elsewhere."""
    given = {id(array) for array in arguments.arrays_of_numpy}.intersection(kept)
    found = [value for _, value in reads.places.values()]
    if given and not given.isdisjoint(map(id, [*found, *tree.flatten([v for v in found if isinstance(v, tuple)])[0]])):
        raise Untraceable("it keeps or gives out an array that the caller gives and that it also finds elsewhere")


def buffers_of(reads: Reads) -> list[Any]:
    """What a function has looked into, arrays among it; also in lists and dicts that were compared with those of the trace."""
    held = [contents.container for contents in reads.contents.values()]
    held += [value for _, value in reads.places.values()]
    for value in (*held,):
        if isinstance(value, (list, tuple, dict)):
            held += tree.flatten(value)[0]
    return held


def meet(written: list[Storage], storages: list[Storage], buffers: Iterable[Any]) -> bool:
    """Whether some of what is written lies where others lie, too."""
    places = {storage: _bounds(storage.host) for storage in written if storage.volatile}
    others = [(storage, _bounds(storage.host)) for storage in storages if storage.volatile]
    others += [(buffer, _bounds(buffer)) for buffer in buffers if is_buffer(buffer) or isinstance(buffer, memoryview)]
    return any(
        storage is not other and start < last and first < stop
        for storage, (start, stop) in places.items()
        for other, (first, last) in others
    )


def _bounds(buffer: Any) -> tuple[int, int]:
    return np.lib.array_utils.byte_bounds(buffer if isinstance(buffer, np.ndarray) else np.asarray(memoryview(buffer)))
