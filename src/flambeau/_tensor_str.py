"""How tensors are printed, under the module name that PyTorch gives it."""

from typing import Any

from flambeau.core.array import printing
from flambeau.core.array.printing import (
    _body,
    _edges,
    _formatter,
    get_printoptions,
    printoptions,
    set_printoptions,
    with_suffixes,
)
from flambeau.core.tensor.tensor import Tensor

__all__ = ["get_printoptions", "printoptions", "set_printoptions"]


def __getattr__(name: str) -> Any:
    if name == "PRINT_OPTS":  # what is set now
        return printing._options
    raise AttributeError(f"module {__spec__.name!r} has no attribute {name!r}")


def _str_intern(inp: Tensor, *, tensor_contents: str | None = None) -> str:
    """The printed form of a tensor."""
    return inp.__repr__(tensor_contents=tensor_contents)  # type: ignore[call-arg]


_str = _str_intern


def _tensor_str(self: Tensor, indent: int) -> str:
    """The values of a tensor as text, further lines indented by `indent`."""
    array = self.detach().cpu().numpy()
    if not array.size:
        return "[]"
    edge = printing._options.edgeitems
    summarised = array.size > printing._options.threshold
    shown = _edges(array) if summarised else array
    return _body(shown, tuple(summarised and n > 2 * edge for n in array.shape), *_formatter(shown, self.dtype), indent)


def _add_suffixes(tensor_str: str, suffixes: list[str], indent: int, force_newline: bool) -> Any:
    """What stands behind the values, on new lines where a line would be too long, and the last parenthesis."""
    return with_suffixes(tensor_str, suffixes, indent, anew=force_newline)
