"""What a source imports, by its text."""

from __future__ import annotations

import ast


class _Imports(ast.NodeVisitor):
    def __init__(self, package: str):
        self.package = package
        self.found: dict[tuple[str, str | None], None] = {}

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.found[alias.name, None] = None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = self._absolute(node)
        for alias in node.names:
            self.found[module, alias.name if alias.name != "*" else None] = None

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        if not (isinstance(node.func, ast.Name) and node.func.id == "__import__"):
            return
        which = (
            node.args[3] if len(node.args) > 3 else next((k.value for k in node.keywords if k.arg == "fromlist"), None)
        )
        try:
            module = ast.literal_eval(node.args[0])
            names = () if which is None else ast.literal_eval(which)
            level = ast.literal_eval(node.args[4]) if len(node.args) > 4 else 0
        except (ValueError, IndexError):  # known when it runs
            return
        if not isinstance(module, str):
            return
        for name in names:
            self.found[self._above(level, module) if level else module, name] = None
        while module and not names:
            self.found[module, None] = None
            module = module.rpartition(".")[0]

    def _absolute(self, node: ast.ImportFrom) -> str:
        return self._above(node.level, node.module) if node.level else node.module or ""

    def _above(self, level: int, module: str | None) -> str:
        parts = self.package.split(".")
        if len(parts) < level:
            raise ValueError("attempted relative import beyond top-level package")
        base = ".".join(parts[: len(parts) - level + 1])
        return f"{base}.{module}" if module else base


def find_files_source_depends_on(src: str, package: str) -> list[tuple[str, str | None]]:
    """Of a source in `package`, the modules that it imports; with a name for each that it imports from them, else None.

    Raises SyntaxError for a source that is none, ValueError for a relative import that leaves the topmost package.
    """
    visitor = _Imports(package)
    visitor.visit(ast.parse(src))
    return list(visitor.found)
