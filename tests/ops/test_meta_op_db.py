"""Every operator on the meta device: shapes and dtypes are those of the real result, for torch's own sample inputs.

The ordinary run takes one sample of each, `-m slow` takes many, with the method, the in-place form and all dtypes.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

import flambeau as fb
from flambeau.core.tensor.tensor import Tensor
from support.op_database import DTYPES, Case, cases, convert, flat, known, op_infos, ours, seeded, show, usual_sample

PARTS = 4
LIMIT = 20  # samples of an operator and dtype in the slow run

REFUSED = {  # operator -> what its result depends on; each raises RuntimeError or NotImplementedError, as in torch
    **dict.fromkeys(("argwhere", "nonzero", "masked_select", "unique", "unique_consecutive"), "the shape is data"),
    **dict.fromkeys(("bincount", "nn.functional.one_hot", "repeat_interleave"), "the shape is data"),
    **dict.fromkeys(("allclose", "equal", "item"), "the result is a Python number"),
    **dict.fromkeys(
        ("__getitem__", "index_put", "narrow", "tensor_split"), "masks, and tensors in the place of numbers"
    ),
    **dict.fromkeys(("linspace.tensor_overload", "logspace.tensor_overload"), "the ends are data"),
}


def on_meta(x: Any, leaves: dict[int, Tensor]) -> Any:
    """The same nest with tensors on the meta device, those that are one tensor as one."""
    if isinstance(x, Tensor):
        if id(x) not in leaves:
            leaves[id(x)] = x.detach().to("meta").requires_grad_(x.requires_grad)
        return leaves[id(x)]
    if isinstance(x, (list, tuple)):
        parts = [on_meta(part, leaves) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    if isinstance(x, dict):
        return {k: "meta" if k == "device" else on_meta(v, leaves) for k, v in x.items()}
    return x


def described(result: Any) -> list[Any]:
    return [
        (tuple(t.shape), str(t.dtype)) if isinstance(t, (Tensor, torch.Tensor)) else type(t).__name__
        for t in flat(result)
    ]


def compared(function: Callable[..., Any], args: Any, kwargs: Any, real: Any, gradients: bool = True) -> str | None:
    """What is not as in the real result, in words; None if nothing."""
    leaves: dict[int, Tensor] = {}
    meta_args, meta_kwargs = on_meta(args, leaves), on_meta(kwargs, leaves)
    if "device" in inspect.signature(function).parameters and not any(
        isinstance(a, Tensor) for a in flat([args, kwargs])
    ):
        meta_kwargs = {**meta_kwargs, "device": "meta"}
    before = fb.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = function(*meta_args, **meta_kwargs)
    if described(made) != described(real):
        return f"{described(made)} instead of {described(real)}"
    if not all(t.is_meta for t in flat(made) if isinstance(t, Tensor)):
        return "a result is not on the meta device"
    if not fb.equal(before, fb.get_rng_state()):
        return "random numbers were drawn"
    differentiable = [t for t in flat(made) if isinstance(t, Tensor) and t.requires_grad]
    wanted = [t for t in leaves.values() if t.requires_grad]
    if not gradients or not differentiable or not wanted:
        return None
    seeds = [fb.empty_like(t.detach()) for t in differentiable]
    for grad, leaf in zip(fb.autograd.grad(differentiable, wanted, seeds, allow_unused=True), wanted, strict=True):
        if grad is not None and (not grad.is_meta or grad.shape != leaf.shape or grad.dtype is not leaf.dtype):
            return f"gradient {grad} of {leaf}"
    return None


def failures(case: Case, forms: bool = False, theirs: Any = None) -> Iterator[str]:
    """What is not as in torch's result (`theirs`) or, if that is not given, in flambeau's on the CPU."""
    function = ours(case.key)
    assert function is not None
    try:
        args, kwargs = convert((case.sample.input, *case.sample.args)), convert(case.sample.kwargs)
    except NotImplementedError:
        return  # arguments that flambeau does not have
    called: list[tuple[str, Callable[..., Any], bool]] = [("", lambda *a, **k: case.wrapped(function, *a, **k), True)]
    if forms and isinstance(args[0], Tensor):
        for variant in (case.info.method_variant, case.info.inplace_variant):
            name = getattr(variant, "__name__", None)
            if name is not None and hasattr(Tensor, name):
                called.append((f"{name}: ", lambda x, *a, n=name, **k: getattr(x.detach(), n)(*a, **k), False))
    for what, form, gradients in called:
        try:
            real = theirs if gradients and theirs is not None else seeded(lambda: form(*args, **kwargs))  # noqa: B023
        except Exception:
            continue  # no sample for this form
        try:
            wrong = compared(form, args, kwargs, real, gradients)
        except (RuntimeError, NotImplementedError) as error:
            if case.key in REFUSED:
                continue
            wrong = f"{type(error).__name__}: {str(error)[:300]}"
        except Exception as error:
            wrong = f"{type(error).__name__}: {str(error)[:300]}"
        if wrong:
            yield f"{case.key} {case.dtype}: ({show(case.sample)}) {what}{wrong}"


@pytest.mark.parametrize("part", range(PARTS))
def test_one_sample_of_each(part: int) -> None:
    found: list[str] = []
    for key in sorted(known())[part :: 2 * PARTS]:  # every second operator; the slow run takes all
        case = usual_sample(key)
        if case is not None:  # torch's result, since it costs no compilation
            sample = case.sample
            theirs = seeded(lambda: case.wrapped(case.info.op, sample.input, *sample.args, **sample.kwargs))  # noqa: B023
            found += failures(case, theirs=theirs)
    assert not found, f"{len(found)} differences:\n" + "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("key", sorted(known()), ids=lambda key: f"{key}-")
def test_operator(key: str) -> None:
    found = [text for dtype in DTYPES for case in cases(key, dtype, LIMIT) for text in failures(case, forms=True)]
    assert not found, f"{len(found)} differences:\n" + "\n".join(found[:20])


CALLS: dict[str, Callable[[Any], Any]] = {
    "__getitem__": lambda x: x[x > 0],
    "index_put": lambda x: x.index_put((x > 0,), fb.empty(2, device="meta")),
    "narrow": lambda x: x.narrow(0, fb.empty((), dtype=fb.int64, device="meta"), 2),
    "tensor_split": lambda x: fb.tensor_split(x, fb.empty(2, dtype=fb.int64, device="meta")),
    "allclose": lambda x: fb.allclose(x, x),
    "argwhere": fb.argwhere,
    "bincount": lambda x: fb.bincount(x.long()),
    "equal": lambda x: fb.equal(x, x.clone()),
    "item": lambda x: x.sum().item(),
    "linspace.tensor_overload": lambda x: fb.linspace(x[0], x[1], 3),
    "logspace.tensor_overload": lambda x: fb.logspace(x[0], x[1], 3),
    "masked_select": lambda x: x[x > 0],
    "nn.functional.one_hot": lambda x: fb.nn.functional.one_hot(x.long()),
    "nonzero": lambda x: fb.where(x > 0),
    "repeat_interleave": lambda x: fb.repeat_interleave(x, x.long()),
    "unique": fb.unique,
    "unique_consecutive": fb.unique_consecutive,
}


@pytest.mark.parametrize("key", sorted(REFUSED))
def test_what_depends_on_values_is_refused(key: str) -> None:
    with pytest.raises((RuntimeError, NotImplementedError), match=r"meta tensor|Meta tensors|register_meta function"):
        CALLS[key](fb.empty(3, device="meta"))


def test_the_table_names_operators() -> None:
    assert REFUSED.keys() <= op_infos().keys()
