"""What settings and small functions refuse: PyTorch's type of error and its first line."""

import pytest
import torch

import flambeau

CALLS = """
distributed.BackendConfig("cpu:gloo,cpu:gloo")
distributed.BackendConfig("gloo:cpu:a")
distributed.set_debug_level("a")
distributed.PrefixStore("a", 2)
distributed.AllreduceOptions(1)
random.fork_rng(device_type="nothing").__enter__()
autograd.enforce_grad_layout_policy("a")
autograd.set_multithreading_enabled(1)
autograd.graph.set_override_stale_capture_stream("a")
autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(1)
amp.custom_fwd(device_type=2)
amp.custom_bwd(device_type=None)
set_default_tensor_type(2)
set_default_tensor_type("a")
set_default_tensor_type("torch.FloatTensr")
set_default_tensor_type(torch.IntTensor)
set_default_tensor_type("torch.IntTensor")
use_deterministic_algorithms(1)
use_deterministic_algorithms(True, warn_only=2)
set_warn_always("a")
set_flush_denormal(1)
compiler.disable(2)
compiler.assume_constant_result("a")
compiler.set_default_backend(2)
compiler.list_backends(-1)
export.FlatArgsAdapter()
export.ShapesCollection().__setitem__(2, (1,))
export.AdditionalInputs().add([2])
export.AdditionalInputs().add((2,), 3)
overrides.is_tensor_method_or_property("a")
overrides.is_tensor_method_or_property([])
overrides.resolve_name([0])
jit.export_opnames("a")
Tensor([1.0], dtype=torch.int)
Tensor(1.5, 2)
Tensor(-1)
Tensor(None)
Tensor(True)
Tensor(2, None)
Tensor([[1, 2], [3]])
Tensor([1, "a"])
Tensor([None])
Tensor({1: 2})
Tensor(2, device="meta")
Tensor(nothing=2)
Tensor([torch.ones(2)])
FloatTensor(-2)
fx.replace_pattern(2, len, len)
""".strip().splitlines()


def _said(library: object, call: str) -> tuple[str, str]:
    try:
        exec(f"import torch.distributed, torch.export, torch.fx\ntorch.{call}" if library is torch else f"torch.{call}",
             {"torch": library})  # fmt: skip
    except Exception as error:
        return type(error).__name__, (str(error).splitlines() or [""])[0]
    return "nothing", ""


MADE = """Tensor(data=[1.0]) Tensor(size=(2,3)) Tensor(other=torch.ones(2)) Tensor([torch.ones(1),torch.ones(1)])
Tensor(2,3,device="cpu") LongTensor([[1,2],[3,4]]) Tensor([True]) Tensor(range(3))""".split()


@pytest.mark.parametrize("call", MADE)
def test_forms_of_the_constructor(call: str) -> None:
    made, expected = (eval(f"torch.{call}", {"torch": library}) for library in (flambeau, torch))
    assert made.shape == expected.shape and str(made.dtype) == str(expected.dtype)


@pytest.mark.filterwarnings("ignore:torch.set_default_tensor_type")  # which PyTorch says once
@pytest.mark.parametrize("call", CALLS)
def test_refused_as_in_pytorch(call: str) -> None:
    (kind, text), (expected, theirs) = _said(flambeau, call), _said(torch, call)
    assert kind == expected != "nothing"
    start = " ".join(theirs.split("(<")[0].split())[:30]
    known = "Expected one of cpu" in theirs or "object has no attribute" in theirs or "constructor arg" in theirs
    assert known or " ".join(text.replace("flambeau", "torch").split()).startswith(start)
