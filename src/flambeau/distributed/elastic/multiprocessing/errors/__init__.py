"""`record`: an error that ends a rank is written into a file that its launcher names."""

from __future__ import annotations

import functools
import json
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .....runtime.absent import refuse
from .... import _later

__all__ = ["ChildFailedError", "ErrorHandler", "get_error_handler", "record"]

ChildFailedError: Any = _later.kind("ChildFailedError", __name__, Exception)


class ErrorHandler:
    """Writes an exception, its traceback and the time as JSON into the file that `TORCHELASTIC_ERROR_FILE` names, if it is set."""

    def initialize(self) -> None:
        """Called before the function runs."""

    def record_exception(self, e: BaseException) -> None:
        """Write it down."""
        file = os.environ.get("TORCHELASTIC_ERROR_FILE")
        if file:
            told = {"py_callstack": "".join(traceback.format_exception(e)), "timestamp": str(int(time.time()))}
            text = json.dumps({"message": {"message": f"{type(e).__name__}: {e}", "extraInfo": told}})
            Path(file).write_text(text)


def get_error_handler() -> ErrorHandler:
    """The handler that `record` uses."""
    return ErrorHandler()


def record(fn: Callable[..., Any], error_handler: ErrorHandler | None = None) -> Callable[..., Any]:
    """A function that does the same, and whose error is written down before it goes on (for the main function of a script).

    SystemExit with 0 makes it return None.
    """
    handler = error_handler or ErrorHandler()

    @functools.wraps(fn)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        handler.initialize()
        try:
            return fn(*args, **kwargs)
        except SystemExit as end:
            if end.code == 0:
                return None
            raise
        except Exception as error:
            handler.record_exception(error)
            raise

    return recorded


refuse(globals(), "flambeau launch tells of ranks that failed; their error files are JSON", "ProcessFailure")
