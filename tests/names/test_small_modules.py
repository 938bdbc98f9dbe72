"""Small modules: `utils.debug_log`, `backends.python_native`, `backends.mkl.verbose`, `_custom_op`."""

import logging

import pytest
import torch
import torch.backends.python_native
import torch.utils.debug_log

import flambeau as fb
import flambeau.backends.python_native
import flambeau.utils.debug_log

BOTH = pytest.mark.parametrize("lib", [fb, torch], ids=["flambeau", "torch"])


class Kept(logging.Handler):
    def __init__(self):
        super().__init__()
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


def logged(lib):
    module, kept = lib.utils.debug_log, Kept()
    before = module.log.level
    module.log.addHandler(kept)
    module.log.setLevel(logging.INFO)
    try:
        x, y = (lib.tensor([1 / 3, 1.0], requires_grad=True) for _ in range(2))
        plain, between = lib.ones(2), x * 2
        assert module.debug_grad_log(between, plain, y, 3) is None
        assert module.debug_grad_log() is None and module.debug_grad_log(plain) is None
        (between * y + y + plain).sum().backward()
        module.debug_grad_log(x)
        for _ in range(2):
            (x * x).sum().backward()
    finally:
        module.log.removeHandler(kept)
        module.log.setLevel(before)
    return kept.texts


def test_norms_of_gradients_are_logged():
    seen = logged(fb)
    assert seen == logged(torch) and len(seen) == 3


@BOTH
def test_switches_of_native_python_operators(lib):
    native = lib.backends.python_native
    assert native.all_dsls == ["cutedsl", "triton"]
    assert native.get_dsl_operations("triton") == []
    with native.operations_disabled("a", "b"):
        assert native.is_operation_disabled("a")
    assert not native.is_operation_disabled("a")
    native.disable_operations("a")
    assert native.is_operation_disabled("a")
    native.enable_operations("a")
    assert not native.is_operation_disabled("a")
    with native.triton.disabled():
        assert native.is_dsl_disabled("triton") and not native.is_dsl_disabled("cutedsl")
        assert repr(native.triton).endswith("disabled)")
    assert not native.is_dsl_disabled("triton") and not native.is_dsl_disabled("x")


def test_no_language_is_said_to_be_available():
    native = fb.backends.python_native
    assert native.available_dsls == [] and not native.triton.available
    assert repr(native.triton) == "DSLController(triton, unavailable, enabled)"


@pytest.mark.parametrize("name", ["mkl", "mkldnn"])
def test_no_library_prints_its_calls(name):
    for lib in (fb, torch):
        verbose = getattr(lib.backends, name).verbose
        with verbose(0) as entered:
            assert entered is None
        with pytest.raises(TypeError), verbose("a"):
            pass
    module = getattr(fb.backends, name)
    with pytest.raises(AssertionError, match=r"verbose mode.*torch\.profiler"), module.verbose(module.VERBOSE_ON):
        pass


def test_the_oldest_door_to_operators_names_the_new_one():
    from flambeau._custom_op import impl

    for refused in (impl.custom_op, impl.CustomOp):
        with pytest.raises(NotImplementedError, match=r"torch\.library\.custom_op"):
            refused("a::b")
    assert impl.get_ctx is fb._custom_ops.get_ctx
