"""Multi-head attention and transformers: what they give, refuse and warn of, as in torch."""

from __future__ import annotations

import copy
import io
import itertools
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import flambeau as fb
import flambeau.nn
from support.programs import agree
from support.values import same, to_flambeau

LIBRARIES = (torch, fb)
ERROR_WORDS = 12


def both(cls: str, *args: Any, **options: Any) -> tuple[Any, Any]:
    """A layer of each library in float64, with the same parameters."""
    theirs = getattr(torch.nn, cls)(*args, **options, dtype=torch.float64)
    ours = getattr(fb.nn, cls)(*args, **options, dtype=fb.float64)
    ours.load_state_dict(to_flambeau(dict(theirs.state_dict())))
    return theirs, ours


def same_call(theirs: Any, ours: Any, inputs: list[torch.Tensor], options: dict[str, Any]) -> None:
    """Results, and gradients of what is a number in them."""
    inputs = [x.detach().requires_grad_() for x in inputs]
    mine = [to_flambeau(x) for x in inputs]
    expected, got = theirs(*inputs, **options), ours(*mine, **to_flambeau(options))
    same(got, expected, rtol=1e-8, atol=1e-9)
    for out in (expected, got):
        (out[0] if isinstance(out, tuple) else out).nan_to_num().square().sum().backward()
    leaves = [*zip(mine, inputs, strict=True), *zip(ours.parameters(), theirs.parameters(), strict=True)]
    for a, b in leaves:
        if b.grad is not None:
            same(a.grad, b.grad, rtol=1e-7, atol=1e-8)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


SETTINGS: list[dict[str, Any]] = [
    {},
    {"bias": False, "batch_first": True},
    {"add_bias_kv": True, "add_zero_attn": True},
    {"kdim": 5, "vdim": 6, "add_bias_kv": True},
]


@pytest.mark.parametrize("number", range(len(SETTINGS)))
@pytest.mark.filterwarnings("ignore:Support for mismatched")
def test_masks(number: int) -> None:
    torch.manual_seed(0)
    settings = SETTINGS[number]
    theirs, ours = both("MultiheadAttention", 8, 2, **settings)
    query, key, value = normal(4, 3, 8), normal(5, 3, settings.get("kdim", 8)), normal(5, 3, settings.get("vdim", 8))
    if settings.get("batch_first"):
        query, key, value = (x.transpose(0, 1).contiguous() for x in (query, key, value))
    padded = torch.tensor([[0, 0, 0, 1, 1], [1, 1, 1, 1, 1], [0, 1, 0, 0, 0]]).bool()  # one sample has no place at all
    masks = [
        {},
        {"key_padding_mask": padded, "attn_mask": torch.rand(4, 5) > 0.6},
        {"key_padding_mask": padded, "attn_mask": normal(4, 5)},
        {"key_padding_mask": normal(3, 5), "attn_mask": normal(6, 4, 5)},
        {"attn_mask": torch.rand(4, 5) > 0.6, "is_causal": True},
    ]
    for mask, (weights, averaged) in itertools.product(masks, ((True, True), (True, False), (False, True))):
        options = {**mask, "need_weights": weights, "average_attn_weights": averaged}
        same_call(theirs, ours, [query, key, value], options)


def test_without_a_batch_and_with_one_tensor() -> None:
    torch.manual_seed(1)
    theirs, ours = both("MultiheadAttention", 8, 2, batch_first=True)
    same_call(theirs, ours, [normal(4, 8), normal(5, 8), normal(5, 8)], {"attn_mask": normal(2, 4, 5)})
    x = normal(2, 4, 8)
    mine = to_flambeau(x)
    same(ours(mine, mine, mine), theirs(x, x, x), rtol=1e-8, atol=1e-9)
    memory = normal(2, 5, 8)
    ours_memory = to_flambeau(memory)
    same(ours(mine, ours_memory, ours_memory), theirs(x, memory, memory), rtol=1e-8, atol=1e-9)


def attention(library: Any, *shapes: tuple[int, ...], **options: Any) -> Any:
    made = {k: v(library) if callable(v) else v for k, v in options.items()}
    return library.nn.MultiheadAttention(8, 2)(*(library.ones(s) for s in shapes), **made)


X = (4, 3, 8)
REFUSED: dict[str, Callable[[Any], Any]] = {
    "divides": lambda lib: lib.nn.MultiheadAttention(7, 2),
    "sizes": lambda lib: lib.nn.MultiheadAttention(0, 2),
    "four": lambda lib: attention(lib, (1, *X), (1, *X), (1, *X)),
    "mixed": lambda lib: attention(lib, X, (4, 8), (4, 8)),
    "width": lambda lib: attention(lib, (4, 3, 7), X, X),
    "keys": lambda lib: attention(lib, X, (5, 3, 8), X),
    "padding_rank": lambda lib: attention(lib, X, X, X, key_padding_mask=lambda t: t.zeros(4)),
    "padding_shape": lambda lib: attention(lib, X, X, X, key_padding_mask=lambda t: t.zeros(3, 5)),
    "padding_kind": lambda lib: attention(lib, X, X, X, key_padding_mask=lambda t: t.zeros(3, 4).int()),
    "mask_shape": lambda lib: attention(lib, X, X, X, attn_mask=lambda t: t.zeros(4, 5)),
    "mask_heads": lambda lib: attention(lib, X, X, X, attn_mask=lambda t: t.zeros(3, 4, 4)),
    "mask_kind": lambda lib: attention(lib, X, X, X, attn_mask=lambda t: t.zeros(4, 4).byte()),
    "mask_dtype": lambda lib: attention(lib, X, X, X, attn_mask=lambda t: t.zeros(4, 4).double()),
    "no_mask": lambda lib: attention(lib, X, X, X, is_causal=True),
    "activation": lambda lib: lib.nn.TransformerEncoderLayer(8, 2, activation="tanh"),
    "batches": lambda lib: lib.nn.Transformer(8, 2, 1, 1, 8)(lib.ones(4, 2, 8), lib.ones(3, 3, 8)),
    "features": lambda lib: lib.nn.Transformer(8, 2, 1, 1, 8)(lib.ones(4, 2, 7), lib.ones(3, 2, 7)),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_refusals(case: str) -> None:
    words = None if case == "divides" else ERROR_WORDS  # None: PyTorch's whole text, with ours behind it
    assert isinstance(agree(REFUSED[case], words=words), Exception)


def warned(library: Any, **options: Any) -> Any:
    layer = library.nn.TransformerEncoderLayer(8, options.pop("heads", 2), 16, **options)
    return library.nn.TransformerEncoder(layer, 1).use_nested_tensor


@pytest.mark.parametrize(
    "options",
    [
        {"batch_first": True},
        {},
        {"batch_first": True, "norm_first": True},
        {"batch_first": True, "bias": False},
        {"batch_first": True, "heads": 1},
    ],
    ids=str,
)
def test_warnings(options: dict[str, Any]) -> None:
    agree(lambda library: warned(library, **options))


def test_masks_of_two_kinds_warn() -> None:
    agree(
        lambda lib: attention(
            lib, X, X, X, attn_mask=lambda t: t.zeros(4, 4), key_padding_mask=lambda t: t.zeros(3, 4) > 0
        )[1]
    )


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.filterwarnings("ignore:enable_nested_tensor", "ignore:Support for mismatched")
def test_transformer(norm_first: bool, batch_first: bool) -> None:
    torch.manual_seed(2)
    options = {"norm_first": norm_first, "batch_first": batch_first, "activation": "gelu" if norm_first else "relu"}
    theirs, ours = both("Transformer", 8, 2, 1, 1, 16, 0.0, **options)
    src, tgt = (normal(3, 5, 8), normal(3, 4, 8)) if batch_first else (normal(5, 3, 8), normal(4, 3, 8))
    causal = torch.nn.Transformer.generate_square_subsequent_mask(4, dtype=torch.float64)
    short = torch.zeros(3, 5, dtype=torch.bool)
    short[0, 3:] = True
    calls: list[dict[str, Any]] = [
        {},
        {"tgt_mask": causal, "tgt_is_causal": True, "src_mask": normal(5, 5), "memory_mask": normal(4, 5)},
        {"tgt_mask": causal, "src_key_padding_mask": short, "memory_key_padding_mask": short},
    ]
    for call in calls:
        same_call(theirs, ours, [src, tgt], call)
    same_call(theirs, ours, [normal(5, 8), normal(4, 8)], {"tgt_mask": causal})


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_padded_places_are_zeros_where_torch_has_nested_tensors() -> None:
    torch.manual_seed(3)
    layers = [lib.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dtype=lib.float64) for lib in LIBRARIES]
    norms = [lib.nn.LayerNorm(8, dtype=lib.float64) for lib in LIBRARIES]
    theirs, ours = (
        lib.nn.TransformerEncoder(x, 2, n).eval() for lib, x, n in zip(LIBRARIES, layers, norms, strict=True)
    )
    ours.load_state_dict(to_flambeau(dict(theirs.state_dict())))
    x = normal(3, 4, 8)
    compiled = fb.compile(lambda x, padded: ours(x, src_key_padding_mask=padded), fullgraph=True)
    for padded in ([[0, 0, 0, 1], [0, 0, 1, 1], [0, 0, 0, 0]], [[1, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]]):
        mask = torch.tensor(padded).bool()
        with torch.no_grad(), fb.no_grad():
            expected = theirs(x, src_key_padding_mask=mask)
            same(ours(to_flambeau(x), src_key_padding_mask=to_flambeau(mask)), expected, rtol=1e-8, atol=1e-9)
            same(compiled(to_flambeau(x), to_flambeau(mask)), expected, rtol=1e-8, atol=1e-9)
        same(
            ours(to_flambeau(x), src_key_padding_mask=to_flambeau(mask)).detach(),
            theirs(x, src_key_padding_mask=mask).detach(),
            rtol=1e-8,
            atol=1e-9,
        )


LAYERS: dict[str, Callable[[Any], Any]] = {
    "joint": lambda lib: lib.nn.MultiheadAttention(8, 2),
    "apart": lambda lib: lib.nn.MultiheadAttention(8, 2, kdim=4, vdim=3, add_bias_kv=True, bias=False),
    "encoder": lambda lib: lib.nn.TransformerEncoderLayer(8, 2, 16, activation=lib.nn.functional.gelu),
    "decoder": lambda lib: lib.nn.TransformerDecoderLayer(8, 2, 16, activation=lib.nn.GELU(), bias=False),
    "all": lambda lib: lib.nn.Transformer(8, 2, 2, 1, 16),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_parameters_and_copies(name: str) -> None:
    for library in LIBRARIES:
        library.manual_seed(5)
    theirs, ours = LAYERS[name](torch), LAYERS[name](fb)
    assert repr(ours) == repr(theirs)
    assert sorted(vars(ours)) == sorted(vars(theirs))
    same(dict(ours.state_dict()), dict(theirs.state_dict()), rtol=1e-6, atol=1e-7)
    assert fb.rand(3).tolist() == torch.rand(3).tolist()  # both generators stand at the same place
    file = io.BytesIO()
    fb.save(ours, file)
    file.seek(0)
    for copied in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours)), fb.load(file, weights_only=False)):
        assert all(fb.equal(a, b) for a, b in zip(ours.parameters(), copied.parameters(), strict=True))
        if name == "encoder":
            assert copied.activation is fb.nn.functional.gelu


def training(library: Any, compiled: bool) -> np.ndarray:
    library.manual_seed(7)
    layer = library.nn.TransformerDecoderLayer(8, 2, 16, 0.0, dtype=library.float64)
    x, memory = library.randn(4, 3, 8, dtype=library.float64), library.randn(5, 3, 8, dtype=library.float64)
    mask = library.nn.Transformer.generate_square_subsequent_mask(4, dtype=library.float64)
    optimizer = library.optim.AdamW(layer.parameters(), lr=1e-2)

    def step() -> Any:
        optimizer.zero_grad()
        loss = (layer(x, memory, tgt_mask=mask, tgt_is_causal=True) - x).square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    run = library.compile(step) if compiled else step
    return np.array([float(run()) for _ in range(20)])


def test_training() -> None:
    expected = training(torch, False)
    for compiled in (False, True):
        np.testing.assert_allclose(training(fb, compiled), expected, rtol=1e-8)


def test_dropout_takes_part() -> None:
    fb.manual_seed(0)
    layer = fb.nn.MultiheadAttention(8, 2, dropout=0.5)
    x = fb.randn(64, 1, 8)
    _, weights = layer(x, x, x, average_attn_weights=False)
    assert abs((weights == 0).float().mean().item() - 0.5) < 0.05
    assert (layer.eval()(x, x, x)[1] > 0).all()


def test_functional_with_static_keys() -> None:
    torch.manual_seed(6)
    theirs, ours = both("MultiheadAttention", 8, 2)
    x, static = normal(4, 3, 8), normal(6, 5, 4)

    def call(library: Any, layer: Any, x: Any, **more: Any) -> Any:
        return library.nn.functional.multi_head_attention_forward(
            x, x, x, 8, 2, layer.in_proj_weight, layer.in_proj_bias, None, None, True, 0.0, layer.out_proj.weight,
            layer.out_proj.bias, **more,
        )  # fmt: skip

    expected = call(torch, theirs, x, static_k=static, static_v=static)
    mine = to_flambeau(static)
    same(call(fb, ours, to_flambeau(x), static_k=mine, static_v=mine), expected, rtol=1e-8, atol=1e-9)
    with pytest.raises(AssertionError, match=r"expecting static_k.size\(0\) of 6, but got 5"):
        call(fb, ours, to_flambeau(x), static_k=fb.ones(5, 5, 4))


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_under_transforms() -> None:
    torch.manual_seed(8)
    theirs, ours = both("TransformerEncoderLayer", 8, 2, 16, 0.0)
    x = normal(2, 4, 3, 8)

    def loss(library: Any, layer: Any) -> Any:
        return lambda p, x: library.func.functional_call(layer, p, (x,)).square().sum()

    grads = []
    for library, layer, batch in ((torch, theirs, x), (fb, ours, to_flambeau(x))):
        each = library.func.vmap(library.func.grad(loss(library, layer)), in_dims=(None, 0))
        grads.append(dict(each(dict(layer.named_parameters()), batch)))
    same(grads[1], grads[0], rtol=1e-7, atol=1e-8)


def test_second_gradients() -> None:
    torch.manual_seed(9)
    theirs, ours = both("MultiheadAttention", 8, 2)
    x = normal(4, 2, 8)
    seconds = []
    for library, layer, value in ((torch, theirs, x), (fb, ours, to_flambeau(x))):
        out = layer(value, value, value)[0].square().sum()
        first = library.autograd.grad(out, list(layer.parameters()), create_graph=True)
        seconds.append(library.autograd.grad(sum(g.square().sum() for g in first), [layer.in_proj_weight])[0])
    same(seconds[1], seconds[0], rtol=1e-7, atol=1e-8)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize(("norm_first", "batch_first"), [(False, False), (True, True)])
def test_training_with_dropout(norm_first: bool, batch_first: bool) -> None:
    """The masks of dropout are torch's, in its order: a hundred steps give its losses."""

    def losses(library: Any, compiled: bool) -> list[float]:
        library.manual_seed(3)
        double = library.float64
        model = library.nn.Transformer(
            8, 2, 2, 2, 16, 0.2, "gelu", norm_first=norm_first, batch_first=batch_first, dtype=double
        )
        optimizer = library.optim.AdamW(model.parameters(), lr=1e-2)
        src, tgt = library.randn(3, 3, 8, dtype=double), library.randn(3, 3, 8, dtype=double)
        mask = library.nn.Transformer.generate_square_subsequent_mask(3, dtype=double)

        def step() -> Any:
            optimizer.zero_grad()
            loss = (model(src, tgt, tgt_mask=mask) - tgt).square().mean()
            loss.backward()
            optimizer.step()
            return loss.detach()

        run = library.compile(step) if compiled else step
        return [float(run()) for _ in range(100)]

    expected = losses(torch, False)
    for compiled in (False, True):
        np.testing.assert_allclose(losses(fb, compiled), expected, rtol=1e-8)
