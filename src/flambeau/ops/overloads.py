"""`torch.ops.aten`: operators by the names and schemas that PyTorch gives them below its public functions.

`aten_schemas.txt` holds the schemas, one a line. A name is computed by the public function or method of that name; some, which
have none, by a form given here. A name that nothing computes is there to be compared with, and says so when it is called.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from importlib import resources
from typing import Any

from .._library.keys import Tag
from ..core.dispatch.operator import namespaces
from ..core.dispatch.overloads import OpNamespace, OpOverload, OpOverloadPacket, ops
from ..core.dispatch.schema import parse
from ..core.tensor.tensor import Tensor
from .indexing.gathering import put_with_gaps, put_with_gaps_
from .layers.activation import _log_softmax as log_softmax
from .layers.activation import _softmax as softmax
from .layers.aten_forms import FORMS
from .layers.aten_gradients import GRADIENTS
from .shape.joining import block_diag, cartesian_prod
from .support.losses import REDUCTIONS

# Where a number will do for a tensor
_TAKES_NUMBERS = frozenset(
    """add add_ sub sub_ mul mul_ div div_ divide divide_ multiply multiply_ subtract subtract_ true_divide true_divide_
    floor_divide floor_divide_ remainder remainder_ rsub pow pow_ fmod fmod_ copysign copysign_ xlogy xlogy_ logaddexp
    maximum minimum where clamp clamp_ logical_and logical_or logical_xor lerp lerp_""".split()
)


@functools.cache
def _schemas() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in resources.files(__package__).joinpath("aten_schemas.txt").read_text().splitlines():
        found.setdefault(line[: line.index("(")].partition(".")[0], []).append(line)
    return found


def _look_up(name: str) -> OpOverloadPacket | None:
    if name in _SAME:
        return getattr(aten, _SAME[name])  # type: ignore[no-any-return]
    lines = _schemas().get(name)
    if lines is None:
        return None
    packet = OpOverloadPacket("aten", name)
    packet.takes_numbers = name in _TAKES_NUMBERS
    run = _computed(name, _public(name))
    for line in lines:
        packet.add(parse(line, "aten"), run)
    for overload in packet.overloads():
        found = getattr(packet, overload)
        found._tags = _tags_of(found)
    return packet


@functools.cache
def _told_tags() -> dict[str, frozenset[str]]:
    """By tag the operators that have it: `name` with all of its overloads, or `name.overload`. `-tag`: that lack it, unlike others."""
    lines = resources.files(__package__).joinpath("aten_tags.txt").read_text().splitlines()
    return {tag: frozenset(names.split()) for tag, _, names in (line.partition(":") for line in lines)}


def _tags_of(op: OpOverload) -> list[Tag]:
    names = (op._opname, op.__name__)
    told = {tag for tag, having in _told_tags().items() if not having.isdisjoint(names)}
    tags = told | {"pt2_compliant_tag"}
    writes = [a for a in op._schema.arguments if a.is_write]
    if any(a.is_out for a in writes):
        tags.add("out")
    elif writes and op._opname.endswith("_"):
        tags.add("inplace")
    return sorted(Tag[tag] for tag in tags if tag[0] != "-" and "-" + tag not in told)


def _public(name: str) -> Callable[..., Any] | None:
    """The public function that computes an operator."""
    if name in _FORMS:
        return _FORMS[name]
    for space in ("torch", "nn.functional"):
        if name in namespaces.get(space, {}):
            return namespaces[space][name]
    space, _, rest = name.partition("_")
    if space in ("linalg", "fft", "special") and rest in namespaces.get(space, {}):
        return namespaces[space][rest]
    return getattr(Tensor, name, None)


def _computed(name: str, function: Callable[..., Any] | None) -> Callable[..., Any]:
    def run(op: OpOverload, *args: Any, **kwargs: Any) -> Any:
        bound = op._schema.bind(args, kwargs, op.overloadpacket.takes_numbers)
        if function is None:
            raise NotImplementedError(
                f"Could not run '{op.name()}': flambeau has no operator of this name, only the name to compare with; call the "
                "public function that you need"
            )
        given: list[Any] = []
        named: dict[str, Any] = {}
        outs: list[Any] = []
        for place, argument in enumerate(op._schema.arguments):
            if argument.name not in bound and argument.name != "reduction":
                continue  # what follows is given by name
            value = bound.get(argument.name, argument.default_value)
            if argument.is_out:
                outs.append(value)
            elif argument.name == "reduction" and isinstance(value, int) and name not in _FORMS:
                named["reduction"] = value if _reduces_by_number(function) else REDUCTIONS[value]
            elif not argument.kwarg_only and len(given) == place:
                given.append(value)
            elif not (argument.name in _ABOUT_MEMORY and value in (None, False)):
                named[argument.name] = value
        if outs:
            named["out"] = outs[0] if len(outs) == 1 else tuple(outs)
        result = function(*given, **named)
        if not isinstance(result, tuple):
            return result
        return list(result) if op._schema.returns[0].declared.steps else tuple(result)

    run.computes = function is not None  # type: ignore[attr-defined]
    return run


@functools.cache
def _reduces_by_number(function: Callable[..., Any]) -> bool:
    found = inspect.signature(function).parameters.get("reduction")
    return found is not None and isinstance(found.default, int)


_ABOUT_MEMORY = ("pin_memory", "layout", "device", "memory_format")


# --- operators that no public function is called like ---------------------------------------------------------------


def _torch(name: str) -> Callable[..., Any]:
    return namespaces["torch"][name]


def _functional(name: str) -> Callable[..., Any]:
    return namespaces["nn.functional"][name]


def _softmax(self: Tensor, dim: int, half_to_float: bool) -> Tensor:
    return softmax(self, dim)


def _log_softmax(self: Tensor, dim: int, half_to_float: bool) -> Tensor:
    return log_softmax(self, dim)


def _to_copy(self: Tensor, non_blocking: bool = False, **options: Any) -> Tensor:
    kept = {k: v for k, v in options.items() if v is not None}
    return self.to(**kept, copy=True)  # type: ignore[no-any-return]


def _slice(self: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
    return self[(slice(None),) * (dim % self.ndim) + (slice(start, end, step),)]  # type: ignore[no-any-return]


def _index(self: Tensor, indices: Any) -> Tensor:
    return self[tuple(slice(None) if i is None else i for i in indices)]  # type: ignore[no-any-return]


def _convolution(input: Tensor, weight: Tensor, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool,
                 output_padding: Any, groups: int, *cudnn: Any) -> Tensor:  # fmt: skip
    name = f"conv{'_transpose' if transposed else ''}{weight.ndim - 2}d"
    if transposed:
        return _torch(name)(input, weight, bias, stride, padding, output_padding, groups, dilation)
    return _torch(name)(input, weight, bias, stride, padding, dilation, groups)


def _native_layer_norm(input: Tensor, normalized_shape: Any, weight: Any, bias: Any, eps: float) -> Any:
    dims = tuple(range(input.ndim - len(normalized_shape), input.ndim))
    mean = input.mean(dims, keepdim=True)
    rstd = (input.var(dims, correction=0, keepdim=True) + eps).rsqrt()
    return _functional("layer_norm")(input, tuple(normalized_shape), weight, bias, eps), mean, rstd


def _alias(self: Tensor) -> Tensor:
    return self.view(self.shape)  # type: ignore[no-any-return]


def _sym_size(self: Tensor, dim: int | None = None) -> Any:
    return self.size() if dim is None else self.size(dim)


def _nll_loss_forward(self: Tensor, target: Tensor, weight: Any, reduction: int, ignore_index: int) -> Any:
    how = REDUCTIONS[reduction]
    loss = _functional("nll_loss")(self, target, weight, ignore_index=ignore_index, reduction=how)
    counted: Any = target != ignore_index
    total = counted if weight is None else weight[target.clamp(min=0)] * counted
    return loss, total.sum().to(self.dtype)


def _scalar(self: Tensor) -> Any:
    return self.item()


def _threshold_backward(grad_output: Tensor, self: Tensor, threshold: Any) -> Tensor:
    return grad_output * (self > threshold)  # type: ignore[no-any-return]


def _cross_entropy_loss(
    self: Tensor,
    target: Tensor,
    weight: Any = None,
    reduction: int = 1,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Tensor:
    how = REDUCTIONS[reduction]
    loss = _functional("cross_entropy")
    return loss(self, target, weight, ignore_index=ignore_index, reduction=how, label_smoothing=label_smoothing)  # type: ignore[no-any-return]


def _nll_loss_nd(
    self: Tensor, target: Tensor, weight: Any = None, reduction: int = 1, ignore_index: int = -100
) -> Tensor:
    how = REDUCTIONS[reduction]
    return _functional("nll_loss")(self, target, weight, ignore_index=ignore_index, reduction=how)  # type: ignore[no-any-return]


_FORMS: dict[str, Callable[..., Any]] = {
    "cross_entropy_loss": _cross_entropy_loss, "nll_loss2d": _nll_loss_nd, "nll_loss_nd": _nll_loss_nd,
    **FORMS,  # type: ignore[dict-item]
    **GRADIENTS,
    "_softmax": _softmax, "_log_softmax": _log_softmax, "_to_copy": _to_copy, "slice": _slice, "index": _index,
    "index_put": put_with_gaps, "index_put_": put_with_gaps_,
    "im2col": lambda self, *sizes: _functional("unfold")(self, *sizes), "col2im": lambda self, *sizes: _functional("fold")(self, *sizes),
    "convolution": _convolution, "native_layer_norm": _native_layer_norm, "alias": _alias, "lift_fresh": _alias,
    "lift_fresh_copy": lambda self: self.clone(),
    "_unsafe_view": lambda self, size: self.reshape(size), "sym_size": _sym_size, "_local_scalar_dense": _scalar,
    "sym_numel": lambda self: self.numel(), "sym_stride": lambda self, dim=None: self.stride() if dim is None else self.stride(dim),
    "threshold_backward": _threshold_backward, "nll_loss_forward": _nll_loss_forward,
    "unfold": lambda self, dimension, size, step: self.unfold(dimension, size, step),
    "block_diag": lambda tensors: block_diag(*tensors),
    "cartesian_prod": lambda tensors: cartesian_prod(*tensors),
    "_reshape_alias": lambda self, size, stride: self.as_strided(size, stride), "copy": lambda self, src, non_blocking=False: (
        src.to(self.dtype).expand(self.shape).clone()),
}  # fmt: skip
ops.aten = OpNamespace("aten", _look_up)
aten: OpNamespace = ops.aten


# --- what PyTorch would have computed ---------------------------------------------------------------------------------

# PyTorch's name for what flambeau's operators (by their own names) compute, where it is another one
_BELOW = {
    "conv1d": "convolution", "conv2d": "convolution", "conv3d": "convolution",
    "conv_transpose1d": "convolution", "conv_transpose2d": "convolution", "conv_transpose3d": "convolution",
    "attention": "_scaled_dot_product_flash_attention_for_cpu", "softmax": "_softmax",
    "log_softmax": "_log_softmax", "layer_norm": "native_layer_norm", "batch_norm": "native_batch_norm",
    "group_norm": "native_group_norm", "cross_entropy": "nll_loss_forward", "dropout": "bernoulli_",
    "true_divide": "div", "subtract": "sub", "multiply": "mul",
}  # fmt: skip
# Names that stand for one computation here
_SAME = {
    "_scaled_dot_product_flash_attention": "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention": "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_cudnn_attention": "_scaled_dot_product_flash_attention_for_cpu",
    "_flash_attention_forward": "_scaled_dot_product_flash_attention_for_cpu",
    "_efficient_attention_forward": "_scaled_dot_product_flash_attention_for_cpu",
}


def overload_of(name: str, arrays: Any) -> OpOverload | None:
    """What PyTorch calls the computation of an operator of ours (by its name) on these arguments."""
    if name == "linear":
        name = "addmm" if len(arrays) > 2 else "mm"
    elif name in ("matmul", "rmatmul") and len(arrays) == 2:
        left, right = (getattr(a, "ndim", 0) for a in arrays)
        name = {(1, 1): "dot", (2, 1): "mv", (2, 2): "mm"}.get((left, right), "mm" if right == 2 else "bmm")
    packet = getattr(aten, _BELOW.get(name, name), None)
    if packet is None:
        return None
    return getattr(packet, packet.overloads()[0])


__all__ = ["aten", "overload_of"]
