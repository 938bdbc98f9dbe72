"""What data pipes are, and how their methods come about."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, TypeVar

from ..dataset import Dataset, IterableDataset

_Pipe = TypeVar("_Pipe", bound=type)


class DataChunk(list):
    """A batch of a data pipe: a list."""

    def __init__(self, items: Iterable[Any]):
        held = list(items)
        super().__init__(held)
        self.items = held

    def as_str(self, indent: str = "") -> str:
        """The elements as a text."""
        return f"{indent}[{', '.join(str(item) for item in self)}]"

    def raw_iterator(self) -> Iterator[Any]:
        """An iterator over the elements."""
        yield from self.items


class _Methods:
    """Other pipes as methods: `pipe.map(f)` is `Mapper(pipe, f)`."""

    functions: ClassVar[dict[str, Callable[..., Any]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "functions" not in cls.__dict__ and _Methods in cls.__bases__:
            cls.functions = {}

    def __getattr__(self, name: str) -> Any:
        made = type(self).functions.get(name)
        if made is None:
            kind = type(self).__name__
            raise AttributeError(f"'{kind}' object has no attribute '{name}'")
        return functools.partial(made, self)

    @classmethod
    def register_datapipe_as_function(cls, function_name: str, cls_to_register: Any) -> None:
        """Make a pipe's class a method of all pipes of this kind."""
        if function_name in cls.functions:
            what = "DataPipe function name"
            raise Exception(f"Unable to add {what} {function_name} as it is already taken")
        cls.functions[function_name] = cls_to_register

    def __repr__(self) -> str:
        return type(self).__qualname__


class IterDataPipe(_Methods, IterableDataset):
    """A data set that is iterated over, whose methods make further ones of it."""

    functions: ClassVar[dict[str, Callable[..., Any]]] = {}

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError("a data pipe has an __iter__ of its own")


class MapDataPipe(_Methods, Dataset):
    """A data set that is asked by key, whose methods make further ones of it."""

    functions: ClassVar[dict[str, Callable[..., Any]]] = {}


class DFIterDataPipe(IterDataPipe):
    """A data pipe of data frames."""


class _DataPipeSerializationWrapper:
    """A pipe that is pickled by `pickle`, or by dill where that is there and `pickle` can't."""

    def __init__(self, datapipe: Any) -> None:
        self._datapipe = datapipe

    def __getstate__(self) -> tuple[bytes, bool]:
        try:
            return pickle.dumps(self._datapipe), False
        except Exception:
            if importlib.util.find_spec("dill") is None:
                raise
            return importlib.import_module("dill").dumps(self._datapipe), True

    def __setstate__(self, state: tuple[bytes, bool]) -> None:
        value, by_dill = state
        self._datapipe = (importlib.import_module("dill") if by_dill else pickle).loads(value)

    def __len__(self) -> int:
        try:
            return len(self._datapipe)
        except Exception:
            raise TypeError(f"the pipe in a {type(self).__name__} has no length") from None


class _IterDataPipeSerializationWrapper(_DataPipeSerializationWrapper, IterDataPipe):
    """One that is iterated over."""

    def __iter__(self) -> Iterator[Any]:
        yield from self._datapipe


class _MapDataPipeSerializationWrapper(_DataPipeSerializationWrapper, MapDataPipe):
    """One that is asked by key."""

    def __getitem__(self, key: Any) -> Any:
        return self._datapipe[key]


class functional_datapipe:
    """Decorate a pipe's class, so that it is a method of that name of the others of its kind."""

    def __init__(self, name: str, enable_df_api_tracing: bool = False) -> None:
        self.name = name

    def __call__(self, cls: _Pipe) -> _Pipe:
        if not (isinstance(cls, type) and issubclass(cls, (IterDataPipe, MapDataPipe))):
            raise TypeError("Can only decorate IterDataPipe")
        kind = IterDataPipe if issubclass(cls, IterDataPipe) else MapDataPipe
        kind.register_datapipe_as_function(self.name, cls)
        return cls
