"""Devices that are not there: every public name of their modules answers, or refuses, as PyTorch's own CPU build does."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import pytest
import torch

import flambeau as fb

MODULES = ("cuda", "xpu", "mps", "mtia", "cpu", "accelerator")
# what PyTorch's build answers by accident: attributes of its C library that are missing, tools that need NVIDIA's
_ACCIDENTS = (AttributeError, ModuleNotFoundError, KeyError, OSError)
_OWN = {"get_capabilities", "get_allocator_backend"}
# made of a text, or of nothing that PyTorch tells; docs/differences.md
_TRUER = {
    ("cuda", "is_current_stream_capturing"),
    ("xpu", "is_current_stream_capturing"),
    ("mtia", "is_bf16_supported"),
}


def names(module: str) -> list[str]:
    theirs = getattr(torch, module)
    found = getattr(theirs, "__all__", None) or dir(theirs)
    return [
        n
        for n in found
        if not n.startswith("_") and str(getattr(getattr(theirs, n), "__module__", "")).startswith("torch")
    ]


def without_arguments(function: Any) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return all(p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)


def outcome(function: Any) -> tuple[Any, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return function(), ""
        except BaseException as error:
            return type(error), str(error)


CALLS = [
    (module, name)
    for module in MODULES
    for name in names(module)
    if inspect.isfunction(getattr(getattr(torch, module), name)) and name not in _OWN and (module, name) not in _TRUER
]


@pytest.mark.parametrize(("module", "name"), CALLS)
def test_answers(module: str, name: str) -> None:
    theirs = getattr(getattr(torch, module), name)
    if not hasattr(getattr(fb, module), name):
        pytest.skip("told of in docs/missing.md")
    if not without_arguments(theirs) or inspect.isgeneratorfunction(inspect.unwrap(theirs)):
        return
    given, text = outcome(theirs)
    ours, our_text = outcome(getattr(getattr(fb, module), name))
    if isinstance(given, type) and issubclass(given, _ACCIDENTS):
        assert isinstance(ours, type) or not ours
    elif isinstance(given, type) and issubclass(given, BaseException):
        if "dummy base class" in text:  # of functions, too: they say that there is no such device
            given = (RuntimeError, AssertionError)
        elif "Cannot execute" in text:  # then the name of a function in C
            assert text.partition("() ")[2].split(" backend")[0] in our_text
        else:
            assert text.split(". Ensure")[0].rstrip(".") in our_text
        assert issubclass(ours, given)
    elif isinstance(given, (int, float, str, list, dict, type(None))):
        assert ours == given


def test_a_gpu_that_is_not_there_says_so() -> None:
    for make in (fb.cuda.current_stream, lambda: fb.cuda.get_device_properties(0), fb.cuda.mem_get_info):
        with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
            make()
    for kind in (fb.cuda.Stream, fb.cuda.Event):
        with pytest.raises(RuntimeError):
            kind()
    with fb.cuda.stream(None), fb.cuda.device(-1):
        assert fb.cuda.memory_stats() == {} and fb.cuda.get_rng_state_all() == []


def test_the_cpu_is_a_device() -> None:
    with fb.cpu.stream(fb.cpu.current_stream()):
        event = fb.cpu.Event()
        event.record()
        event.synchronize()
    assert event.query() and fb.cpu.device_count() == 1
    ours, theirs = fb.cpu.get_capabilities(), torch.cpu.get_capabilities()
    assert {
        name for name in ours if name in theirs and isinstance(ours[name], bool) and ours[name] != theirs[name]
    } == set()


def test_what_needs_an_accelerator_says_so() -> None:
    def entered(t: Any) -> None:
        with t.cuda.device(0):
            pass

    for code in (
        entered,
        lambda t: t.ones(2).pin_memory(),
        lambda t: t.nn.utils.rnn.pack_sequence([t.ones(2)]).pin_memory(),
    ):
        texts = []
        for library in (torch, fb):
            with pytest.raises(RuntimeError) as raised:
                code(library)
            texts.append(str(raised.value))
        assert texts[0] in texts[1]
    loader = fb.utils.data.DataLoader(fb.arange(4), batch_size=2, pin_memory=True)
    with pytest.warns(UserWarning, match="pin_memory"):
        assert [b.tolist() for b in loader] == [[0, 1], [2, 3]]
