"""Errors are PyTorch's: over all error inputs of its operator and module databases, its exception type and its text.

The first line of PyTorch's text stands unbroken in ours, so that a search finds it; words of ours come before and after.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch

import flambeau as fb
import flambeau.nn
from support.op_database import convert, known, op_infos, ours, show
from support.outcomes import Outcome, outcome

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_modules import ModuleErrorEnum, module_db

PARTS = 6


class Case(NamedTuple):
    """What both libraries make of one error input."""

    name: str
    what: str
    theirs: Outcome
    ours: Outcome
    has_out: bool = False


# Kinds of errors that flambeau does not have, by how torch's text can be told.
NUMBER = re.compile(
    r"argument '\w+' \(position \d\) must be Tensor, not (int|float)|descriptor '__\w+__' for|"
    r"'int' object has no attribute 'reciprocal'|"
    r"received an invalid combination of arguments - got \((int|Tensor), (int|Tensor)\)"
)  # docs/differences.md: Python numbers are taken in places where torch takes only tensors
OVERLOADS = (
    "received an invalid combination of arguments"  # torch lists the C++ forms of the function; we name the argument
)

INTERNAL = "torch tells what failed inside, not what is wrong"
OWN_WORDS = "a whole sentence of PyTorch's source with no place for a word of ours, which the project does not copy"
EXCEPTIONS = {  # (operator or layer, a part of torch's text) -> why ours is another
    ("narrow_copy", "static_cast"): INTERNAL,
    ("prelu", "1D tensor"): OWN_WORDS,
}
OTHER_TYPE = {("narrow_copy", "static_cast")}  # of these the exception's type is another, too


def op_cases(key: str) -> Iterator[Case]:
    info, function = op_infos()[key], ours(key)
    assert function is not None
    if info.error_inputs_func is None:
        return
    torch.manual_seed(7)
    for case in info.error_inputs("cpu"):
        sample = case.sample_input
        try:
            args, kwargs = convert((sample.input, *sample.args)), convert(sample.kwargs)
        except NotImplementedError:
            continue
        theirs = outcome(lambda: info.op(sample.input, *sample.args, **sample.kwargs))  # noqa: B023
        mine = outcome(lambda: function(*args, **kwargs))  # noqa: B023
        yield Case(info.name.rpartition(".")[2], f"{key}({show(sample)})", theirs, mine, "out" in sample.kwargs)


def module_cases() -> Iterator[Case]:
    for info in module_db:
        name = info.name.removeprefix("nn.")
        if info.module_error_inputs_func is None or not hasattr(fb.nn, name):
            continue
        for training in (True, False):
            torch.manual_seed(7)
            for case in info.module_error_inputs_func(
                info, device="cpu", dtype=torch.float32, requires_grad=False, training=training
            ):
                build, call = case.module_error_input.constructor_input, case.module_error_input.forward_input
                given = [(build.args, build.kwargs)]
                if case.error_on is not ModuleErrorEnum.CONSTRUCTION_ERROR:
                    given.append((call.args, call.kwargs))
                both = [
                    outcome(lambda n=n, g=g: used(n, name, g, training))  # noqa: B023
                    for n, g in ((torch, given), (fb, convert(given)))
                ]
                yield Case(name, f"nn.{name}{build.args}{build.kwargs}", *both)


def used(library: Any, name: str, given: Any, training: bool) -> Any:
    """The layer, or what it makes of its input where there is one."""
    (args, kwargs), *calls = given
    layer = getattr(library.nn, name)(*args, **kwargs).train(training)
    for args, kwargs in calls:
        layer = layer(*args, **kwargs)
    return layer


def exception_for(case: Case) -> tuple[str, str] | None:
    return next((e for e in EXCEPTIONS if e[0] == case.name and e[1] in str(case.theirs.error)), None)


def difference(case: Case) -> str | None:
    """What is wrong, in words; None where nothing is, or where it is meant."""
    theirs, mine = case.theirs.error, case.ours.error
    if (
        theirs is None
        or case.has_out
        or (isinstance(theirs, (TypeError, AttributeError)) and NUMBER.search(str(theirs)))
    ):
        return None  # has_out: docs/differences.md, `out=` may have any dtype to which the result can be cast
    exception = exception_for(case)
    if mine is None:
        return f"{case.what}: nothing raised, torch: {theirs!r}"
    if type(mine).__name__ != type(theirs).__name__ and exception not in OTHER_TYPE:
        return f"{case.what}: {mine!r}, torch: {theirs!r}"
    text = str(theirs).splitlines()[0]
    if exception or OVERLOADS in text or text in str(mine).replace("flambeau", "torch"):
        return None
    return f"{case.what}: {str(mine)!r}, torch: {text!r}"


@pytest.mark.parametrize("part", range(PARTS))
def test_operators(part: int) -> None:
    cases = [case for key in sorted(known())[part::PARTS] for case in op_cases(key)]
    assert len(cases) > 20
    found = [text for text in map(difference, cases) if text]
    assert not found, "\n".join(found)


def test_layers() -> None:
    cases = list(module_cases())
    assert len(cases) > 50
    found = [text for text in map(difference, cases) if text]
    assert not found, "\n".join(found)


def test_no_exception_is_stale() -> None:
    """An exception whose texts agree by now leaves the table."""
    names = {name for name, _ in EXCEPTIONS}
    keys = [key for key in known() if op_infos()[key].name.rpartition(".")[2] in names]
    met = {
        exception_for(case)
        for case in [*(c for key in keys for c in op_cases(key)), *module_cases()]
        if case.theirs.error is not None
        and str(case.theirs.error).splitlines()[0] not in str(case.ours.error).replace("flambeau", "torch")
    }
    assert set(EXCEPTIONS) <= met, set(EXCEPTIONS) - met


def test_the_path_stands_before_and_our_words_after() -> None:
    class Empty(fb.nn.Module):
        pass

    with pytest.raises(NotImplementedError, match=r'Module \[Empty\] is missing the required "forward" function'):
        fb.nn.Sequential(Empty())(fb.ones(1))
