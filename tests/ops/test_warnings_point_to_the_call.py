"""Warnings name the line of the program, and say PyTorch's words; counts of positional arguments, too."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import flambeau

TOLD: dict[str, Callable[[Any], Any]] = {
    "sizes": lambda t: t.nn.functional.mse_loss(t.ones(4, 5), t.ones(5)),
    "sizes by name": lambda t: t.nn.functional.l1_loss(t.ones(4, 5), target=t.ones(5)),
    "both by name": lambda t: t.nn.functional.huber_loss(target=t.ones(5), input=t.ones(4, 5)),
    "corners": lambda t: t.nn.functional.grid_sample(t.ones(1, 1, 3, 3), t.ones(1, 2, 2, 2)),
    "upsample": lambda t: t.nn.functional.upsample(t.ones(1, 1, 2, 2), 4),
    "dropout2d": lambda t: t.nn.functional.dropout2d(t.ones(2, 3)),
    "eps": lambda t: t.nn.functional.gumbel_softmax(t.ones(4, 5), eps=1e-9),
    "order": lambda t: t.optim.lr_scheduler.StepLR(t.optim.SGD(t.nn.Linear(2, 2).parameters(), 0.1), 3).step(),
}


def _told(library: Any, call: Callable[[Any], Any]) -> list[tuple[Any, ...]]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        call(library)
    return [(str(w.message), w.category, w.filename, w.lineno) for w in seen]


WHOLE: dict[str, Callable[[Any], Any]] = {
    "softmax": lambda t: t.nn.functional.softmax(t.ones(2, 2)),
    "log_softmax": lambda t: t.nn.functional.log_softmax(t.ones(2, 2)),
    "kl_div": lambda t: t.nn.functional.kl_div(t.zeros(2), t.ones(2)),
    "epoch": lambda t: t.optim.lr_scheduler.StepLR(_stepped(t), 3).step(2),
    "grad": lambda t: (t.ones(2, requires_grad=True) * 2).grad,
    "range": lambda t: t.range(0, 2),
    "bytes": lambda t: t.ones(2)[t.tensor([1, 0], dtype=t.uint8)],
    "tensor": lambda t: t.tensor(t.ones(2)),
    "new_tensor": lambda t: t.ones(2).new_tensor(t.ones(2)),
    "masks": lambda t: t.nn.MultiheadAttention(4, 2)(
        *[t.ones(2, 1, 4)] * 3, attn_mask=t.zeros(2, 2), key_padding_mask=t.zeros(1, 2, dtype=t.bool)
    ),
    "nested": lambda t: t.nn.TransformerEncoder(t.nn.TransformerEncoderLayer(4, 2), 1),
    "nested, of Transformer": lambda t: t.nn.Transformer(4, 2, 1, 1, 8),
}
ONCE: dict[str, Callable[[Any], Any]] = {  # in a process
    "T": lambda t: t.ones(2, 2, 2).T,
    "chain_matmul": lambda t: t.chain_matmul(t.ones(1, 1), t.ones(1, 1)),
    "cross": lambda t: t.cross(t.ones(3), t.ones(3)),
    "arrays": lambda t: t.tensor([np.ones(1), np.ones(1)]),
}


def _stepped(t: Any) -> Any:
    optimizer = t.optim.SGD(t.nn.Linear(2, 2).parameters(), 0.1)
    optimizer.step()
    return optimizer


@pytest.mark.parametrize("name", [*WHOLE, *ONCE])
def test_whole_sentences(name: str) -> None:
    call = (WHOLE | ONCE)[name]
    if name in ONCE:
        flambeau.set_warn_always(True)
        torch.set_warn_always(True)
    try:
        theirs, ours = ([(text, file) for text, _, file, _ in _told(t, call)] for t in (torch, flambeau))
    finally:
        flambeau.set_warn_always(False)
        torch.set_warn_always(False)
    text = theirs[0][0].partition(" (Triggered internally")[0]
    assert ours[0][0].startswith(text)
    assert ours[0][1] == __file__


@pytest.mark.parametrize("name", TOLD)
def test_same_words_at_the_same_line(name: str) -> None:
    ours = _told(flambeau, TOLD[name])
    assert ours == _told(torch, TOLD[name])
    assert [row[2:] for row in ours] == [(__file__, inspect.getsourcelines(TOLD[name])[1])]


def test_layers_point_to_their_call() -> None:
    ((text, _, file, _),) = _told(flambeau, lambda t: t.nn.MSELoss()(t.ones(4, 5), t.ones(5)))
    assert file == __file__
    assert text == _told(torch, lambda t: t.nn.MSELoss()(t.ones(4, 5), t.ones(5)))[0][0]


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.cat([t.ones(2)], 0, 2),
        lambda t: t.stack([t.ones(2)], 0, 2),
        lambda t: t.tril(t.ones(2, 2), 1, 2),
        lambda t: t.roll(t.ones(2, 3), 1, 1, 1),
        lambda t: t.topk(t.ones(3), 1, 0, True, True, 1),
        lambda t: t.gather(t.ones(2, 3), 1, t.zeros(2, 3, dtype=t.int64), 3),
    ],
    ids=["cat", "stack", "tril", "roll", "topk", "gather"],
)
def test_count_of_positional_arguments(call: Callable[[Any], Any]) -> None:
    said = []
    for library in (torch, flambeau):
        with pytest.raises(TypeError) as caught:
            call(library)
        said.append(str(caught.value))
    assert said[0] == said[1]
