"""What may be said of a data pipe's class: that its order is left to chance, and what its elements are."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import TracebackType
from typing import Any, ClassVar, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class _Switch:
    """A context that sets a switch of its class."""

    now: ClassVar[bool] = False
    inside: ClassVar[bool] = True

    def __init__(self) -> None:
        self._before = type(self).now

    def __enter__(self) -> None:
        self._before, type(self).now = type(self).now, self.inside

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        type(self).now = self._before


class guaranteed_datapipes_determinism(_Switch):
    """A context in which a data pipe that is `non_deterministic` can't be made."""


class runtime_validation_disabled(_Switch):
    """A context in which `runtime_validation` doesn't look. It never does."""


class non_deterministic:
    """Say of a data pipe's class that its order is left to chance: always, or where a function of its arguments is true.

    Such a pipe is refused (TypeError) under `guaranteed_datapipes_determinism`. Serves as a decorator.
    """

    def __init__(self, arg: Any):
        self._kind = arg if inspect.isclass(arg) else None
        if self._kind is None and not callable(arg):
            raise TypeError(f"{arg} can not be decorated by non_deterministic")
        self._when: Callable[..., bool] = (lambda *args, **kwargs: True) if self._kind is not None else arg

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._kind is None:
            return self._deciding(args[0])
        self._look(self._kind, "", *args, **kwargs)
        return self._kind(*args, **kwargs)

    def _deciding(self, kind: Any) -> Any:
        @functools.wraps(kind, updated=())
        def made(*args: Any, **kwargs: Any) -> Any:
            self._look(kind, " with the inputs", *args, **kwargs)
            return kind(*args, **kwargs)

        return made

    def _look(self, kind: Any, how: str, *args: Any, **kwargs: Any) -> None:
        if guaranteed_datapipes_determinism.now and self._when(*args, **kwargs):
            raise TypeError(
                f"{kind.__name__} is non-deterministic{how}, but you set 'guaranteed_datapipes_determinism'. You can turn off "
                f"determinism for this DataPipe if that is acceptable for your application"
            )


def argument_validation(f: F) -> F:
    """The function itself: what a data pipe's annotations promise is not looked at, as PyTorch no longer does."""
    return f


def runtime_validation(f: F) -> F:
    """The `__iter__` itself, as `argument_validation`. TypeError for another function."""
    if getattr(f, "__name__", "") != "__iter__":
        raise TypeError(f"Can not decorate function {getattr(f, '__name__', f)} with 'runtime_validation'")
    return f
