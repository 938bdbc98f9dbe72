"""`save` and `load`: a scripted module in a file that is read without the module's class.

The file is a zip archive. `header.json` tells what is in it: `graphs`, a pickle of the `torch.fx` graphs of the module (of both
modes, where they differ) with its parameters; or, for code that `torch.fx` does not follow, `recording`, the graph of what it did
for the example that the module was traced with; or, where that can't be written down either, `program`, the XLA program of
`flambeau.export` for inputs like the example. Loading runs the generated code of the graphs, so a file is to come from somebody
who is trusted, as for `torch.load(weights_only=False)`.
"""

from __future__ import annotations

import functools
import inspect
import io
import itertools
import json
import os
import zipfile
from typing import Any

from ..checkpoint import load as load_tensors
from ..checkpoint import save as save_tensors
from ..compiler.export import export, load_exported
from ..core.context.tracing import refuse_in_trace
from ..core.tensor.tensor import Tensor, wrap
from ..export import load as load_program
from ..export import save as save_program
from ..fx import Graph, GraphModule, Tracer
from ..fx._symbolic_trace import _assert_is_none
from ..nn.modules.module import Module
from ..nn.parameter import Parameter
from ..runtime import files
from ._recording import as_module, recorded
from ._script import ScriptFunction, ScriptModule, as_plain, as_script

_FORMAT, _VERSION = "flambeau.jit", 2
_CHOICES = 3  # arguments that may be None, of which every choice has a graph of its own


def save(m: Any, f: Any, _extra_files: dict[str, Any] | None = None) -> None:
    """Write a scripted or traced module (or function) to a path or a binary file.

    Its forward is written, in both modes, as far as `torch.fx` follows it; else, if it was traced, what it does for the example, in
    the present mode: branches on values go as they went there, with a TracerWarning. RuntimeError, with the reason, if neither can be.
    """
    refuse_in_trace("writes a file (torch.jit.save)")
    if not isinstance(m, (ScriptModule, ScriptFunction)):
        raise AttributeError(f"'{type(m).__name__}' object has no attribute 'save'")
    name = m.original_name if isinstance(m, ScriptModule) else m.name
    parts = m.named_modules() if isinstance(m, ScriptModule) else ()
    names = {path: getattr(part, "original_name", type(part).__name__) for path, part in parts}
    header: dict[str, Any] = {
        "format": _FORMAT,
        "version": _VERSION,
        "function": isinstance(m, ScriptFunction),
        "names": names,
    }
    if (program := getattr(m, "_program", None)) is not None:  # it came out of such a file
        _complete(program.graph_module, _tensors(m), replace=True)  # type: ignore[arg-type]
        header["form"], content = "recording", _written(program)
    else:
        try:
            header["form"], content = "graphs", _graphs(m)
        except Exception as error:
            header["form"], content = _for_example(m, name, error)
    extra = {f"extra/{key}": value for key, value in (_extra_files or {}).items()}
    files.put_archive(f, {"header.json": json.dumps(header), header["form"]: content, **extra})


def graph_of(m: Any, training: bool | None = None, absent: tuple[str, ...] = ()) -> GraphModule:
    """The graph of a scripted module or function, in the mode that is asked for, with None for the arguments `absent`."""
    if isinstance(m, ScriptFunction):
        return _trace_function(m._function, absent)
    plain = as_plain(m)
    modes = {name: part.training for name, part in plain.named_modules()}
    if training is not None:
        plain.train(training)
    graph = _unchecked(Tracer().trace(plain, dict.fromkeys(absent)))
    made = GraphModule(plain, graph, type(plain).__name__)
    for name, part in made.named_modules():
        part.training = modes.get(name, plain.training)
    return made


def _unchecked(graph: Graph) -> Graph:
    """A graph that does not ask whether arguments are None: who calls it knows, and reading it again traces it with proxies."""
    for node in graph.nodes:
        if node.target is _assert_is_none:
            graph.erase_node(node)
    return graph


def _trace_function(function: Any, absent: tuple[str, ...] = ()) -> GraphModule:
    tracer = Tracer()
    graph = _unchecked(tracer.trace(function, dict.fromkeys(absent)))
    return GraphModule(tracer.root, graph, getattr(function, "__name__", "function"))


def _tensors(module: Module) -> dict[str, tuple[Any, bool]]:
    """The parameters and buffers by name, and whether they are in `state_dict`."""
    found: dict[str, tuple[Any, bool]] = {}
    for owner, part in module.named_modules(remove_duplicate=False):
        lead = f"{owner}." if owner else ""
        found.update({lead + key: (p, True) for key, p in part._parameters.items() if p is not None})
        left_out = part._non_persistent_buffers_set
        found.update({lead + key: (b, key not in left_out) for key, b in part._buffers.items() if b is not None})
    return found


def _complete(module: Module, tensors: dict[str, tuple[Any, bool]], replace: bool = False) -> None:
    """Give a module the parameters and buffers that it lacks, or all of them."""
    have = () if replace else _tensors(module)
    for name, (tensor, kept) in tensors.items():
        if name not in have:
            holder, key = _holder(module, name), name.rpartition(".")[2]
            if isinstance(tensor, Parameter):
                holder.register_parameter(key, tensor)
            else:
                holder.register_buffer(key, tensor, kept)


def _holder(module: Module, name: str) -> Module:
    for part in name.split(".")[:-1]:
        if part not in module._modules:
            module.add_module(part, Module())
        module = module._modules[part]  # type: ignore[assignment]
    return module


def _may_be_none(function: Any) -> list[str]:
    """The parameters that are None if a call leaves them out: code asks `x is None`, which a graph can't."""
    return [name for name, p in inspect.signature(function).parameters.items() if p.default is None]


def _absences(names: list[str]) -> list[tuple[str, ...]]:
    """Which of these arguments a call may leave out: every choice of a few; of many all or none."""
    if len(names) > _CHOICES:
        return [(), tuple(names)]
    return [tuple(chosen) for count in range(len(names) + 1) for chosen in itertools.combinations(names, count)]


def _graphs(m: Any) -> bytes:
    """The graphs as `(mode or None for both, arguments that are None, graph)`, and the tensors."""
    buffer = io.BytesIO()
    tensors: dict[str, tuple[Any, bool]] = {}
    ways: list[tuple[bool | None, tuple[str, ...], Any]] = []
    if isinstance(m, ScriptFunction):
        ways = [(None, absent, graph_of(m, None, absent)) for absent in _absences(_may_be_none(m._function))]
    elif Tracer().is_leaf_module(plain := as_plain(m), ""):
        ways = [(None, (), plain)]
    else:
        tensors = _tensors(m)
        for absent in _absences(_may_be_none(plain.forward)):
            first, second = (graph_of(m, training, absent) for training in (True, False))
            if first.code == second.code:
                ways.append((None, absent, first))
            else:
                ways += [(True, absent, first), (False, absent, second)]
    save_tensors((ways, tensors), buffer)
    return buffer.getvalue()


def _written(program: Any) -> bytes:
    buffer = io.BytesIO()
    save_program(program, buffer)
    return buffer.getvalue()


def _for_example(m: Any, name: str, error: Exception) -> tuple[str, bytes]:
    """What a module or function does for its example: the form that the file holds, and its content."""
    said = f"torch.jit.save: {name} cannot be written as a torch.fx graph ({type(error).__name__}: {error})"
    example = getattr(m, "_example", None)
    if example is None:
        raise RuntimeError(
            f"{said}, and there is no example to follow it with: make it with torch.jit.trace(module, example), or keep its state_dict"
        ) from error
    if isinstance(m, ScriptFunction):
        model: Module = Module()
        model.forward = m._function  # type: ignore[method-assign,assignment]
    else:
        model = as_plain(m)
    args, kwargs = example
    try:
        return "recording", _written(recorded(model, args, kwargs))
    except Exception as second:
        if kwargs or not all(isinstance(a, Tensor) for a in args):
            raise RuntimeError(f"{said}, nor for its example: {second}") from second
    buffer = io.BytesIO()
    try:
        export(model, args).save(buffer)  # type: ignore[arg-type]
    except Exception as third:
        raise RuntimeError(f"{said}, nor as a program: {third}") from third
    return "program", buffer.getvalue()


class _Program(Module):
    """An exported program with its parameters. What it computes has no gradient."""

    def __init__(self, exported: Any):
        super().__init__()
        self.__dict__["exported"] = exported
        for name, array in exported.params.items():
            tensor = wrap(array)
            _holder(self, name).register_parameter(name.rpartition(".")[2], Parameter(tensor, requires_grad=False))

    def forward(self, *args: Any) -> Any:
        exported = self.__dict__["exported"]
        exported.params = {name: p._array for name, p in self.named_parameters(remove_duplicate=False)}
        return exported(*args)


def _of_graphs(ways: list[Any], tensors: dict[str, tuple[Any, bool]]) -> Any:
    """One module out of the graphs of both modes and of all choices of arguments, and of all tensors."""
    first = ways[0][2]
    _complete(first, tensors)
    for _, _, other in ways[1:]:
        for name, part in other.named_modules():
            if name and name not in dict(first.named_modules()):
                _holder(first, name).add_module(name.rpartition(".")[2], part)
    if len(ways) > 1:
        first.__class__ = _choosing(type(first), {(mode, absent): type(way).forward for mode, absent, way in ways})
    return as_script(first)


def _choosing(cls: type, ways: dict[Any, Any]) -> type:
    """The class of a module that has a forward for each mode and for each choice of arguments that are None."""
    optional = list(dict.fromkeys(name for _, absent in ways for name in absent))
    plain = next(iter(ways.values()))
    signature = inspect.signature(plain)

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        absent: tuple[str, ...] = ()
        if optional:
            given = signature.bind(self, *args, **kwargs).arguments
            absent = tuple(name for name in optional if given.get(name) is None)
        for mode in (self.training, None):
            if (mode, absent) in ways:
                return ways[mode, absent](self, *args, **kwargs)
        raise RuntimeError(
            f"torch.jit.load: the file has no graph for a call without {', '.join(absent)}: of more than {_CHOICES} arguments that may "
            "be None, give all or none"
        )

    return type(cls.__name__, (cls,), {"forward": functools.wraps(plain)(forward)})


def load(
    f: Any, map_location: Any = None, _extra_files: dict[str, Any] | None = None, _restore_shapes: bool = False
) -> Any:
    """What `save` has written, from a path or a binary file. The values of `_extra_files` are filled in.

    ValueError if there is no such file, RuntimeError if it is another one; PyTorch's own archives hold TorchScript, which is not
    compiled here.
    """
    refuse_in_trace("reads a file (torch.jit.load)")
    if isinstance(f, (str, os.PathLike)):
        if not os.path.exists(f):
            raise ValueError(f"The provided filename {f} does not exist")
        if os.path.isdir(f):
            raise ValueError(f"The provided filename {f} is a directory")
    try:
        archive = zipfile.ZipFile(f)
    except zipfile.BadZipFile as error:
        raise RuntimeError(
            f"torch.jit.load: PytorchStreamReader failed reading zip archive: not a ZIP archive ({error})"
        ) from error
    with archive:
        try:
            header = _header(archive)
            content = io.BytesIO(archive.read(header["form"]))
        except (zipfile.BadZipFile, EOFError, ValueError, KeyError) as error:
            raise RuntimeError(
                f"torch.jit.load: PytorchStreamReader failed reading a damaged archive ({error})"
            ) from error
        for key in _extra_files or ():
            there = f"extra/{key}" in archive.namelist()
            _extra_files[key] = archive.read(f"extra/{key}") if there else b""  # type: ignore[index]
    if header["form"] == "program":
        made = as_script(_Program(load_exported(content)))  # type: ignore[arg-type]
    elif header["form"] == "recording":
        made = as_script(as_module(load_program(content)))
    else:
        made = _of_graphs(*load_tensors(content, map_location=map_location, weights_only=False))
    for name, part in made.named_modules():
        if name in header["names"]:
            part.__dict__["original_name"] = header["names"][name]
    return ScriptFunction(made, None) if header["function"] else made


def _header(archive: zipfile.ZipFile) -> dict[str, Any]:
    names = archive.namelist()
    if "header.json" not in names:
        kind = "PyTorch's TorchScript archive" if any("/code/" in n for n in names) else "another kind of archive"
        raise RuntimeError(
            f"torch.jit.load: this is {kind}; flambeau reads what its own torch.jit.save has written. Of a module of PyTorch, "
            "save the state_dict() there and load that"
        )
    header = json.loads(archive.read("header.json"))
    if header.get("format") != _FORMAT or header.get("version") != _VERSION:
        raise RuntimeError(f"torch.jit.load: the file is of format {header.get('format')} {header.get('version')}")
    return header


__all__ = ["load", "save"]
