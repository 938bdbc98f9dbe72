"""`CompilationUnit`: functions that are given as a text. TorchScript is a part of Python, so Python runs them."""

from __future__ import annotations

import ast
import importlib
import itertools
import linecache
import math
import textwrap
import typing
from typing import Any

from ._script import ScriptFunction, tell

_numbers = itertools.count()
_TYPING = ("Any", "Dict", "Final", "List", "NamedTuple", "Optional", "Tuple", "Union")


def _names() -> dict[str, Any]:
    """What a text may name without an import."""
    torch = importlib.import_module(__package__.rpartition(".")[0])
    return {"torch": torch, "Tensor": torch.Tensor, "math": math, **{name: getattr(typing, name) for name in _TYPING}}


class CompilationUnit:
    """Functions that a text defines, as attributes. They run as the Python code that they are.

    RuntimeError for a text that is no Python, or holds anything but functions.
    """

    __module__ = "flambeau.jit"

    def __init__(self, lang: str | None = None, _frames_up: int = 0):
        self._functions: dict[str, ScriptFunction] = {}
        self._space = _names()
        if lang is not None:
            self.define(lang)

    def define(self, lang: str, rcb: Any = None, _frames_up: int = 0) -> None:
        """Add the functions of a text, which may call those that are there."""
        tell()
        text = textwrap.dedent(lang)
        file = f"<torch.jit.CompilationUnit {next(_numbers)}>"
        try:
            tree = ast.parse(text, file)
        except SyntaxError as error:
            raise RuntimeError(f"torch.jit.CompilationUnit: {error}") from None
        for part in tree.body:
            if not isinstance(part, ast.FunctionDef) or part.decorator_list:
                raise RuntimeError(
                    f"torch.jit.CompilationUnit: expected def but found {type(part).__name__} in line {part.lineno}"
                )
        linecache.cache[file] = (len(text), None, text.splitlines(True), file)  # so that errors show their lines
        exec(compile(tree, file, "exec"), self._space)
        for part in tree.body:
            self._functions[part.name] = ScriptFunction(self._space[part.name])  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> Any:
        found = self.__dict__.get("_functions", {}).get(name)
        if found is None:
            raise AttributeError(f"'CompilationUnit' has no attribute '{name}'")
        return found

    def find_function(self, name: str) -> ScriptFunction | None:
        """A function by its name, or None."""
        return self._functions.get(name)

    def get_functions(self) -> list[ScriptFunction]:
        """All functions."""
        return list(self._functions.values())

    def drop_all_functions(self) -> None:
        """Forget them."""
        self._functions.clear()

    def _import(self, src: Any, constants: Any, op_version: int = 1) -> None:
        raise NotImplementedError(
            "torch.jit.CompilationUnit._import: archives of TorchScript are not read; define() takes functions as a text"
        )
