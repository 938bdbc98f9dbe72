"""`flambeau launch --devices-in-process N`: a script run by N threads of one process, each a rank with a `__main__` of its own."""

from __future__ import annotations

import builtins
import importlib.util
import os
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

from flambeau.cli.run import as_main, starters
from flambeau.parallel import in_process, within
from flambeau.runtime.ranks import here


class _Main(ModuleType):
    """The module `__main__`: to each rank the names of its own run of the script."""

    def __getattr__(self, name: str) -> Any:
        rank = here.rank
        if rank is not None and name in rank.names:
            return rank.names[name]
        raise AttributeError(f"module '__main__' has no attribute {name!r}")


class _Lines:
    """A stream that takes whole lines of each thread, so that those of several do not mix."""

    def __init__(self, stream: Any):
        self._stream = stream
        self._here = threading.local()

    def write(self, text: str) -> int:
        """Write what ends a line, and keep the rest."""
        whole, newline, rest = (getattr(self._here, "kept", "") + text).rpartition("\n")
        self._here.kept = rest
        if newline:
            self._stream.write(whole + newline)
        return len(text)

    def flush(self) -> None:
        """Write what this thread has kept, too."""
        if kept := getattr(self._here, "kept", ""):
            self._here.kept = ""
            self._stream.write(kept)
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _code(target: str, module: bool) -> tuple[Any, dict[str, Any]]:
    """A script's code, and the names that it begins with."""
    if module:
        spec = importlib.util.find_spec(target)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{target}.__main__")
        if spec is None or spec.loader is None:
            sys.exit(f"flambeau: no module named {target}")
        return spec.loader.get_code(spec.name), {  # type: ignore[attr-defined]
            "__file__": spec.origin, "__package__": spec.parent, "__spec__": spec, "__loader__": spec.loader,
        }  # fmt: skip
    if not Path(target).is_file():
        sys.exit(f"flambeau: can't open file {os.path.abspath(target)!r}: no such file")
    source = Path(target).read_bytes()
    return compile(source, target, "exec"), {"__file__": target, "__package__": None, "__spec__": None}


def run(n: int, target: str, arguments: list[str], module: bool = False) -> dict[str, Any]:
    """Run a script in `n` ranks of this process."""
    sys.argv = [target, *arguments]
    sys.path.insert(0, os.getcwd() if module else os.path.dirname(os.path.realpath(target)))
    code, names = _code(target, module)

    def script(number: int) -> None:
        assert here.rank is not None
        here.rank.names = {"__name__": "__main__", "__builtins__": builtins, "__doc__": None, **names}
        try:
            exec(code, here.rank.names)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()

    main = _Main("__main__")
    main.__file__ = names["__file__"]
    before, streams = sys.modules["__main__"], (sys.stdout, sys.stderr)
    sys.modules["__main__"] = main
    sys.stdout, sys.stderr = _Lines(sys.stdout), _Lines(sys.stderr)
    try:
        in_process(script, devices=n)
    finally:
        sys.modules["__main__"] = before
        sys.stdout, sys.stderr = streams
    return {}


def main(given: list[str]) -> None:
    """`N [-m] SCRIPT ARGUMENTS`, as the launcher calls it."""
    starters.update((__file__, within.__file__))
    n, *rest = given
    module = rest[0] == "-m"
    target, *arguments = rest[1:] if module else rest
    as_main(lambda: run(int(n), target, arguments, module))


if __name__ == "__main__":
    main(sys.argv[1:])
