"""`torch.export.save` and `load`, and dataclasses as inputs and outputs.

Loading runs the generated code of the graph, so a file is to come from somebody who is trusted.
"""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from typing import Any

from ..checkpoint import load as load_tensors
from ..checkpoint import save as save_tensors
from ..core.context.tracing import refuse_in_trace
from ..runtime import files
from ..utils import _pytree as pytree
from .exported_program import ExportedProgram

_FORMAT, _VERSION = "flambeau.export.ExportedProgram", 1


def save(
    ep: ExportedProgram,
    f: Any,
    *,
    extra_files: dict[str, Any] | None = None,
    opset_version: dict[str, int] | None = None,
    pickle_protocol: int = 2,
) -> None:
    """Write a program to a path or a binary file. TypeError for anything else than an `ExportedProgram`."""
    refuse_in_trace("writes a file (torch.export.save)")
    if not isinstance(ep, ExportedProgram):
        raise TypeError(
            f"The 'ep' parameter must be an instance of 'ExportedProgram', got '{type(ep).__name__}' instead."
        )
    content = io.BytesIO()
    parts = (ep.graph_module, ep.graph_signature, ep.example_inputs, ep.call_spec, ep._dims)
    save_tensors((*parts, _outside(ep)), content)
    header = json.dumps({"format": _FORMAT, "version": _VERSION})
    extra = {f"extra/{name}": value for name, value in (extra_files or {}).items()}
    files.put_archive(f, {"header.json": header, "program": content.getvalue(), **extra})


def _outside(ep: ExportedProgram) -> tuple[dict[str, Any], dict[str, Any]]:
    return dict(ep.graph_module.named_parameters()), dict(ep.graph_module.named_buffers())


def load(
    f: Any, *, extra_files: dict[str, Any] | None = None, expected_opset_version: dict[str, int] | None = None
) -> ExportedProgram:
    """What `save` has written. The values of `extra_files` are filled in. RuntimeError if it is another file."""
    refuse_in_trace("reads a file (torch.export.load)")
    try:
        with zipfile.ZipFile(f) as archive:
            names = archive.namelist()
            header = json.loads(archive.read("header.json")) if "header.json" in names else {}
            if header.get("format") != _FORMAT or header.get("version") != _VERSION:
                raise RuntimeError("torch.export.load: the file was not written by flambeau's torch.export.save")
            content = io.BytesIO(archive.read("program"))
            for name in extra_files or ():
                extra_files[name] = archive.read(f"extra/{name}").decode()  # type: ignore[index]
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        raise RuntimeError(f"torch.export.load: {error}") from error
    *parts, (parameters, buffers) = load_tensors(content, weights_only=False)
    program = ExportedProgram(*parts)
    _complete(program, parameters, buffers)
    return program


def _complete(program: ExportedProgram, parameters: dict[str, Any], buffers: dict[str, Any]) -> None:
    """Give the graph's module the tensors that its code does not use."""
    from ._export import _holder

    left_out = {*program.graph_signature.non_persistent_buffers, *program.graph_signature.lifted_tensor_constants}
    have = {name for name, _ in program.graph_module.named_parameters()}
    for name, parameter in parameters.items():
        if name not in have:
            _holder(program.graph_module, name).register_parameter(name.rpartition(".")[2], parameter)
    for name, buffer in buffers.items():
        _holder(program.graph_module, name).register_buffer(name.rpartition(".")[2], buffer, name not in left_out)


def register_dataclass(cls: type, *, serialized_type_name: str | None = None) -> None:
    """Let a dataclass be an input or output, whose fields are looked into. ValueError for another class."""
    if not dataclasses.is_dataclass(cls):
        raise ValueError(f"register_dataclass: Expected cls to be a dataclass, got {cls}")
    names = [field.name for field in dataclasses.fields(cls) if field.init]
    pytree.register_pytree_node(
        cls,
        lambda value: ([getattr(value, name) for name in names], names),
        lambda values, _: cls(**dict(zip(names, values, strict=True))),
        serialized_type_name=serialized_type_name,
    )
