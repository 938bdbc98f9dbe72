"""Files as data pipes give them, and looks at what pipes are given."""

from __future__ import annotations

import fnmatch
import functools
import importlib.util
import inspect
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from io import IOBase
from typing import Any

from .....core.dispatch.messages import message

__all__ = """
    StreamWrapper get_file_binaries_from_pathnames get_file_pathnames_from_root match_masks validate_input_col
    validate_pathname_binary_tuple
""".split()


def validate_input_col(fn: Callable[..., Any], input_col: Any) -> None:
    """ValueError if a function can't be called with as many positional arguments as there are columns. What has no signature passes."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (ValueError, TypeError):
        return
    given = len(input_col) if isinstance(input_col, (list, tuple)) else 1
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = sum(p.default is p.empty for p in positional)
    name = getattr(fn, "__name__", None) or getattr(getattr(fn, "func", fn), "__name__", repr(fn))
    if only := [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]:
        raise ValueError(message("pipe_keyword_only", name=name, count=len(only)))
    if given < needed:
        raise ValueError(f"The function {name} takes {needed} positional parameters, but {given} are required.")
    if given > len(positional) and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        raise ValueError(f"The function {name} takes {len(positional)} parameters, but {given} are required.")


def check_function(fn: Any) -> None:
    """TypeError for what can't be called; a warning for a function that `pickle` does not know, unless dill is there."""
    if not callable(fn):
        raise TypeError(message("pipe_no_function", kind=type(fn)))
    while isinstance(fn, functools.partial):
        fn = fn.func
    place = getattr(fn, "__qualname__", type(fn).__qualname__)
    kind = "Local" if "<locals>" in place else "Lambda" if "<lambda>" in place else None
    if kind is not None and importlib.util.find_spec("dill") is None:
        warnings.warn(message("pipe_function_local", kind=kind))


def match_masks(name: str, masks: str | list[str]) -> bool:
    """Whether a file's name is like one of the patterns, or there are none."""
    return not masks or any(fnmatch.fnmatch(name, mask) for mask in ([masks] if isinstance(masks, str) else masks))


def get_file_pathnames_from_root(
    root: str, masks: Any, recursive: bool = False, abspath: bool = False, non_deterministic: bool = False
) -> Iterable[str]:
    """The paths of the files of a folder that are like `masks`, of the folders below it as well with `recursive`.

    A file in the place of a folder stands for itself. They are sorted, unless `non_deterministic`.
    """

    def tell(error: OSError) -> None:
        warnings.warn(f"{error.filename} : {error.strerror}")
        raise error

    if os.path.isfile(root):
        path = os.path.abspath(root) if abspath else root
        if match_masks(os.path.basename(path), masks):
            yield path
        return
    for folder, below, files in os.walk(root, onerror=tell):
        folder = os.path.abspath(folder) if abspath else folder
        if not non_deterministic:
            files.sort()
            below.sort()
        yield from (os.path.join(folder, name) for name in files if match_masks(name, masks))
        if not recursive:
            break


def get_file_binaries_from_pathnames(pathnames: Any, mode: str, encoding: str | None = None) -> Iterator[Any]:
    """Each path with its file, opened."""
    for path in (pathnames,) if isinstance(pathnames, str) else pathnames:
        if not isinstance(path, str):
            raise TypeError(f"Expected string type for pathname, but got {type(path)}")
        yield path, StreamWrapper(open(path, f"r{mode}" if mode in ("b", "t") else mode, encoding=encoding))  # noqa: SIM115


def validate_pathname_binary_tuple(data: Any) -> None:
    """TypeError for what is no pair of a path and a stream."""
    if not isinstance(data, tuple):
        raise TypeError(message("pipe_pair_kind", kind=type(data)))
    if len(data) != 2:
        raise TypeError(message("pipe_pair_length", count=len(data)))
    path, stream = data
    if not isinstance(path, str):
        raise TypeError(f"pathname within the tuple should have string type pathname, but it is type {type(path)}")
    if not isinstance(stream, (IOBase, StreamWrapper)):
        kinds = "IOBase orits subclasses"
        raise TypeError(f"binary stream within the tuple should have {kinds} as type, but it is type {type(stream)}")


class StreamWrapper:
    """An open file as data pipes give them: its attributes are the file's, and it is closed when nobody holds it any more."""

    session_streams: dict[Any, int] = {}  # noqa: RUF012
    debug_unclosed_streams = False

    def __init__(self, file_obj: Any, parent_stream: Any = None, name: str | None = None):
        self.file_obj, self.parent_stream, self.name = file_obj, parent_stream, name
        self.child_counter, self.close_on_last_child, self.closed = 0, False, False
        if parent_stream is not None:
            if not isinstance(parent_stream, StreamWrapper):
                raise RuntimeError(message("pipe_parent_stream", kind=type(parent_stream)))
            parent_stream.child_counter += 1
        if StreamWrapper.debug_unclosed_streams:
            StreamWrapper.session_streams[self] = 1

    @classmethod
    def close_streams(cls, v: Any, depth: int = 0) -> None:
        """Close the files in a structure, those that no others read from."""
        if depth > 10:
            return
        if isinstance(v, StreamWrapper):
            v.close()
        elif isinstance(v, (dict, list, tuple)):
            for part in v.values() if isinstance(v, dict) else v:
                cls.close_streams(part, depth + 1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["file_obj"], name)

    def close(self, *args: Any, **kwargs: Any) -> None:
        """Close the file."""
        if self.closed:
            return
        StreamWrapper.session_streams.pop(self, None)
        self.file_obj.close(*args, **kwargs)
        parent = self.parent_stream
        if parent is not None:
            parent.child_counter -= 1
            if not parent.child_counter and parent.close_on_last_child:
                parent.close()
        self.closed = True

    def autoclose(self) -> None:
        """Close the file, when no other stream reads from it any more."""
        self.close_on_last_child = True
        if self.child_counter == 0:
            self.close()

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *dir(self.file_obj)]

    def __del__(self) -> None:
        if self.__dict__.get("closed") is False:
            self.close()

    def __iter__(self) -> Iterator[Any]:
        yield from self.file_obj

    def __next__(self) -> Any:
        return next(self.file_obj)

    def __repr__(self) -> str:
        named = "" if self.name is None else f"{self.name},"
        return f"StreamWrapper<{named}{self.file_obj!r}>"

    def __getstate__(self) -> Any:
        return self.file_obj

    def __setstate__(self, obj: Any) -> None:
        self.__init__(obj)  # type: ignore[misc]
