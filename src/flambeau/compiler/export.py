"""`export`: a module as a StableHLO program in a file, which runs where the module's source is not.

The file is a zip archive of `header.json` (version, names, what goes in and out), `program` (the serialized `jax.export`
artifact) and `arrays.npz` (parameters and buffers). Nothing in it is executed as Python.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Sequence
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import ml_dtypes  # noqa: F401  NumPy then knows bfloat16 by its name
import numpy as np

from .. import native
from ..core.context.tracing import NEEDS_VALUES, refuse_in_trace
from ..core.dispatch.help import explain_functions as _explain_functions
from ..core.tensor.tensor import Tensor, wrap
from ..nn.modules.module import Module
from ..runtime import files
from .compiled import user_line
from .overwriting import separately
from .pure import jax_function

_VERSION = 1
_FORMAT = "flambeau.export"


class Exported:
    """A program with its parameters: `exported(*tensors)` computes what the module's forward would."""

    def __init__(self, program: Any, params: dict[str, jax.Array], header: dict[str, Any]):
        self.program = program
        self.params = params
        self.header = header
        self._call = jax.jit(program.call)

    def __call__(self, *args: Tensor) -> Any:
        """Run it. TypeError or ValueError if the arguments are not like the example's."""
        wanted = self.header["inputs"]
        if len(args) != len(wanted):
            raise TypeError(f"the exported program takes {len(wanted)} tensors, got {len(args)}")
        for i, (arg, (shape, dtype)) in enumerate(zip(args, wanted, strict=True)):
            if not isinstance(arg, Tensor):
                raise TypeError(f"argument {i} of the exported program must be Tensor, not {type(arg).__name__}")
            fits = len(shape) == arg.ndim and all(s is None or s == n for s, n in zip(shape, arg.shape, strict=True))
            if not fits or np.dtype(dtype) != arg._np_dtype:
                expected = [("any" if s is None else s) for s in shape]
                raise ValueError(
                    f"argument {i} of the exported program: expected {dtype} {expected}, got {arg._np_dtype} {list(arg.shape)}"
                )
        flat = [wrap(array) for array in self._call(self.params, *(arg._array for arg in args))]
        return _put_together(self.header["output"], flat)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file that `load_exported` reads."""
        try:
            program = self.program.serialize()
        except ImportError as error:
            raise ImportError("saving an exported program needs flatbuffers: pip install 'flambeau[export]'") from error
        arrays = io.BytesIO()
        held = [np.asarray(array) for array in self.params.values()]
        np.savez(arrays, *(a.view(f"u{a.itemsize}") if a.dtype.kind == "V" else a for a in held))
        header = json.dumps(self.header, indent=1)
        files.put_archive(path, {"header.json": header, "program": program, "arrays.npz": arrays.getvalue()})


def export(
    model: Module,
    example: Tensor | Sequence[Tensor],
    *,
    dynamic_batch: bool = False,
    platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
) -> Exported:
    """A module's forward, in its present mode and for tensors like `example`, as a StableHLO program.

    `dynamic_batch` leaves the size of the inputs' first dimension open. `platforms` are those that the program can run on.
    RuntimeError if the forward draws random numbers or computes with values that only a run knows.
    """
    inputs = [example] if isinstance(example, Tensor) else list(example)
    if not all(isinstance(t, Tensor) for t in inputs):
        raise TypeError("export expects a module and one or several example tensors")
    function, params = jax_function(model)
    output: list[Any] = []

    def forward(params: dict[str, Any], *arrays: Any) -> list[Any]:
        flat: list[Any] = []
        output[:] = [_take_apart(function(params, *arrays), flat)]
        return flat

    sizes: list[tuple[Any, ...]] = [tuple(t.shape) for t in inputs]
    if dynamic_batch:
        (batch,) = jax.export.symbolic_shape("batch")
        sizes = [(batch, *size[1:]) for size in sizes]
    specs = [jax.ShapeDtypeStruct(size, t._np_dtype) for size, t in zip(sizes, inputs, strict=True)]
    shapes = {name: jax.ShapeDtypeStruct(array.shape, array.dtype) for name, array in params.items()}
    try:
        with native.portable():
            whole = forward if dynamic_batch else separately(forward)
            program = jax.export.export(jax.jit(whole), platforms=tuple(platforms))(shapes, *specs)
    except (*NEEDS_VALUES, jax.errors.InconclusiveDimensionOperation) as error:
        raise RuntimeError(
            f"{user_line(error)} needs a value (or a size) that is only known when the exported program runs: use "
            "torch.where instead of `if`, return the tensor, or export without dynamic_batch"
        ) from error
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "module": type(model).__name__,
        "inputs": [
            [[None if dynamic_batch and d == 0 else n for d, n in enumerate(t.shape)], t._np_dtype.name] for t in inputs
        ],
        "output": output[0],
        "params": {name: array.dtype.name for name, array in params.items()},
    }
    return Exported(program, dict(params), header)


def load_exported(path: str | os.PathLike[str]) -> Exported:
    """What `Exported.save` has written. ValueError if the file is none of these, or damaged."""
    refuse_in_trace("reads a file (load_exported)")
    try:
        with zipfile.ZipFile(path) as archive:
            header = json.loads(archive.read("header.json"))
            if header.get("format") != _FORMAT:
                raise ValueError("it is another kind of archive")
            if header["version"] != _VERSION:
                raise ValueError(f"it has version {header['version']}, and this is flambeau for version {_VERSION}")
            program = jax.export.deserialize(bytearray(archive.read("program")))
            with np.load(io.BytesIO(archive.read("arrays.npz")), allow_pickle=False) as arrays:
                params = {
                    name: jnp.asarray(arrays[f"arr_{i}"].view(np.dtype(dtype)))
                    for i, (name, dtype) in enumerate(header["params"].items())
                }
            _check_tree(header["output"])
            return Exported(program, params, header)
    except (FileNotFoundError, ImportError):
        raise
    except Exception as error:
        raise ValueError(f"{os.fspath(path)} is no exported program that can be read: {error}") from error


# ---------------------------------------------------------------- containers, as JSON tells them


def _take_apart(value: Any, flat: list[Any]) -> Any:
    if isinstance(value, jax.Array):
        flat.append(value)
        return len(flat) - 1
    if isinstance(value, dict):
        return {"dict": [[str(key), _take_apart(item, flat)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return {"list" if isinstance(value, list) else "tuple": [_take_apart(item, flat) for item in value]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"value": value}
    raise RuntimeError(
        f"export: a module's output may hold tensors, numbers and containers, but not {type(value).__name__}"
    )


def _put_together(tree: Any, flat: list[Any]) -> Any:
    if isinstance(tree, int):
        return flat[tree]
    ((kind, parts),) = tree.items()
    if kind == "value":
        return parts
    if kind == "dict":
        return {key: _put_together(part, flat) for key, part in parts}
    made = [_put_together(part, flat) for part in parts]
    return made if kind == "list" else tuple(made)


def _check_tree(tree: Any) -> None:
    if isinstance(tree, int):
        return
    ((kind, parts),) = tree.items()
    if kind not in ("value", "dict", "list", "tuple"):
        raise ValueError(f"it has an output of kind {kind!r}")
    for part in () if kind == "value" else parts:
        _check_tree(part[1] if kind == "dict" else part)


__all__ = ["Exported", "export", "load_exported"]

_explain_functions([load_exported], "torch")
