"""`flambeau run`: what `python script.py` and `python -m module` do, with torch's names meaning flambeau."""

from __future__ import annotations

import os
import runpy
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from flambeau import drop_in
from flambeau.cli import shim


def run_script(path: str, arguments: list[str]) -> dict[str, Any]:
    """Run a file (or a folder or zip with a `__main__.py`) as `__main__`; returns the names that it left."""
    if not Path(path).exists():
        sys.exit(f"flambeau: can't open file {os.path.abspath(path)!r}: no such file")
    return as_main(script_runner(path, arguments))


def script_runner(path: str, arguments: list[str]) -> Callable[[], dict[str, Any]]:
    """What runs a file as `__main__` with these arguments."""
    sys.argv = [path, *arguments]
    sys.path.insert(0, os.path.dirname(os.path.realpath(path)))
    return lambda: runpy.run_path(path, run_name="__main__")


def run_module(name: str, arguments: list[str]) -> None:
    """Run a module found on the path as `__main__`."""
    sys.argv = [name, *arguments]
    sys.path.insert(0, os.getcwd())
    as_main(lambda: runpy.run_module(name, run_name="__main__", alter_sys=True))


def as_main(execute: Callable[[], dict[str, Any]], report_errors: bool = True) -> dict[str, Any]:
    """Execute with torch's names meaning flambeau; an error is shown and ends the process, unless not `report_errors`."""
    drop_in.install()
    with tempfile.TemporaryDirectory(prefix="flambeau-") as folder:
        _pass_on(Path(folder))
        return _executed(execute) if report_errors else execute()


def _pass_on(folder: Path) -> None:
    """Let the processes that the script starts find flambeau by torch's name, too, and everybody the distribution's version."""
    shim.install(tuple(name for name in drop_in.stands_for() if name in shim.VERSIONS), folder)
    paths = (str(folder), os.environ.get("PYTHONPATH"))
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    sys.path.insert(1, str(folder))


def _executed(execute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return execute()
    except SystemExit:
        raise
    except BaseException as error:
        _report(error)


def _report(error: BaseException) -> NoReturn:
    """Show an uncaught error as Python would, without the frames that are not the script's, and exit as Python does."""
    error.__traceback__ = _scripts_own(error.__traceback__)
    sys.excepthook(type(error), error, error.__traceback__)
    sys.stdout.flush()
    sys.exit(130 if isinstance(error, KeyboardInterrupt) else 1)


starters: set[str] = {__file__, runpy.__file__, "<frozen runpy>"}  # whose frames stand above a script's first


def _scripts_own(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_frame.f_code.co_filename in starters:
        trace = trace.tb_next
    return trace
