"""Warnings that PyTorch's operators give: the kind, the first sentence, and the user's line."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest
import torch

import flambeau as fb
from flambeau.core.context import warned

CASES = [
    "t.add(x, x, out=t.zeros(4))",
    "t.add(x, x, out=t.empty(0))",
    "t.add(x, x, out=t.zeros(2, 3))",
    "t.max(x, 0, out=(t.zeros(1), t.zeros(3).long()))",
    "t.matmul(x, x.mT, out=t.zeros(1))",
    "t.ones(3).T",
    "x.T",
    "t.tensor(1.0).T",
    "t.tensor(1.0).H",
    "t.tensor(1.0).mT",
    "t.tensor(1.0).mH",
    "t.tensor(1.0).adjoint()",
    "t.tensor([1 + 2j]).to(t.float32)",
    "t.tensor([1 + 2j]).bool()",
    "t.ones(1, requires_grad=True).backward(create_graph=True)",
    "t.autograd.backward(t.ones(1, requires_grad=True), create_graph=True)",
    "t.cholesky(t.eye(2))",
    "t.chain_matmul(x, x.mT)",
    "t.meshgrid(t.ones(2), t.ones(3))",
    "t.cross(t.ones(3), t.ones(3))",
    "t.cov(t.ones(2, 1))",
    "t.where(t.ones(2, 3, dtype=t.uint8), x, x)",
    "t.cpu.amp.autocast()",
    "t.cpu.amp.GradScaler()",
]


def told(library: Any, code: str) -> list[tuple[type, str]]:
    x = library.arange(6.0).reshape(2, 3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        eval(compile(code, __file__, "eval"), {"t": library, "x": x})
    assert library is torch or all(w.filename == __file__ for w in caught)  # PyTorch names its own Python files
    return [(w.category, re.split(r"\.(?:\s|$)| \(Triggered|\n", str(w.message))[0]) for w in caught]


@pytest.fixture(autouse=True)
def _each_time():
    torch.set_warn_always(True)
    fb.set_warn_always(True)
    yield
    torch.set_warn_always(False)
    fb.set_warn_always(False)


@pytest.mark.parametrize("code", CASES)
def test_as_pytorch_warns(code: str) -> None:
    assert told(fb, code) == told(torch, code)


def test_only_once() -> None:
    fb.set_warn_always(False)
    assert not fb.is_warn_always_enabled()
    warned._given.clear()
    assert [len(told(fb, "t.ones(3).T")) for _ in range(3)] == [1, 0, 0]
    assert [len(told(fb, "t.add(x, x, out=t.zeros(4))")) for _ in range(2)] == [1, 1]


def test_bytes_are_no_mask() -> None:
    for library in (torch, fb):
        with pytest.raises(RuntimeError, match="masked_select: expected BoolTensor for mask"):
            library.masked_select(library.ones(2), library.ones(2, dtype=library.uint8))


@pytest.mark.parametrize(
    "code",
    [
        "t.ops.aten.elu(x - 3, 1.5, 2.0, 0.5)", "t.ops.aten.elu.default(x - 3)", "t.ops.aten.rsub.Scalar(x, 3, 2)",
        "t.ops.aten.rsub(x, 3)", "t.logspace(0, 1.2, 4, dtype=t.int64)", "t.logspace(-0.5, 2.7, 3, 2.0, dtype=t.int32)",
    ],
)  # fmt: skip
def test_scalars_by_their_places(code: str) -> None:
    mine, theirs = (eval(code, {"t": t, "x": t.arange(6.0, dtype=t.float64)}) for t in (fb, torch))
    assert mine.tolist() == pytest.approx(theirs.tolist(), rel=1e-14)
    assert str(mine.dtype) == str(theirs.dtype)


TOLD = {
    "complex numbers in a real dtype": lambda t: t.tensor([1 + 2j, 3 - 1j]).sum(dtype=t.float32),
    "an array that is not to be written": lambda t: t.from_numpy(np.broadcast_to(np.float32(1), (1,))),
    "arrays one by one": lambda t: t.tensor([np.ones(2), np.ones(2)]),
    "a range of another size": lambda t: t.arange(3, out=t.ones(5)),
    "one observation": lambda t: t.corrcoef(t.ones(2, 1)),
    "a typed storage": lambda t: t.ones(2).storage(),
}


@pytest.mark.parametrize("case", TOLD)
def test_what_is_not_to_be_done_is_told_as_in_pytorch(case):
    found = []
    for lib in (fb, torch):
        before = lib.is_warn_always_enabled()
        lib.set_warn_always(True)
        torch.storage._reset_warn_typed_storage_removal()
        try:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                TOLD[case](lib)
        finally:
            lib.set_warn_always(before)
        found.append([(w.category, str(w.message)[:25]) for w in told][:1])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "call",
    (
        lambda t, c: t.isin(c, c),
        lambda t, c: t.bucketize(c, t.ones(2)),
        lambda t, c: t.xlogy(c, c),
        lambda t, c: t.special.xlog1py(c, c),
        lambda t, c: t.trapezoid(t.ones(3), dx=1j),
        lambda t, c: t.ones(2, 2).renorm(2, 0, 1j),
    ),
)
def test_complex_numbers_are_refused_as_in_pytorch(call):
    found = []
    for lib in (fb, torch):
        with pytest.raises((RuntimeError, NotImplementedError)) as error:
            call(lib, lib.tensor([1 + 2j, 3 - 1j]))
        found.append((error.type, str(error.value).splitlines()[0]))
    assert found[0] == found[1]


def _resumed(library: Any) -> Any:
    optimizer = library.optim.SGD([library.ones(1, requires_grad=True)], 1.0)
    return library.optim.lr_scheduler.ExponentialLR(optimizer, 0.9, last_epoch=3)


def _stepped_to(library: Any) -> None:
    optimizer = library.optim.SGD([library.ones(1, requires_grad=True)], 1.0)
    schedule = library.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    optimizer.step()
    schedule.step(3)


WHOLE_TEXTS = {
    "kl_div": lambda t: t.nn.functional.kl_div(t.zeros(2, 2), t.ones(2, 2)),
    "NLLLoss2d": lambda t: t.nn.NLLLoss2d(),
    "T": lambda t: t.ones(2, 3, 4).T,
    "chain_matmul": lambda t: t.chain_matmul(t.eye(2), t.eye(2)),
    "cholesky": lambda t: t.cholesky(t.eye(2)),
    "qr": lambda t: t.qr(t.eye(2)),
    "grad": lambda t: (t.ones(2, requires_grad=True) * 2).grad,
    "sequence": lambda t: t.zeros(2, 3)[[[0, 1], [0, 1]]],
    "storage": lambda t: t.ones(2).storage(),
    "epoch": _stepped_to,
    "initial_lr": _resumed,
}


@pytest.mark.parametrize("call", WHOLE_TEXTS.values(), ids=WHOLE_TEXTS)
def test_texts_that_say_what_to_write_instead_are_whole(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warned, "_given", set())
    torch.set_warn_always(True)
    texts = []
    try:
        for library in (torch, fb):
            torch.storage._reset_warn_typed_storage_removal()  # which is said once
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    call(library)
                except KeyError as error:
                    texts.append([error.args[0]])
                    continue
            texts.append([str(w.message).partition(" (Triggered")[0] for w in caught])
    finally:
        torch.set_warn_always(False)
    assert texts[0] == texts[1] and len(texts[0]) == 1
