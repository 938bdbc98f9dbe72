"""Several data pipes as one."""

from __future__ import annotations

from typing import Any

from ..datapipe import MapDataPipe, functional_datapipe

__all__ = ["ConcaterMapDataPipe", "ZipperMapDataPipe"]


def _pipes(datapipes: tuple[Any, ...]) -> tuple[Any, ...]:
    if not datapipes:
        raise ValueError("Expected at least one DataPipe, but got nothing")
    if not all(isinstance(pipe, MapDataPipe) for pipe in datapipes):
        raise TypeError("Expected all inputs to be `MapDataPipe`")
    return datapipes


@functional_datapipe("concat")
class ConcaterMapDataPipe(MapDataPipe):
    """Several pipes, one after the other, by number."""

    datapipes: tuple[Any, ...]

    def __init__(self, *datapipes: Any) -> None:
        self.datapipes = _pipes(datapipes)

    def __getitem__(self, index: int) -> Any:
        place = index
        for pipe in self.datapipes:
            if place < len(pipe):
                return pipe[place]
            place -= len(pipe)
        raise IndexError(f"Index {index} is out of range.")

    def __len__(self) -> int:
        return sum(map(len, self.datapipes))


@functional_datapipe("zip")
class ZipperMapDataPipe(MapDataPipe):
    """Tuples of the items that several pipes have under a number."""

    datapipes: tuple[Any, ...]

    def __init__(self, *datapipes: Any) -> None:
        self.datapipes = _pipes(datapipes)

    def __getitem__(self, index: Any) -> Any:
        found = []
        for pipe in self.datapipes:
            try:
                found.append(pipe[index])
            except IndexError as error:
                which = f"one of the input MapDataPipes {pipe}"
                raise IndexError(f"Index {index} is out of range for {which}.") from error
        return tuple(found)

    def __len__(self) -> int:
        return min(map(len, self.datapipes))
