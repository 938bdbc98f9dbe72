"""How far the values of an ONNX model are from those of the program that it was made of."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..core.array.dtypes import bool as bool_
from ..core.array.dtypes import float32
from ..core.tensor.tensor import Tensor
from ..utils import _pytree as pytree

__all__ = ["VerificationInfo", "verify_onnx_program"]

_LIMITS = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 1e6)


@dataclasses.dataclass
class VerificationInfo:
    """How far a value is from the expected one.

    The histograms are counts and limits of the differences, absolute and relative to the expected value: up to 1e-6, 1e-5, ..., 10, 1e6.
    """

    name: str
    max_abs_diff: float
    max_rel_diff: float
    abs_diff_hist: tuple[Tensor, Tensor]
    rel_diff_hist: tuple[Tensor, Tensor]
    expected_dtype: Any
    actual_dtype: Any

    @classmethod
    def from_tensors(
        cls, name: str, expected: Tensor | float | int | bool, actual: Tensor | float | int | bool
    ) -> VerificationInfo:
        """Compare two values. RuntimeError for shapes that do not go together.

        Args:
            name: what the value is called.
            expected: a tensor or a number.
            actual: the one that is compared with it.
        """
        import flambeau

        expected, actual = (v if isinstance(v, Tensor) else flambeau.tensor(v) for v in (expected, actual))
        left, right = (v.to(float32) if v.dtype == bool_ else v for v in (expected, actual))
        if not (left.numel() and right.numel()):
            off = relative = left.new_full((1,), float("inf"), dtype=float32)
        else:
            off = (left - right).abs()
            relative = off / (left.abs() + 1e-7)
        limits = flambeau.tensor(_LIMITS)
        counts = [flambeau.histogram(d.detach().to(float32).flatten(), limits) for d in (off, relative)]
        absolute, to_expected = counts
        return cls(name, off.max().item(), relative.max().item(), absolute, to_expected, expected.dtype, actual.dtype)

    def asdict(self) -> dict[str, Any]:
        """What it says in plain values."""
        made: dict[str, Any] = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in ("abs_diff_hist", "rel_diff_hist"):
            made[name] = [part.tolist() for part in made[name]]
        for name in ("expected_dtype", "actual_dtype"):
            made[name] = str(made[name])
        return made


def verify_onnx_program(
    onnx_program: Any,
    args: tuple[Any, ...] | None = None,
    kwargs: dict[str, Any] | None = None,
    compare_intermediates: bool = False,
) -> list[VerificationInfo]:
    """Run the exported program and its ONNX model (with onnxruntime), and compare their outputs.

    Args:
        onnx_program: what `torch.onnx.export` gave.
        args: the positional inputs; with `kwargs` None the example with which it was exported.
        kwargs: the keyword inputs.
        compare_intermediates: refused, since the values in between have no names in common here.

    Raises ValueError for a program that holds no exported program.
    """
    program = onnx_program.exported_program
    if program is None:
        raise ValueError("verify_onnx_program: the ONNX program was not made of an exported program")
    if compare_intermediates:
        raise NotImplementedError(
            "verify_onnx_program: compare_intermediates=True is not supported, outputs are compared"
        )
    if args is None and kwargs is None:
        args, kwargs = program.example_inputs
    args, kwargs = tuple(args or ()), dict(kwargs or {})
    expected = [leaf for leaf in pytree.tree_flatten(program.module()(*args, **kwargs))[0] if leaf is not None]
    names = [output.name for output in onnx_program.model_proto.graph.output]
    found = onnx_program(*args, **kwargs)
    return [VerificationInfo.from_tensors(*one) for one in zip(names, expected, found, strict=True)]
