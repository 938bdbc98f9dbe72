"""Small names of torch and Tensor: where tensors are, switches of the process, symbols, quantized tensors."""

from __future__ import annotations

import pytest
import torch

import flambeau as fb
from flambeau.ops.making import quantized
from support.programs import agree

SAME = [
    lambda t: t.empty_permuted((2, 3, 4), (0, 2, 1)).stride(),
    lambda t: t.empty_permuted((2, 3), (1, 0), dtype=t.int64, device="meta").stride(),
    lambda t: t.empty_permuted((2, 3), (0, 0)),
    lambda t: t.empty_permuted((2, 3), (0,)),
    lambda t: t.empty_permuted((2, 3), (0, 2)),
    lambda t: (t.ones(2, 3).dim_order(), t.ones(2, 3).t().dim_order(), t.ones(2, 3, 4).permute(2, 0, 1).dim_order()),
    lambda t: t.ones(2, 3).dim_order(ambiguity_check=True),
    lambda t: t.ones(1, 1).dim_order(ambiguity_check=True),
    lambda t: t.ones(2, 3).dim_order(ambiguity_check=[t.contiguous_format]),
    lambda t: t.ones(2, 3, 4, 5).dim_order(ambiguity_check=[t.contiguous_format, t.channels_last]),
    lambda t: t.ones(2, 3).dim_order(ambiguity_check=5),
    lambda t: (lambda x: x.const_data_ptr() == x.data_ptr())(t.ones(2)),
    lambda t: (t.ones(2).grad_dtype, t.ones(2, requires_grad=True).grad_dtype),
    *(
        lambda t, d=d: t.ones(2, 2, dtype=getattr(t, d)).expand(3)
        for d in "float32 int64 bool bfloat16 complex64".split()
    ),
    lambda t: t.ones(2, 2, device="meta").expand(3),
    lambda t: t.ones(2).expand(2, -1, 3),
    lambda t: t.ones(2).__setitem__(0, t.ones(2, 2, dtype=t.int64)),
    *(
        lambda t, a=a, b=b, c=c: t.addcdiv(*(t.ones(2, dtype=getattr(t, d)) for d in (a, b, c)))
        for a, b, c in (
            ("float32", "int64", "int64"),
            ("int64", "float32", "bool"),
            ("int64",) * 3,
            ("bool", "int64", "float32"),
        )
    ),
    lambda t: t.ones(2).__delattr__("data"),
    lambda t: t.ones(2).__delattr__("requires_grad"),
    lambda t: t.ones(2).ipu(),
    lambda t: t.ones(2).xpu(),
    lambda t: [getattr(t.ones(2), f"is_{n}") for n in "ipu maia mtia vulkan xla xpu mps meta cuda cpu".split()],
    lambda t: (
        t.ones(2).is_distributed(),
        t.is_distributed(t.ones(2)),
        t.is_inference(t.ones(2)),
        t.is_vulkan_available(),
    ),
    lambda t: t.ones(2).module_load(t.zeros(2)),
    lambda t: t.ones(2).module_load(t.zeros(2), assign=True),
    lambda t: t.get_device(t.ones(2)),
    lambda t: t.get_device_module("cuda") is t.cuda,
    lambda t: t.ones(4).resize(2, 2),
    lambda t: t.ones(2).resize(3),
    lambda t: t.ones(4).resize_as(t.ones(2, 2)),
    lambda t: (t.sym_int(3.7), t.sym_int(-3.7), t.sym_float(3), t.sym_not(True), t.sym_max(1, 2), t.sym_min(1, 2.0)),
    lambda t: (t.sym_max(1, 2.0), t.sym_sqrt(4), t.sym_ite(True, 1, 2), t.sym_sum([1, 2, 3]), isinstance(3, t.SymInt)),
    lambda t: t.sym_constrain_range(3, min=5),
    lambda t: (t.legacy_contiguous_format is t.contiguous_format, t.Storage is t.FloatStorage, t.bit is t.uint1),
    lambda t: (t.per_tensor_affine, t.per_channel_symmetric, isinstance(t.per_tensor_affine, t.qscheme)),
    lambda t: (t.ones(2).dequantize(), t.dequantize(t.ones(2).half())),
    lambda t: t.eig(t.ones(2, 2)),
    lambda t: t.ones(2, 2).symeig(),
    lambda t: t.solve(t.ones(2, 2), t.ones(2, 2)),
    lambda t: t.ones(2, 2).lstsq(t.ones(2, 2)),
    lambda t: t.matrix_rank(t.ones(2, 2)),
    lambda t: t.set_deterministic_debug_mode("x"),
    lambda t: t.set_deterministic_debug_mode(5),
]


@pytest.mark.parametrize("number", range(len(SAME)))
def test_as_in_torch(number):
    agree(SAME[number])


def test_deterministic_modes():
    def run(t):
        told = []
        for mode in ("warn", 2, "default"):
            t.set_deterministic_debug_mode(mode)
            told.append((t.get_deterministic_debug_mode(), t.are_deterministic_algorithms_enabled()))
            told.append(t.is_deterministic_algorithms_warn_only_enabled())
        t.use_deterministic_algorithms(True, warn_only=True)
        told.append((t.get_deterministic_debug_mode(), t.is_deterministic_algorithms_warn_only_enabled()))
        t.use_deterministic_algorithms(False)
        before = t.is_warn_always_enabled()
        t.set_warn_always(True)
        told.append((before, t.is_warn_always_enabled()))
        t.set_warn_always(False)
        return told

    assert run(fb) == run(torch)


@pytest.mark.filterwarnings("ignore")
def test_old_names_of_autocast():
    def run(t):
        told = [str(getattr(t, f"get_autocast_{kind}_dtype")()) for kind in ("cpu", "gpu", "ipu", "xla")]
        told += [getattr(t, f"is_autocast_{kind}_enabled")() for kind in ("cpu", "ipu", "xla")]
        t.set_autocast_cpu_dtype(t.float16)
        told += [str(t.get_autocast_cpu_dtype()), str(t.get_autocast_dtype("cpu"))]
        t.set_autocast_cpu_dtype(t.bfloat16)
        t.set_autocast_cpu_enabled(True)
        told += [t.is_autocast_cpu_enabled(), (t.ones(2, 2) @ t.ones(2, 2)).dtype is t.bfloat16]
        t.set_autocast_cpu_enabled(False)
        t.set_autocast_ipu_dtype(t.bfloat16)
        told.append(str(t.get_autocast_ipu_dtype()))
        t.set_autocast_ipu_dtype(t.float16)
        return [*told, t.autocast_increment_nesting(), t.autocast_decrement_nesting()]

    assert run(fb) == run(torch)


def test_anomaly_switch():
    for t in (torch, fb):
        t.set_anomaly_enabled(True)
        assert t.is_anomaly_enabled()
        t.set_anomaly_enabled(False)
        assert not t.is_anomaly_enabled()


@pytest.mark.parametrize("name", [*quantized.REFUSED, "qscheme"])
def test_quantized_tensors_are_refused(name):
    text = rf"Could not run 'aten::{name}' with arguments from the 'CPU' backend.*torch\.int8"
    if name != "qscheme":
        with pytest.raises(NotImplementedError, match=text):
            getattr(fb, name)(fb.ones(2), 0.1, 0, fb.qint8)
    if hasattr(fb.Tensor, name):
        with pytest.raises(NotImplementedError, match=text):
            getattr(fb.ones(2), name)()


def test_what_has_no_instances():
    for kind in (fb.SymInt, fb.SymFloat, fb.SymBool):
        with pytest.raises(NotImplementedError, match="not symbols"):
            kind(None)
    with pytest.raises(NotImplementedError, match=r"torch\.complex64"):
        fb.ones(2).chalf()


def test_settings_of_the_compiler_say_what_is_so_and_take_nothing_else():
    config = fb.compiler.config
    config.recompile_limit = config.recompile_limit
    with config.patch(verbose=False):
        assert config.save_config_portable()["job_id"] is None
    with pytest.raises(NotImplementedError, match="FLAMBEAU_CACHE=0"):
        config.force_disable_caches = True
    with pytest.raises(AttributeError, match="speed does not exist"):
        config.speed = 3


def test_the_frames_in_c_are_told():
    told = fb.utils.get_cpp_backtrace(frames_to_skip=1, maximum_number_of_frames=3).splitlines()
    assert [line.split(":")[0] for line in told] == ["frame #1", "frame #2", "frame #3"]


def test_two_of_four_are_refused_as_on_a_machine_without_a_gpu():
    for lib in (torch, fb):
        with pytest.raises(RuntimeError, match="Only CUDA tensors are currently supported"):
            lib.sparse.SparseSemiStructuredTensorCUTLASS.from_dense(lib.eye(64))
        assert not isinstance(lib.eye(2), lib.sparse.SparseSemiStructuredTensor)
