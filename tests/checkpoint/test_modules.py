"""Whole modules, both ways with real torch (`weights_only=False`)."""

from __future__ import annotations

import io
import json
import pickle
import sys

import pytest
import torch

import flambeau as fb
import flambeau.nn
from flambeau import checkpoint
from support.process import run_code
from support.values import same


def to_ours(obj, **kwargs):
    file = io.BytesIO()
    torch.save(obj, file, **kwargs)
    file.seek(0)
    return checkpoint.load(file, weights_only=False)


def to_theirs(obj, **kwargs):
    file = io.BytesIO()
    checkpoint.save(obj, file, **kwargs)
    file.seek(0)
    return torch.load(file, weights_only=False)


def layers(nn):
    """A network of layers of many families."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding="same"),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.ModuleDict({"a": nn.Linear(4 * 4 * 4, 8), "b": nn.Identity()})["a"],
        nn.GELU(),
        nn.LayerNorm(8),
        nn.Linear(8, 3, bias=False),
    ).eval()


class Tied:
    """A mixin for both libraries: a network with shared weights, a buffer and a function in an attribute."""

    def build(self, nn, activation):
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.activation = activation
        self.steps = nn.ModuleList([nn.Linear(4, 2), nn.Tanh()])
        self.note = {"size": 4}
        return self

    def forward(self, x):
        x = self.activation(self.second(self.activation(self.first(x))))
        for step in self.steps:
            x = step(x)
        return x


class TheirNet(Tied, torch.nn.Module):
    pass


class OurNet(Tied, fb.nn.Module):
    pass


@pytest.mark.parametrize("kwargs", [{}, {"_use_new_zipfile_serialization": False}, {"pickle_protocol": 4}])
def test_layers(kwargs):
    torch.manual_seed(0)
    theirs = layers(torch.nn)
    ours = to_ours(theirs, **kwargs)
    assert repr(ours) == repr(theirs) and type(ours) is fb.nn.Sequential
    assert all(isinstance(p, fb.nn.Parameter) for p in ours.parameters())
    same(dict(ours.state_dict()), dict(theirs.state_dict()))
    x = torch.randn(2, 1, 8, 8)
    expected = theirs(x)
    same(ours(fb.from_numpy(x.numpy())), expected, rtol=1e-4, atol=1e-5)
    again = to_theirs(ours, **kwargs)
    assert repr(again) == repr(theirs) and type(again) is torch.nn.Sequential
    assert torch.equal(again(x), expected)
    again.train()
    again(x).sum().backward()


def test_a_network_of_the_user(monkeypatch):
    theirs = TheirNet().build(torch.nn, torch.nn.functional.relu)
    file = io.BytesIO()
    torch.save(theirs, file)
    file.seek(0)
    monkeypatch.setattr(sys.modules[__name__], "TheirNet", OurNet)
    ours = checkpoint.load(file, weights_only=False)
    assert type(ours) is OurNet and ours.second.weight is ours.first.weight and ours.note == {"size": 4}
    assert ours.activation is fb.nn.functional.relu
    x = torch.randn(3, 4)
    same(ours(fb.from_numpy(x.numpy())), theirs(x), rtol=1e-4)
    again = to_theirs(ours.steps)
    assert type(again) is torch.nn.ModuleList and torch.equal(again[0].weight, theirs.steps[0].weight)
    file = io.BytesIO()
    checkpoint.save(ours, file)
    file.seek(0)
    back = checkpoint.load(file, weights_only=False)
    assert back.second.weight is back.first.weight and back.activation is fb.nn.functional.relu


@pytest.mark.parametrize("name", ["relu", "gelu", "linear", "softmax", "tanh", "conv2d"])
def test_functions(name):
    theirs, ours = getattr(torch.nn.functional, name), getattr(fb.nn.functional, name)
    assert to_ours(theirs) is ours
    assert to_theirs(ours) is theirs


@pytest.mark.parametrize("name", ["relu", "sigmoid", "matmul"])
def test_functions_of_the_root(name):
    assert to_ours(getattr(torch, name)) is getattr(fb, name)
    found = to_theirs(getattr(fb, name))
    assert found in (getattr(torch, name), getattr(torch.nn.functional, name, None))


def test_classes():
    for name in ("Linear", "Module", "Sequential", "CrossEntropyLoss"):
        assert to_ours(getattr(torch.nn, name)) is getattr(fb.nn, name)
        assert to_theirs(getattr(fb.nn, name)) is getattr(torch.nn, name)
    assert to_theirs([fb.Tensor, fb.nn.Parameter, fb.Size, fb.device]) == [
        torch.Tensor,
        torch.nn.Parameter,
        torch.Size,
        torch.device,
    ]


def test_modules_need_trust():
    file = io.BytesIO()
    torch.save(torch.nn.Linear(2, 3), file)
    file.seek(0)
    with pytest.raises(pickle.UnpicklingError, match=r"torch\.nn\.modules\.linear\.Linear.*state_dict"):
        checkpoint.load(file)
    file.seek(0)
    with checkpoint.safe_globals([fb.nn.Linear]):
        ours = checkpoint.load(file)
    assert type(ours) is fb.nn.Linear and ours.weight.shape == (3, 2)


def test_what_is_missing_is_named():
    old = io.BytesIO()
    torch.save(torch.nn.TransformerEncoderLayer, old, _use_new_zipfile_serialization=False)
    data = old.getvalue().replace(b"TransformerEncoderLayer", b"TransformerEncoderLaser")
    with pytest.raises(AttributeError, match=r"torch\.nn\.modules\.transformer\.TransformerEncoderLaser"):
        checkpoint.load(io.BytesIO(data), weights_only=False)


def test_optimizers():
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.5)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    ours_model, state = to_ours([model, optimizer.state_dict()])
    ours = fb.optim.Adam(ours_model.parameters())
    ours.load_state_dict(state)
    assert ours.param_groups[0]["lr"] == 0.5
    again = torch.optim.Adam(model.parameters())
    again.load_state_dict(to_theirs(ours.state_dict()))
    for key, value in optimizer.state_dict()["state"][0].items():
        assert torch.equal(again.state_dict()["state"][0][key], value)


LAYERS = (
    "Bilinear(2,2,2) Unflatten(1,(2,2)) Conv1d(2,2,1) ConvTranspose2d(2,2,1) AvgPool2d(2) InstanceNorm2d(2) "
    "GroupNorm(1,2) Softmax(1) CrossEntropyLoss() BCEWithLogitsLoss() Embedding(3,2) PReLU() ModuleList([nn.ReLU()]) "
    "LazyBatchNorm2d() ParameterList([nn.Parameter(t.ones(2))]) ParameterDict({'a':nn.Parameter(t.ones(2))})"
)


def test_each_layer_has_the_state_that_torch_gives_it():
    for text in LAYERS.replace(") ", ")|").split("|"):
        theirs, ours = eval("nn." + text, {"nn": torch.nn, "t": torch}), eval("nn." + text, {"nn": fb.nn, "t": fb})
        again = to_theirs(ours)
        assert type(again) is type(theirs) and repr(again) == repr(theirs)
        assert again.__dict__.keys() == theirs.__dict__.keys(), text
        back = to_ours(theirs)
        assert type(back) is type(ours) and repr(back) == repr(ours)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_optimizer_objects(name):
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = getattr(torch.optim, name)([weight], lr=0.1)
    weight.sum().backward()
    optimizer.step()
    ours, ours_optimizer = to_ours([weight, optimizer])
    assert ours_optimizer.param_groups[0]["params"][0] is ours
    again, again_optimizer = to_theirs([ours, ours_optimizer])
    for parameter, holder in ((weight, optimizer), (ours, ours_optimizer), (again, again_optimizer)):
        parameter.grad = None
        (parameter * 1).sum().backward()
        holder.step()
    same(ours, weight)
    assert torch.allclose(again, weight)


def test_lazy_modules():
    ours = to_ours(torch.nn.LazyLinear(3))
    assert type(ours) is fb.nn.LazyLinear
    again = to_theirs(ours)
    assert type(again) is torch.nn.LazyLinear and again(torch.ones(2, 5)).shape == (2, 3)
    assert ours(fb.ones(2, 5)).shape == (2, 3)


def plain_pickles():
    """What PyTorch's users keep in pickles of Python's own, and what tells it by its values."""
    x = torch.linspace(-2, 2, 12).reshape(3, 4)
    noted = torch.ones(2)
    noted.note = "kept"
    layers = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.LSTM(3, 2))
    optimizer = torch.optim.SGD(layers.parameters(), lr=0.1, momentum=0.9)
    return {
        "view": (x.t()[1:], "[v.tolist(), v.stride(), v.requires_grad]"),
        "bfloat16": (x.bfloat16(), "[v.float().tolist(), str(v.dtype)]"),
        "conjugate": (torch.complex(x, x + 1).conj(), "[str(v.tolist())]"),
        "learned": (x.clone().requires_grad_(), "[v.tolist(), v.requires_grad]"),
        "parameter": (torch.nn.Parameter(x), "[v.tolist(), type(v) is torch.nn.Parameter, v.requires_grad]"),
        "meta": (torch.empty(2, 3, device="meta"), "[str(v)]"),
        "noted": (noted, "[v.tolist(), v.note]"),
        "sparse": (torch.eye(3).to_sparse(), "[v.to_dense().tolist(), str(v.layout)]"),
        "rows": (torch.eye(3).to_sparse_csr(), "[v.to_dense().tolist(), str(v.layout)]"),
        "storage": (x.storage(), "[v.tolist(), str(v.dtype)]"),
        "layers": (layers, "[repr(v), {k: p.tolist() for k, p in v.state_dict().items()}]"),
        "optimizer": (optimizer, "[repr(v), len(v.param_groups[0]['params'])]"),
        "function": (torch.relu, "[v.__name__, v(torch.tensor([-1.0, 2.0])).tolist()]"),
        "named": (torch.max(x, 1), "[str(v)]"),
        "format": (torch.channels_last, "[str(v)]"),
    }


@pytest.mark.filterwarnings("ignore")  # of sparse tensors and storages, by both
def test_plain_pickles_of_torch(tmp_path):
    """`pickle.dumps(tensor)` of PyTorch's is read by `pickle.loads` where `import torch` means flambeau."""
    written = {name: (pickle.dumps(value), code) for name, (value, code) in plain_pickles().items()}
    written |= {
        f"{name} 2": (pickle.dumps(value, 2), code)
        for name, (value, code) in plain_pickles().items()
        if name != "format"
    }
    expected = {name: eval(code, {"torch": torch, "v": pickle.loads(data)}) for name, (data, code) in written.items()}
    (tmp_path / "written").write_bytes(pickle.dumps(written))
    quantized = torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)
    (tmp_path / "quantized").write_bytes(pickle.dumps(quantized))
    done = run_code(
        f"""
        import json, pathlib, pickle, warnings
        from flambeau import drop_in
        warnings.simplefilter("ignore")
        drop_in.install()
        import torch
        place = pathlib.Path({str(tmp_path)!r})
        written = pickle.loads((place / "written").read_bytes())
        made = {{name: eval(code, {{"torch": torch, "v": pickle.loads(data)}}) for name, (data, code) in written.items()}}
        print(json.dumps(made))
        try:
            pickle.loads((place / "quantized").read_bytes())
        except RuntimeError as error:
            assert "dequantize" in str(error)
        # a storage that is memory already is looked into, as the function says
        x = torch.arange(4.0)
        torch._utils._rebuild_tensor_v2(x.storage(), 1, (2,), (2,), False, None).zero_()
        assert x.tolist() == [0, 0, 2, 0]
        """
    )
    assert json.loads(done.stdout) == json.loads(json.dumps(expected))
