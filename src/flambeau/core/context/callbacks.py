"""Python functions that a program calls back while it runs. What they raise comes out of the program as it is."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Callable
from typing import Any

import jax
from jax.experimental import io_callback

from .grad_mode import state

_MOST = 64  # errors that are held for programs that have not ended yet
_numbers = itertools.count()
_errors: dict[int, BaseException] = {}


class _Raised(Exception):
    """Stands for an error in XLA's text of what went wrong."""

    def __init__(self, number: int):
        super().__init__(f"callback error {number}.")


class Callback:
    """A function as a step of programs. `path` is what the modules that were being called add to its errors, outermost first."""

    def __init__(self, function: Callable[..., Any], path: tuple[Callable[[Any], None], ...]):
        self.function, self.path = function, path

    def __call__(self, *arrays: Any) -> Any:
        try:
            return self.function(*arrays)
        except BaseException as error:
            if isinstance(error, Exception) and "_place" not in error.__dict__:
                for locate in reversed(self.path):
                    locate(error)
            number = next(_numbers)
            _errors[number] = error
            _errors.pop(number - _MOST, None)
            raise _Raised(number) from None


def call_back(function: Callable[..., Any], result: Any, *arrays: Any, ordered: bool) -> Any:
    """`io_callback` of a function, whose programs are run by `raising`."""
    path: tuple[Callable[[Any], None], ...] = ()
    if state.trace is not None:
        path, state.trace.demands.called_back = tuple(state.trace.demands.calls), True
    return io_callback(Callback(function, path), result, *arrays, ordered=ordered)


def raising(run: Callable[..., Any]) -> Callable[..., Any]:
    """A program that calls back, with the errors of what it calls."""

    def called(*given: Any) -> Any:
        try:
            return jax.block_until_ready(run(*given))
        except jax.errors.JaxRuntimeError as error:
            found = re.search(r"callback error (\d+)\.", str(error))
            held = None if found is None else _errors.pop(int(found[1]), None)
            if held is None:
                raise
            raise held from None

    return called


def _is_news(record: logging.LogRecord) -> bool:
    """Whether JAX writes down an error that nobody raises."""
    return record.exc_info is None or not isinstance(record.exc_info[1], _Raised)


logging.getLogger("jax._src.callback").addFilter(_is_news)
