"""What `help` and `inspect.signature` show of public functions: made of the declaration when somebody asks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from .overloads import OpOverloadPacket, ops
from .schema import FunctionSchema

# where a function writes into `out` if PyTorch's operator does
_WITH_OUT = ("torch", "linalg", "fft", "special")
# what ATen has such an operator of, and Python no such argument
_WITHOUT_OUT = frozenset((
    "adaptive_avg_pool1d affine_grid_generator as_strided_scatter avg_pool1d bartlett_window "
    "batch_norm_backward_elemt batch_norm_backward_reduce batch_norm_gather_stats "
    "batch_norm_gather_stats_with_counts batch_norm_stats batch_norm_update_stats "
    "binary_cross_entropy_with_logits bincount binomial blackman_window block_diag celu channel_shuffle clone "
    "constant_pad_nd conv_tbc convolution count_nonzero diag_embed diagonal_scatter dist embedding empty_like "
    "empty_permuted empty_strided fill flip from_file full_like grid_sampler_2d grid_sampler_3d hamming_window "
    "hann_window index_fill index_put isinf isnan kaiser_window linalg_matrix_exp masked_fill masked_scatter "
    "native_dropout native_group_norm native_layer_norm native_norm ones_like pixel_shuffle pixel_unshuffle "
    "poisson put rand_like randint_like randn_like relu repeat_interleave roll rot90 rsub scalar_tensor "
    "segment_reduce select_scatter sparse_coo_tensor std_mean trace tril_indices triu_indices unique_consecutive "
    "var_mean zeros_like"
).split())  # fmt: skip
_RESULT = {"Array": "Tensor | None", "Tensor": "Tensor | None"}


class Signature(inspect.Signature):
    """A signature that is made when it is read, so that importing costs nothing."""

    __slots__ = ("_make",)
    _make: Callable[[], inspect.Signature]

    @classmethod
    def made_by(cls, make: Callable[[], inspect.Signature]) -> Signature:
        """One that is what `make` gives."""
        signature = cls.__new__(cls)
        signature._make = make
        return signature

    def __getattr__(self, name: str) -> Any:
        # reached for the slots of inspect's own class, as long as nothing is in them
        if name not in ("_parameters", "_return_annotation"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        made: Any = self._make()
        self._parameters, self._return_annotation = made._parameters, made.return_annotation
        return getattr(self, name)


def show(made: Any, function: Callable[..., Any], place: str | None = None) -> None:
    """Let a public form of a function show how it may be called, in a namespace (`place`) or as a method."""
    made.__signature__ = Signature.made_by(lambda: _shown(function, made.__name__, place))


def _shown(function: Any, name: str, place: str | None) -> inspect.Signature:
    signature = inspect.signature(getattr(function, "in_place_of", function))
    in_itself = place is None or hasattr(function, "in_place_of")
    hidden = {"_query", "out"} if in_itself else {"_query"}
    parameters = [p for p in signature.parameters.values() if p.name not in hidden]
    schemas = _schemas(name)
    if parameters and parameters[0].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
        if place is None:
            parameters[0] = parameters[0].replace(name="self")
        elif place == "torch" and parameters[0].name == "A" and _first_is_self(schemas):
            parameters[0] = parameters[0].replace(name="input")
    if any(p.name == "dims" for p in parameters) and "size" in signature.parameters:  # one by one, or under this name
        parameters = [p.replace(name="size") if p.name == "dims" else p for p in parameters if p.name != "size"]
    takes_out = place in _WITH_OUT and (hasattr(function, "operator") or hasattr(function, "casts"))
    told = any(p.kind is p.VAR_KEYWORD or p.name == "out" for p in parameters)
    if takes_out and not in_itself and not told and name not in _WITHOUT_OUT and _writes_out(schemas):
        kind = _RESULT.get(str(signature.return_annotation), "Any")
        parameters.append(inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind))
    return signature.replace(parameters=parameters)


def _first_is_self(schemas: Iterable[FunctionSchema]) -> bool:
    return any(s.arguments and s.arguments[0].name == "self" for s in schemas)


def _writes_out(schemas: Iterable[FunctionSchema]) -> bool:
    return any(argument.is_out for schema in schemas for argument in schema.arguments)


def _schemas(name: str) -> tuple[FunctionSchema, ...]:
    packet = getattr(ops.aten, name, None)
    return tuple(packet._schemas.values()) if isinstance(packet, OpOverloadPacket) else ()


__all__ = ["show"]
