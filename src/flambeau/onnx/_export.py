"""`torch.onnx.export`: a module as an ONNX model, for tensors like the example."""

from __future__ import annotations

import contextlib
import enum
import io
import os
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..export import ExportedProgram
from ..export import export as record
from ..nn.modules.module import Module
from ..runtime import files
from ..utils import _pytree as pytree
from ._exportable import told_by
from .errors import OnnxExporterError

DEFAULT_OPSET, LEAST_OPSET, LAST_OPSET = 20, 13, 23
_LARGEST = 2**31 - 2**20  # what protobuf writes into one file
_exporting = False


class TrainingMode(enum.IntEnum):
    """The mode in which a model is exported."""

    EVAL = 0
    PRESERVE = 1
    TRAINING = 2


class OperatorExportTypes(enum.IntEnum):
    """What becomes of operators that ONNX lacks. Only ONNX is taken."""

    ONNX = 0
    ONNX_ATEN = 1
    ONNX_ATEN_FALLBACK = 2
    ONNX_FALLTHROUGH = 3


def is_in_onnx_export() -> bool:
    """Whether the code that asks is run by `torch.onnx.export`."""
    return _exporting


class ONNXProgram:
    """An ONNX model (`model_proto`), and the program that it is made of."""

    def __init__(self, model: Any, exported_program: ExportedProgram | None):
        self.model_proto = model
        self.exported_program = exported_program
        self._session: Any = None

    def save(
        self,
        destination: Any,
        *,
        include_initializers: bool = True,
        keep_initializers_as_inputs: bool = False,
        external_data: bool | None = None,
    ) -> None:
        """Write it to a path or a binary file. The parameters are in the same file, unless `external_data` or beyond 2 GB.

        ValueError beyond 2 GB with `external_data=False`.
        """
        import onnx

        if not include_initializers or keep_initializers_as_inputs:
            raise NotImplementedError("ONNXProgram.save: the parameters are always written, as constants")
        if isinstance(destination, io.IOBase) or hasattr(destination, "write"):
            destination.write(self.model_proto.SerializeToString())
            return
        large = self.model_proto.ByteSize() > _LARGEST
        if large and external_data is False:
            raise ValueError("ONNXProgram.save: a model of more than 2 GB needs external_data=True")
        if not (external_data or large):
            content = self.model_proto.SerializeToString()
            files.replace(destination, lambda file: file.write(content))
            return
        model = type(self.model_proto)()
        model.CopyFrom(self.model_proto)  # whose tensors go to the other file
        location = f"{os.path.basename(os.fspath(destination))}.data"
        onnx.save_model(model, os.fspath(destination), save_as_external_data=True, location=location, size_threshold=0)

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Run it with onnxruntime: the outputs as a tuple of tensors. ImportError if that is not installed."""
        session = self._session or _session(self.model_proto.SerializeToString())
        return self._run(session, [i.name for i in session.get_inputs()], args, kwargs)

    def initialize_inference_session(self, initializer: Callable[[str | bytes], Any] | None = None) -> None:
        """Make the session of onnxruntime that all calls use, where each made its own; `initializer` makes it of the model's bytes."""
        self._session = (initializer or _session)(self.model_proto.SerializeToString())

    def release(self) -> None:
        """Let go of the session."""
        self._session = None

    def call_reference(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Run it with the reference evaluator of the onnx package, which is in Python and slow."""
        from onnx.reference import ReferenceEvaluator

        return self._run(
            ReferenceEvaluator(self.model_proto), [i.name for i in self.model_proto.graph.input], args, kwargs
        )

    def compute_values(self, value_names: Sequence[str], args: Any = (), kwargs: Any = None) -> tuple[Any, ...]:
        """Run it, and give the values of these names from inside of the graph. ValueError for a name that is none."""
        import onnx

        model = type(self.model_proto)()
        model.CopyFrom(self.model_proto)
        known = {v.name: v for v in onnx.shape_inference.infer_shapes(model).graph.value_info}
        known.update({v.name: v for v in (*model.graph.input, *model.graph.output)})
        if unknown := [name for name in value_names if name not in known]:
            raise ValueError(f"ONNXProgram.compute_values: the graph has no values {unknown}")
        del model.graph.output[:]
        model.graph.output.extend(known[name] for name in value_names)
        session = _session(model.SerializeToString())
        return self._run(session, [i.name for i in session.get_inputs()], args, kwargs or {})

    def rename_axes(self, axes_map: Mapping[Any, Any]) -> None:
        """Call sizes that may change by other names."""
        names = {str(old): str(new) for old, new in axes_map.items()}
        for value in (
            *self.model_proto.graph.input,
            *self.model_proto.graph.output,
            *self.model_proto.graph.value_info,
        ):
            for size in value.type.tensor_type.shape.dim:
                if size.dim_param in names:
                    size.dim_param = names[size.dim_param]

    @staticmethod
    def _run(session: Any, names: list[str], args: Any, kwargs: Any) -> tuple[Any, ...]:
        from ..ops.making.conversion import from_numpy
        from ._converter import array

        leaves = [v for v in pytree.tree_flatten((args, kwargs))[0] if hasattr(v, "_array")]
        results = session.run(None, dict(zip(names, map(array, leaves), strict=True)))
        return tuple(from_numpy(np.asarray(r)) for r in results)

    def __repr__(self) -> str:
        import onnx

        return f"ONNXProgram(\n{onnx.printer.to_text(self.model_proto)}\n)"


def _session(model: str | bytes) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def export(
    model: Any,
    args: Any = (),
    f: Any = None,
    *,
    kwargs: dict[str, Any] | None = None,
    verbose: bool | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    opset_version: int | None = None,
    dynamo: bool = True,
    external_data: bool = True,
    dynamic_shapes: Any = None,
    custom_translation_table: Any = None,
    report: bool = False,
    optimize: bool = True,
    verify: bool = False,
    profile: bool = False,
    dump_exported_program: bool = False,
    artifacts_dir: Any = ".",
    export_params: bool = True,
    keep_initializers_as_inputs: bool = False,
    dynamic_axes: Any = None,
    training: TrainingMode = TrainingMode.EVAL,
    operator_export_type: OperatorExportTypes = OperatorExportTypes.ONNX,
    do_constant_folding: bool = True,
    custom_opsets: Mapping[str, int] | None = None,
    export_modules_as_functions: bool | Collection[type] = False,
    autograd_inlining: bool = True,
) -> ONNXProgram | None:
    """A module (or an `ExportedProgram`) as an ONNX model, written to `f` (a path or a binary file) if it is given.

    The module runs with the example (see `torch.export.export`), in evaluation mode unless `training` says otherwise, and the
    functions that it calls become ONNX's operators of `opset_version` (13 to 23). Sizes that `dynamic_axes` or `dynamic_shapes`
    name may change. What does not depend on the inputs is computed now: `optimize=False` or `do_constant_folding=False` warns. With
    `dynamo=False` nothing is returned, as in PyTorch; otherwise both ways are one. Parameters are in the file itself up to 2 GB,
    and in one beside it beyond that; ValueError there with `external_data=False`. `artifacts_dir` is for reports (refused).

    UnsupportedOperatorError names a function that has no form in ONNX; OnnxExporterError says why a module can't be recorded.
    """
    _refuse(
        custom_translation_table=custom_translation_table, report=report, profile=profile,
        dump_exported_program=dump_exported_program, custom_opsets=custom_opsets,
        export_modules_as_functions=export_modules_as_functions, operator_export_type=operator_export_type,
    )  # fmt: skip
    asked = (kwargs, input_names, output_names, dynamic_shapes)
    args, (kwargs, input_names, output_names, dynamic_shapes) = told_by(model, args, asked)
    _told_of_constants(export_params, optimize and do_constant_folding)
    opset, names = _opset(opset_version), list(input_names or ())
    program = _program(model, args, kwargs, dynamic_shapes, dynamic_axes, names, TrainingMode(training))
    made = _converted(program, opset, names, list(output_names or ()), dynamic_axes, keep_initializers_as_inputs)
    if verbose:
        print(_package().printer.to_text(made.model_proto))
    if verify:
        _verify(made)
    if f is not None:
        made.save(f, external_data=None if external_data else False)
    return made if dynamo else None


def _told_of_constants(kept: bool, folded: bool) -> None:
    if not kept:
        raise NotImplementedError("torch.onnx.export: export_params=False is not supported: they are in the file")
    if not folded:
        warnings.warn(
            "torch.onnx.export: optimize=False and do_constant_folding=False change nothing: what does not depend on the inputs is "
            "computed while the module is recorded",
            stacklevel=3,
        )


def _opset(version: int | None) -> int:
    opset = DEFAULT_OPSET if version is None else version
    if not LEAST_OPSET <= opset <= LAST_OPSET:
        raise ValueError(f"Unsupported ONNX opset version: {opset}; it may be {LEAST_OPSET} to {LAST_OPSET}")
    return opset


def _package() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise ImportError("torch.onnx.export needs the onnx package: pip install 'flambeau[onnx]'") from error
    return onnx


def _converted(
    program: Any, opset: int, names: list[str], output_names: list[str], dynamic_axes: Any, initializers_as_inputs: bool
) -> ONNXProgram:
    onnx = _package()
    from ._converter import Converter

    converter = Converter(program, opset)
    converter.run(names, output_names)
    proto = converter.model(_size_names(converter, program, dynamic_axes or {}), initializers_as_inputs)
    try:
        onnx.checker.check_model(proto, full_check=proto.ByteSize() < _LARGEST)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise OnnxExporterError(
            f"torch.onnx.export: the model that was made is none that ONNX takes: {error}"
        ) from error
    return ONNXProgram(proto, program)


def _refuse(**options: Any) -> None:
    for name, value in options.items():
        if value:
            raise NotImplementedError(f"torch.onnx.export: {name}={value!r} is not supported")


def _program(
    model: Any, args: Any, kwargs: Any, shapes: Any, axes: Any, names: list[str], training: TrainingMode
) -> ExportedProgram:
    if isinstance(model, ExportedProgram):
        if model._recording is None:
            raise OnnxExporterError(
                "torch.onnx.export: a program that was loaded from a file can't be exported: export its module"
            )
        return model
    if not isinstance(model, Module):
        function, model = model, Module()
        if not callable(function):
            raise TypeError(f"torch.onnx.export expects a module, got {type(function).__name__}")
        model.forward = function
    positional = tuple(args) if isinstance(args, (tuple, list)) else (args,)
    keywords = dict(kwargs or {})
    if positional and isinstance(positional[-1], dict) and kwargs is None:
        *front, last = positional
        positional, keywords = tuple(front), dict(last)
    if shapes is None and axes:
        shapes = _shapes_of(axes, names, positional, keywords)
    with _mode(model, training):
        try:
            return record(model, positional, keywords, dynamic_shapes=shapes)
        except RuntimeError as error:
            raise OnnxExporterError(f"torch.onnx.export: {error}") from error


@contextlib.contextmanager
def _mode(model: Module, training: TrainingMode) -> Iterator[None]:
    """The model in the mode that is asked for, while code is told that it is exported."""
    global _exporting
    before = [(part, part.training) for part in model.modules()]
    if training is not TrainingMode.PRESERVE:
        for part, _ in before:
            part.training = training is TrainingMode.TRAINING
    _exporting = True
    try:
        yield
    finally:
        _exporting = False
        for part, mode in before:
            part.training = mode


def _shapes_of(axes: Any, names: list[str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`dynamic_axes`, by the names of the flat inputs, as `dynamic_shapes`."""
    leaves, spec = pytree.tree_flatten((list(args), list(kwargs.values())))
    tensors = [i for i, leaf in enumerate(leaves) if hasattr(leaf, "_array")]
    shapes: list[Any] = [None] * len(leaves)
    for at, i in enumerate(tensors):
        name = names[at] if at < len(names) else None
        if name in axes:
            found = axes[name]
            shapes[i] = dict(found) if isinstance(found, Mapping) else {d: f"{name}_dim_{d}" for d in found}
    positional, keywords = pytree.tree_unflatten(shapes, spec)
    return [*positional, *keywords]


def _size_names(converter: Any, program: ExportedProgram, axes: Any) -> dict[tuple[str, int], str]:
    named: dict[tuple[str, int], str] = {}
    tensors = iter(converter.inputs)
    placeholders = [n for n in converter.recorded.graph.nodes if n.op == "placeholder"]
    for node, dims in zip(placeholders, program._dims, strict=True):
        if node in converter.recorded.values:
            _, value = next(tensors)
            for d, dim in dims.items():
                name = dim if isinstance(dim, str) else getattr(dim, "__name__", None)
                if name is not None:
                    named[value.name, d] = name
    for name, found in axes.items():
        if isinstance(found, Mapping):
            named.update({(name, d): str(called) for d, called in found.items()})
    return named


def _verify(made: ONNXProgram) -> None:
    """Run the example with onnxruntime. OnnxExporterError if it computes something else."""
    from .. import testing

    program = made.exported_program
    assert program is not None
    args, kwargs = program.example_inputs
    expected = pytree.tree_flatten(program.module()(*args, **kwargs))[0]
    try:
        testing.assert_close(list(made(*args, **kwargs)), [e.detach() for e in expected], rtol=1e-3, atol=1e-3)
    except AssertionError as error:
        raise OnnxExporterError(f"torch.onnx.export: onnxruntime computes something else: {error}") from error
