"""Which names PyTorch has in which module of `torch.ao.nn`, and what stands for those that need quantized tensors."""

from __future__ import annotations

import functools
from typing import Any

from ...runtime.absent import refusal, refused_class
from .._parts import publish

_TEXT = (
    "torch.ao.nn.{group}.{name}: quantized tensors and modules are not here; run the model in bfloat16 (model.bfloat16()), or "
    "train with rounded values (torch.ao.quantization.prepare_qat)"
)

_CONVOLUTIONS = "Conv1d Conv2d Conv3d"
_TRANSPOSED = "ConvTranspose1d ConvTranspose2d ConvTranspose3d"
_WITH_RELU = "ConvReLU1d ConvReLU2d ConvReLU3d"

_CELLS = "RNNCellBase RNNCell LSTMCell GRUCell RNNBase LSTM GRU"

# A name means the same in all files of a group.
_GROUPS: dict[str, dict[str, str]] = {
    "intrinsic.quantized": {
        "modules.bn_relu": "BNReLU2d BNReLU3d",
        "modules.conv_add": "ConvAdd2d ConvAddReLU2d",
        "modules.conv_relu": _WITH_RELU,
        "modules.linear_relu": "LinearReLU LinearLeakyReLU LinearTanh",
    },
    "intrinsic.quantized.dynamic": {"modules.linear_relu": "LinearReLU"},
    "quantized": {
        "modules.activation": "ELU Hardswish LeakyReLU MultiheadAttention PReLU ReLU6 Sigmoid Softmax",
        "modules.batchnorm": "BatchNorm2d BatchNorm3d",
        "modules.conv": f"{_CONVOLUTIONS} {_TRANSPOSED}",
        "modules.dropout": "Dropout",
        "modules.embedding_ops": "EmbeddingPackedParams Embedding EmbeddingBag",
        "modules.functional_modules": "QFunctional",
        "modules.linear": "LinearPackedParams Linear",
        "modules.normalization": "LayerNorm GroupNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d",
        "modules.rnn": "LSTM",
        "modules.utils": "WeightedQuantizedModule",
        "modules": "Quantize DeQuantize MaxPool2d",
        "functional": """
            avg_pool2d avg_pool3d adaptive_avg_pool2d adaptive_avg_pool3d conv1d conv2d conv3d interpolate linear max_pool1d
            max_pool2d celu leaky_relu hardtanh hardswish threshold elu hardsigmoid clamp upsample upsample_bilinear
            upsample_nearest
        """,
    },
    "quantized.dynamic": {
        "modules.conv": f"{_CONVOLUTIONS} {_TRANSPOSED}",
        "modules.linear": "Linear",
        "modules.rnn": f"pack_weight_bias PackedParameter {_CELLS} apply_permutation",
    },
    "quantized.reference": {
        "modules.conv": f"{_CONVOLUTIONS} {_TRANSPOSED}",
        "modules.linear": "Linear",
        "modules.rnn": f"{_CELLS} get_quantized_weight",
        "modules.sparse": "Embedding EmbeddingBag",
        "modules.utils": "ReferenceQuantizedModule",
    },
    "sparse.quantized": {"linear": "LinearPackedParams Linear", "utils": "LinearBlockSparsePattern"},
    "sparse.quantized.dynamic": {"linear": "Linear"},
}


@functools.cache
def refused(group: str, name: str) -> Any:
    """What stands for a name of `group`: the same in all its modules. AttributeError for one that PyTorch has not there."""
    part = next((part for part, names in _GROUPS[group].items() if name in names.split()), None)
    if part is None:
        raise AttributeError(f"module {f'{__package__}.{group}'!r} has no attribute {name!r}")
    text = _TEXT.replace("{group}", group).replace("{name}", name)
    made = refused_class(name, text) if name[0].isupper() else refusal(NotImplementedError, text)(name)
    made.__module__ = f"{__package__}.{group}.{part}"
    made.__doc__ = "Refused: quantized tensors and modules are not here."
    return made


def names_of(group: str) -> list[str]:
    """What the group's package has."""
    found = (names for part, names in _GROUPS[group].items() if not part.endswith(("utils", "functional")))
    return sorted({name for names in found for name in names.split()})


def publish_group(group: str, package: str) -> None:
    """All modules of the group can be imported; `package` is the one that stands for the group itself, or for one around it."""
    below = group.removeprefix(package.removeprefix(f"{__package__}.")).lstrip(".")
    parts: dict[str, list[str]] = {below: names_of(group)} if below else {}
    inside = f"{below}." if below else ""
    if any(part.startswith("modules") for part in _GROUPS[group]):
        parts[f"{inside}modules"] = names_of(group)
    parts |= {f"{inside}{part}": names.split() for part, names in _GROUPS[group].items() if part != "modules"}
    publish(package, parts, functools.partial(refused, group))
