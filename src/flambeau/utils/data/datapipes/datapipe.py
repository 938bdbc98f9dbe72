"""What data pipes are, and how their methods come about."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, TypeVar

from ..dataset import Dataset, IterableDataset
from ._hooks import hooked

_Pipe = TypeVar("_Pipe", bound=type)
_T_co = TypeVar("_T_co", covariant=True)


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
    """Other pipes as methods: `pipe.map(f)` is `Mapper(pipe, f)`. Hooks may stand in for what is pickled."""

    functions: ClassVar[dict[str, Callable[..., Any]]] = {}
    reduce_ex_hook: ClassVar[Callable[..., Any] | None] = None
    getstate_hook: ClassVar[Callable[..., Any] | None] = None
    str_hook: ClassVar[Callable[..., str] | None] = None
    repr_hook: ClassVar[Callable[..., str] | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "functions" not in cls.__dict__ and _Methods in cls.__bases__:
            cls.functions = {}

    def __getattr__(self, name: str) -> Any:
        made = type(self).functions.get(name)
        if made is None:
            kind = type(self).__name__
            raise AttributeError(f"'{kind}' object has no attribute '{name}")
        method = functools.partial(made, self)
        functools.update_wrapper(method, made, updated=())
        return method

    @classmethod
    def register_function(cls, function_name: str, function: Callable[..., Any]) -> None:
        """Make a function of a pipe a method of all pipes of this kind."""
        cls.functions[function_name] = function

    @classmethod
    def register_datapipe_as_function(cls, function_name: str, cls_to_register: Any, *args: Any) -> None:
        """Make a pipe's class a method of all pipes of this kind."""
        if function_name in cls.functions:
            what = "DataPipe function name"
            raise Exception(f"Unable to add {what} {function_name} as it is already taken")
        cls.functions[function_name] = cls_to_register

    @classmethod
    def set_getstate_hook(cls, hook_fn: Callable[..., Any] | None) -> None:
        """What is pickled of a pipe instead of its state. RuntimeError if there is such a function already."""
        if cls.getstate_hook is not None and hook_fn is not None:
            raise RuntimeError("Attempt to override existing getstate_hook")
        cls.getstate_hook = hook_fn and staticmethod(hook_fn)  # type: ignore[assignment]

    @classmethod
    def set_reduce_ex_hook(cls, hook_fn: Callable[..., Any] | None) -> None:
        """What a pipe is pickled as, unless the function raises NotImplementedError. RuntimeError if there is one already."""
        if cls.reduce_ex_hook is not None and hook_fn is not None:
            raise RuntimeError("Attempt to override existing reduce_ex_hook")
        cls.reduce_ex_hook = hook_fn and staticmethod(hook_fn)  # type: ignore[assignment]

    def __reduce_ex__(self, *args: Any, **kwargs: Any) -> Any:
        if (hook := type(self).reduce_ex_hook) is not None:
            with contextlib.suppress(NotImplementedError):
                return hook(self)
        return super().__reduce_ex__(*args, **kwargs)

    def __getstate__(self) -> Any:
        hook = type(self).getstate_hook
        return hook(self.__dict__) if hook is not None else self.__dict__

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *type(self).functions]

    def __repr__(self) -> str:
        return self.repr_hook() if self.repr_hook is not None else type(self).__qualname__

    def __str__(self) -> str:
        return self.str_hook() if self.str_hook is not None else type(self).__qualname__


class IterDataPipe(_Methods, IterableDataset[_T_co]):
    """A data set that is iterated over, whose methods make further ones of it.

    A pipe has one valid iterator at a time: a new one ends those before it. `reset()` runs when an iteration begins.
    """

    functions: ClassVar[dict[str, Callable[..., Any]]] = {}
    _valid_iterator_id = -1
    _number_of_samples_yielded = 0
    _fast_forward_iterator: Any = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__dict__.get("__iter__")
        if own is not None and not hasattr(own, "hooked"):
            cls.__iter__ = hooked(own)  # type: ignore[method-assign]

    def __iter__(self) -> Iterator[_T_co]:
        return self  # type: ignore[return-value]  # which then has a `__next__`

    __iter__ = hooked(__iter__)  # type: ignore[method-assign]

    def reset(self) -> None:
        """Called when an iteration begins: a pipe that holds something for one iteration lets go of it here."""


class MapDataPipe(_Methods, Dataset[_T_co]):
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
