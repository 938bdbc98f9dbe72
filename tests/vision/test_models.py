"""The networks, against the same code run on PyTorch and the figures that are known of them."""

import inspect

import pytest
import torch

import flambeau as fb
from flambeau.vision import models
from support.values import array

PARAMETERS = {
    "alexnet": 61_100_840,
    "lenet": 61_706,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnext50_32x4d": 25_028_904,
}
LARGE = {
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnext101_32x8d": 88_791_336,
    "resnext101_64x4d": 83_455_272,
    "wide_resnet50_2": 68_883_240,
    "wide_resnet101_2": 126_886_696,
    "vgg11": 132_863_336,
    "vgg11_bn": 132_868_840,
    "vgg13": 133_047_848,
    "vgg13_bn": 133_053_736,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
}


def count(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts(name):
    assert count(getattr(models, name)()) == PARAMETERS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_parameter_counts_of_large_networks(name):
    assert count(getattr(models, name)()) == LARGE[name]


def on_torch(builder):
    """The builder's module, executed with PyTorch in flambeau's place."""
    source = inspect.getsource(inspect.getmodule(builder))
    source = source.replace("from flambeau import nn", "from torch import nn")
    source = source.replace("from flambeau.core.tensor.tensor import Tensor", "from torch import Tensor")
    names = {"__name__": "on_torch"}
    exec(compile(source, inspect.getfile(builder), "exec"), names)
    return names[builder.__name__]


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("lenet", {}, (2, 1, 32, 32)),
        ("alexnet", {"num_classes": 3}, (1, 3, 64, 64)),
        ("resnet18", {"num_classes": 3}, (1, 3, 32, 32)),
        ("resnet50", {"num_classes": 3, "zero_init_residual": True}, None),
        ("resnet50", {"num_classes": 3, "replace_stride_with_dilation": [False, True, True]}, None),
    ],
)
def test_same_weights_and_outputs_as_the_code_on_torch(name, options, size):
    builder = getattr(models, name)
    torch.manual_seed(0)
    theirs = on_torch(builder)(**options).eval()
    fb.manual_seed(0)
    ours = builder(**options).eval()
    assert str(ours) == str(theirs)
    expected, state = theirs.state_dict(), ours.state_dict()
    assert list(state) == list(expected)
    for key in expected:
        assert abs(array(state[key]) - array(expected[key])).max() < 1e-6, key
    if size is not None:
        x = torch.rand(size)
        with torch.no_grad(), fb.no_grad():
            y, z = array(ours(fb.from_numpy(x.numpy()))), array(theirs(x))
        assert abs(y - z).max() < 1e-4 * abs(z).max()


def test_key_names():
    keys = list(models.resnet18(num_classes=2).state_dict())
    assert len(keys) == 122
    assert keys[:3] == ["conv1.weight", "bn1.weight", "bn1.bias"]
    assert "layer2.0.downsample.1.num_batches_tracked" in keys and keys[-1] == "fc.bias"
    keys = list(models.alexnet(num_classes=2).state_dict())
    assert keys == [f"features.{i}.{n}" for i in (0, 3, 6, 8, 10) for n in ("weight", "bias")] + [
        f"classifier.{i}.{n}" for i in (1, 4, 6) for n in ("weight", "bias")
    ]


def test_weights_are_not_downloaded():
    for arguments in ({"weights": "DEFAULT"}, {"pretrained": True}):
        with pytest.raises(ValueError, match="flambeau downloads no weights"):
            models.resnet18(**arguments)
    assert count(models.lenet(weights=None, pretrained=False, progress=False)) == PARAMETERS["lenet"]


def test_blocks_refuse_what_they_cannot_do():
    with pytest.raises(ValueError, match="groups=1"):
        models.BasicBlock(4, 4, groups=2)
    with pytest.raises(NotImplementedError, match="Dilation"):
        models.BasicBlock(4, 4, dilation=2)
    with pytest.raises(ValueError, match="3-element"):
        models.ResNet(models.BasicBlock, [1, 1, 1, 1], replace_stride_with_dilation=[True])
