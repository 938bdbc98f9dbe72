"""A script is read, then run and watched."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .findings import Finding
from .reading import read
from .watching import is_users, watching


def examine(path: str, run: Callable[[], Any] | None) -> list[Finding]:
    """The findings of the script at `path`, which `run` runs as `python` would; without it, the script is only read.

    What the script raises is printed and becomes a finding. Raises OSError and SyntaxError for what can't be read.
    """
    found = read(Path(path).read_text(encoding="utf-8"), path)
    if run is None:
        return found
    with watching() as watch:
        try:
            run()
        except SystemExit:
            pass
        except Exception as error:
            _print(error)
            place = _last_line(error, path)
            text = (str(error).splitlines() or [""])[0]
            watch.find("raised", (path, place), error=type(error).__name__, text=text)
    seen = watch.end()
    kinds = {f.kind for f in seen}
    # what was seen running is surer than what was read
    found = [f for f in found if f.kind != "no-zero-grad" or "raised" in kinds]
    if "constant-loss" in kinds:  # that results are not differentiated comes of it, and is no evaluation
        seen = [f for f in seen if f.kind not in ("no-no-grad", "no-eval")]
    told = {(f.kind, f.names.get("name")) for f in found}
    in_a_loop = any(f.kind == "graph-kept" for f in found)
    seen = [f for f in seen if (f.kind, f.names.get("name", "").rpartition(".")[2]) not in told]
    seen = [f for f in seen if f.kind != "graph-kept" or not in_a_loop]
    return found + [Finding(f.kind, _named(f.file, path), f.line, f.names) for f in seen]


def _print(error: BaseException) -> None:
    """The traceback, without the frames that are not the user's."""
    frames = traceback.extract_tb(error.__traceback__)
    own = traceback.StackSummary.from_list([frame for frame in frames if is_users(frame.filename)])
    shown = (*own.format(), *traceback.format_exception_only(error))
    print("Traceback (most recent call last):\n" + "".join(shown), file=sys.stderr)


def _last_line(error: BaseException, path: str) -> int:
    frames = traceback.extract_tb(error.__traceback__)
    return next((f.lineno or 0 for f in reversed(frames) if _named(f.filename, path) == path), 0)


def _named(file: str, path: str) -> str:
    """The script by the name that it was given."""
    return path if Path(file) == Path(path) or Path(file).resolve() == Path(path).resolve() else file


__all__ = ["examine"]
