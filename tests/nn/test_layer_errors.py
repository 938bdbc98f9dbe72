"""Programs of beginners that fail: torch's error and its whole text, what stands around it, and what would help."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import flambeau as fb
import flambeau.nn
import flambeau.optim
from support.programs import Programs, agree

PROGRAMS = program = Programs()


def F(t):
    return t.nn.functional


def cnn(t, n=128):
    class Net(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = t.nn.Conv2d(1, 8, 3, padding=1)
            self.conv2 = t.nn.Conv2d(8, 32, 3)
            self.pool = t.nn.MaxPool2d(2)
            self.fc1 = t.nn.Linear(n, 64)
            self.fc2 = t.nn.Linear(64, 10)

        def forward(self, x):
            x = self.pool(t.relu(self.conv1(x)))
            x = self.pool(t.relu(self.conv2(x)))
            x = x.view(x.size(0), -1)
            return self.fc2(t.relu(self.fc1(x)))

    return Net()


@program
def cnn_flat(t):
    return cnn(t)(t.ones(4, 1, 28, 28))


@program
def cnn_channels(t):
    return cnn(t)(t.ones(4, 3, 28, 28))


@program
def cnn_noc(t):
    return cnn(t)(t.ones(4, 28, 28))


@program
def seq(t):
    return t.nn.Sequential(
        t.nn.Conv2d(3, 16, 3), t.nn.ReLU(), t.nn.MaxPool2d(2), t.nn.Flatten(), t.nn.Linear(1000, 10)
    )(t.ones(2, 3, 32, 32))


@program
def seq2(t):
    return t.nn.Sequential(t.nn.Linear(10, 20), t.nn.ReLU(), t.nn.Linear(30, 5))(t.ones(2, 10))


@program
def lin_noflat(t):
    return t.nn.Sequential(t.nn.Linear(784, 20), t.nn.ReLU(), t.nn.Linear(20, 5))(t.ones(2, 1, 28, 28))


@program
def lin_1d(t):
    return t.nn.Linear(3, 2)(t.ones(4))


@program
def lin_int(t):
    return t.nn.Linear(3, 2)(t.ones(4, 3, dtype=t.int64))


@program
def lin_double(t):
    return t.nn.Linear(3, 2)(t.ones(4, 3, dtype=t.float64))


@program
def lin_half(t):
    return t.nn.Linear(3, 2)(t.ones(4, 3, dtype=t.float16))


@program
def lin_bool(t):
    return t.nn.Linear(3, 2)(t.ones(4, 3, dtype=t.bool))


@program
def lin_list(t):
    return t.nn.Linear(3, 2)([1.0, 2, 3])


@program
def lin_np(t):
    return t.nn.Linear(3, 2)(np.ones((4, 3), "float32"))


@program
def lin_none(t):
    return t.nn.Linear(3, 2)(None)


@program
def lin_noargs(t):
    return t.nn.Linear(3, 2)()


@program
def lin_two(t):
    return t.nn.Linear(3, 2)(t.ones(3), t.ones(3))


@program
def lin_double_nobias(t):
    return t.nn.Linear(3, 2, bias=False)(t.ones(4, 3, dtype=t.float64))


@program
def lin_double_3d(t):
    return t.nn.Linear(3, 2)(t.ones(4, 5, 3, dtype=t.float64))


@program
def lin_3d(t):
    return t.nn.Linear(3, 2)(t.ones(4, 5, 6))


@program
def lin_4d_nobias(t):
    return t.nn.Linear(3, 2, bias=False)(t.ones(4, 5, 6, 7))


@program
def conv_nhwc(t):
    return t.nn.Conv2d(3, 4, 3)(t.ones(2, 32, 32, 3))


@program
def conv_2d(t):
    return t.nn.Conv2d(3, 4, 3)(t.ones(32, 32))


@program
def conv_5d(t):
    return t.nn.Conv2d(3, 4, 3)(t.ones(1, 1, 3, 32, 32))


@program
def conv_small(t):
    return t.nn.Conv2d(3, 4, 5)(t.ones(1, 3, 3, 3))


@program
def conv_int(t):
    return t.nn.Conv2d(3, 4, 3)(t.ones(1, 3, 8, 8, dtype=t.uint8))


@program
def conv_double(t):
    return t.nn.Conv2d(3, 4, 3)(t.ones(1, 3, 8, 8, dtype=t.float64))


@program
def conv_unb(t):
    return t.nn.Conv2d(3, 4, 3)(t.ones(4, 8, 8))


@program
def conv1(t):
    return t.nn.Conv1d(16, 4, 3)(t.ones(2, 100, 16))


@program
def conv1_2d(t):
    return t.nn.Conv1d(16, 4, 3)(t.ones(100))


@program
def conv1_4d(t):
    return t.nn.Conv1d(16, 4, 3)(t.ones(2, 2, 16, 4))


@program
def conv3(t):
    return t.nn.Conv3d(3, 4, 3)(t.ones(2, 1, 8, 8, 8))


@program
def convt(t):
    return t.nn.ConvTranspose2d(8, 4, 2)(t.ones(2, 4, 8, 8))


@program
def convt_double(t):
    return t.nn.ConvTranspose2d(8, 4, 2)(t.ones(2, 8, 8, 8).double())


@program
def conv_groups(t):
    return t.nn.Conv2d(4, 4, 3, groups=2)(t.ones(2, 6, 8, 8))


@program
def conv_groups_init(t):
    return t.nn.Conv2d(4, 4, 3, groups=3)


@program
def bn(t):
    return t.nn.BatchNorm2d(8)(t.ones(2, 4, 5, 5))


@program
def bn1(t):
    return t.nn.BatchNorm1d(8)(t.ones(2, 4))


@program
def bn1_4d(t):
    return t.nn.BatchNorm1d(8)(t.ones(2, 8, 3, 3))


@program
def bn2_2d(t):
    return t.nn.BatchNorm2d(8)(t.ones(2, 8))


@program
def bn_one(t):
    return t.nn.BatchNorm1d(8)(t.ones(1, 8))


@program
def bn_one2(t):
    return t.nn.BatchNorm2d(8)(t.ones(1, 8, 1, 1))


@program
def bn_double(t):
    return t.nn.BatchNorm1d(8)(t.ones(2, 8).double())


@program
def bn_int(t):
    return t.nn.BatchNorm1d(8)(t.ones(2, 8).long())


@program
def ln(t):
    return t.nn.LayerNorm(8)(t.ones(2, 4))


@program
def ln2(t):
    return t.nn.LayerNorm([4, 8])(t.ones(2, 8, 4))


@program
def ln_double(t):
    return t.nn.LayerNorm(8)(t.ones(2, 8).double())


@program
def gn(t):
    return t.nn.GroupNorm(2, 8)(t.ones(2, 6, 4))


@program
def gn_init(t):
    return t.nn.GroupNorm(3, 8)


@program
def inorm(t):
    return t.nn.InstanceNorm2d(8, affine=True)(t.ones(2, 4, 3, 3))


@program
def emb_float(t):
    return t.nn.Embedding(10, 3)(t.ones(2, 4))


@program
def emb_range(t):
    return t.nn.Embedding(10, 3)(t.tensor([1, 10]))


@program
def emb_neg(t):
    return t.nn.Embedding(10, 3)(t.tensor([1, -1]))


@program
def ce_shape(t):
    return t.nn.CrossEntropyLoss()(t.ones(4, 3), t.zeros(5).long())


@program
def ce_float(t):
    return t.nn.CrossEntropyLoss()(t.ones(4, 3), t.zeros(4))


@program
def ce_2d(t):
    return t.nn.CrossEntropyLoss()(t.ones(4, 3), t.zeros(4, 1).long())


@program
def ce_range(t):
    return t.nn.CrossEntropyLoss()(t.ones(4, 3), t.tensor([0, 1, 2, 3]))


@program
def ce_int(t):
    return t.nn.CrossEntropyLoss()(t.ones(4, 3), t.zeros(4).int())


@program
def ce_onehot_int(t):
    return t.nn.CrossEntropyLoss()(t.ones(4, 3), t.ones(4, 3).long())


@program
def ce_1d(t):
    return t.nn.CrossEntropyLoss()(t.ones(4), t.zeros(4).long())


@program
def nll_float(t):
    return F(t).nll_loss(t.ones(4, 3), t.zeros(4))


@program
def bce_range(t):
    return t.nn.BCELoss()(t.ones(3) * 2, t.ones(3))


@program
def bce_shape(t):
    return t.nn.BCELoss()(t.ones(3, 1) * 0.5, t.ones(3))


@program
def bce_int(t):
    return t.nn.BCELoss()(t.ones(3) * 0.5, t.ones(3).long())


@program
def bcel_shape(t):
    return t.nn.BCEWithLogitsLoss()(t.ones(3, 1), t.ones(3))


@program
def bcel_int(t):
    return t.nn.BCEWithLogitsLoss()(t.ones(3), t.ones(3).long())


@program
def mse_shape(t):
    return t.nn.MSELoss()(t.ones(3, 1), t.ones(3))


@program
def mse_shape2(t):
    return t.nn.MSELoss()(t.ones(3, 2), t.ones(4, 2))


@program
def mse_int(t):
    return t.nn.MSELoss()(t.ones(3), t.ones(3).long())


@program
def mse_int_back(t):
    x = t.ones(3, requires_grad=True)
    t.nn.MSELoss()(x, t.ones(3).double()).backward()
    return x.grad


@program
def l1_shape(t):
    return t.nn.L1Loss()(t.ones(3, 2), t.ones(4, 2))


@program
def triplet(t):
    return t.nn.TripletMarginLoss()(t.ones(3, 2), t.ones(4, 2), t.ones(3, 2))


@program
def squeeze_bn(t):
    return t.nn.Sequential(t.nn.Linear(3, 1), t.nn.Flatten(0), t.nn.BatchNorm1d(1))(t.ones(4, 3))


@program
def unet_cat(t):
    class U(t.nn.Module):
        def __init__(s):
            super().__init__()
            s.d = t.nn.Conv2d(1, 4, 3)
            s.u = t.nn.ConvTranspose2d(4, 4, 2, 2)
            s.o = t.nn.Conv2d(8, 1, 1)

        def forward(s, x):
            a = s.d(x)
            b = s.u(F(t).max_pool2d(a, 2))
            return s.o(t.cat([a, b], 1))

    return U()(t.ones(1, 1, 9, 9))


@program
def residual(t):
    class R(t.nn.Module):
        def __init__(s):
            super().__init__()
            s.c = t.nn.Conv2d(3, 8, 3, padding=1)

        def forward(s, x):
            return s.c(x) + x

    return t.nn.Sequential(t.nn.Conv2d(1, 3, 3), R())(t.ones(1, 1, 8, 8))


@program
def vae(t):
    class V(t.nn.Module):
        def __init__(s):
            super().__init__()
            s.enc = t.nn.Sequential(t.nn.Linear(784, 400), t.nn.ReLU())
            s.mu = t.nn.Linear(400, 20)
            s.dec = t.nn.Sequential(t.nn.Linear(2, 400), t.nn.ReLU(), t.nn.Linear(400, 784))

        def forward(s, x):
            return s.dec(s.mu(s.enc(x.view(-1, 784))))

    return V()(t.ones(2, 1, 28, 28))


@program
def deep_block(t):
    class B(t.nn.Module):
        def __init__(s, i, o):
            super().__init__()
            s.conv = t.nn.Conv2d(i, o, 3)
            s.bn = t.nn.BatchNorm2d(o)

        def forward(s, x):
            return t.relu(s.bn(s.conv(x)))

    return t.nn.Sequential(B(3, 8), B(16, 8))(t.ones(1, 3, 9, 9))


@program
def bn_wrong_seq(t):
    return t.nn.Sequential(t.nn.Conv2d(3, 8, 3), t.nn.BatchNorm2d(16))(t.ones(1, 3, 9, 9))


@program
def ln_seq(t):
    return t.nn.Sequential(t.nn.Linear(3, 8), t.nn.LayerNorm(16))(t.ones(1, 3))


@pytest.mark.parametrize("name", PROGRAMS)
def test_errors(name):
    code = PROGRAMS[name]
    assert not isinstance(agree(code, words=None), NameError)


@program
def lstm_width(t):
    return t.nn.LSTM(10, 20)(t.ones(5, 3, 8))


@program
def cell_width(t):
    return t.nn.GRUCell(4, 8)(t.ones(2, 5))


@program
def mha_width(t):
    return t.nn.MultiheadAttention(16, 4)(t.ones(5, 2, 12), t.ones(5, 2, 12), t.ones(5, 2, 12))


@program
def transformer_width(t):
    return t.nn.Sequential(t.nn.Linear(8, 30), t.nn.TransformerEncoderLayer(32, 4))(t.ones(5, 2, 8))


@program
def bilinear_width(t):
    return t.nn.Bilinear(3, 4, 5)(t.ones(2, 3), t.ones(2, 5))


@program
def prelu_width(t):
    return t.nn.PReLU(8)(t.ones(2, 4, 3))


@program
def depthwise_seq(t):
    return t.nn.Sequential(t.nn.Conv2d(3, 8, 1), t.nn.Conv2d(16, 16, 3, groups=16))(t.ones(1, 3, 8, 8))


@program
def groups_input(t):
    return t.nn.Conv2d(4, 8, 3, groups=4)(t.ones(1, 6, 8, 8))


@program
def meta_layer(t):
    return t.nn.Sequential(t.nn.Linear(3, 1, device="meta"))(t.ones(2, 3))


@program
def meta_input(t):
    return t.nn.Sequential(t.nn.Linear(3, 1))(t.ones(2, 3, device="meta"))


@program
def bag_index(t):
    return t.nn.EmbeddingBag(10, 3)(t.tensor([[1, 2, 10]]))


@program
def ce_int32(t):
    return t.nn.CrossEntropyLoss()(t.zeros(2, 3), t.tensor([0, 1], dtype=t.int32))


@program
def view_flat(t):
    class Net(t.nn.Module):
        def forward(self, x):
            return x.view(-1, 100)

    return t.nn.Sequential(Net())(t.ones(2, 4, 6, 6))


ADVICE = {
    "depthwise_seq": "in_channels and groups should be 8",
    "groups_input": "in_channels should be 6, and groups a divisor of it and of out_channels, which 4 is not",
    "meta_layer": "model.to_empty(device='cpu')",
    "meta_input": "the input is on meta, the layer's parameters are on cpu: x.to('cpu'), or model.to('meta')",
    "bag_index": "Index 2 of input takes value 10 which is not in the valid range [0, 10)",
    "ce_int32": "these are torch.int32: target.long()",
    "view_flat": "144 in place of 100 keeps the batch of 2",
    "cnn_flat": "in_features should be 1152",
    "cnn_channels": "in_channels should be 3",
    "cnn_noc": "x.unsqueeze(1) makes one",
    "seq": "in_features should be 3600",
    "lin_noflat": "flatten the input first: x.flatten(1) is [2, 784]",
    "lin_1d": "in_features should be 4",
    "lin_int": "the input is torch.int64, and the layer computes in torch.float32: x.float()",
    "lin_double": "the input is float64, as NumPy's numbers are: x.float(), or model.double()",
    "lin_list": "torch.tensor(x)",
    "lin_np": "torch.from_numpy(x)",
    "lin_3d": "in_features should be 6, or 30 if the input is to be flattened",
    "conv_nhwc": "x.movedim(-1, 1) puts them first",
    "conv_2d": "(batch, channels, height, width)",
    "conv_small": "only [3, 3] is left of the image here",
    "convt": "in_channels should be 4",
    "bn": "num_features should be 4",
    "bn1_4d": "for inputs with 4 dimensions there is BatchNorm2d",
    "bn_one": "drop_last=True",
    "ln": "normalized_shape should be 4",
    "ln2": "normalized_shape should be [8, 4]",
    "gn": "num_channels should be 6",
    "inorm": "num_features should be 4",
    "emb_float": "x.long()",
    "ce_shape": "the batch sizes differ: 4 and 5",
    "ce_float": "target.long()",
    "ce_2d": "target.squeeze(1)",
    "bce_shape": "target.view_as(input) is [3, 1]",
    "bcel_int": "target.float()",
    "deep_block": "in_channels should be 8",
    "bn_wrong_seq": "num_features should be 8",
    "lstm_width": "input_size should be 8",
    "cell_width": "input_size should be 5",
    "mha_width": "embed_dim (d_model of a transformer's layer) should be 12",
    "transformer_width": "embed_dim (d_model of a transformer's layer) should be 30",
    "bilinear_width": "in2_features should be 5",
    "prelu_width": "num_parameters should be 4",
}


def told(name):
    with pytest.raises(Exception) as caught:
        PROGRAMS[name](fb)
    return caught.value


@pytest.mark.parametrize("name", ADVICE)
def test_advice(name):
    error = told(name)
    assert ADVICE[name] in "\n".join([str(error), *error.__notes__])


def test_the_way_to_a_failed_layer():
    error = told("cnn_flat")
    assert str(error) == (
        "in fc1 (Linear): mat1 and mat2 shapes cannot be multiplied (4x1152 and 128x64) (in_features should be 1152)"
    )
    assert error.__notes__ == [
        "in fc1 (Linear): input 4x1152",
        """the way to its input:
  input           [4, 1, 28, 28]
  conv1 (Conv2d)  [4, 8, 28, 28]
  relu            [4, 8, 28, 28]
  max_pool2d      [4, 8, 14, 14]
  conv2 (Conv2d)  [4, 32, 12, 12]
  relu            [4, 32, 12, 12]
  max_pool2d      [4, 32, 6, 6]
  view            [4, 1152]
  fc1 (Linear)    in_features should be 1152""",
    ]


def test_the_ways_to_what_failed_in_a_forward():
    error = told("unet_cat")
    assert error.__notes__[-1] == (
        """shapes in its forward: x [1, 1, 9, 9], a [1, 4, 7, 7], b [1, 4, 6, 6]
the way to a:
  input       [1, 1, 9, 9]
  d (Conv2d)  [1, 4, 7, 7]
the way to b:
  input                [1, 1, 9, 9]
  d (Conv2d)           [1, 4, 7, 7]
  max_pool2d           [1, 4, 3, 3]
  u (ConvTranspose2d)  [1, 4, 6, 6]"""
    )


def test_a_long_way_is_cut_in_its_middle():
    layers = [fb.nn.Linear(3, 3) for _ in range(30)]
    with pytest.raises(RuntimeError) as caught:
        fb.nn.Sequential(*layers, fb.nn.Linear(4, 1))(fb.ones(2, 3))
    lines = caught.value.__notes__[-1].splitlines()
    assert lines[1:3] == ["  input        [2, 3]", "  ... 21 more"] and len(lines) == 13


def test_without_a_tape_there_is_no_way_but_advice():
    with fb.no_grad():
        error = told("cnn_flat")
    assert "in_features should be 1152" in str(error) and len(error.__notes__) == 1


def test_what_users_raise_is_not_explained():
    class Fails(fb.nn.Module):
        def forward(self, x):
            raise ValueError("mine")

    with pytest.raises(ValueError) as caught:
        fb.nn.Sequential(fb.nn.Linear(2, 2), Fails())(fb.ones(1, 2))
    assert str(caught.value) == "in 1 (Fails): mine"
    assert caught.value.__notes__ == ["in 1 (Fails): input 1x2"]


def test_a_compiled_step_says_the_same():
    model = cnn(fb)
    eager = told("cnn_flat")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError) as caught:
            fb.compile(lambda x: model(x))(fb.ones(4, 1, 28, 28))
    assert str(caught.value) == str(eager)


def test_a_compiled_part_is_not_taken_for_one_of_its_layers():
    nn = fb.nn
    model = nn.Sequential(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2)), nn.Flatten(), nn.Linear(9, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError) as caught:
            fb.compile(model)(fb.ones(2, 1, 8, 8))
    way = caught.value.__notes__[-1].splitlines()
    assert [" ".join(line.split()) for line in way[2:4]] == ["compiled: 0.0, ... [2, 4, 3, 3]", "view [2, 36]"]
