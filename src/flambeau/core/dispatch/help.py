"""Texts of `help()`: a docstring is completed when somebody reads it, so that importing costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from enum import Enum
from functools import cached_property
from types import FunctionType
from typing import Any

from ..context.homes import written_in

_OURS = __name__.partition(".")[0], "torch"


class Told(str):
    """A docstring that is completed when it is read: what it is made of is the function's own text.

    To everything that asks it as a Python string (`inspect`, `pydoc`, `print`), it is the whole one.
    """

    def __new__(cls, own: str, complete: Callable[[], str], public: str = "") -> Told:
        told = super().__new__(cls, own)
        told.complete, told.public = complete, public
        return told

    complete: Callable[[], str]
    public: str

    @cached_property
    def whole(self) -> str:
        """The whole text."""
        return self.complete()

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (self.whole,)

    def __reduce_ex__(self, protocol: object) -> tuple[type[str], tuple[str]]:
        return str, (self.whole,)


def _of_the_whole(name: str) -> Callable[..., Any]:
    def asked(self: Told, *args: Any) -> Any:
        return getattr(self.whole, name)(*args)

    return asked


def _with_names(name: str) -> Callable[..., Any]:
    def asked(self: Told, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.whole, name)(*args, **kwargs)

    return asked


_KEPT = {"__new__", "__init__", "__class__", "__getattribute__", "__setattr__", "__delattr__", "__init_subclass__"}
_KEPT |= {"__subclasshook__", "__dir__", "__sizeof__", "__doc__", "__getstate__", "__reduce__", "__reduce_ex__"}
for _name in set(dir(str)) - _KEPT:
    setattr(Told, _name, (_of_the_whole if _name.startswith("__") else _with_names)(_name))


def explained(function: Any, public: str, of: Any = None) -> Told:
    """The text of a function that has this public name, or of a class (`of`), whose `__init__` the function is.

    Whoever reads it gets, after the function's own text, its shapes, its arguments, what it raises, an example, and where
    PyTorch describes it.
    """
    held = (function if of is None else of).__doc__
    own = "" if held is None else str.__str__(held)  # not the whole text, if it is told already

    def complete() -> str:
        from .families import text_of

        return text_of(function, public, of, own)

    return Told(own, complete, public)


def explain_classes(classes: Iterable[type], namespace: str) -> None:
    """Let the texts of classes explain the arguments of their constructors, and give shapes, errors and an example."""
    for cls in classes:
        cls.__doc__ = explained(cls.__init__, f"{namespace}.{cls.__name__}", of=cls)  # type: ignore[misc]


def explain_functions(functions: Iterable[Any], namespace: str) -> None:
    """The same for functions that are no operators."""
    for function in functions:
        function.__doc__ = explained(function, f"{namespace}.{function.__name__}")


def explain_namespace(
    held: dict[str, Any], namespace: str, homes: tuple[str, ...] = (), without: Container[str] = ()
) -> None:
    """The same for the public functions and classes of a namespace that nobody has explained yet.

    They are those of its `__all__`; without one, those that are written there or in other modules (`homes`). Left out are
    errors and enumerations, and those that are named (`without`).
    """
    ours = (__name__.partition(".")[0],) if "__all__" in held else (held["__name__"], *homes)
    for name in sorted(held.get("__all__", held), key=lambda name: getattr(held.get(name), "__name__", name) != name):
        it = held.get(name)
        if (
            name.startswith("_")
            or name in without
            or not isinstance(it, (type, FunctionType))
            or isinstance(it.__doc__, Told)
        ):
            continue
        if not written_in(it).startswith(ours):
            continue
        if isinstance(it, FunctionType):
            it.__doc__ = explained(it, f"{namespace}.{name}")
        elif not issubclass(it, (BaseException, Enum)):
            it.__doc__ = explained(it.__init__, f"{namespace}.{name}", of=it)  # type: ignore[misc]


def explain_methods(cls: type, place: str) -> None:
    """The same for the public methods of a class, and of ours that it derives from, that nobody has explained yet."""
    written = [item for owner in cls.__mro__ if owner.__module__.startswith(_OURS) for item in vars(owner).items()]
    _explain_written(written, place)


def explain_own_methods(classes: Iterable[type], namespace: str) -> None:
    """The same for public methods that classes write themselves and give a text of their own.

    Those without one have the text of the class that they derive from.
    """
    for cls in classes:
        described = [(name, it) for name, it in vars(cls).items() if getattr(it, "__doc__", None)]
        _explain_written(described, f"{namespace}.{cls.__name__}")


def _explain_written(written: Iterable[tuple[str, Any]], place: str) -> None:
    for name, it in written:
        method = getattr(it, "__func__", it)  # of a class or static
        if not name.startswith("_") and hasattr(method, "__code__") and not isinstance(method.__doc__, Told):
            method.__doc__ = explained(method, f"{place}.{name}")


__all__ = [
    "Told",
    "explain_classes",
    "explain_functions",
    "explain_methods",
    "explain_namespace",
    "explain_own_methods",
    "explained",
]
