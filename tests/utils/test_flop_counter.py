"""`torch.utils.flop_counter` and `module_tracker`: counts by module and operator are torch's."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch.utils import flop_counter as theirs

import flambeau as fb
from flambeau.utils import flop_counter as ours
from flambeau.utils.module_tracker import ModuleTracker

NETWORKS = """\
nn.Sequential(nn.Linear(3,4),nn.ReLU(),nn.Linear(4,2))(torch.ones(5,3))
nn.Linear(3,4,bias=False)(torch.ones(5,3))
nn.Linear(3,4)(torch.ones(2,5,3))
nn.Linear(3,4)(torch.ones(2,3,5).mT)
nn.Linear(3,4)(torch.ones(3))
nn.Conv1d(4,6,3,padding='same')(r(2,4,8))
nn.Conv2d(4,6,3,padding=1)(torch.ones(4,8,8))
nn.Conv2d(4,6,3,groups=2)(r(2,4,8,8))
nn.Conv2d(4,4,3,groups=4,bias=False)(torch.ones(2,4,8,8))
nn.Conv3d(4,6,3,stride=2)(r(2,4,8,8,8))
nn.ConvTranspose1d(4,6,3)(r(2,4,8))
nn.ConvTranspose2d(4,6,3,groups=2,stride=2)(r(2,4,8,8))
nn.ConvTranspose3d(4,6,3,output_padding=1,stride=2)(r(2,4,4,4,4))
torch.mm(r(3,4),torch.ones(4,5))
torch.addmm(r(5),r(3,4),r(4,5))
torch.baddbmm(r(2,3,5),r(2,3,4),r(2,4,5))
torch.addbmm(r(3,5),r(2,3,4),r(2,4,5))
torch.addmv(r(3),r(3,4),r(4))
torch.einsum('bij,bjk->bik',r(2,3,4),r(2,4,5))
torch.tensordot(r(3,4,5),r(4,5,2),2)
nn.Bilinear(3,4,5)(r(2,3),r(2,4))
(lambda m,x: m(x,x,x)[0])(nn.MultiheadAttention(8,2,batch_first=True),torch.randn(2,5,8))
nn.Sequential(nn.Conv2d(3,8,3),nn.BatchNorm2d(8),nn.ReLU(),nn.MaxPool2d(2),nn.Flatten(),nn.Linear(72,10))(torch.randn(2,3,8,8))
nn.Sequential(nn.Sequential(nn.Linear(3,4)),nn.Sequential(nn.Tanh(),nn.Linear(4,2)))(r(5,3))""".splitlines()
PRODUCTS = [
    ((3, 4), (4, 5)), ((3, 4), (4,)), ((4,), (4,)), ((4,), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (4,)),
    ((3, 4), (2, 4, 5)), ((2, 3, 4), (2, 4, 5)), ((2, 1, 3, 4), (2, 4, 5)), ((4,), (2, 4, 5)), ((6, 2, 3, 4), (4, 5)),
]  # fmt: skip


def names(lib: Any) -> dict[str, Any]:
    return {"torch": lib, "nn": lib.nn, "r": lambda *s: lib.randn(*s, requires_grad=True)}


def counts(counter: Any) -> Any:
    return {path: {str(op): n for op, n in found.items()} for path, found in counter.get_flop_counts().items()}


def counted(lib: Any, module: Any, program: str) -> Any:
    with module.FlopCounterMode(display=False) as counter:
        eval(program, names(lib)).sum().backward()
    return counts(counter), counter.get_total_flops()


@pytest.mark.parametrize("program", NETWORKS)
def test_counts_are_torchs(program: str) -> None:
    assert counted(fb, ours, program) == counted(torch, theirs, program)


@pytest.mark.parametrize("left, right", PRODUCTS)
def test_products_of_any_rank(left: Any, right: Any) -> None:
    program = f"torch.matmul(r(*{left!r}), r(*{right!r}))"
    assert counted(fb, ours, program) == counted(torch, theirs, program)


def test_a_product_without_gradients_is_named_as_torch_runs_it() -> None:
    for left, right in [((3, 4), (2, 4, 5)), ((2, 3, 4), (4, 5))]:
        found = []
        for lib, module in ((fb, ours), (torch, theirs)):
            with module.FlopCounterMode(display=False) as counter:
                lib.ones(*left) @ lib.ones(*right)
            found.append(counts(counter))
        assert found[0] == found[1]


def test_attention_counts_by_torchs_formulas() -> None:
    q, k, v = (fb.randn(2, 3, n, 8, requires_grad=True) for n in (6, 7, 7))
    with ours.FlopCounterMode(display=False) as counter:
        fb.nn.functional.scaled_dot_product_attention(q, k, v).sum().backward()
    forward = theirs.sdpa_flop_count(q.shape, k.shape, v.shape)
    backward = theirs.sdpa_backward_flop_count((2, 3, 6, 8), q.shape, k.shape, v.shape)
    assert list(counts(counter)["Global"].values()) == [forward, backward]
    assert ours.sdpa_flop_count(q.shape, k.shape, v.shape) == forward
    assert ours.sdpa_backward_flop_count((2, 3, 6, 8), q.shape, k.shape, v.shape) == backward


def test_the_table(capsys: Any, monkeypatch: Any) -> None:
    pieces = []
    for lib in (fb, torch):
        nn = lib.nn
        net = nn.Sequential(nn.Linear(3, 400), nn.Sequential(nn.Linear(400, 200), nn.ReLU()), nn.Linear(200, 2))
        pieces.append((net, lib.ones(5, 3)))

    import sys
    import types

    handed: list[Any] = []
    fake = types.ModuleType("tabulate")
    fake.tabulate = lambda rows, headers, colalign: handed.append((headers, rows)) or ""  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tabulate", fake)
    for depth in (1, 2, 3):
        counters = []
        for (net, x), module in zip(pieces, (ours, theirs), strict=True):
            with module.FlopCounterMode(display=False) as counter:
                (net(x).sum() * 2).backward()
                (x @ x.mT).sum()
            counters.append(counter)
        counters[1].get_table(depth)
        headers, rows = handed[-1]
        lines = counters[0].get_table(depth).splitlines()
        assert [re.split(r"  +", lines[0].strip()), *map(str.split, lines[2:])] == [
            headers,
            *(" ".join(row).split() for row in rows),
        ]
    width = max(map(len, lines))
    assert lines[1].split("  ")[1] == "-" * 9 and all(len(line) == width for line in lines)
    with ours.FlopCounterMode(depth=1):
        pieces[0][0](pieces[0][1])
    printed = capsys.readouterr().out
    assert printed.splitlines()[2].split() == ["Sequential", "816.000K", "100.00%"]


def test_an_empty_count() -> None:
    with ours.FlopCounterMode(display=False) as counter:
        pass
    assert counter.get_total_flops() == 0 and counter.get_flop_counts() == {}
    assert counter.get_table().splitlines() == [
        "Module      FLOP    % Total",
        "--------  ------  ---------",
        "Global         0         0%",
    ]


def test_formulas_of_ones_own(monkeypatch: Any) -> None:
    for lib, module in ((fb, ours), (torch, theirs)):
        seen: list[Any] = []

        def formula(*args: Any, out_shape: Any, seen: Any = seen, **kwargs: Any) -> int:
            seen.append((args, out_shape))
            return 7

        monkeypatch.setattr(module, "flop_registry", dict(module.flop_registry))
        mapping = {lib.ops.aten.mul: formula}
        with module.FlopCounterMode(display=False, custom_mapping=mapping) as counter:
            lib.ones(2, 3) * lib.ones(3)
            lib.ones(2) + 1
        assert counts(counter) == {"Global": {"aten.mul": 7}}
        assert [(tuple(map(tuple, a)), tuple(o)) for a, o in seen] == [(((2, 3), (3,)), (2, 3))]
        with pytest.raises((ValueError, RuntimeError), match="duplicate registrations for"):
            module.register_flop_formula(lib.ops.aten.mm)(formula)
        with pytest.raises(ValueError, match="expected each target to be OpOverloadPacket"):
            module.register_flop_formula(3)(formula)


def test_a_registered_formula_counts() -> None:
    @ours.register_flop_formula(fb.ops.aten.tan)
    def tan_flop(x_shape: Any, out_shape: Any = None, **kwargs: Any) -> int:
        return 3 * x_shape[0]

    try:
        with ours.FlopCounterMode(display=False) as counter:
            fb.ones(4).tan()
        assert counts(counter) == {"Global": {"aten.tan": 12}}
    finally:
        del ours.flop_registry[fb.ops.aten.tan]


def test_compiled_functions_and_gradients_of_what_was_recorded_before() -> None:
    net = fb.nn.Linear(3, 4)
    compiled = fb.compile(lambda x: net(x).sum())
    compiled(fb.ones(5, 3))
    loss = net(fb.ones(5, 3, requires_grad=True)).sum()
    with ours.FlopCounterMode(display=False) as counter:
        compiled(fb.ones(5, 3))
    assert counter.get_total_flops() == 120
    with counter:
        loss.backward()
    assert counts(counter) == {"Global": {"aten.mm": 240}}


def test_formulas_of_shapes_are_torchs() -> None:
    for name, shapes in {
        "mm": [(3, 4), (4, 5)], "addmm": [(5,), (3, 4), (4, 5)], "bmm": [(2, 3, 4), (2, 4, 5)],
        "baddbmm": [(2, 3, 5), (2, 3, 4), (2, 4, 5)],
    }.items():  # fmt: skip
        assert ours.flop_registry[getattr(fb.ops.aten, name)].__wrapped__(*shapes) == theirs.flop_registry[
            getattr(torch.ops.aten, name)
        ](*(torch.ones(*s) for s in shapes), out_val=torch.ones(1))
    for transposed in (False, True):
        call = ((2, 4, 8, 8), (4, 6, 3, 3), (2, 6, 10, 10), transposed)
        assert ours.conv_flop_count(*call) == theirs.conv_flop_count(*call)


def test_the_tracker() -> None:
    seen: dict[str, list[Any]] = {}
    for lib, tracker in ((fb, ModuleTracker()), (torch, torch.utils.module_tracker.ModuleTracker())):
        net = lib.nn.Sequential(lib.nn.Linear(2, 2), lib.nn.Sequential(lib.nn.ReLU()))
        told = seen[lib.__name__] = []
        net[1][0].register_forward_pre_hook(lambda *_, told=told, t=tracker: told.append((set(t.parents), t.is_bw)))
        with tracker:
            net(lib.ones(1, 2))
            told.append(set(tracker.parents))
    assert seen["flambeau"] == seen["torch"]


def test_nothing_stays_on() -> None:
    from flambeau.core.context.grad_mode import state

    with pytest.raises(ZeroDivisionError), ours.FlopCounterMode(display=False):
        fb.nn.Linear(2, 2)(fb.ones(1, 2))
        raise ZeroDivisionError
    assert (state.around, state.observer, state.node_observer, state.watchers) == (False, None, None, ())
    assert not state.uncompiled
