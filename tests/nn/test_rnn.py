"""Recurrent layers and cells against torch: values, gradients of two orders, states, weights, errors, training."""

from __future__ import annotations

import copy
import io
import itertools
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import torch

import flambeau as fb
import flambeau.func
import flambeau.nn
import flambeau.optim
from support.values import same, to_flambeau

KINDS = ("RNN", "LSTM", "GRU")
T, B, IN, HIDDEN = 4, 3, 2, 3


def pair(kind: str, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """A layer of torch's and ours with the same weights, in float64."""
    torch.manual_seed(0)
    fb.manual_seed(0)
    theirs = getattr(torch.nn, kind)(*args, **kwargs, dtype=torch.float64)
    ours = getattr(fb.nn, kind)(*args, **kwargs, dtype=fb.float64)
    same(dict(ours.state_dict()), dict(theirs.state_dict()))  # the same draws
    assert repr(ours) == repr(theirs)
    return ours, theirs


def flat(value: Any) -> list[Any]:
    return [x for v in value for x in flat(v)] if isinstance(value, (tuple, list)) else [] if value is None else [value]


def everything(lib: Any, layer: Any, x: Any, hx: Any, pack: Any = None, twice: bool = True) -> list[Any]:
    """Outputs, states, and gradients of first order and, if `twice`, of second order."""
    given = x if pack is None else pack(lib, x)
    output, state = layer(given, hx)
    outputs = flat([output.data if pack else output, state])
    inputs = [*layer.parameters(), x, *flat(hx)]
    total = sum((o * o * (i + 1)).sum() for i, o in enumerate(outputs))
    first = lib.autograd.grad(total, inputs, create_graph=twice)
    if not twice:
        return [outputs, list(first)]
    second = lib.autograd.grad(sum((g * g).sum() for g in first), inputs, allow_unused=True)
    return [outputs, list(first), flat(second)]


def given(kind: str, settings: dict[str, Any], shape: tuple[int, ...], with_state: bool) -> tuple[Any, Any]:
    torch.manual_seed(1)
    x = torch.randn(*shape, IN, dtype=torch.float64, requires_grad=True)
    if not with_state:
        return x, None
    rows = settings.get("num_layers", 1) * (2 if settings.get("bidirectional") else 1)
    lead = (rows,) if len(shape) == 1 else (rows, B)
    h = torch.randn(*lead, settings.get("proj_size") or HIDDEN, dtype=torch.float64, requires_grad=True)
    c = torch.randn(*lead, HIDDEN, dtype=torch.float64, requires_grad=True)
    return x, (h, c) if kind == "LSTM" else h


CASES = [
    ("RNN", {"nonlinearity": "relu"}, (T, B), True),
    ("RNN", {"num_layers": 2, "bias": False, "batch_first": True}, (B, T), False),
    ("LSTM", {"num_layers": 2, "bidirectional": True}, (T, B), False),
    ("LSTM", {"proj_size": 2, "batch_first": True}, (B, T), True),
    ("LSTM", {"bias": False}, (T,), True),
    ("GRU", {"bidirectional": True}, (T, B), False),
    ("GRU", {"batch_first": True}, (T,), True),
]


@pytest.mark.parametrize(("kind", "settings", "shape", "with_state"), CASES, ids=str)
def test_layer(kind: str, settings: dict[str, Any], shape: tuple[int, ...], with_state: bool) -> None:
    ours, theirs = pair(kind, IN, HIDDEN, **settings)
    x, hx = given(kind, settings, shape, with_state)
    twice = {"twice": with_state and "bidirectional" not in settings}  # these take long to compile
    same(
        everything(fb, ours, to_flambeau(x), to_flambeau(hx), **twice),
        everything(torch, theirs, x, hx, **twice),
        rtol=1e-9,
    )


PACKED = [
    ("LSTM", {"num_layers": 2, "proj_size": 2}, [4, 1, 3], False, False),
    ("GRU", {"bidirectional": True, "batch_first": True}, [3, 3, 1], True, True),
    ("RNN", {"bidirectional": True}, [1, 2, 4], False, True),
]


@pytest.mark.parametrize(("kind", "settings", "lengths", "in_order", "with_state"), PACKED, ids=str)
def test_packed(kind: str, settings: dict[str, Any], lengths: list[int], in_order: bool, with_state: bool) -> None:
    first = settings.get("batch_first", False)

    def pack(lib: Any, x: Any) -> Any:
        return lib.nn.utils.rnn.pack_padded_sequence(x, lengths, first, in_order)

    ours, theirs = pair(kind, IN, HIDDEN, **settings)
    steps = max(lengths)
    x, hx = given(kind, settings, (B, steps) if first else (steps, B), with_state)
    twice = kind == "GRU"
    mine = everything(fb, ours, to_flambeau(x), to_flambeau(hx), pack, twice)
    same(mine, everything(torch, theirs, x, hx, pack, twice), rtol=1e-9)
    mine, other = ours(pack(fb, to_flambeau(x)))[0], theirs(pack(torch, x))[0]
    assert type(mine) is fb.nn.utils.rnn.PackedSequence
    same(list(mine), list(other))


def test_padding_is_not_looked_at() -> None:
    ours, theirs = pair("GRU", IN, HIDDEN, bidirectional=True)
    x = torch.randn(T, B, IN, dtype=torch.float64)
    for i, length in enumerate([4, 2, 1]):
        x[length:, i] = torch.nan
    grads = []
    for lib, layer, values in ((fb, ours, to_flambeau(x)), (torch, theirs, x)):
        output, _ = layer(lib.nn.utils.rnn.pack_padded_sequence(values, [4, 2, 1]))
        output.data.sum().backward()
        grads.append([p.grad for p in layer.parameters()])
    same(*grads)


def test_many_steps_of_packed_sequences() -> None:
    """The loop makes a few more steps than there are."""
    ours, theirs = pair("LSTM", 1, 2, bidirectional=True)
    rows = [torch.linspace(-1, 1, n, dtype=torch.float64).unsqueeze(1) for n in (37, 33, 5)]
    mine, other = [
        layer(lib.nn.utils.rnn.pack_sequence(given))
        for lib, layer, given in ((fb, ours, to_flambeau(rows)), (torch, theirs, rows))
    ]
    same([mine[0].data, mine[1]], [other[0].data, other[1]])


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
@pytest.mark.parametrize("shape", [(B,), ()])
def test_cell(kind: str, shape: tuple[int, ...]) -> None:
    ours, theirs = pair(kind, IN, HIDDEN)
    xs = torch.randn(3, *shape, IN, dtype=torch.float64)
    results = []
    for layer, steps in ((ours, to_flambeau(xs)), (theirs, xs)):
        state = None
        for x in steps:
            state = layer(x, state)
        sum(s.pow(2).sum() for s in flat([state])).backward()
        results.append([flat([state]), [p.grad for p in layer.parameters()]])
    same(*results)


def test_a_layer_is_a_loop_over_its_cell() -> None:
    for kind in KINDS:
        layer, cell = getattr(fb.nn, kind)(IN, HIDDEN).double(), getattr(fb.nn, kind + "Cell")(IN, HIDDEN).double()
        cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
        state, x = None, fb.randn(T, B, IN, dtype=fb.float64)
        for step in x:
            state = cell(step, state)
        np.testing.assert_allclose(flat([state])[0].detach().numpy(), layer(x)[0][-1].detach().numpy(), rtol=1e-12)


# --- transforms and training -----------------------------------------------------------------------------------------


def test_transforms() -> None:
    ours, theirs = pair("GRU", IN, HIDDEN, bidirectional=True)
    x, dx = torch.randn(2, 3, T, IN, dtype=torch.float64)  # three samples without a batch
    mine, d = to_flambeau(x), to_flambeau(dx)
    same(fb.func.vmap(lambda q: ours(q)[0])(mine), torch.stack([theirs(q)[0] for q in x]))
    _, change = torch.autograd.functional.jvp(lambda q: theirs(q)[0], x[0], dx[0])
    same(fb.func.jvp(lambda q: ours(q)[0], (mine[0],), (d[0],))[1], change)

    def loss(weights: Any, q: Any) -> Any:
        return fb.func.functional_call(ours, weights, (q,))[0].pow(2).sum()

    weights = {name: p.detach() for name, p in ours.named_parameters()}
    got = fb.func.vmap(fb.func.grad(loss), in_dims=(None, 0))(weights, mine)
    each = [torch.autograd.grad(theirs(q)[0].pow(2).sum(), list(theirs.parameters())) for q in x]
    same(list(got.values()), [torch.stack(g) for g in zip(*each, strict=True)])
    copy.deepcopy(ours)  # nothing of the call is kept


def train(lib: Any, net: Any, data: Any, steps: int, compiled: bool) -> list[float]:
    lib.manual_seed(3)
    optimizer = lib.optim.Adam(net.parameters(), lr=1e-2)

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        output, _ = net[1](net[0](x[:, :-1]))
        loss = lib.nn.functional.cross_entropy(net[2](output).flatten(0, 1), x[:, 1:].reshape(-1))
        loss.backward()
        lib.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        return loss.detach()

    step = fb.compile(step, fullgraph=True) if compiled else step
    return [float(step(data)) for _ in range(steps)]


@pytest.mark.parametrize(
    ("kind", "compiled"),
    [
        ("LSTM", True),
        ("GRU", False),
        *[
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [("LSTM", False), ("GRU", True), ("RNN", False), ("RNN", True)]
        ],
    ],
)
def test_training_with_dropout_goes_as_torch_does(kind: str, compiled: bool) -> None:
    def build(lib: Any, dtype: Any) -> Any:
        settings = {"batch_first": True, "dropout": 0.3, "bidirectional": kind == "GRU", "dtype": dtype}
        rnn = getattr(lib.nn, kind)(4, 6, 2, **settings)
        parts = [lib.nn.Embedding(9, 4, dtype=dtype), rnn, lib.nn.Linear(12 if kind == "GRU" else 6, 9, dtype=dtype)]
        return lib.nn.ModuleList(parts)

    theirs, ours = build(torch, torch.float64), build(fb, fb.float64)
    ours.load_state_dict(to_flambeau(theirs.state_dict()))
    data = torch.randint(0, 9, (4, 8), generator=torch.Generator().manual_seed(3))
    expected = train(torch, theirs, data, 100, False)
    np.testing.assert_allclose(train(fb, ours, to_flambeau(data), 100, compiled), expected, rtol=1e-7)
    assert expected[-1] < 0.7 * expected[0]


def test_dropout_of_packed_sequences_draws_as_torch_does() -> None:
    ours, theirs = pair("LSTM", IN, HIDDEN, 3, dropout=0.5, bidirectional=True)
    rows = [torch.randn(n, IN, dtype=torch.float64) for n in (2, 4, 1)]
    results = []
    for lib, layer, values in ((fb, ours, to_flambeau(rows)), (torch, theirs, rows)):
        lib.manual_seed(5)
        output, state = layer(lib.nn.utils.rnn.pack_sequence(values, enforce_sorted=False))
        results.append([output.data, state, lib.rand(2)])
    same(*results)


@pytest.mark.parametrize("kind", [*KINDS, "RNNCell", "LSTMCell", "GRUCell"])
def test_autocast(kind: str) -> None:
    torch.manual_seed(0)
    theirs = getattr(torch.nn, kind)(IN, HIDDEN)
    ours = getattr(fb.nn, kind)(IN, HIDDEN)
    ours.load_state_dict(to_flambeau(theirs.state_dict()))
    x = torch.randn(*(() if "Cell" in kind else (T,)), B, IN)
    exact = flat(copy.deepcopy(theirs).double()(x.double()))
    try:
        with torch.autocast("cpu", torch.bfloat16):
            expected = flat(theirs(x))
    except RuntimeError as refusal:  # its LSTM in bfloat16 is oneDNN's, which processors without AVX-512 lack
        assert kind == "LSTM" and "could not create a primitive descriptor" in str(refusal)
        expected = [value.bfloat16() for value in exact]
    with fb.autocast("cpu", fb.bfloat16):
        got = ours(to_flambeau(x))
    same(flat(got), expected, rtol=2e-2, atol=2e-2)
    same([value.double() for value in flat(got)], exact, rtol=2e-2, atol=2e-2)
    flat(got)[0].float().sum().backward()
    assert all(p.grad.dtype is fb.float32 for p in ours.parameters())


# --- weights ---------------------------------------------------------------------------------------------------------


def test_weights_that_are_replaced() -> None:
    """As regularizers do it that put a computed tensor in a weight's place (Merity et al., 2018)."""
    ours, theirs = pair("LSTM", IN, HIDDEN)
    x = torch.randn(T, B, IN, dtype=torch.float64)
    results = []
    for lib, layer, values in ((fb, ours, to_flambeau(x)), (torch, theirs, x)):
        raw = lib.nn.Parameter(layer.weight_hh_l0.data)
        del layer._parameters["weight_hh_l0"]
        layer.register_parameter("weight_hh_l0_raw", raw)
        layer.weight_hh_l0 = raw * 0.5
        output, _ = layer(values)
        output.sum().backward()
        assert layer._flat_weights[1] is layer.weight_hh_l0
        results.append([output, raw.grad, list(layer.state_dict())])
    same(*results)


def test_the_weights_of_now_are_used() -> None:
    layer = fb.nn.RNN(IN, HIDDEN, 2)
    x = fb.ones(T, B, IN)
    layer._flat_weights = [fb.nn.Parameter(fb.zeros(w.shape)) for w in layer._flat_weights]
    assert all(not p.any() for p in layer.parameters()) and not layer(x)[0].any()
    layer._parameters["bias_ih_l1"] = fb.nn.Parameter(fb.ones(HIDDEN))
    assert fb.allclose(layer(x)[0][0], fb.tanh(fb.ones(B, HIDDEN)))
    with pytest.raises(TypeError, match="cannot assign"):
        layer._flat_weights = [fb.zeros(w.shape) for w in layer._flat_weights]
    for names, weights in zip(layer._all_weights, layer.all_weights, strict=True):
        assert all(weight is getattr(layer, name) for name, weight in zip(names, weights, strict=True))


def test_copies_and_files() -> None:
    ours, theirs = pair("LSTM", IN, HIDDEN, 2, bidirectional=True, proj_size=2)
    x = torch.randn(T, B, IN, dtype=torch.float64)
    expected, mine = theirs(x)[0], to_flambeau(x)
    for made in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert made.weight_hh_l0 is not ours.weight_hh_l0 and made._flat_weights[1] is made.weight_hh_l0
        same(made(mine)[0], expected)
    files = io.BytesIO(), io.BytesIO()
    torch.save(theirs, files[0])
    fb.save(ours, files[1])
    for file in files:
        file.seek(0)
    same(fb.load(files[0], weights_only=False)(mine)[0], expected)
    assert torch.equal(torch.load(files[1], weights_only=False)(x)[0], expected)


def test_functions() -> None:
    for kind, name in zip(KINDS, ("rnn_tanh", "lstm", "gru"), strict=True):
        ours, theirs = pair(kind, IN, HIDDEN)
        x, h = torch.randn(T, B, IN, dtype=torch.float64), torch.zeros(1, B, HIDDEN, dtype=torch.float64)
        hx = (h, h) if kind == "LSTM" else h
        for rows, sizes, last in ((x, (), (False,)), (x.flatten(0, 1), (torch.full((T,), B),), ())):
            rest = (True, 1, 0.0, False, False, *last)
            expected = getattr(torch, name)(rows, *sizes, hx, theirs._flat_weights, *rest)
            got = getattr(fb._VF, name)(
                to_flambeau(rows), *to_flambeau(sizes), to_flambeau(hx), ours._flat_weights, *rest
            )
            same(list(got), list(expected))
    assert fb._VF.lstm is fb.lstm and fb._VF.gru_cell is fb.gru_cell


# --- errors ----------------------------------------------------------------------------------------------------------

BUILDS = [
    *[
        ((), {}),
        ((3,), {}),
        ((3, 4.0), {}),
        ((3.0, 4), {}),
        ((3, 0), {}),
        ((0, 4), {}),
        ((3, 4, 0), {}),
        ((3, 4, 1.5), {}),
    ],
    *[
        ((3, 4), {name: value})
        for name, value in [("dropout", 0.5), ("dropout", 1.5), ("dropout", True), ("dropout", "a")]
    ],
    *[((3, 4), {name: value}) for name, value in [("proj_size", 2), ("proj_size", 4), ("proj_size", -1), ("bias", 1)]],
    *[((3, 4), {name: value}) for name, value in [("foo", 1), ("nonlinearity", "sigmoid"), ("mode", "LSTM")]],
    *[((3, 4, 1, "relu"), {}), ((3, 4, 1, True, False, 0.0, False, 0), {})],
]
Z = torch.zeros
CALLS = [
    *[(Z(3), None), (Z(1, 2, 3, 3), None), (Z(5, 2, 4), None), (Z(5, 4), None), (Z(5, 2, 3).double(), None)],
    *[(Z(5, 2, 3).long(), None), (Z(0, 2, 3), None), (Z(0, 3), None), (Z(5, 0, 3), None), (None, None), ([1.0], None)],
    *[(Z(5, 2, 3), Z(2, 4)), (Z(5, 3), Z(1, 2, 4)), (Z(5, 2, 3), Z(1, 3, 4)), (Z(5, 2, 3), Z(2, 2, 4))],
    *[(Z(5, 2, 3), Z(1, 2, 5)), (Z(5, 3), Z(1, 5)), (Z(5, 2, 3), (None, None))],
]
CELL_CALLS = [
    *[(Z(()), None), (Z(1, 2, 3), None), (Z(2, 4), None), (Z(4), None), (Z(2, 3).double(), None), (Z(0, 3), None)],
    *[
        (Z(2, 3), Z(4)),
        (Z(3), Z(2, 4)),
        (Z(2, 3), Z(3, 4)),
        (Z(2, 3), Z(2, 5)),
        (Z(2, 3), Z(1, 2, 4)),
        (Z(2, 3), Z(1, 4)),
    ],
    *[(Z(2, 3), Z(2, 4).double()), (None, None)],
]


def outcome(call: Any) -> tuple[str, str, list[str]]:
    """What a call comes to: the shapes of its results or the error, and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            made = call()
            text = (
                "ok",
                str([list(t.shape) for t in flat(made)] if isinstance(made, (tuple, list)) else type(made).__name__),
            )
        except Exception as error:
            text = type(error).__name__, str(error)
    told = [f"{w.category.__name__}: {w.message}" for w in caught if "oneDNN" not in str(w.message)]
    return *text, told


def agree(ours: Any, theirs: Any) -> None:
    """The same outcome; an error of ours holds the text of torch's."""
    mine, other = outcome(ours), outcome(theirs)
    assert mine[0] == other[0] and other[1] in mine[1] and mine[2] == other[2], (mine, other)


@pytest.mark.parametrize("kind", KINDS)
def test_errors_of_layers(kind: str) -> None:
    for args, kwargs in BUILDS:
        agree(lambda: getattr(fb.nn, kind)(*args, **kwargs), lambda: getattr(torch.nn, kind)(*args, **kwargs))  # noqa: B023
    ours, theirs = getattr(fb.nn, kind)(3, 4), getattr(torch.nn, kind)(3, 4)
    for x, h in CALLS:
        hx = (h, h) if kind == "LSTM" and isinstance(h, torch.Tensor) else h
        agree(lambda: ours(to_flambeau(x), to_flambeau(hx)), lambda: theirs(x, hx))  # noqa: B023


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
def test_errors_of_cells(kind: str) -> None:
    ours, theirs = getattr(fb.nn, kind)(3, 4), getattr(torch.nn, kind)(3, 4)
    for x, h in CELL_CALLS:
        hx = (h, h) if kind == "LSTMCell" and h is not None else h
        agree(lambda: ours(to_flambeau(x), to_flambeau(hx)), lambda: theirs(x, hx))  # noqa: B023


def test_printed_forms() -> None:
    choices = itertools.product(
        KINDS, ({}, {"num_layers": 2, "dropout": 0.25}, {"bias": False, "batch_first": True, "bidirectional": True})
    )
    for kind, settings in choices:
        assert repr(getattr(fb.nn, kind)(1, 2, **settings)) == repr(getattr(torch.nn, kind)(1, 2, **settings))
    ours, theirs = pair("LSTM", IN, HIDDEN)
    x = torch.zeros(1, 1, IN, dtype=torch.float64)
    assert str(ours(to_flambeau(x))) == str(theirs(x))
