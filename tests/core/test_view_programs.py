"""Random programs of views, writes in place, hooks and gradients give what torch gives, after every step."""

from __future__ import annotations

import pytest

from flambeau.core.tape import nodes as tape
from view_programs import Step, difference, search, shrunk

SEED, PROGRAMS = 20_000, 45


def _report(found: list[tuple[int, str, list[Step]]]) -> str:
    return "\n".join(f"{seed}: {text}\n  " + "\n  ".join(map(str, steps)) for seed, text, steps in found)


def test_some_programs():
    found = search(range(SEED, SEED + PROGRAMS))
    assert not found, _report(found)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_ten_thousand_programs(part):
    found = search(range(500 * part, 500 * (part + 1)))
    assert not found, _report(found)


LEAF = Step(1, "create", 0, ((4,), "real", True))
VALUE = Step(2, "compute", 1, ("mul", 1.5))
# what the search has found once: the least programs, which also tell at once what is broken
FOUND = {
    "in-place view of a view, then a write to its base": [
        LEAF, VALUE, Step(3, "index", 2, ((slice(0, 2),),)), Step(4, "unsqueeze_", 3, (0,)), Step(5, "write", 2, ("mul_", 0.5)),
        Step(6, "backward", 3, ((2,),)),
    ],
    "as_strided of a diagonal": [
        Step(1, "create", 0, ((3, 3), "real", True)), Step(2, "compute", 1, ("mul", 1.5)), Step(3, "diagonal", 2, (0, 0, 1)),
        Step(4, "as_strided", 3, ((2, 2), (1, 4), 0)), Step(5, "backward", 4, ((),)),
    ],
    "as_strided of a diagonal whose memory is written to": [
        Step(1, "create", 0, ((3, 3), "real", True)), Step(2, "compute", 1, ("mul", 1.5)), Step(3, "diagonal", 2, (0, 0, 1)),
        Step(4, "as_strided", 3, ((2, 2), (1, 4), 0)), Step(5, "write", 2, ("mul_", 0.5)), Step(6, "backward", 4, ((),)),
    ],
    "as_strided beyond the storage": [LEAF, Step(2, "as_strided", 1, ((2, 2), (3, 1), 1))],
    "retain_grad, then a write through a view": [
        LEAF, VALUE, Step(3, "retain_grad", 2), Step(4, "view", 2, ((2, 2),)), Step(5, "write", 4, ("mul_", 0.5)),
        Step(6, "backward", 2, ((4,),)),
    ],
    "a hook on a view that is written through": [
        LEAF, VALUE, Step(3, "view", 2, ((2, 2),)), Step(4, "hook", 3, (0.0,)), Step(5, "write", 3, ("add_", 0.5)),
        Step(6, "backward", 2, ((3,),)),
    ],
    "a view made under no_grad": [
        LEAF, VALUE, Step(3, "index", 2, ((0,),), True), Step(4, "write", 3, ("mul_", 0.5)), Step(5, "write", 2, ("mul_", 0.5)),
        Step(6, "backward", 3, ((2,),)),
    ],
    "a view detached in place": [LEAF, Step(2, "view", 1, ((2, 2),)), Step(3, "detach_", 2)],
    "a copy by reshape is no view": [
        Step(1, "create", 0, ((3, 3), "real", True)), Step(2, "part", 1, ("mT",)), Step(3, "flatten", 2, (0, 1)),
        Step(4, "detach_", 3),
    ],
    "resize_ of pairs of reals": [
        Step(1, "create", 0, ((4,), "complex", False)), Step(2, "part", 1, ("view_as_real",)), Step(3, "resize_", 2, (2, 2)),
    ],
    "hooks of a leaf after it was frozen for a while": [
        LEAF, VALUE, Step(3, "detach_", 1), Step(4, "requires_grad_", 1, (True,)), Step(5, "hook", 1, (-1.0,)),
        Step(6, "backward", 2, ((1, 2),)),
    ],
    "hooks of a leaf that is frozen for a while": [
        LEAF, Step(2, "hook", 1, (-1.0,)), Step(3, "requires_grad_", 1, (False,)), Step(4, "requires_grad_", 1, (True,)),
        Step(5, "backward", 1, ((),)),
    ],
    "hooks of a view that was turned, then a write": [
        LEAF, VALUE, Step(3, "index", 2, ((slice(0, 2),),)), Step(4, "hook", 3, (0.0,)), Step(5, "unsqueeze_", 3, (0,)),
        Step(6, "write", 3, ("mul_", 0.5)), Step(7, "backward", 3, ((2,),)),
    ],
    "hooks of a view, then a write through a view of it": [
        LEAF, VALUE, Step(3, "index", 2, ((slice(0, 3),),)), Step(4, "hook", 3, (0.0,)), Step(5, "as_strided", 3, ((2,), (1,), 0)),
        Step(6, "write", 5, ("mul_", 0.5)), Step(7, "backward", 5, ((2,),)),
    ],
    "a leaf that is frozen, and then computed": [
        LEAF, VALUE, Step(3, "requires_grad_", 1, (False,)), Step(4, "create", 0, ((), "real", True)), Step(5, "assign", 1, ((0,), 4)),
        Step(6, "backward", 2, ((1, 2, 4),)),
    ],
    "a stretched imaginary part after a write without the tape": [
        Step(1, "create", 0, ((4,), "complex", True)), Step(2, "part", 1, ("imag",)), Step(3, "expand", 2, (2, 4)),
        Step(4, "write", 2, ("fill_", 0.75), True), Step(5, "backward", 3, ((1, 2),)),
    ],
    "windows of pairs of reals after a write without the tape": [
        Step(1, "create", 0, ((4,), "complex", True)), Step(2, "part", 1, ("view_as_real",)), Step(3, "unfold", 2, (0, 3, 1)),
        Step(4, "write", 2, ("fill_", 0.75), True), Step(5, "backward", 3, ((1, 2),)),
    ],
    "a view that was resized before its base requires grad": [
        Step(1, "create", 0, ((6,), "real", False)), Step(2, "unfold", 1, (0, 3, 2)), Step(3, "resize_", 2, (6,)),
        Step(4, "requires_grad_", 1, (True,)), Step(5, "backward", 2, ((1,),)),
    ],
    "a leaf that requires no grad any more": [
        LEAF, Step(2, "view", 1, ((2, 2),)), Step(3, "requires_grad_", 1, (False,)), Step(4, "backward", 2, ((),)),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_found(name):
    assert difference(FOUND[name]) is None


def test_a_broken_tape_is_found_and_the_program_cut_down(monkeypatch):
    monkeypatch.setattr(tape, "cleared", lambda values, look: values)  # a write through a view leaves the old gradient
    needless = Step(7, "create", 0, ((1,), "real", True))
    steps = [needless, *FOUND["retain_grad, then a write through a view"]]
    assert difference(steps)
    assert needless not in shrunk(steps)
