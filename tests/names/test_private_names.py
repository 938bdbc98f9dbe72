# ruff: noqa: E501
"""Private and small names that packages call, against PyTorch's."""

import functools
import importlib
import inspect
import operator
import sys

import numpy as np
import pytest
import torch
import torch._prims_common
import torch.nn.quantized
import torch.numa.binding
import torch.quantization

import flambeau
import flambeau._C
import flambeau._guards
import flambeau._prims_common
import flambeau._tensor_str
import flambeau.ao.quantization
import flambeau.nn.quantized
import flambeau.nn.utils._per_sample_grad
import flambeau.numa.binding
import flambeau.optim.optimizer
import flambeau.quantization
import flambeau.utils._pytree
import flambeau.utils._sympy.value_ranges
import flambeau.utils.data.graph_settings

OPTIMIZER = sys.modules["torch.optim.optimizer"]


@pytest.mark.parametrize(
    "text",
    [
        "lib._C._nn._parse_to('cpu', lib.float64)",
        "lib._C._nn._parse_to(lib.float64, non_blocking=True, memory_format=lib.channels_last)",
        "lib._C._nn._parse_to(lib.ones(1))",
        "lib._C._nn._parse_to('cpu', None, True)",
        "lib._C._nn._parse_to(device='cpu', dtype=lib.float16)",
        "lib._C._log_api_usage_once('x')",
        "lib.cuda._initialized",
        "lib._C._get_tracing_state()",
        "lib._C._is_tracing()",
        "lib._C._current_graph_task_id()",
        "lib._C._get_accelerator()",
        "lib._C._get_privateuse1_backend_name()",
        "lib._C._get_default_device()",
        "lib._C._are_functorch_transforms_active()",
        "[getattr(lib._C, n) is getattr(lib, n) for n in 'Generator Size device dtype layout memory_format Stream Event default_generator'.split()]",
        "lib._C._SDPBackend is lib.nn.attention.SDPBackend, lib._C.FileCheck.__name__",
        "[getattr(lib._C, n)() for n in 'is_grad_enabled is_autocast_enabled is_inference_mode_enabled is_anomaly_enabled get_default_dtype'.split()]",
        "[getattr(lib._C, n)() for n in '_get_deterministic_algorithms _get_deterministic_algorithms_warn_only _get_warnAlways'.split()]",
        "[getattr(lib._C, n)() for n in '_get_cudnn_benchmark _get_cudnn_deterministic _get_cudnn_allow_tf32 _get_cublas_allow_tf32 _get_mkldnn_enabled'.split()]",
        "[getattr(lib._C, n)() for n in '_get_flash_sdp_enabled _get_math_sdp_enabled _get_mem_efficient_sdp_enabled'.split()]",
        "lib._C._set_grad_enabled(False), lib.is_grad_enabled(), lib._C._set_grad_enabled(True), lib.is_grad_enabled()",
        "lib._C._from_dlpack(lib._C._to_dlpack(lib.ones(2))), lib._C._GLIBCXX_USE_CXX11_ABI, lib._C._is_autocast_available('cpu')",
        "lib._C._len_torch_function_stack(), lib._C._len_torch_dispatch_stack()",
        "(lambda m: (m.__enter__(), lib._C._len_torch_function_stack(), m.__exit__(None, None, None))[1])(lib.overrides.BaseTorchFunctionMode())",
        "lib._dynamo.is_dynamo_supported(), lib._dynamo.reset_frame_count(), lib._dynamo.external_utils.is_compiling()",
        "lib._dynamo.lookup_backend('nobody')",
        "lib._dynamo.lookup_backend(len), callable(lib._dynamo.set_stance('default')), callable(lib._dynamo.substitute_in_graph)",
        "lib._C._is_alias_of(lib.ones(1), lib.ones(1))",
        "(lambda x: lib._C._is_alias_of(x, x[0]))(lib.ones(2))",
        "lib._C._jit_set_texpr_fuser_enabled(True)",
        "lib._shape_as_tensor(lib.ones(2, 3)).tolist()",
        "lib._cast_Long(lib.ones(2)).dtype",
        "lib._cast_Half(lib.ones(2)).dtype",
        "[t.tolist() for t in lib._nested_compute_contiguous_strides_offsets(lib.tensor([[2, 3], [4, 3]]))]",
        "lib._tensor_str._str_intern(lib.ones(2))",
        "lib._tensor_str._tensor_str(lib.arange(30.) * 1.5, 7)",
        "lib._tensor_str._add_suffixes('tensor([1', ['a=1'], 7, False)",
        "lib._tensor_str._add_suffixes('tensor([1', ['a=1'], 7, True)",
        "lib._tensor_str.PRINT_OPTS.threshold",
        "lib.nn.functional._none_or_dtype(lib.ones(1)), lib.nn.functional._none_or_dtype(None)",
        "lib.nn.functional._canonical_mask(lib.tensor([True, False]), 'm', None, 'o', lib.float32).tolist()",
        "lib.nn.functional._canonical_mask(lib.ones(2), 'm', lib.float32, 'o', lib.float32).tolist()",
        "lib.nn.functional._canonical_mask(lib.ones(2).int(), 'm', None, 'o', lib.float32)",
        "lib.nn.modules.module._EXTRA_STATE_KEY_SUFFIX",
        "list(lib.nn.modules.module._global_parameter_registration_hooks.values())",
        "lib.nn.init._no_grad_fill_(lib.ones(2), 3.).tolist()",
        "lib.torch.__name__",
        "lib.amp.grad_scaler.OptState.UNSCALED",
        "lib.utils._pytree._dict_flatten({'a': 1})",
        "lib.utils._pytree._list_unflatten([1, 2], None)",
        "lib.random.thread_safe_generator()",
        "lib.numa.binding.AffinityMode.NODE.value",
        "[str(k) for k in lib._prims_common.elementwise_dtypes(lib.ones(2).int(), 1.5, type_promotion_kind=lib._prims_common.ELEMENTWISE_TYPE_PROMOTION_KIND.DEFAULT)]",
        "[str(k) for k in lib._prims_common.elementwise_dtypes(lib.ones(2).int(), type_promotion_kind=lib._prims_common.ELEMENTWISE_TYPE_PROMOTION_KIND.INT_TO_FLOAT)]",
        "[str(k) for k in lib._prims_common.elementwise_dtypes(lib.ones(2).bfloat16(), lib.tensor(1.), type_promotion_kind=lib._prims_common.ELEMENTWISE_TYPE_PROMOTION_KIND.DEFAULT)]",
        "[str(k) for k in lib._prims_common.elementwise_dtypes(lib.ones(2).cfloat(), type_promotion_kind=lib._prims_common.ELEMENTWISE_TYPE_PROMOTION_KIND.COMPLEX_TO_FLOAT)]",
        "[str(k) for k in lib._prims_common.elementwise_dtypes(lib.ones(2) > 0, type_promotion_kind=lib._prims_common.ELEMENTWISE_TYPE_PROMOTION_KIND.BOOL_TO_LONG)]",
        "lib._prims_common.is_contiguous_or_false(lib.ones(2, 3).t())",
        "lib._prims_common.make_contiguous_strides_for((2, 3, 4)), lib._prims_common.make_contiguous_strides_for((2, 3, 4), False)",
        "lib._prims_common.canonicalize_dims(3, (-1, 0)), lib._prims_common.canonicalize_dim(0, -1)",
        "lib._prims_common.canonicalize_dim(3, 3)",
        "lib._prims_common.dtype_to_type(lib.bfloat16), lib._prims_common.type_to_dtype(int)",
    ],
)
def test_same_as_pytorch(text):
    results = []
    for lib in (torch, flambeau):
        try:
            results.append(repr(eval(text, {"lib": lib})).replace("flambeau", "torch"))
        except Exception as error:
            results.append((type(error).__name__, str(error).replace("flambeau", "torch")))
    assert results[1] == results[0]


def test_gradients_of_softmax():
    x = np.random.default_rng(0).normal(size=(3, 4))
    for name in ("softmax", "log_softmax"):
        made = []
        for lib in (torch, flambeau):
            out = getattr(lib, name)(lib.tensor(x), -1)
            made.append(
                getattr(lib, f"_{name}_backward_data")(lib.tensor(x[::-1].copy()), out, -1, lib.float64).tolist()
            )
        np.testing.assert_allclose(made[1], made[0], rtol=1e-12)


def test_switches_of_the_script_compiler_remember():
    before = flambeau._C._jit_set_profiling_mode(False)
    assert flambeau._C._jit_set_profiling_mode(before) is False
    flambeau._C._jit_override_can_fuse_on_cpu(True)
    assert flambeau._C._jit_can_fuse_on_cpu()
    flambeau._C._jit_override_can_fuse_on_cpu(False)


@pytest.mark.parametrize("package", ["ao.quantization", "quantization"])
@pytest.mark.parametrize(
    "part", ["observer", "fake_quantize", "qconfig", "quantize_fx", "fuse_modules", "stubs", "utils"]
)
def test_parts_of_quantization_have_their_names(package, part):
    theirs = importlib.import_module(f"torch.{package}.{part}")
    ours = importlib.import_module(f"flambeau.{package}.{part}")
    at_home = {
        name
        for name, value in vars(theirs).items()
        if not name.startswith("_") and not inspect.ismodule(value)
        if getattr(value, "__module__", "").startswith("torch.ao.quantization.") and part in value.__module__
    }
    assert at_home and not [name for name in at_home if not hasattr(ours, name)]
    for name in at_home & set(flambeau.ao.quantization.__all__):
        assert getattr(ours, name) is getattr(flambeau.ao.quantization, name)
    assert not hasattr(ours, "nothing_of_the_kind")
    refused = {"quantize_fx": min(at_home), "observer": "HistogramObserver", "qconfig": "get_default_qconfig"}
    if part in refused:
        with pytest.raises((NotImplementedError, RuntimeError), match="quantized tensors and modules are not here"):
            getattr(ours, refused[part])()


def test_quantized_modules_are_refused_by_name():
    names = torch.nn.quantized.__all__
    assert not [name for name in names if not isinstance(getattr(flambeau.nn.quantized, name), type)]
    with pytest.raises(RuntimeError, match=r"torch\.ao\.nn\.quantized\.BatchNorm2d: quantized"):
        flambeau.nn.quantized.BatchNorm2d(3)


QUANTIZATION = """
    intrinsic intrinsic.modules.fused intrinsic.qat intrinsic.qat.modules.conv_fused intrinsic.quantized
    intrinsic.quantized.dynamic qat qat.dynamic qat.modules qat.modules.conv quantizable quantizable.modules.rnn quantized
    quantized.dynamic.modules.rnn quantized.modules.linear
""".split()


@pytest.mark.parametrize("home", ["nn", "ao.nn"])
def test_layers_for_quantization_have_their_paths(home):
    for part in QUANTIZATION:
        theirs, ours = (importlib.import_module(f"{lib}.{home}.{part}") for lib in ("torch", "flambeau"))
        names = getattr(theirs, "__all__", None) or [
            name for name in dir(theirs) if isinstance(getattr(theirs, name), type)
        ]
        missing = [name for name in names if not callable(getattr(ours, name, None))]
        assert names and not [name for name in missing if not inspect.ismodule(getattr(theirs, name))], part
        assert not hasattr(ours, "nothing_of_the_kind")
    lib = importlib.import_module(f"flambeau.{home}.quantized.modules.linear")
    with pytest.raises(
        RuntimeError, match=r"torch\.ao\.nn\.quantized\.Linear: quantized tensors and modules are not here"
    ):
        lib.Linear(1, 1)
    lib = importlib.import_module(f"flambeau.{home}.qat.modules.linear")
    assert lib.Linear is flambeau.ao.nn.qat.Linear and flambeau.nn.quantizable.LSTM is flambeau.ao.nn.quantizable.LSTM


LIMITS = [(), (float,), (int,), (complex,), (bool,), (str,), (None,), ("float64",), (1,), (float, float)]


@pytest.mark.parametrize("name", ["finfo", "iinfo"])
def test_limits_of_python_types(name):
    for given, named in [
        *((one, {}) for one in LIMITS),
        ((), {"type": float}),
        ((), {"type": int}),
        ((), {"dtype": int}),
    ]:
        told = []
        for lib in (torch, flambeau):
            try:
                told.append(repr(getattr(lib, name)(*given, **named)))
            except TypeError as error:
                told.append(str(error))
        assert told[1] == told[0], (given, named)


def test_batched_tensors_are_known():
    seen = []
    flambeau.vmap(lambda x: seen.append(flambeau._C._functorch.is_batchedtensor(x)) or x)(flambeau.ones(3))
    assert seen == [True] and not flambeau._C._functorch.is_batchedtensor(flambeau.ones(3))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: flambeau.ao.quantization.convert(None),
            NotImplementedError,
            "torch.ao.quantization.convert: quantized",
        ),
        (
            lambda: flambeau.ao.quantization.HistogramObserver(),
            RuntimeError,
            "torch.ao.quantization.HistogramObserver: quantized",
        ),
        (
            lambda: flambeau.quantization.convert(None),
            NotImplementedError,
            "quantized tensors and modules are not here",
        ),
        (lambda: flambeau._C._storage_Use_Count(0), NotImplementedError, "getrefcount"),
        (lambda: flambeau._C._functorch._add_batch_dim(None, 0, 0), NotImplementedError, "not wrapped"),
        (lambda: flambeau.utils._sympy.value_ranges.ValueRanges(0, 1), RuntimeError, "not symbols"),
        (lambda: flambeau._guards.TracingContext.get(), RuntimeError, "within an ongoing trace"),
        (
            lambda: flambeau.nn.utils._per_sample_grad.call_for_per_sample_grads(None),
            NotImplementedError,
            "torch.func.vmap",
        ),
    ],
)
def test_refused(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_names_of_quantization_are_pytorchs():
    assert set(torch.ao.quantization.__all__) <= set(flambeau.ao.quantization.__all__)
    assert not isinstance(flambeau.nn.Linear(1, 1), flambeau.ao.quantization.ObserverBase)
    with pytest.raises(AttributeError):
        flambeau.ao.quantization.no_such_name  # noqa: B018


def test_float_functional():
    for lib, home in ((torch, torch.ao.nn.quantized), (flambeau, flambeau.nn.quantized)):
        module = home.FloatFunctional()
        a, b = lib.tensor([1.0, -2.0]), lib.tensor([3.0, 1.0])
        assert module.add(a, b).tolist() == [4.0, -1.0] and module.add_relu(a, b).tolist() == [4.0, 0.0]
        assert module.cat([a, b]).tolist() == [1.0, -2.0, 3.0, 1.0] and module.mul_scalar(a, 2.0).tolist() == [
            2.0,
            -4.0,
        ]
        assert module.matmul(a, b).item() == 1.0 and list(module.state_dict()) == []
        with pytest.raises(RuntimeError, match="not intended to use the 'forward'"):
            module(a)


def test_optimizers_are_written_with_these():
    lib = flambeau.optim.optimizer
    assert lib._default_to_fused_or_foreach([flambeau.ones(1)], False) == (False, False)
    assert lib._get_capturable_supported_devices() == OPTIMIZER._get_capturable_supported_devices()
    seen = []

    class Mine(flambeau.optim.Optimizer):
        @lib._use_grad_for_differentiable
        def step(self, closure=None):
            seen.append(flambeau.is_grad_enabled())

    Mine([flambeau.ones(1, requires_grad=True)], {"differentiable": False}).step()
    Mine([flambeau.ones(1, requires_grad=True)], {"differentiable": True}).step()
    assert seen == [False, True]
    lists = [[flambeau.ones(1), flambeau.ones(1).double(), flambeau.ones(2)]]
    groups = lib.Optimizer._group_tensors_by_device_and_dtype(lists, True)
    assert sorted(places for _, places in groups.values()) == [[0, 2], [1]]


def test_stages_of_a_grad_scaler():
    scaler = flambeau.amp.GradScaler("cpu")
    w = flambeau.ones(1, requires_grad=True)
    optimizer = flambeau.optim.SGD([w], 0.1)
    scaler.scale(w.sum()).backward()
    scaler.unscale_(optimizer)
    assert scaler._per_optimizer_states[id(optimizer)]["stage"] is flambeau.amp.grad_scaler.OptState.UNSCALED


CHECKS = [
    (lambda c: c.check("a").check("b"), "a b"),
    (lambda c: c.check("a").check("b"), "b a"),
    (lambda c: c.check_not("a"), "ba"),
    (lambda c: c.check("x").check_not("a").check("y"), "a x y a"),
    (lambda c: c.check("x").check_not("a").check("y"), "x a y"),
    (lambda c: c.check_count("a", 2, exactly=True), "aaa"),
    (lambda c: c.check_count("a", 2, exactly=True), "aa"),
    (lambda c: c.check_count("a", 4), "aaa"),
    (lambda c: c.check("a").check_next("b"), "a\nb"),
    (lambda c: c.check("a").check_next("b"), "a\n\nb"),
    (lambda c: c.check("a").check_same("b"), "a  b"),
    (lambda c: c.check("a").check_same("b"), "a\nb"),
    (lambda c: c.check_dag("b").check_dag("a").check("c"), "a b c"),
    (lambda c: c.check_regex("x.z"), "xyz"),
    (lambda c: c.check_regex("x.z"), "xay"),
    (lambda c: c, "a"),
]


@pytest.mark.parametrize("number", range(len(CHECKS)))
def test_file_check(number):
    make, text = CHECKS[number]
    results = []
    for lib in (torch, flambeau):
        try:
            make(lib.testing.FileCheck()).run(text)
            results.append(None)
        except RuntimeError as error:
            results.append(str(error).split("\n")[0])
    assert results[1] == results[0]


@pytest.mark.filterwarnings("ignore:Local function is not supported by pickle")
@pytest.mark.filterwarnings("ignore:Lambda function is not supported by pickle")
def test_data_pipes():
    results = []
    for lib in (torch, flambeau):
        pipes = lib.utils.data.datapipes
        wrap = pipes.iter.IterableWrapper
        source = wrap(range(10))
        made = [
            list(source.map(lambda x: x * 2).filter(lambda x: x > 4).batch(3)),
            list(source.batch(4, drop_last=True).unbatch()),
            list(source.zip(wrap("abc"))),
            list(source.concat(wrap("ab"))),
            len(source.batch(3)),
            list(wrap([(1, 2), (3, 4)]).map(lambda x: x + 1, input_col=0)),
            list(wrap([(1, 2), (3, 4)]).map(lambda x: x + 1, input_col=0, output_col=-1)),
            sorted(source.shuffle()),
            list(source.shuffle().set_shuffle(False)),
            list(source.shuffle().set_seed(3)),
            [b.tolist() for b in source.batch(5).collate()],
            list(pipes.map.SequenceWrapper([1, 2, 3]).map(lambda x: -x)),
            isinstance(source, lib.utils.data.IterableDataset),
        ]

        @lib.utils.data.functional_datapipe(f"twice_{lib.__name__}")
        class Twice(lib.utils.data.IterDataPipe):
            def __init__(self, source):
                self.source = source

            def __iter__(self):
                for item in self.source:
                    yield from (item, item)

        made.append(list(getattr(wrap([1, 2]), f"twice_{lib.__name__}")()))
        shuffled = lib.utils.data.graph_settings.apply_shuffle_settings(source.shuffle().batch(2), shuffle=False)
        made.append(list(shuffled))
        results.append(made)
    assert results[1] == results[0]


def test_a_loader_takes_data_pipes():
    pipe = flambeau.utils.data.datapipes.iter.IterableWrapper(range(6)).map(functools.partial(operator.add, 1))
    assert [b.tolist() for b in flambeau.utils.data.DataLoader(pipe, batch_size=3)] == [[1, 2, 3], [4, 5, 6]]


def test_the_node_that_runs_is_told():
    def run(lib):
        seen = []

        def note(where):
            node = lib._C._current_autograd_node()
            seen.append((where, None if node is None else node.name()))

        class Own(lib.autograd.Function):
            @staticmethod
            def forward(ctx, a):
                return a * 1

            @staticmethod
            def backward(ctx, g):
                note("function")
                return g

        y = lib.ones(3, requires_grad=True)
        y.register_hook(lambda g: note("hook of a leaf"))
        z = y * 2
        z.register_hook(lambda g: note("hook"))
        z.grad_fn.register_prehook(lambda g: note("before"))
        z.grad_fn.register_hook(lambda g, h: note("after"))
        note("outside")
        Own.apply(z).sum().backward()
        note("outside")
        return [s if s[1] != "torch::autograd::AccumulateGrad" else (s[0], "AccumulateGrad") for s in seen]

    assert run(flambeau) == run(torch)


def test_scales_follow_what_was_met():
    def run(lib):
        seen = []
        one = lib.tensor(1, dtype=lib.int32)
        for scale, tracker, met in (
            (4.0, 1, 0.0),
            (4.0, 0, 0.0),
            (3e38, 1, 0.0),
            (3.0, 5, 1.0),
            (3.0, 5, float("nan")),
        ):
            count = one * tracker
            value = lib.tensor(scale)
            given = lib._amp_update_scale_(value, count, lib.tensor(met), 2.0, 0.5, 2)
            seen.append((given is value, value.item(), count.item()))
        for values in ([1.0, float("nan")], [1.0, 2.0], [float("inf")], []):
            tensors, found = [lib.tensor(values), lib.ones(2, dtype=lib.bfloat16)], lib.tensor(0.0)
            lib._amp_foreach_non_finite_check_and_unscale_(tensors, found, lib.tensor(0.3))
            seen.append((repr([t.tolist() for t in tensors]), found.item()))
        for wrong in (lib.tensor(1), lib.tensor([1, 2], dtype=lib.int32)):
            try:
                lib._amp_update_scale_(lib.tensor(4.0), wrong, lib.tensor(0.0), 2.0, 0.5, 2)
            except RuntimeError as error:
                seen.append(str(error))
        return seen

    assert run(flambeau) == run(torch)


@pytest.mark.filterwarnings("ignore:TypedStorage")
def test_small_private_names():
    import io

    def run(lib):
        import importlib

        parametrize = importlib.import_module(f"{lib.__name__}.nn.utils.parametrize")
        serialization, nnpack = lib.serialization, importlib.import_module(f"{lib.__name__}.backends.nnpack")
        file = io.BytesIO()
        lib.save({"a": lib.ones(2)}, file)
        seen = [serialization._is_zipfile(file)]
        file.seek(0)
        seen += [serialization._is_zipfile(file), file.tell()]
        with serialization._open_file_like(file, "rb") as opened, serialization._open_zipfile_reader(opened) as reader:
            seen += [serialization._is_torchscript_zip(reader), reader.has_record("data.pkl")]
        with parametrize.cached():
            seen.append(parametrize._cache_enabled)
        seen.append(parametrize._cache_enabled)
        with nnpack.flags(False):
            seen += [nnpack.set_flags(True), nnpack.set_flags(False)]
        seen += [
            nnpack.set_flags(True),
            lib.autograd._is_checkpoint_valid(),
            lib.ByteStorage._from_buffer(b"ab").tolist(),
        ]
        x = lib.ones(2, requires_grad=True)
        seen += [
            x._grad_fn,
            (x * 2)._grad_fn.name(),
            x._typed_storage().size(),
            x._cdata == x._cdata,
            x._cdata == (x + 0)._cdata,
        ]
        seen += [lib._C._has_xpu, lib._C._has_mps, lib._C.has_lapack]
        seen.append([state.name for state in importlib.import_module(f"{lib.__name__}.cuda.amp.grad_scaler").OptState])
        return seen

    assert run(flambeau) == run(torch)


def test_calls_that_wait_for_a_gpu(monkeypatch):
    called = []
    assert flambeau.cuda._lazy_call(lambda: called.append(1)) is None
    assert torch.cuda._lazy_call(lambda: None) is None
    assert called == [1] * flambeau.cuda.is_available()
    monkeypatch.setattr(flambeau.cuda, "is_available", lambda: True)
    flambeau.cuda._lazy_call(lambda: called.append(2))
    assert called[-1] == 2
