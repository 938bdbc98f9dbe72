"""Whether operators record themselves on the tape: `no_grad` and its relatives, per thread."""

from __future__ import annotations

import functools
import inspect
import threading
import warnings
from collections.abc import Callable
from typing import Any, Self, TypeVar, overload

from .transforms import TransformedCall

_F = TypeVar("_F", bound=Callable[..., Any])


class _State(threading.local):
    grad = True
    inference = False
    transforms: TransformedCall | None = None  # the innermost of JAX's transforms that this thread is in
    scope: Any = None  # the innermost of func.grad, func.vjp and their like that this thread is in
    modes: tuple[
        Any, ...
    ] = ()  # the function modes (see overrides.py) that see this thread's calls, the innermost last
    dispatch_modes: tuple[Any, ...] = ()  # and those that see the operators under them
    below_classes = False  # whether classes with a `__torch_dispatch__` are being asked already, or are not to be
    subclasses = True  # whether arguments with a `__torch_function__` are asked
    skip_once = False  # whether the next question for such arguments is to find none
    around: bool = False  # whether a call has to look at modes or autocast before it computes
    _autocast: Any = None
    anomaly: Any = None  # what runs the nodes of the tape while anomalies are looked for (see autograd/anomaly_mode.py)
    watchers: tuple[Any, ...] = ()  # called with each node that is recorded, and with its outputs
    _observer: Any = None
    _by_parts: Any = None
    observed: Any = None  # the call that the observer has begun
    node_observer: Any = None  # runs the nodes of the tape for whoever measures them: (node, what runs it)
    run: Any = None  # the innermost run of the engine that this thread is in (see autograd.py)
    draws: Any = None  # called with each random generator that is about to be drawn from
    uncompiled = False  # whether compiled functions run as they stand (torch.compiler.disable)
    regional: Any = None  # what runs the modules that an uncompiled part of a compiled function calls
    trace: Any = None  # the recorder of a trace (see tracing.py); here so that one look-up finds both

    @property
    def autocast(self) -> Any:
        """The Policy (see autocast.py) by which operators' inputs are cast now."""
        return self._autocast

    @autocast.setter
    def autocast(self, policy: Any) -> None:
        self._autocast = policy
        self._look_around()

    @property
    def observer(self) -> Any:
        """What makes this thread's calls of operators and measures them: (call, operator or None, args, kwargs)."""
        return self._observer

    @observer.setter
    def observer(self, observer: Any) -> None:
        self._observer = observer
        self._look_around()

    @property
    def by_parts(self) -> Any:
        """What computes operators of the parts of tensors that lie in several processes: (call, operator, args, kwargs)."""
        return self._by_parts

    @by_parts.setter
    def by_parts(self, answer: Any) -> None:
        self._by_parts = answer
        self._look_around()

    def set_modes(self, modes: tuple[Any, ...]) -> None:
        """Replace the function modes."""
        self.modes = modes
        self._look_around()

    def set_dispatch_modes(self, modes: tuple[Any, ...]) -> None:
        """Replace the dispatch modes."""
        self.dispatch_modes = modes
        self._look_around()

    def _look_around(self) -> None:
        rest = (self._observer, self._by_parts, self._autocast)
        self.around: bool = bool(self.modes or self.dispatch_modes or any(what is not None for what in rest))


state: _State = _State()


def is_grad_enabled() -> bool:
    """Whether operators on tensors that require grad are recorded now, in this thread."""
    return state.grad


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside `inference_mode`."""
    return state.inference


class _GradMode:
    """A context manager, and a decorator for functions and generator functions, that sets the mode while inside."""

    _mode: bool

    def __enter__(self) -> None:
        self._previous = (state.grad, state.inference)
        self._enter()

    def _enter(self) -> None:
        state.grad = self._mode

    def __exit__(self, *exc: object) -> None:
        state.grad, state.inference = self._previous

    def clone(self) -> _GradMode:
        """Another context of the same kind, not entered."""
        return type(self)()

    def __call__(self, function: _F) -> _F:
        if inspect.isclass(function):
            warnings.warn(
                "Decorating classes is deprecated and will be disabled in future versions. You should only decorate functions "
                "or methods. To preserve the current behavior of class decoration, you can directly decorate the `__init__` "
                "method and nothing else.",
                FutureWarning,
                stacklevel=2,
            )
            function.__init__ = self(function.__init__)  # type: ignore[misc, method-assign]
            return function
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def generator(*args: Any, **kwargs: Any) -> Any:
                inner = function(*args, **kwargs)
                send, value = inner.send, None
                while True:
                    with self.clone():
                        try:
                            item = send(value)
                        except StopIteration as stop:
                            return stop.value
                    try:
                        send, value = inner.send, (yield item)
                    except GeneratorExit:
                        inner.close()
                        raise
                    except BaseException as error:
                        send, value = inner.throw, error

            return generator  # type: ignore[return-value]

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]


class _PlainMode(_GradMode):
    @overload
    def __new__(cls, function: None = None) -> Self: ...
    @overload
    def __new__(cls, function: _F) -> _F: ...  # type: ignore[misc]
    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        mode = super().__new__(cls)
        return mode if function is None else mode(function)  # `@no_grad` without parentheses


class no_grad(_PlainMode):
    """Nothing inside is recorded: results do not require grad."""

    _mode = False


class enable_grad(_PlainMode):
    """Recording is on inside, also within `no_grad`."""

    _mode = True


class set_grad_enabled(_GradMode):
    """Sets recording on or off, at once and until the `with` block (if it is used as one) ends."""

    def __init__(self, mode: bool):
        if type(mode) is not bool:
            raise TypeError(
                f"set_grad_enabled(): argument 'enabled' (position 1) must be bool, not {type(mode).__name__}"
            )
        self._before = (state.grad, state.inference)
        self._mode = bool(mode)
        state.grad = self._mode

    def __enter__(self) -> None:
        self._previous = self._before
        state.grad = self._mode

    def clone(self) -> _GradMode:
        """Another context of the same kind, not entered."""
        return type(self)(self._mode)

    def __repr__(self) -> str:
        return f"torch.autograd.grad_mode.set_grad_enabled(mode={self._mode})"

    def __call__(self, function: _F) -> _F:
        state.grad = self._before[0]
        return super().__call__(function)


class inference_mode(_GradMode):
    """As `no_grad`; values made inside are ordinary tensors afterwards (a difference from PyTorch, see the docs)."""

    @overload
    def __new__(cls, mode: bool = True) -> Self: ...
    @overload
    def __new__(cls, mode: _F) -> _F: ...  # type: ignore[misc]
    def __new__(cls, mode: Any = True) -> Any:
        made = super().__new__(cls)
        if type(mode) is not bool:  # `@inference_mode` without parentheses
            made._mode = True
            return made(mode)
        return made

    def __init__(self, mode: bool = True):
        self._mode = mode

    def _enter(self) -> None:
        state.inference = self._mode
        if self._mode:
            state.grad = False

    def clone(self) -> _GradMode:
        """Another context of the same kind, not entered."""
        return type(self)(self._mode)
