"""Contexts that are decorators, too: of functions, generators and (with a warning) classes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["_DecoratorContextManager", "_NoParamDecoratorContextManager", "context_decorator"]


def _around_generator(make: Callable[[], Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """The generator, with the context around each of its steps and never around its caller's."""

    @functools.wraps(function)
    def generator(*args: Any, **kwargs: Any) -> Any:
        steps = function(*args, **kwargs)
        sent: Any = None
        thrown: BaseException | None = None
        try:
            while True:
                try:
                    with make():
                        given = steps.send(sent) if thrown is None else steps.throw(thrown)
                except StopIteration as end:
                    return end.value
                thrown = None
                try:
                    sent = yield given
                except GeneratorExit:
                    raise
                except BaseException as error:
                    thrown, sent = error, None
        finally:
            with make():
                steps.close()

    return generator


def context_decorator(ctx: Any, func: Any) -> Any:
    """`func` within a context: `ctx` makes a new one at each call, or is a context that can be entered often."""
    make = ctx if callable(ctx) and not hasattr(ctx, "__enter__") else (lambda: ctx)
    if inspect.isclass(func):
        raise RuntimeError(
            f"Cannot decorate classes; it is ambiguous whether or not only the constructor of {func} is meant"
        )
    if inspect.isgeneratorfunction(func):
        return _around_generator(make, func)

    @functools.wraps(func)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        with make():
            return func(*args, **kwargs)

    return decorated


class _DecoratorContextManager:
    """A base of contexts: an instance decorates functions, each call of which enters a `clone()` of it."""

    def __call__(self, orig_func: Any) -> Any:
        return context_decorator(self.clone, orig_func)

    def __enter__(self) -> None:
        raise NotImplementedError

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        raise NotImplementedError

    def clone(self) -> Any:
        """A context like this one."""
        return type(self)()


class _NoParamDecoratorContextManager(_DecoratorContextManager):
    """One without arguments: the class itself decorates."""

    def __new__(cls, orig_func: Any = None) -> Any:
        made = super().__new__(cls)
        return made if orig_func is None else made(orig_func)
