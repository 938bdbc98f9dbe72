"""load_state_dict tells of keys that do not fit in torch's words, then in a table with the cure."""

from __future__ import annotations

import importlib
import warnings

import pytest

import flambeau as fb
import flambeau.nn
import flambeau.optim
from support.programs import Programs, agree

PROGRAMS = program = Programs()


def net(t, n=10, wrap=None):
    class Net(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.features = t.nn.Sequential(t.nn.Conv2d(1, 4, 3), t.nn.BatchNorm2d(4))
            self.fc = t.nn.Linear(16, n)

    return Net()


@program
def dp(t):
    s = {"module." + k: v for k, v in net(t).state_dict().items()}
    net(t).load_state_dict(s)


@program
def orig(t):
    s = {"_orig_mod." + k: v for k, v in net(t).state_dict().items()}
    net(t).load_state_dict(s)


@program
def lightning(t):
    net(t).load_state_dict({"epoch": 3, "state_dict": net(t).state_dict()})


@program
def ckpt(t):
    net(t).load_state_dict(
        {"epoch": 3, "model_state_dict": net(t).state_dict(), "optimizer_state_dict": {}, "loss": 0.5}
    )


@program
def model_(t):
    s = {"model." + k: v for k, v in net(t).state_dict().items()}
    net(t).load_state_dict(s)


@program
def classes(t):
    net(t, 5).load_state_dict(net(t, 10).state_dict())


@program
def classes_ns(t):
    net(t, 5).load_state_dict(net(t, 10).state_dict(), strict=False)


@program
def renamed(t):
    s = net(t).state_dict()
    s["classifier.weight"] = s.pop("fc.weight")
    s["classifier.bias"] = s.pop("fc.bias")
    net(t).load_state_dict(s)


@program
def part(t):
    s = net(t).features.state_dict()
    net(t).load_state_dict(s)


@program
def part_rev(t):
    s = net(t).state_dict()
    net(t).features.load_state_dict(s)


@program
def miss(t):
    s = net(t).state_dict()
    del s["fc.bias"]
    net(t).load_state_dict(s)


@program
def extra(t):
    s = net(t).state_dict()
    s["foo"] = t.ones(1)
    net(t).load_state_dict(s)


@program
def extra_ns(t):
    s = net(t).state_dict()
    s["foo"] = t.ones(1)
    del s["fc.bias"]
    r = net(t).load_state_dict(s, strict=False)
    return [
        repr(r),
        r.missing_keys,
        r.unexpected_keys,
        r[0],
        type(r).__name__,
        type(r).__mro__[1].__name__,
        r == (["fc.bias"], ["foo"]),
    ]


@program
def plain(t):
    class A(t.nn.Module):
        def __init__(self, l):
            super().__init__()
            self.layers = l([t.nn.Linear(2, 2) for _ in range(2)])
            self.out = t.nn.Linear(2, 1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        A(list).load_state_dict(A(t.nn.ModuleList).state_dict())


@program
def wnorm(t):
    net(t).load_state_dict(
        dict((lambda n: (t.nn.utils.parametrizations.weight_norm(n.fc), n)[1])(net(t)).state_dict().items())
    )


@program
def prun(t):
    n = net(t)
    importlib.import_module(t.__name__ + ".nn.utils.prune").identity(n.fc, "weight")
    net(t).load_state_dict(n.state_dict())


@program
def prun_rev(t):
    n = net(t)
    importlib.import_module(t.__name__ + ".nn.utils.prune").identity(n.fc, "weight")
    n.load_state_dict(net(t).state_dict())


@program
def transposed(t):
    s = net(t).state_dict()
    s["fc.weight"] = s["fc.weight"].T
    net(t).load_state_dict(s)


@program
def nottensor(t):
    s = net(t).state_dict()
    s["fc.weight"] = [1, 2]
    net(t).load_state_dict(s)


@program
def empty(t):
    net(t).load_state_dict({})


@program
def optimizer(t):
    n = net(t)
    n.load_state_dict(t.optim.SGD(n.parameters(), 0.1).state_dict())


@program
def wrapper(t):
    m = t.nn.DataParallel(net(t))
    m.load_state_dict(net(t).state_dict())


@program
def ddp_both(t):
    m = t.nn.Sequential(net(t))
    m.load_state_dict(net(t).state_dict())


@program
def ok(t):
    return repr(net(t).load_state_dict(net(t).state_dict()))


@pytest.mark.parametrize("name", PROGRAMS)
def test_load(name):
    code = PROGRAMS[name]
    assert not isinstance(agree(code, words=None), NameError)


CURES = {
    "dp": 'strip "module." (of nn.DataParallel): load_state_dict({k.removeprefix("module."): v',
    "orig": 'strip "_orig_mod." (of torch.compile)',
    "lightning": "load_state_dict(checkpoint['state_dict'])",
    "ckpt": "load_state_dict(checkpoint['model_state_dict'])",
    "model_": 'strip "model."',
    "classes": "to load the 7 that fit, leave out the misshapen ones",
    "renamed": 'for old, new in [("classifier.weight", "fc.weight"), ("classifier.bias", "fc.bias")]',
    "part": 'put "features." before the names, or load it into model.features',
    "part_rev": 'strip "features."',
    "miss": "strict=False loads the 8 that fit",
    "extra": "strict=False loads the 9 that fit",
    "plain": "`layers` in a plain container, where nothing is registered: make it an nn.ModuleList(...)",
    "wnorm": "nn.utils.parametrizations.weight_norm(layer): apply that before loading",
    "prun": "nn.utils.prune.identity(layer, 'weight'): apply that before loading",
    "prun_rev": "load before applying it",
    "transposed": "the misshapen ones are transposed",
    "optimizer": "give it to optimizer.load_state_dict",
    "wrapper": "model.module.load_state_dict(...)",
    "ddp_both": "load it into model[0]",
}


@pytest.mark.parametrize("name", CURES)
def test_the_cure(name):
    with pytest.raises(RuntimeError) as caught:
        PROGRAMS[name](fb)
    last = caught.value.__notes__[-1].splitlines()[-1]
    assert last.startswith("\tCure: ") and CURES[name] in last


MADE = {  # what is there, what is here, what is told
    lambda t: t.nn.Sequential(t.nn.Linear(4, 3)): (
        lambda t: t.nn.Sequential(t.nn.Linear(4, 10)),
        "0 (Linear) was made with out_features=3 (here 10)",
    ),
    lambda t: t.nn.LSTM(4, 16): (
        lambda t: t.nn.LSTM(6, 8),
        "LSTM was made with input_size=4 (here 6), hidden_size=16 (here 8)",
    ),
    lambda t: t.nn.ConvTranspose2d(3, 6, 3, groups=3): (
        lambda t: t.nn.ConvTranspose2d(3, 12, 2, groups=3),
        "ConvTranspose2d was made with out_channels=6 (here 12), kernel_size=(3, 3) (here (2, 2))",
    ),
    lambda t: t.nn.BatchNorm2d(4): (lambda t: t.nn.BatchNorm2d(8), "BatchNorm2d was made with num_features=4 (here 8)"),
    lambda t: t.nn.Embedding(7, 4): (
        lambda t: t.nn.Embedding(9, 4),
        "Embedding was made with num_embeddings=7 (here 9)",
    ),
    lambda t: t.nn.LayerNorm((2, 4)): (
        lambda t: t.nn.LayerNorm(8),
        "LayerNorm was made with normalized_shape=(2, 4) (here (8,))",
    ),
}


@pytest.mark.parametrize(("there", "here", "told"), [(there, *rest) for there, rest in MADE.items()])
def test_how_the_layers_of_a_file_were_made(there, here, told):
    agree(lambda t: here(t).load_state_dict(there(t).state_dict()), words=None)
    with pytest.raises(RuntimeError) as caught:
        here(fb).load_state_dict(there(fb).state_dict())
    assert f"\t{told}" in caught.value.__notes__[-1].splitlines()


def test_what_is_no_state_dict_is_told_how_to_become_one():
    for given, cure in (("net.pth", "torch.load('net.pth')"), (net(fb), "other.state_dict()")):
        with pytest.raises(TypeError, match="Expected state_dict to be dict-like") as caught:
            net(fb).load_state_dict(given)
        assert cure in caught.value.__notes__[0]


def test_the_cure_works():
    state = {f"module.{k}": v + 1 for k, v in net(fb).state_dict().items()}
    report = net(fb).load_state_dict({k.removeprefix("module."): v for k, v in state.items()})
    assert isinstance(report, fb.LoadReport) and repr(report) == "<All keys matched successfully>"


def test_the_table_pairs_the_nearest_names():
    with pytest.raises(RuntimeError) as caught:
        PROGRAMS["renamed"](fb)
    assert caught.value.__notes__[-1].splitlines()[:3] == [
        "\tin the model         in the state dict",
        "\tfc.weight [10, 16]   classifier.weight [10, 16]",
        "\tfc.bias [10]         classifier.bias [10]",
    ]
