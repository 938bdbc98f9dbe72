"""What can be seen in a script without running it: by its syntax tree alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .findings import Finding

_CONTAINERS = {ast.List: "list", ast.ListComp: "list", ast.Tuple: "tuple", ast.Dict: "dict", ast.DictComp: "dict"}
_PROPER = {"list": "nn.ModuleList", "tuple": "nn.ModuleList", "dict": "nn.ModuleDict"}


def read(source: str, file: str) -> list[Finding]:
    """The findings of a script. Raises SyntaxError for what is no Python."""
    tree = ast.parse(source, file)
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    modules = _module_classes(classes)
    layers = modules | _imported_layers(tree)
    found = [f for node in classes if node.name in modules for f in _class(node, file, layers)]
    return found + _loops(tree, file) + _hoards(tree, file)


def _module_classes(classes: list[ast.ClassDef]) -> set[str]:
    """Names of the classes that derive from `Module`, directly or by each other."""
    known: set[str] = set()
    while True:
        more = {c.name for c in classes if any(_last(b) == "Module" or _last(b) in known for b in c.bases)}
        if more <= known:
            return known
        known |= more


def _imported_layers(tree: ast.Module) -> set[str]:
    """What `from torch.nn import Linear` gives."""
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and (n.module or "").endswith(".nn")]
    return {alias.asname or alias.name for n in imports for alias in n.names if alias.name[:1].isupper()} - {"Module"}


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _class(node: ast.ClassDef, file: str, modules: set[str]) -> Iterator[Finding]:
    yield from _made_in_forward(node, file, modules)
    init = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    if init is None:
        return
    if not any(_is_super_init(n) for n in ast.walk(init)) and _uses_self(init):
        yield Finding("missing-super", file, init.lineno, {"name": node.name})
    begun = min((_place(n) for n in ast.walk(init) if isinstance(n, ast.Call) and _is_super_init(n)), default=(0, 0))
    early = [s for s in init.body if _place(s) < begun and any(_makes_layer(v, modules) for _, v in _assigned(s))]
    if early:
        yield Finding("late-super", file, early[0].lineno, {"name": node.name})
    for statement in _statements(init):
        for name, value in _assigned(statement):
            kind = _CONTAINERS.get(type(value))
            if kind and any(_makes_layer(n, modules) for n in ast.walk(value)):
                names = {"name": name, "container": kind, "proper": _PROPER[kind]}
                yield Finding("plain-container", file, statement.lineno, names)
            if _asks_for_gradients(value):
                yield Finding("plain-tensor", file, statement.lineno, {"name": name})
    yield from _filled_lists(init, file, modules)


def _filled_lists(init: ast.FunctionDef, file: str, modules: set[str]) -> Iterator[Finding]:
    """`self.layers = []` that layers are appended to."""
    empty = {
        name: statement
        for statement in _statements(init)
        for name, value in _assigned(statement)
        if isinstance(value, ast.List) and not value.elts
    }
    for call in ast.walk(init):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "append"):
            continue
        name = _of_self(call.func.value)
        if name in empty and any(_makes_layer(n, modules) for a in call.args for n in ast.walk(a)):
            names = {"name": name, "container": "list", "proper": "nn.ModuleList"}
            yield Finding("plain-container", file, empty.pop(name).lineno, names)


# layers that learn, or that look at the mode of the module they are registered in
_LEARNING = (
    "Linear",
    "Bilinear",
    "Conv",
    "BatchNorm",
    "LayerNorm",
    "GroupNorm",
    "Embedding",
    "LSTM",
    "GRU",
    "RNN",
    "PReLU",
    "Dropout",
)


def _made_in_forward(node: ast.ClassDef, file: str, layers: set[str]) -> Iterator[Finding]:
    """`nn.Linear(...)(x)` in `forward`, or in a method that it calls: new at each call."""
    methods = {n.name: n for n in node.body if isinstance(n, ast.FunctionDef)}
    reached = ["forward"] if "forward" in methods else []
    for name in reached:
        called = {_of_self(call.func) for call in ast.walk(methods[name]) if isinstance(call, ast.Call)}
        reached += sorted(n for n in called & set(methods) if n not in reached and n != "__init__")
    for name in reached:
        for statement in _statements(methods[name]):
            if isinstance(statement, (ast.FunctionDef, ast.If, ast.For, ast.While, ast.With, ast.Try)):
                continue
            # `if self.fc is None: self.fc = nn.Linear(...)` is made once
            if _assigned(statement) and (name != "forward" or statement not in methods[name].body):
                continue
            for call in ast.walk(statement):
                if isinstance(call, ast.Call) and _makes_layer(call, layers) and _last(call.func).startswith(_LEARNING):
                    yield Finding("layer-in-forward", file, call.lineno, {"name": ast.unparse(call.func)})


def _asks_for_gradients(value: ast.expr) -> bool:
    """`torch.randn(..., requires_grad=True)`, or `nn.Parameter(...).to(device)`, which is no Parameter."""
    if not isinstance(value, ast.Call) or _last(value.func) == "Parameter":
        return False
    asked = any(k.arg == "requires_grad" and getattr(k.value, "value", None) is True for k in value.keywords)
    return asked or _last(value.func) == "requires_grad_" or _of_parameter(value)


def _of_parameter(value: ast.Call) -> bool:
    """Whether a method of a new Parameter is called: what it gives is computed, so no Parameter."""
    inner = value.func.value if isinstance(value.func, ast.Attribute) else None
    return isinstance(inner, ast.Call) and (_last(inner.func) == "Parameter" or _of_parameter(inner))


_CUTTING = ("item", "detach", "float", "tolist", "numpy")


def _hoards(tree: ast.Module, file: str) -> list[Finding]:
    """Losses that were gone back through, and are added up or put into a list as they are."""
    found = []
    for loop in ast.walk(tree):
        if not isinstance(loop, (ast.For, ast.While)):
            continue
        losses = {f.value.id for _, f in _methods(loop) if f.attr == "backward" and isinstance(f.value, ast.Name)}
        for node in ast.walk(loop):
            held: ast.expr | None = None
            if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
                held = _single(node.value)
            elif (
                isinstance(node, ast.Assign)
                and isinstance(node.value, ast.BinOp)
                and isinstance(node.value.op, ast.Add)
            ):
                sum_ = node.value
                grows = ast.unparse(sum_.left) == ast.unparse(node.targets[0]) or isinstance(sum_.right, ast.List)
                held = _single(sum_.right) if grows else None
            elif isinstance(node, ast.Call) and _last(node.func) == "append" and len(node.args) == 1:
                held = node.args[0]
            if isinstance(held, ast.Name) and held.id in losses and not _is_cut(loop, held):
                found.append(Finding("graph-kept", file, held.lineno, {"name": held.id}))
    return list(dict.fromkeys(found))


def _single(value: ast.expr) -> ast.expr:
    """What a list of one element holds, or the expression itself; of a product (`loss * len(x)`) the name in it."""
    if isinstance(value, ast.BinOp) and isinstance(value.op, (ast.Mult, ast.Div)):
        return next((side for side in (value.left, value.right) if isinstance(side, ast.Name)), value)
    return value.elts[0] if isinstance(value, ast.List) and len(value.elts) == 1 else value


def _is_cut(loop: ast.AST, name: ast.Name) -> bool:
    """Whether a name holds a number, or what is cut off the graph, since its last assignment above (`loss = loss.item()`)."""
    above = [
        (node.lineno, node.value)
        for node in ast.walk(loop)
        if isinstance(node, ast.Assign) and node.lineno < name.lineno and name.id in map(_last, node.targets)
    ]
    value = max(above, key=lambda pair: pair[0])[1] if above else None
    return value is not None and any(isinstance(n, ast.expr) and _last(n) in _CUTTING for n in ast.walk(value))


def _statements(tree: ast.AST) -> list[ast.stmt]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]


def _place(node: ast.stmt | ast.expr) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _is_super_init(node: ast.AST) -> bool:
    """`super().__init__(...)`, or `Base.__init__(self, ...)`."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "__init__"


def _assigned(node: ast.AST) -> list[tuple[str, ast.expr]]:
    """(name, value) for each `self.name = value` of a statement."""
    if isinstance(node, ast.Assign):
        return [(name, node.value) for t in node.targets if (name := _of_self(t))]
    if isinstance(node, ast.AnnAssign) and node.value is not None and (name := _of_self(node.target)):
        return [(name, node.value)]
    return []


def _uses_self(init: ast.FunctionDef) -> bool:
    return any(isinstance(n, ast.Attribute) and _of_self(n) for n in ast.walk(init))


def _of_self(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
        return node.attr
    return ""


def _makes_layer(node: ast.AST, modules: set[str]) -> bool:
    """`nn.Linear(...)`, `torch.nn.Parameter(...)`, or a class of the script's that is a module."""
    if not isinstance(node, ast.Call):
        return False
    function = node.func
    if isinstance(function, ast.Attribute):
        return _last(function.value) == "nn" and function.attr[:1].isupper()
    return _last(function) in modules


def _methods(tree: ast.AST) -> list[tuple[ast.Call, ast.Attribute]]:
    """The calls of a method, and what is called."""
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
    return [(call, call.func) for call in calls if isinstance(call.func, ast.Attribute)]


def _loops(tree: ast.Module, file: str) -> list[Finding]:
    """Loops with `backward()` and `step()` in a script that clears gradients nowhere."""
    touched = any(isinstance(n, ast.Attribute) and n.attr == "grad" for n in ast.walk(tree))
    if touched or any("zero" in function.attr for _, function in _methods(tree)):
        return []
    found = []
    for loop in ast.walk(tree):
        if not isinstance(loop, (ast.For, ast.While)):
            continue
        inside = _methods(loop)
        steps = [f for call, f in inside if f.attr == "step" and not call.args and "sched" not in ast.unparse(f)]
        if steps and any(f.attr == "backward" for _, f in inside):
            found.append(Finding("no-zero-grad", file, steps[0].lineno, {"name": ast.unparse(steps[0].value)}))
    return found


__all__ = ["read"]
