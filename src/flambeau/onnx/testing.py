"""Tests of exported ONNX models."""

from __future__ import annotations

from typing import Any

from ..testing import assert_close
from ..utils import _pytree as pytree

__all__ = ["assert_onnx_program"]


def assert_onnx_program(
    program: Any, *, rtol: float | None = None, atol: float | None = None, args: tuple[Any, ...] | None = None,
    kwargs: dict[str, Any] | None = None, strategy: str | None = "TorchExportNonStrictStrategy", backend: str = "onnxruntime",
) -> None:  # fmt: skip
    """AssertionError unless the ONNX model gives what the exported program gives.

    Args:
        program: what `torch.onnx.export` gave.
        rtol: how far values may be from the expected ones, relatively; by their dtype unless given.
        atol: how far they may be from them at all.
        args: the positional inputs; with `kwargs` None the example with which it was exported.
        kwargs: the keyword inputs.
        strategy: how the program was recorded: there is one way here, which goes by this name.
        backend: who runs the model, "onnxruntime" or "reference".

    Raises ValueError for another backend, or for a program that holds no exported program.
    """
    if backend not in ("onnxruntime", "reference"):
        raise ValueError(f"Unsupported backend: {backend}; it may be onnxruntime or reference")
    if strategy not in (None, "TorchExportNonStrictStrategy"):
        raise AssertionError(f"the program was recorded by TorchExportNonStrictStrategy, not by {strategy}")
    exported = program.exported_program
    if exported is None:
        raise ValueError("The ONNX program does not contain an exported_program; give one that was made of a module")
    if args is None and kwargs is None:
        args, kwargs = exported.example_inputs
    args, kwargs = tuple(args or ()), dict(kwargs or {})
    expected = [leaf for leaf in pytree.tree_flatten(exported.module()(*args, **kwargs))[0] if leaf is not None]
    found = (program if backend == "onnxruntime" else program.call_reference)(*args, **kwargs)
    assert_close(list(found), [leaf.detach() for leaf in expected], rtol=rtol, atol=atol)
