"""`fork` and `wait`: calls in a thread of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ..core.context import grad_mode
from ..futures import Future


def fork(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
    """Start `func(*args, **kwargs)` in a thread; the `Future` holds its result, or its error. Gradients flow through."""
    future: Future[Any] = Future()
    recording = grad_mode.is_grad_enabled()

    def run() -> None:
        try:
            with grad_mode.set_grad_enabled(recording):
                result = func(*args, **kwargs)
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, name=f"jit.fork({getattr(func, '__name__', 'module')})", daemon=True).start()
    return future


def wait(future: Future[Any]) -> Any:
    """The result, as soon as it is there; the error of the call is raised."""
    return future.wait()


_fork, _wait = fork, wait
