"""What can be wrong with a package that is being written."""

from __future__ import annotations

import io
from enum import Enum
from typing import Any

from ..core.dispatch.messages import message
from ._digraph import DiGraph

# of Python's own modules, those that a package does not get without being asked for
DISALLOWED = ("sys", "io")


class PackagingErrorReason(Enum):
    """Why a module can't be packaged."""

    __module__ = "flambeau.package.package_exporter"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}.{self.name}>"

    IS_EXTENSION_MODULE = message("package_extension")
    NO_DUNDER_FILE = message("package_no_file")
    SOURCE_FILE_NOT_FOUND = message("package_no_source")
    DEPENDENCY_RESOLUTION_FAILED = message("package_unresolved")
    NO_ACTION = message("package_no_action")
    DENIED = message("package_denied")
    MOCKED_BUT_STILL_USED = message("package_mocked")


class EmptyMatchError(Exception):
    """A pattern that was given with `allow_empty=False` has matched no module."""

    __module__ = "flambeau.package.package_exporter"


class PackagingError(Exception):
    """A package can't be written: the message has all modules that are in the way, by what is wrong with them.

    Args:
        dependency_graph: the modules and what needs them; those in the way have an `error`.
        debug: whether the message tells by which path each of them came in.
    """

    __module__ = "flambeau.package.package_exporter"

    def __init__(self, dependency_graph: DiGraph, debug: bool = False):
        broken: dict[PackagingErrorReason, list[str]] = {}
        for module_name, about in dependency_graph.nodes.items():
            if (reason := about.get("error")) is not None:
                broken.setdefault(reason, []).append(module_name)
        text = io.StringIO()
        for reason, names in broken.items():
            text.write(f"\n* {reason.value}")
            for name in names:
                text.write(_told(name, dependency_graph, debug))
        text.write("\n")
        if not debug:
            text.write("\n" + message("package_debug") + "\n")
        self.dependency_graph = dependency_graph
        super().__init__(text.getvalue())


def _told(name: str, graph: DiGraph, debug: bool) -> str:
    about: dict[str, Any] = graph.nodes[name]
    lines = [f"\n    {name}"]
    if (context := about.get("error_context")) is not None:
        lines.append(f"      Context: {context}")
    if name in DISALLOWED:
        lines.append("      Note: " + message("package_disallowed", name=name))
    if debug:
        lines.append(f"      A path to {name}: {' -> '.join(graph.first_path(name))}")
    return "\n".join(lines)
