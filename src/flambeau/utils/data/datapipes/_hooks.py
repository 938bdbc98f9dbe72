"""What happens when a data pipe is iterated over: one iterator of it is valid at a time, and errors tell in which pipe they arose."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from ....core.dispatch.messages import message

_TOLD = "thrown by __iter__ of"


def described(pipe: Any) -> str:
    """A pipe's class and the arguments that it was made with, as far as it keeps them."""
    held = vars(pipe)
    names = sorted(name for name in inspect.signature(type(pipe).__init__).parameters if name in held)
    shown = {name: held[name].__name__ if inspect.isfunction(held[name]) else repr(held[name]) for name in names}
    parts = (f"{name}={text}" for name, text in shown.items())
    return f"{type(pipe).__name__}({', '.join(parts)})"


def _told(error: Exception, pipe: Any) -> None:
    """Add to an error's text where it arose."""
    first, *more = error.args if error.args and isinstance(error.args[0], str) else ("",)
    if _TOLD not in first and not getattr(error, "tells_pipe", False):
        error.args = (f"{first}\nThis exception is {_TOLD} {described(pipe)}", *more)


def begin(pipe: Any) -> int:
    """A new iterator of a pipe is the valid one from now on; its number."""
    if getattr(pipe, "_is_child_datapipe", False):
        return pipe._begin()  # type: ignore[no-any-return]
    pipe._valid_iterator_id += 1
    pipe._number_of_samples_yielded = 0
    pipe.reset()
    return pipe._valid_iterator_id  # type: ignore[no-any-return]


def still_valid(pipe: Any, number: int) -> None:
    """RuntimeError if another iterator has begun since."""
    if getattr(pipe, "_is_child_datapipe", False):
        if pipe.main_datapipe._valid_iterator_id != number or pipe._valid_iterator_id != number:
            raise _invalid(message("pipe_child_invalid", pipe=described(pipe.main_datapipe)))
    elif pipe._valid_iterator_id != number:
        raise _invalid(message("pipe_iterator_invalid", pipe=described(pipe)))


def _invalid(text: str) -> RuntimeError:
    error = RuntimeError(text)
    error.tells_pipe = True  # type: ignore[attr-defined]
    return error


class IteratorDecorator:
    """An iterator that ends when another one of its pipe begins."""

    def __init__(self, iterator: Any, datapipe: Any, iterator_id: int):
        self.iterator, self.datapipe, self.iterator_id = iterator, datapipe, iterator_id

    def __iter__(self) -> IteratorDecorator:
        return self

    def __next__(self) -> Any:
        still_valid(self.datapipe, self.iterator_id)
        item = next(self.iterator)
        self.datapipe._number_of_samples_yielded += 1
        return item

    def __getattr__(self, name: str) -> Any:
        return getattr(self.iterator, name)


def _over_generator(pipe: Any, iterate: Callable[..., Iterator[Any]], args: Any, kwargs: Any) -> Iterator[Any]:
    ahead, pipe._fast_forward_iterator = pipe._fast_forward_iterator, None
    if ahead is not None:
        yield from ahead
        return
    number = begin(pipe)
    items = iterate(pipe, *args, **kwargs)
    while True:
        try:
            item = next(items)
        except StopIteration:
            return
        except Exception as error:
            _told(error, pipe)
            raise
        still_valid(pipe, number)
        pipe._number_of_samples_yielded += 1
        yield item
        still_valid(pipe, number)


def hooked(iterate: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """An `__iter__` that keeps these rules."""
    lazily = inspect.isgeneratorfunction(iterate)

    @functools.wraps(iterate)
    def __iter__(self: Any, *args: Any, **kwargs: Any) -> Any:
        if lazily:
            return _over_generator(self, iterate, args, kwargs)
        ahead, self._fast_forward_iterator = self._fast_forward_iterator, None
        if ahead is not None:
            return ahead
        number = begin(self)
        return IteratorDecorator(iterate(self, *args, **kwargs), self, number)

    __iter__.hooked = True  # type: ignore[attr-defined]
    return __iter__
