"""`fp32_precision`: in what products of float32 may be computed, for all backends, for one, and for one of its operators.

Like the older switches (`allow_tf32`), these are remembered and change no result: products are made in float32, and XLA's own setting is
`jax_default_matmul_precision`.
"""

from __future__ import annotations

import warnings
from typing import Any

from ..core.dispatch.messages import message
from ..runtime.settings import Telling
from ._frozen import Switches

_TAKEN = {
    "generic": ("none", "ieee", "tf32", "bf16"),
    "cuda": ("none", "ieee", "tf32"),
    "mkldnn": ("none", "ieee", "tf32", "bf16"),
}
_AT_FIRST = {("cuda", "conv"): "tf32", ("cuda", "rnn"): "tf32"}  # until something is told
_told: dict[tuple[str, str], str] = {}
_OF_PRODUCTS = {"highest": ("ieee", "ieee"), "high": ("tf32", "tf32"), "medium": ("tf32", "bf16")}  # of cuda, of mkldnn
_of_products = ["highest"]


def precision_of(backend: str, operator: str = "all") -> str:
    """What was told for the operator, else for its backend, else for all of them."""
    for key in ((backend, operator), (backend, "all"), ("generic", "all")):
        if (told := _told.get(key, "none")) != "none":
            return told
    return "none" if (backend, operator) in _told else _AT_FIRST.get((backend, operator), "none")


def tell(backend: str, operator: str, value: Any) -> None:
    """Remember it. RuntimeError for what is no precision, or none of this backend."""
    if value not in _TAKEN["generic"]:
        raise RuntimeError(f"Unknown precision: {value}")
    if value not in _TAKEN[backend]:
        raise RuntimeError(f"backend '{backend}' does not support precision '{value}'")
    _told[backend, operator] = value


def precision_of_products() -> str:
    """`torch.get_float32_matmul_precision`."""
    return _of_products[0]


def tell_of_products(precision: Any) -> None:
    """`torch.set_float32_matmul_precision`."""
    if not isinstance(precision, str):
        raise RuntimeError(message("matmul_precision_kind", kind=type(precision).__name__))
    if precision not in _OF_PRODUCTS:
        warnings.warn(message("matmul_precision_unknown", precision=precision), UserWarning, stacklevel=3)
        return
    _of_products[0] = precision
    for backend, value in zip(("cuda", "mkldnn"), _OF_PRODUCTS[precision], strict=True):
        tell(backend, "matmul", value)


def switch(backend: str, operator: str = "all") -> Any:
    """`fp32_precision` as an attribute of what stands for a backend or an operator."""

    def write(self: Any, value: Any) -> None:
        tell(backend, operator, value)

    told = "In what float32 may be computed; remembered, and changes no result."
    return property(lambda self: precision_of(backend, operator), write, doc=told)


def both(backend: str, *operators: str) -> Any:
    """`allow_tf32`, the older form of it."""

    def write(self: Any, value: Any) -> None:
        for operator in operators:
            tell(backend, operator, "tf32" if value else "ieee")
        if "matmul" in operators:
            _of_products[0] = "high" if value else "highest"

    told = "Whether products may round float32 to 19 bits; remembered, and changes no result."
    return property(lambda self: all(precision_of(backend, name) == "tf32" for name in operators), write, doc=told)


class _FP32Precision(Telling):
    """The switch of one operator, which has no other attribute."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"Unknown attribute {name}")

    def __setattr__(self, name: str, value: Any) -> None:
        if not isinstance(getattr(type(self), name, None), property):
            raise AttributeError(f"Unknown attribute {name}")
        super().__setattr__(name, value)


def operator(backend: str, name: str) -> Any:
    """What stands for one operator of a backend."""
    return type("_FP32Precision", (_FP32Precision,), {"fp32_precision": switch(backend, name)})()


class Generic(Switches):
    """`torch.backends`."""

    fp32_precision = switch("generic")


class Cudnn(Switches):
    """`torch.backends.cudnn`."""

    fp32_precision = switch("cuda")
    allow_tf32 = both("cuda", "conv", "rnn")


class Mkldnn(Switches):
    """`torch.backends.mkldnn`."""

    fp32_precision = property(
        lambda self: precision_of("mkldnn"), lambda self, value: tell("generic", "all", value)
    )  # as PyTorch
