"""What would fit: advice for a call of a layer that has failed, from the layer's settings and its inputs' shapes and dtypes.

It says nothing of values: they are not at hand where a compiled function finds something wrong with them.
"""

from __future__ import annotations

import math
import re
from typing import Any

from ...core.tensor.tensor import Tensor


def advice(module: Any, args: tuple[Any, ...], text: str) -> str:
    """One line, or nothing. Layers are known by their settings, so that those of users' own are, too."""
    if not args:
        return ""
    first = args[0]
    if not isinstance(first, Tensor):
        return _no_tensor(first) if "must be Tensor" in text else ""
    if hasattr(module, "reduction"):
        return _loss(module, first, args[1], text) if len(args) > 1 and isinstance(args[1], Tensor) else ""
    if "in1_features" in module.__dict__:
        return _pair(module, args)
    for setting, look in _SETTINGS.items():
        if setting in module.__dict__ and (found := look(module, first, text)):
            return found
    return _dtype(module, first, text)


def of_a_view(text: str, args: tuple[Any, ...]) -> str:
    """What a shape should be that a user's `forward` asked for, if the batch is what it wanted to keep."""
    found = re.fullmatch(r"shape '\[-1, (\d+)\]' is invalid for input of size (\d+)", text)
    if found is None or not args or not isinstance(args[0], Tensor) or not args[0].ndim:
        return ""
    wrong, size, batch = found[1], int(found[2]), args[0].shape[0]
    if not batch or size % batch:
        return ""
    return f"{size // batch} in place of {wrong} keeps the batch of {batch}; x.flatten(1) finds it by itself"


def _no_tensor(value: Any) -> str:
    kind = type(value).__name__
    if kind == "ndarray":
        return "make a tensor of the array first: torch.from_numpy(x)"
    if isinstance(value, (list, tuple)) and any(isinstance(part, (Tensor, list, tuple)) for part in value):
        if isinstance(value, tuple) and isinstance(value[0], Tensor):  # as recurrent layers and attention give
            return f"the input is a tuple of {len(value)}, as layers like nn.LSTM give (output, state): give its first entry, x[0]"
        return ""
    return f"make a tensor of the {kind} first: torch.tensor(x)" if isinstance(value, (list, tuple, int, float)) else ""


def _features(module: Any, x: Any, text: str) -> str:
    wanted = module.in_features
    if not x.ndim or x.shape[-1] == wanted:
        return ""
    flat = math.prod(x.shape[1:])
    if x.ndim > 2 and flat == wanted:
        return f"flatten the input first: x.flatten(1) is {[x.shape[0], flat]}"
    found = f"in_features should be {x.shape[-1]}"
    return f"{found}, or {flat} if the input is to be flattened (x.flatten(1))" if x.ndim > 2 else found


def _channels(module: Any, x: Any, text: str) -> str:
    spatial = len(module.kernel_size)
    if x.ndim not in (spatial + 1, spatial + 2):
        names = ("length", "height, width", "depth, height, width")[spatial - 1]
        return f"the input should be (batch, channels, {names})"
    channels = x.shape[-spatial - 1]
    if channels == module.in_channels:
        if "Kernel size can't be greater" in text:
            return f"only {list(x.shape[-spatial:])} is left of the image here: use padding, or pool less often before"
        return ""
    if x.shape[-1] == module.in_channels and (spatial == 1 or x.shape[-1] != x.shape[-2]):
        return f"the input's channels are in its last dimension: x.movedim(-1, {x.ndim - spatial - 1}) puts them first"
    if module.in_channels == 1 and x.ndim == spatial + 1:
        return "the input has no dimension for its one channel: x.unsqueeze(1) makes one"
    if channels % module.groups:
        if module.groups == module.in_channels and module.out_channels % channels == 0:  # depthwise
            return f"in_channels and groups should be {channels}"
        return f"in_channels should be {channels}, and groups a divisor of it and of out_channels, which {module.groups} is not"
    return f"in_channels should be {channels}"


def _num_features(module: Any, x: Any, text: str) -> str:
    if "more than 1 value per channel" in text:
        return "one value has no variance: use larger batches (DataLoader(..., drop_last=True)), or model.eval()"
    if text.startswith(("expected 2D", "expected 3D", "expected 4D", "expected 5D")):
        kind = type(module).__name__
        fitting = {2: "1d", 3: "1d", 4: "2d", 5: "3d"}.get(x.ndim)
        return f"for inputs with {x.ndim} dimensions there is {kind[:-2]}{fitting}" if fitting else ""
    if x.ndim > 1 and x.shape[1] != module.num_features:
        return f"num_features should be {x.shape[1]}"
    return ""


def _normalized(module: Any, x: Any, text: str) -> str:
    last = list(x.shape[-len(module.normalized_shape) :])
    if last == list(module.normalized_shape):
        return ""
    return f"normalized_shape should be {last[0] if len(last) == 1 else last}"


def _num_channels(module: Any, x: Any, text: str) -> str:
    return f"num_channels should be {x.shape[1]}" if x.ndim > 1 and x.shape[1] != module.num_channels else ""


def _input_size(module: Any, x: Any, text: str) -> str:
    return f"input_size should be {x.shape[-1]}" if x.ndim and x.shape[-1] != module.input_size else ""


def _embed_dim(module: Any, x: Any, text: str) -> str:
    wrong = x.ndim and x.shape[-1] != module.embed_dim
    return f"embed_dim (d_model of a transformer's layer) should be {x.shape[-1]}" if wrong else ""


def _num_parameters(module: Any, x: Any, text: str) -> str:
    channels = x.shape[1] if x.ndim > 1 else 1
    return f"num_parameters should be {channels}" if module.num_parameters not in (1, channels) else ""


def _pair(module: Any, inputs: tuple[Any, ...]) -> str:
    for place, x in enumerate(inputs[:2], 1):
        name = f"in{place}_features"
        if isinstance(x, Tensor) and x.ndim and x.shape[-1] != getattr(module, name):
            return f"{name} should be {x.shape[-1]}"
    return ""


def _indices(module: Any, x: Any, text: str) -> str:
    return "indices are whole numbers: x.long()" if x.dtype.is_floating_point else ""


_SETTINGS = {
    "in_features": _features,
    "in_channels": _channels,
    "num_features": _num_features,
    "normalized_shape": _normalized,
    "num_channels": _num_channels,
    "num_embeddings": _indices,
    "input_size": _input_size,
    "embed_dim": _embed_dim,
    "num_parameters": _num_parameters,
}


def _device(module: Any, x: Any) -> str:
    own = {str(p.device) for p in module._parameters.values() if p is not None}
    theirs = str(x.device)
    if len(own) != 1 or theirs in own:
        return ""
    mine = next(iter(own))
    if mine == "meta":
        return f"the layer's parameters are on meta, without values: model.to_empty(device={theirs!r}), then initialise or load them"
    return f"the input is on {theirs}, the layer's parameters are on {mine}: x.to({mine!r}), or model.to({theirs!r})"


def _dtype(module: Any, x: Any, text: str) -> str:
    if "device" in text and (found := _device(module, x)):
        return found
    if "type" not in text:
        return ""
    own = {p.dtype for p in module._parameters.values() if p is not None}
    if len(own) != 1 or x.dtype in own:
        return ""
    mine = next(iter(own))
    if not x.dtype.is_floating_point:
        return f"the input is {x.dtype}, and the layer computes in {mine}: x.float()" if not x.is_complex() else ""
    if str(x.dtype).endswith("float64"):
        return "the input is float64, as NumPy's numbers are: x.float(), or model.double()"
    return f"the input is {x.dtype}, the layer's parameters are {mine}: x.to({mine}), or model.to({x.dtype})"


def _loss(module: Any, x: Any, target: Any, text: str) -> str:
    indices = "ignore_index" in module.__dict__
    if "blank" in module.__dict__:  # the time stands before the batch
        return ""
    if indices and target.ndim == x.ndim and target.shape[1:2] == (1,):
        return "class indices have no dimension of their own: target.squeeze(1)"
    if indices and target.dtype.is_floating_point and target.ndim == x.ndim - 1:
        return "class indices are whole numbers: target.long()"
    if indices and "target dtype to be Long" in text:
        return f"class indices are of the type int64, these are {target.dtype}: target.long()"
    if indices and target.shape == x.shape and not target.dtype.is_floating_point:
        return "probabilities of classes are floating point numbers: target.float(); of class indices there is one for each sample"
    if indices and x.ndim > 2 and target.shape == x.shape[:-1]:
        return f"the classes belong into dimension 1 of the input: x.movedim(-1, 1) is {[x.shape[0], x.shape[-1], *x.shape[1:-1]]}"
    if not indices and target.numel() == x.numel() and target.shape != x.shape:
        return f"give both the same shape: target.view_as(input) is {list(x.shape)}"
    if not indices and target.shape == x.shape and not target.dtype.is_floating_point:
        return "the target has to be of floating point numbers: target.float()"
    if x.ndim and target.ndim and x.shape[0] != target.shape[0]:
        return f"the batch sizes differ: {x.shape[0]} and {target.shape[0]}"
    return ""
