"""`torch.ao.quantization` as far as it computes with floats: observers, rounding, layers that round while they train."""

from __future__ import annotations

import copy
import importlib
import pickle
import warnings

import numpy as np
import pytest
import torch
import torch.ao.nn.intrinsic.qat
import torch.ao.nn.qat.dynamic
import torch.ao.quantization

import flambeau
import flambeau.ao.nn.intrinsic.qat
import flambeau.ao.nn.qat.dynamic
import flambeau.ao.quantization
import flambeau.nn
import flambeau.optim
from support.values import same, to_flambeau

pytestmark = pytest.mark.filterwarnings("ignore")

ROWS = np.random.default_rng(0).standard_normal((3, 4, 5)) * 3
TENSOR = ("MinMaxObserver", "MovingAverageMinMaxObserver")
CHANNEL = ("PerChannelMinMaxObserver", "MovingAveragePerChannelMinMaxObserver")
OPTIONS = [
    {}, {"dtype": "qint8"}, {"dtype": "quint4x2"}, {"dtype": "qint32"}, {"dtype": "uint16"}, {"reduce_range": True},
    {"dtype": "qint8", "reduce_range": True}, {"quant_min": 0, "quant_max": 15}, {"quant_min": 0, "quant_max": 15, "reduce_range": True},
    {"symmetric": True}, {"symmetric": True, "dtype": "qint8"}, {"symmetric": True, "quant_min": 0, "quant_max": 20},
    {"symmetric": True, "dtype": "qint8", "quant_min": -127, "quant_max": 127, "eps": 2**-12}, {"quant_min": 0}, {"eps": 0.5},
    {"symmetric": True, "reduce_range": True}, {"dtype": "float32"}, {"quant_min": 1, "quant_max": 3}, {"quant_min": 0, "quant_max": 0},
    {"dtype": "qint8", "quant_min": 0, "quant_max": 1000}, {"quant_min": -5, "quant_max": 300}, {"is_dynamic": True}, {"bogus": 1},
    {"qscheme": "per_channel_affine_float_qparams"}, {"qscheme": "per_tensor_affine"}, {"averaging_constant": 0.3}, {"ch_axis": 1},
    {"averaging_constant": 1, "is_dynamic": True},
]  # fmt: skip


def tools(t):
    return importlib.import_module(f"{t.__name__}.ao.quantization")


def text(value):
    return " ".join(str(value).replace("flambeau.", "torch.").split())


def told(call):
    """The result, or the error's type and text."""
    try:
        return call()
    except Exception as error:
        return f"{type(error).__name__}: {text(error)}"


def given(t, name, options):
    """The options with this library's dtypes and schemes."""
    made = dict(options)
    if made.pop("symmetric", False):
        made["qscheme"] = "per_channel_symmetric" if name in CHANNEL else "per_tensor_symmetric"
    return {k: getattr(t, v) if k in ("dtype", "qscheme") else v for k, v in made.items()}


def watched(t, name, options):
    """What an observer has seen and tells, after each of some tensors, and what is made of its state."""
    observer = getattr(tools(t), name)(**given(t, name, options))
    found = [
        text(observer),
        observer.quant_min,
        observer.quant_max,
        observer.has_customized_qrange,
        dict(observer.state_dict()),
    ]
    for i, shift in enumerate((0.0, 0.5, -9.0)):
        x = t.tensor(ROWS * (i + 1) + shift, dtype=t.float64 if i else t.float32)
        assert observer(x) is x
        found += [dict(observer.state_dict()), observer.calculate_qparams()]
    observer(t.zeros(0))
    again = getattr(tools(t), name)(**given(t, name, options))
    again.load_state_dict(observer.state_dict())
    found += [again.calculate_qparams(), copy.deepcopy(observer).calculate_qparams()]
    observer.reset_min_max_vals()
    return [*found, dict(observer.state_dict()), observer.calculate_qparams()]


@pytest.mark.parametrize("name", [*TENSOR, *CHANNEL])
def test_observers(name):
    for options in OPTIONS:
        ours, theirs = (told(lambda t=t: watched(t, name, options)) for t in (flambeau, torch))  # noqa: B023
        if isinstance(theirs, str):
            assert ours == theirs, options
            continue
        try:
            same(ours, theirs, rtol=1e-6, atol=1e-6)
        except AssertionError as error:
            raise AssertionError(f"{options}: {error}") from None


@pytest.mark.parametrize("values", [[1.0, 1.0], [0.0], [-3.0, -2.0], [2.0, 5.0], [1e-9], [float("inf"), 1.0], [7]])
def test_values_of_one_sign(values):
    for options in ({}, {"dtype": "qint8"}, {"symmetric": True}):
        ours, theirs = (watch_one(t, options, values) for t in (flambeau, torch))
        same(ours, theirs)


def watch_one(t, options, values):
    observer = tools(t).MinMaxObserver(**given(t, "MinMaxObserver", options))
    observer(t.tensor(values))
    return observer.calculate_qparams(), dict(observer.state_dict())


def others(t):
    q, x = tools(t), t.tensor(ROWS, dtype=t.float32)
    for observer in (
        q.FixedQParamsObserver(0.5, 3), q.PlaceholderObserver(), q.PlaceholderObserver(dtype=t.float16, is_dynamic=True, quant_min=0),
        q.RecordingObserver(), q.NoopObserver(), q.ReuseInputObserver(), q.PlaceholderObserver(compute_dtype=t.quint8),
    ):  # fmt: skip
        assert observer(x) is x
        yield text(observer), dict(observer.state_dict()), told(observer.calculate_qparams)
        yield told(lambda o=observer: o.get_tensor_value())
    yield told(lambda: q.ObserverBase(t.quint8))
    yield told(lambda: q.FixedQParamsObserver(0.5, 3, is_dynamic=True))
    yield told(lambda: q.QConfig(q.MinMaxObserver(), None))
    made = q.MinMaxObserver.with_callable_args(factory_kwargs=lambda: {"dtype": t.float64})
    yield made().min_val, text(q.MinMaxObserver.with_args(dtype=t.qint8).with_args(reduce_range=False))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        q.MinMaxObserver(reduce_range=True).calculate_qparams()
    yield [text(w.message) for w in heard]


def test_other_observers():
    same(list(others(flambeau)), list(others(torch)))


ROUNDING = [
    {}, {"observer": "PerChannelMinMaxObserver"}, {"quant_min": 0, "quant_max": 300}, {"quant_min": 5, "quant_max": 3},
    {"observer": "MovingAveragePerChannelMinMaxObserver", "quant_min": -128, "quant_max": 127, "dtype": "qint8", "ch_axis": 1,
     "qscheme": "per_channel_symmetric"},
    {"observer": "PerChannelMinMaxObserver", "qscheme": "per_channel_affine_float_qparams"}, {"dtype": "float32"}, {"quant_min": 0},
    {"quant_min": -1, "quant_max": 3}, {"is_dynamic": True}, {"is_dynamic": True, "averaging_constant": 1}, {"reduce_range": True},
    {"quant_min": 0, "quant_max": 15}, {"dtype": "qint8"}, {"observer": "PlaceholderObserver"}, {"averaging_constant": 0.5},
]  # fmt: skip


def rounded(t, kind, options):
    q = tools(t)
    made = {k: getattr(t, v) if k in ("dtype", "qscheme") else v for k, v in options.items()}
    if "observer" in made:
        made["observer"] = getattr(q, made["observer"])
    layer = getattr(q, kind)(**made)
    found = [text(layer), layer.ch_axis, layer.is_per_channel]
    for i in range(6):
        x = t.tensor(ROWS * (1 + i) - i, dtype=t.float32).requires_grad_()
        y = layer(x)
        (y * t.tensor(ROWS, dtype=t.float32)).sum().backward()
        found += [y, x.grad, dict(layer.state_dict())]
        (layer.disable_observer if i == 2 else layer.disable_fake_quant if i == 3 else layer.enable_observer)()
        if i == 4:
            layer.enable_fake_quant()
    again = getattr(q, kind)(**made)
    again.load_state_dict(layer.state_dict())
    short = {k: v for k, v in layer.state_dict().items() if k != "scale"}
    found += [again.disable_observer(), again(x), told(lambda: again.load_state_dict(short))]
    return [*found, layer.calculate_qparams(), copy.deepcopy(layer)(x)]


@pytest.mark.parametrize("kind", ["FakeQuantize", "FusedMovingAvgObsFakeQuantize"])
def test_rounding(kind):
    for options in ROUNDING:
        ours, theirs = (told(lambda t=t: rounded(t, kind, options)) for t in (flambeau, torch))  # noqa: B023
        if isinstance(theirs, str):
            assert ours == theirs, options
            continue
        try:
            same(ours, theirs, rtol=1e-6, atol=1e-6)
        except AssertionError as error:
            raise AssertionError(f"{options}: {error}") from None


def test_rounding_to_a_given_grid():
    def run(t):
        q, x = tools(t), t.tensor(ROWS, dtype=t.float32)
        for name in ("default_fixed_qparams_range_neg1to1_fake_quant", "default_fixed_qparams_range_0to1_fake_quant"):
            layer = getattr(q, name)()
            yield layer(x), text(layer), dict(layer.state_dict()), layer.calculate_qparams()
        yield told(lambda: q.FixedQParamsFakeQuantize(q.MinMaxObserver))

    same(list(run(flambeau)), list(run(torch)))


def test_default_configurations():
    ours, theirs = tools(flambeau), tools(torch)
    names = [n for n in flambeau.ao.quantization.qconfig.__all__ if n.startswith(("default_", "float", "per_channel"))]
    assert len(names) > 15
    for name in names:
        assert text(getattr(ours, name, None) or getattr(ours.qconfig, name)) == text(getattr(theirs.qconfig, name)), (
            name
        )
    for part in ("observer", "fake_quantize"):
        found = [n for n in getattr(ours, part).__all__ if n.startswith("default_") or n.endswith("127")]
        for name in found:
            assert text(getattr(getattr(ours, part), name)) == text(getattr(getattr(theirs, part), name)), name
    for backend in ("x86", "fbgemm", "qnnpack", "onednn", "bogus"):
        for version in (0, 1, 2):
            found = [text(told(lambda q=q: q.get_default_qat_qconfig(backend, version))) for q in (ours, theirs)]  # noqa: B023
            assert found[0] == found[1]
    for q in (ours, theirs):
        assert q.qconfig_equals(q.get_default_qat_qconfig(), q.get_default_qat_qconfig())
        assert not q.qconfig_equals(q.default_qconfig, q.default_qat_qconfig)
        assert q.qconfig_equals(None, None) and not q.qconfig_equals(None, q.default_qconfig)


def network(t):
    q = tools(t)

    class Net(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.quant, self.dequant = q.QuantStub(), q.DeQuantStub()
            self.conv, self.bn, self.relu = t.nn.Conv2d(2, 3, 3, padding=1), t.nn.BatchNorm2d(3), t.nn.ReLU()
            self.second = t.nn.Conv2d(3, 3, 2)
            self.drop, self.ln, self.plus = t.nn.Dropout(0.0), t.nn.LayerNorm(4), t.ao.nn.quantized.FloatFunctional()
            self.first = t.nn.Linear(3, 4)
            self.rest = t.nn.Sequential(
                t.nn.Linear(4, 4), t.nn.ReLU(), t.nn.Hardswish(), t.nn.Linear(4, 2), t.nn.Sigmoid()
            )

        def forward(self, x):
            x = self.relu(self.bn(self.conv(self.quant(x))))
            x = self.first(self.drop(self.second(x).mean((2, 3))))
            return self.dequant(self.rest(self.plus.add(self.ln(x), x)))

    net = Net()
    fill(t, net)
    return net


def fill(t, net):
    generator = np.random.default_rng(2)
    with t.no_grad():
        for p in net.parameters():
            p.copy_(t.tensor(generator.standard_normal(tuple(p.shape)) * 0.4))


def trained(t, config, fuse, steps=4):
    q = tools(t)
    net = network(t)
    net.qconfig = config(q)
    if fuse:
        net = q.fuse_modules_qat(net, [["conv", "bn", "relu"], ["rest.0", "rest.1"]])
    refused = told(lambda: q.prepare_qat(copy.deepcopy(net).eval()))
    net = q.prepare_qat(net)
    optimizer = t.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    generator, found = np.random.default_rng(3), [text(net), refused]
    for i in range(steps):
        if i == 2:
            net.apply(q.disable_observer)
            net.apply(importlib.import_module(f"{t.__name__}.ao.nn.intrinsic.qat").freeze_bn_stats)
        x = t.tensor(generator.standard_normal((4, 2, 5, 5)), dtype=t.float32)
        optimizer.zero_grad()
        loss = (net(x) ** 2).sum()
        loss.backward()
        optimizer.step()
        found.append(loss)
    net.eval()
    return [*found, net(x), list(net.state_dict()), dict(net.state_dict())]


CONFIGS = [
    lambda q: q.get_default_qat_qconfig("x86"), lambda q: q.get_default_qat_qconfig("qnnpack", 0),
    lambda q: q.default_qat_qconfig, lambda q: q.default_qat_qconfig_v2,
]  # fmt: skip


@pytest.mark.parametrize("fuse", [False, True], ids=["plain", "fused"])
@pytest.mark.parametrize("config", range(len(CONFIGS)))
def test_training_with_rounding(config, fuse):
    """Step for step PyTorch's losses, weights, grids. (A value between two places of a grid may fall to either side.)"""
    ours, theirs = (trained(t, CONFIGS[config], fuse) for t in (flambeau, torch))
    same(ours, theirs, rtol=1e-4, atol=1e-4)


LAYERS = [
    ("qat.Linear", lambda t: t.nn.Linear(3, 2), (4, 3)),
    ("qat.Linear", lambda t: t.nn.Linear(3, 2, bias=False), (4, 3)),
    ("qat.dynamic.Linear", lambda t: t.nn.Linear(3, 2), (4, 3)),
    ("qat.Conv1d", lambda t: t.nn.Conv1d(2, 4, 3, padding=1, padding_mode="circular"), (1, 2, 6)),
    ("qat.Conv2d", lambda t: t.nn.Conv2d(2, 4, 3, stride=2, groups=2, bias=False), (1, 2, 6, 6)),
    ("qat.Conv3d", lambda t: t.nn.Conv3d(1, 2, 2), (1, 1, 3, 3, 3)),
    ("intrinsic.qat.LinearReLU", lambda t: t.ao.nn.intrinsic.LinearReLU(t.nn.Linear(3, 2), t.nn.ReLU()), (4, 3)),
    ("intrinsic.qat.LinearBn1d", lambda t: t.ao.nn.intrinsic.LinearBn1d(t.nn.Linear(3, 2), t.nn.BatchNorm1d(2)), (4, 3)),
    *(
        (f"intrinsic.qat.{kind}{d}d", lambda t, kind=kind, d=d: fused(t, kind, d), (2, 2, *[4] * d))
        for kind in ("ConvReLU", "ConvBn", "ConvBnReLU") for d in (1, 2, 3)
    ),
]  # fmt: skip


def fused(t, kind, d):
    layers = [getattr(t.nn, f"Conv{d}d")(2, 3, 2, bias=d != 2)]
    layers += [getattr(t.nn, f"BatchNorm{d}d")(3)] if "Bn" in kind else []
    return getattr(t.ao.nn.intrinsic, f"{kind}{d}d")(*layers, *([t.nn.ReLU()] if "ReLU" in kind else []))


def rounding_layer(t, path, make, shape):
    cls = t.ao.nn
    for part in path.split("."):
        cls = getattr(cls, part)
    plain = make(t)
    fill(t, plain)
    found = [told(lambda: cls.from_float(plain))]
    plain.qconfig = None
    found.append(told(lambda: cls.from_float(plain)))
    plain.qconfig = tools(t).get_default_qat_qconfig("x86")
    found.append(told(lambda: cls.from_float(t.nn.Tanh())))
    if "dynamic" in path:
        found.append(told(lambda: cls.from_float(plain)))
        plain.qconfig = tools(t).default_dynamic_qat_qconfig
    tools(t).propagate_qconfig_(plain)
    layer = cls.from_float(plain)
    found += [
        text(layer),
        layer.training,
        [p is q for p, q in zip(layer.parameters(), plain.parameters(), strict=True)],
    ]
    x = t.tensor(np.random.default_rng(4).standard_normal(shape), dtype=t.float32).requires_grad_()
    y = layer(x)
    y.square().sum().backward()
    found += [y, x.grad, [p.grad for p in layer.parameters()], dict(layer.state_dict())]
    layer.eval()
    bare = layer.to_float()
    return [*found, layer(x), bare.eval()(x), text(bare), list(bare.state_dict()), copy.deepcopy(layer)(x)]


@pytest.mark.parametrize("path, make, shape", LAYERS, ids=[f"{i}-{path}" for i, (path, _, _) in enumerate(LAYERS)])
def test_layers_that_round(path, make, shape):
    ours, theirs = (rounding_layer(t, path, make, shape) for t in (flambeau, torch))
    same(ours, theirs, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("bag", [False, True])
def test_embeddings_that_round(bag):
    def run(t):
        q, name = tools(t), "EmbeddingBag" if bag else "Embedding"
        plain = getattr(t.nn, name)(5, 3)
        fill(t, plain)
        cls = getattr(t.ao.nn.qat, name)
        plain.qconfig = q.get_default_qat_qconfig()
        yield told(lambda: cls.from_float(plain))
        yield told(lambda: cls(5, 3))
        for config in (q.default_embedding_qat_qconfig, q.default_embedding_qat_qconfig_4bit):
            plain.qconfig = config
            layer = cls.from_float(plain)
            y = layer(t.tensor([[0, 3], [4, 4]]))
            y.square().sum().backward()
            yield text(layer), y, layer.weight.grad, dict(layer.state_dict()), text(layer.to_float())

    same(list(run(flambeau)), list(run(torch)), rtol=1e-5, atol=1e-6)


def test_observed_models():
    def run(t):
        q = tools(t)
        for config in (
            "default_qconfig",
            "default_dynamic_qconfig",
            "default_weight_only_qconfig",
            "default_debug_qconfig",
        ):
            net = t.nn.Sequential(
                t.nn.Linear(2, 2), t.nn.Softmax(-1), t.nn.Tanh(), t.nn.Dropout(), t.nn.ReLU6(), t.nn.GELU(), t.nn.BatchNorm1d(2),
                t.nn.Sequential(t.nn.Linear(2, 2), t.nn.Identity()), t.nn.Embedding(2, 2), q.QuantWrapper(t.nn.Linear(2, 2)),
            )  # fmt: skip
            net.qconfig = getattr(q, config)
            for training in (True, False):
                yield text(q.prepare(net.train(training)))
        net = network(t).eval()
        net.qconfig, net.first.qconfig = q.default_qconfig, None
        net = q.prepare(q.fuse_modules(net, [["conv", "bn", "relu"]]))
        net(t.tensor(np.random.default_rng(5).standard_normal((4, 2, 5, 5)), dtype=t.float32))
        yield text(net).replace("-0.0000", "0.0000") if t is None else [n for n, _ in net.named_modules()]
        state = q.get_observer_state_dict(net)
        yield dict(state)
        other = q.prepare(q.fuse_modules(again(q, network(t).eval()), [["conv", "bn", "relu"]]))
        q.load_observer_state_dict(other, state)
        yield dict(q.get_observer_state_dict(other))
        yield told(lambda: q.load_observer_state_dict(t.nn.Linear(1, 1), state))

    def again(q, net):
        net.qconfig, net.first.qconfig = q.default_qconfig, None
        return net

    same(list(run(flambeau)), list(run(torch)), rtol=1e-4, atol=1e-4)


def test_what_has_a_configuration():
    def run(t):
        q = tools(t)
        net = t.nn.Sequential(t.nn.Linear(2, 2), t.nn.Sequential(t.nn.Linear(2, 2), t.nn.ReLU()), t.nn.Linear(2, 2))
        net[1][0].qconfig = q.default_qat_qconfig
        made = q.prepare_qat(net)
        yield text(made), [type(m).__name__ for m in net]
        for named in ({"": q.default_qconfig}, {"1": q.default_qconfig, "1.0": None}, {t.nn.Linear: q.default_qconfig}):
            other = t.nn.Sequential(t.nn.Linear(2, 2), t.nn.Sequential(t.nn.Linear(2, 2), t.nn.ReLU()))
            q.propagate_qconfig_(other, named)
            yield [(name, m.qconfig is None) for name, m in other.named_modules()], text(q.add_quant_dequant(other))
        hooked = t.nn.Sequential(t.nn.Linear(2, 2))
        hooked[0].register_forward_hook(lambda *a: None)
        hooked[0].register_forward_pre_hook(lambda *a: None)
        hooked.qconfig = q.default_qat_qconfig
        made = q.prepare_qat(hooked)
        yield [h.__name__ for h in made[0]._forward_hooks.values()], len(made[0]._forward_pre_hooks)
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            q.prepare_qat(t.nn.Sequential(t.nn.Linear(2, 2)))
        yield [text(w.message) for w in heard if "qconfig" in str(w.message)]

    same(list(run(flambeau)), list(run(torch)))


def test_mappings():
    ours, theirs = (
        {f"{k.__module__}.{k.__name__}": f"{v.__module__}.{v.__name__}" for k, v in tools(t).get_default_qat_module_mappings().items()}
        for t in (flambeau, torch)
    )  # fmt: skip
    assert {text(k): text(v) for k, v in ours.items()} == theirs
    listed = [
        {f"{text(c.__module__)}.{c.__name__}" for c in tools(t).get_default_qconfig_propagation_list()}
        for t in (flambeau, torch)
    ]
    assert listed[0] == listed[1]


@pytest.mark.parametrize("left_out", [False, True])
def test_own_classes_in_the_place_of_layers(left_out):
    """`prepare_custom_config_dict`: what stands in it is swapped, and not observed; with it nothing else is."""

    def seen(t, given):
        q = tools(t)

        class Kept(t.nn.Linear):
            pass

        class Observed(t.nn.Linear):
            @classmethod
            def from_float(cls, layer):
                made = cls(layer.in_features, layer.out_features)
                made.weight, made.bias = layer.weight, layer.bias
                return made

        layers = (t.nn.Linear(3, 3), Kept(3, 3), t.nn.Sequential(Kept(3, 3), t.nn.Dropout(), t.nn.Linear(3, 3)))
        net = t.nn.Sequential(*layers, t.nn.ModuleList([t.nn.LSTM(2, 2), t.nn.MultiheadAttention(2, 1)])).eval()
        fill(t, net)
        net.qconfig = q.default_qconfig
        if left_out:
            net[1].qconfig = None
        swapped = {Kept: Observed, t.nn.Dropout: Observed} if given else {}
        net = q.prepare(net, prepare_custom_config_dict={"float_to_observed_custom_module_class": swapped})
        x = t.tensor(ROWS[0, :, :3]).float()
        return text(net), net[:3](x)

    for given in (False, True):
        (mine, y), (theirs, z) = seen(flambeau, given), seen(torch, given)
        assert mine == theirs
        assert ("Observed" in mine) == given
        same(y, z, rtol=1e-5, atol=1e-6)


def test_children_that_get_no_qconfig():
    def seen(t, names, kinds):
        q = tools(t)
        inner = t.nn.Sequential(t.nn.ReLU(), t.nn.Linear(2, 2), t.nn.Sequential(t.nn.Linear(2, 2)))
        net = t.nn.Sequential(t.nn.Linear(2, 2), inner, t.nn.ReLU())
        net.qconfig = q.default_qconfig
        given = {"non_traceable_module_name": names, "non_traceable_module_class": [getattr(t.nn, k) for k in kinds]}
        q.propagate_qconfig_(net, prepare_custom_config_dict=given)
        return [name for name, module in net.named_modules() if hasattr(module, "qconfig")]

    for case in ((["0", "1.1"], []), (["1"], []), ([], ["Linear"]), ([], ["Sequential"]), (["2"], ["Linear"])):
        assert seen(flambeau, *case) == seen(torch, *case)
        assert len(seen(flambeau, *case)) < 8


def test_what_needs_quantized_tensors_is_refused():
    q = tools(flambeau)
    net = q.prepare(flambeau.nn.Sequential(flambeau.nn.Linear(1, 1)))
    for call in (
        lambda: q.convert(net),
        lambda: q.quantize_dynamic(net),
        lambda: q.HistogramObserver(),
        lambda: q.get_default_qconfig(),
    ):
        with pytest.raises((NotImplementedError, RuntimeError), match="quantized tensors and modules are not here"):
            call()
    recurrent = flambeau.nn.Sequential(flambeau.nn.LSTM(2, 2))
    recurrent.qconfig = q.default_qconfig
    for within, name in ((recurrent, "0"), (flambeau.nn.Sequential(flambeau.nn.ReLU(), recurrent), "1.0")):
        for prepare in (q.prepare, q.prepare_qat):
            with pytest.raises(NotImplementedError, match=rf"^{name} \(nn.LSTM\) has a qconfig.*`qconfig = None`"):
                prepare(within)
    q.prepare(recurrent, observer_non_leaf_module_list=[flambeau.nn.LSTM])


def test_copies_by_pickle():
    q = tools(flambeau)
    layer = q.FakeQuantize(observer=q.PerChannelMinMaxObserver)
    x = flambeau.tensor(ROWS)
    expected = layer(x.float())
    again = pickle.loads(pickle.dumps(layer))
    same(again(x.float()), to_torch(expected))
    assert text(again) == text(layer)


def to_torch(value):
    return torch.tensor(value.detach().numpy())


def test_a_compiled_model():
    """Buffers that decide what is computed are read in Python; the results are the uncompiled ones."""
    q, results = tools(flambeau), []
    for compiled in (False, True):
        net = flambeau.nn.Sequential(flambeau.nn.Linear(3, 4), flambeau.nn.ReLU(), flambeau.nn.Linear(4, 2))
        fill(flambeau, net)
        net.qconfig = q.get_default_qat_qconfig("x86")
        net = q.prepare_qat(net)
        run = flambeau.compile(net) if compiled else net
        x = to_flambeau(torch.tensor(ROWS[..., :3], dtype=torch.float32))
        results.append([run(x).detach().numpy() for _ in range(3)])
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5, atol=1e-6)
