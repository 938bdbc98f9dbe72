"""Python code for a graph: one function whose lines are the nodes."""

from __future__ import annotations

import enum
import re
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import GenericAlias, UnionType
from typing import Any

from . import _names
from ._names import IN_PLACE, KNOWN, MAGIC, Namespace
from .node import Node, dtype_abbrs, map_arg

_TYPING = {
    list: typing.List, dict: typing.Dict, set: typing.Set, frozenset: typing.FrozenSet, tuple: typing.Tuple,  # noqa: UP006
}  # fmt: skip


@dataclass
class PythonCode:
    """Source text of a graph's function, the global names that it needs, and which node each line is."""

    src: str
    globals: dict[str, Any]
    _lineno_map: dict[int, int | None] | None
    _prologue_start: int = 0


def format_target(base: str, target: str) -> str:
    """`target` as an expression on `base`: `self.net.0` is no Python, so that `getattr` stands for numbers."""
    for part in target.split("."):
        base = f"{base}.{part}" if part.isidentifier() else f'getattr({base}, "{part}")'
    return base


@dataclass
class StackLine:
    """The line of the user's program that made a node."""

    file: str
    lineno: str
    name: str
    code: str

    def get_summary_str(self) -> str:
        """The comment in front of the nodes."""
        return f"File: {self.file}:{self.lineno} in {self.name}, code: {self.code}"


_FRAME = re.compile(r"^\s*File \"(.+)\", line (\d+), in (.+)$")


def parse_stack_trace(stack_trace: str, filter_fn: Callable[[str, str, str], bool] | None = None) -> StackLine | None:
    """The last frame of a stack trace (for which `filter_fn` is true)."""
    lines = stack_trace.strip().split("\n")
    for at in range(len(lines) - 2, -1, -1):
        if (found := _FRAME.match(lines[at].strip())) and (filter_fn is None or filter_fn(*found.groups())):
            file, line, name = found.groups()
            return StackLine(file, line, name, lines[at + 1].strip())
    return None


_COLORS = {"yellow": 33, "cyan": 36, "green": 32, "blue": 34, "red": 31, "dim": 2}


@dataclass
class Options:
    """What the writer shows beside the code itself."""

    verbose: bool = False
    include_stride: bool = False
    include_device: bool = False
    colored: bool = False
    expanded_def: bool = False
    additional_meta: list[str] | None = None

    def paint(self, text: str, color: str) -> str:
        """Text in a colour, if colours are on."""
        return f"\x1b[{_COLORS[color]}m{text}\x1b[0m" if self.colored else text


class Writer:
    """Writes the function of one graph."""

    def __init__(self, codegen: Any, nodes: Iterable[Node], root_module: str, namespace: Namespace, options: Options):
        self.codegen = codegen
        self.nodes = list(nodes)
        self.root = root_module
        self.namespace = namespace
        self.options = options
        self.free_vars: list[str] = []
        self.body: list[str] = []
        self.globals: dict[str, Any] = {}
        self.wrapped: dict[str, None] = {}
        self.returns = ""
        self.last_comment: str | None = None
        self.last_uses = self._last_uses()
        for name, known in (*((n, k.obj) for n, k in KNOWN.items()), *codegen.additional_globals()):
            self.add_global(name, known)

    def _last_uses(self) -> dict[Node, list[Node]]:
        """For each node the values that nobody needs after it."""
        seen: set[Node] = set()
        found: dict[Node, list[Node]] = {}
        for user in reversed(self.nodes):

            def note(used: Node, user: Node = user) -> Node:
                if used not in seen:
                    seen.add(used)
                    found.setdefault(user, []).append(used)
                return used

            map_arg(user.args, note)
            map_arg(user.kwargs, note)
        return found

    # --- names --------------------------------------------------------------------------------------------------------

    def add_global(self, hint: str, obj: Any) -> str:
        """An expression for an object: its dotted name if it is torch's, else a global name of its own."""
        if _names.is_from_torch(obj):
            return _names.qualified_name(obj)
        try:
            name = self.namespace.create_name(hint, obj)
        except TypeError:  # it can't be hashed
            name = self.namespace.create_name(hint, None)
        self.globals[name] = obj
        return name

    def type_name(self, kind: Any) -> str:
        """An expression for an annotation."""
        if kind == ():
            return "()"
        if isinstance(kind, UnionType):
            return "|".join(map(self.type_name, kind.__args__))
        origin = getattr(kind, "__origin__", None)
        if origin is None or not _names.is_generic(kind):
            return self.add_global(_names.type_repr(kind), kind)
        if not isinstance(kind, GenericAlias):
            origin = _TYPING.get(origin, origin)
        name = self.add_global(_names.type_repr(origin), origin)
        arguments = getattr(kind, "__args__", ())
        return f"{name}[{','.join(map(self.type_name, arguments))}]" if arguments else name

    def value(self, arg: Any) -> str:
        """An expression for an argument."""
        if isinstance(arg, Node):
            return repr(arg)
        if isinstance(arg, tuple) and hasattr(arg, "_fields"):
            name = self.add_global(_names.qualified_name(type(arg)), type(arg))
            return f"{name}({', '.join(map(self.value, arg))})"
        if isinstance(arg, tuple):
            return f"({self.value(arg[0])},)" if len(arg) == 1 else f"({', '.join(map(self.value, arg))})"
        if isinstance(arg, list):
            return f"[{', '.join(map(self.value, arg))}]"
        if isinstance(arg, dict) and not self.options.colored:
            return "{" + ", ".join(f"{key!r}: {self.value(v)}" for key, v in arg.items()) + "}"
        if isinstance(arg, slice):
            return f"slice({self.value(arg.start)}, {self.value(arg.stop)}, {self.value(arg.step)})"
        if isinstance(arg, enum.Enum):
            return f"{self.add_global(type(arg).__name__, type(arg))}.{arg.name}"
        if callable(arg) and hasattr(arg, "__name__"):
            return self.add_global(_names.qualified_name(arg), arg)
        return self.options.paint(repr(arg), "blue") if self.options.colored else repr(arg)

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """What stands between the parentheses of a call."""
        return ", ".join([*map(self.value, args), *(f"{k} = {self.value(v)}" for k, v in kwargs.items())])

    def _annotation(self, node: Node) -> str:
        shown = self._tensor(node) if self.options.verbose else ""
        if shown:
            return f': "{self.options.paint(shown, "red") if "val" in node.meta else shown}"'
        return f" : {self.type_name(node.type)}" if node.type else ""

    def _tensor(self, node: Node) -> str:
        value: Any = next(
            (node.meta[key] for key in ("val", "example_value", "tensor_meta") if node.meta.get(key) is not None), None
        )
        if type(value) is bool or isinstance(value, (list, dict)) or not hasattr(value, "shape"):
            return ""
        text = f"{dtype_abbrs.get(value.dtype, value.dtype)}[{', '.join(map(str, value.shape))}]"
        if self.options.include_stride and callable(getattr(value, "stride", None)):
            text += f"[{', '.join(map(str, value.stride()))}]"
        if self.options.include_device and hasattr(value, "device"):
            text += str(value.device)
        return text

    # --- lines --------------------------------------------------------------------------------------------------------

    def _comment(self, node: Node) -> None:
        if node.op in ("placeholder", "output"):
            return
        comment = "No stacktrace found for following nodes"
        if node.stack_trace:
            line = parse_stack_trace(node.stack_trace)
            comment = line.get_summary_str() if line else ""
        if custom := node.meta.get("custom"):
            comment = f"Annotation: {custom} {comment}"
        named = [f"{key}: {node.meta[key]}" for key in self.options.additional_meta or () if key in node.meta]
        if named:
            comment = f"{', '.join(named)} # {comment}"
        if comment != self.last_comment:
            self.last_comment = comment
            if comment:
                self.body.append("\n" + self.options.paint(f"# {comment}", "dim") + "\n")

    def _end_line(self, node: Node) -> None:
        """Let go of what nobody needs any more, so that memory is free as early as it would be in written code."""
        if node.op == "placeholder":
            return
        gone = [] if node.op == "output" else list(self.last_uses.get(node, ()))
        if node.op != "output" and not node.users:
            gone.append(node)
        text = " = ".join([*map(repr, gone), "None"])
        self.body.append(";  " + self.options.paint(text, "dim") + "\n" if gone else "\n")

    def _emit(self, node: Node) -> None:
        name = f"{node!r}{self._annotation(node) if node.op != 'placeholder' else ''}"
        if node.op == "placeholder":
            self._emit_placeholder(node)
        elif node.op == "call_method":
            of, *rest = node.args
            self.body.append(f"{name} = {self._operand(of)}.{node.target}({self.call(tuple(rest), node.kwargs)})")
        elif node.op == "call_function":
            self._emit_function(node, name)
        elif node.op == "call_module":
            called = format_target(self.root, str(node.target))
            self.body.append(f"{name} = {called}({self.call(node.args, node.kwargs)})")
        elif node.op == "get_attr":
            self.body.append(f"{name} = {format_target(self.root, str(node.target))}")
        elif node.op == "output":
            if node.type is not None:
                self.returns = f" -> {self.type_name(node.type)}"
            self.body.append(self.codegen._return_line(node.args[0], self.value))
        else:
            raise NotImplementedError(f"node: {node.op} {node.target}")

    def _operand(self, arg: Any) -> str:
        text = self.value(arg)
        return text if isinstance(arg, Node) else f"({text})"

    def _emit_placeholder(self, node: Node) -> None:
        default = f" = {self.value(node.args[0])}" if node.args else ""
        self.free_vars.append(f"{node.target}{self._annotation(node)}{default}")
        raw = str(node.target).replace("*", "")
        if raw != repr(node):
            self.body.append(f"{node!r} = {raw}\n")

    def _emit_function(self, node: Node, name: str) -> None:
        target: Any = node.target
        short = getattr(target, "__name__", "")
        if getattr(target, "__module__", None) == "_operator":
            operands = [self.value(a) for a in node.args]
            if short in MAGIC:
                self.body.append(f"{name} = {MAGIC[short].format(*operands)}")
                return
            if short in IN_PLACE:
                self.body.append(f"{IN_PLACE[short].format(*operands)};  {name} = {operands[0]}")
                return
        called = self.add_global(_names.qualified_name(target), target)
        plain = called == "getattr" and len(node.args) == 2 and isinstance(node.args[1], str)
        if plain and node.args[1].isidentifier():
            self.body.append(f"{name} = {self._operand(node.args[0])}.{node.args[1]}")
            return
        self.body.append(f"{name} = {called}({self.call(node.args, node.kwargs)})")
        if node.meta.get("is_wrapped", False):
            self.wrapped.setdefault(called)

    def write(self) -> PythonCode:
        """The whole code."""
        starts: dict[int, int] = {}
        for i, node in enumerate(self.nodes):
            if self.options.verbose:
                self._comment(node)
            starts[len(self.body)] = i
            self._emit(node)
            self._end_line(node)
        if not self.body:
            self.body.append("pass\n")
        body = self.codegen._transformed(self.body)
        wraps = "\n".join(f'torch.fx._symbolic_trace.wrap("{name}")' for name in self.wrapped)
        head = self.codegen.gen_fn_def(self.free_vars, self.returns, expanded_def=self.options.expanded_def)
        text = "".join(body).lstrip("\n")
        code = "\n".join("    " + line for line in text.split("\n"))
        source = f"\n{wraps}\n\n{head}\n{code}"
        start = source.count("\n", 0, source.index("def ")) + head.count("\n") + 1
        return PythonCode(source, self.globals, self._lines(starts), start)

    def _lines(self, starts: dict[int, int]) -> dict[int, int | None]:
        """Which node each line of the body is."""
        lines: dict[int, int | None] = {}
        at, node = 0, None
        for i, part in enumerate(self.body):
            node = starts.get(i, node)
            for _ in range(part.count("\n")):
                at += 1
                lines[at] = node
        return lines
