"""A function of the items of a data pipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..datapipe import MapDataPipe, functional_datapipe
from ..utils.common import check_function

__all__ = ["MapperMapDataPipe", "default_fn"]


def default_fn(data: Any) -> Any:
    """The item itself."""
    return data


@functional_datapipe("map")
class MapperMapDataPipe(MapDataPipe):
    """`fn` of each item."""

    datapipe: MapDataPipe
    fn: Callable[..., Any]

    def __init__(self, datapipe: Any, fn: Callable[..., Any] = default_fn) -> None:
        super().__init__()
        self.datapipe = datapipe
        check_function(fn)
        self.fn = fn

    def __getitem__(self, index: Any) -> Any:
        return self.fn(self.datapipe[index])

    def __len__(self) -> int:
        return len(self.datapipe)  # type: ignore[arg-type]
