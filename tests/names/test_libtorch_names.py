# ruff: noqa: E501
"""Names of libtorch that are visible in Python (types, containers, kernels of one library), against PyTorch's."""

import enum
import io
import typing
import warnings

import numpy as np
import pytest
import torch
import torch.jit.annotations
import torch.utils.hooks

import flambeau
import flambeau.cuda.jiterator
import flambeau.jit.annotations
import flambeau.storage
import flambeau.utils.hooks

LIBRARIES = (torch, flambeau)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


TYPES = """
[(k, str(getattr(lib, k).get()), getattr(lib, k).get().kind(), getattr(lib, k).get().annotation_str) for k in 'AnyType BoolType ComplexType DeviceObjType FloatType IntType NoneType NumberType PyObjectType StreamObjType StringType SymBoolType SymIntType TensorType'.split()]
lib.IntType()
lib.Type()
lib.ListType(3)
lib.ListType.ofInts() == lib.ListType(I), lib.ListType(I) == lib.ListType(F), I == lib.SymIntType.get()
lib.ListType.ofTensors().containedTypes(), lib.ListType(I).getElementType(), lib.ListType(I).str()
lib.DictType(S, T), lib.DictType(S, T).getKeyType(), lib.DictType(S, T).getValueType(), lib.DictType(S, T).containedTypes()
lib.DictType(lib.ListType(I), I)
lib.TupleType([I, F]), lib.TupleType([I, F]).elements(), lib.TupleType([])
lib.OptionalType(I), lib.OptionalType(lib.OptionalType(I)), lib.OptionalType.ofTensor(), lib.OptionalType(I).getElementType()
lib.UnionType([I, F]), lib.UnionType([I, lib.UnionType([F, S])]), lib.UnionType([F, I, N]), lib.UnionType([I, N]), lib.UnionType([I, F, lib.ComplexType.get()])
lib.UnionType([I, N]) == lib.OptionalType(I), lib.UnionType([I, F]) == lib.UnionType([F, I]), lib.UnionType([I, lib.OptionalType(F)])
[lib.FutureType(I), lib.RRefType(I), lib.AwaitType(I), lib.FutureType(I).kind()]
[a.isSubtypeOf(b) for a in SOME for b in SOME]
lib.EnumType('a.B', I, list(Colour)), lib.EnumType('a.B', I, list(Colour)).kind()
lib.InferredType('why').reason(), lib.InferredType('why').success(), lib.InferredType(I).type()
lib.unify_type_list([I, N]), lib.unify_type_list([I, I])
lib.unify_type_list([I, F])
lib.unify_type_list([])
T.with_sizes([2, 3]).sizes(), T.with_sizes([2, 3]).dim(), T.with_sizes([2, None]).sizes(), T.with_sizes([2, None]).varyingSizes(), T.sizes(), T.with_sizes([2, 3]).str()
T.with_dtype(lib.float32).dtype(), T.with_dtype(lib.float32).scalarType(), T.with_device(lib.device('cpu')).device(), T.with_sizes([2]) == T, T.requires_grad()
T.with_device('cpu')
[lib.jit.annotations.ann_to_type(a, place) for a in (int, float, bool, str, complex, None, lib.device, lib.dtype, typing.Any, lib.Tensor, lib.nn.Parameter, lib.Generator, lib.SymInt)]
[lib.jit.annotations.ann_to_type(a, place) for a in (typing.List[int], list[int], typing.Dict[str, lib.Tensor], typing.Optional[lib.Tensor], typing.Tuple[int, float], tuple[int], typing.Tuple[()], typing.Union[int, str], int | None, lib.jit.Future[int])]
lib.jit.annotations.try_ann_to_type(3, place), lib.jit.annotations.try_ann_to_type(object, place)
lib.jit.annotations.ann_to_type(list, place)
lib.jit.annotations.ann_to_type(typing.List, place)
lib.jit.annotations.ann_to_type(typing.Dict, place)
[lib._C._jit_try_infer_type(v).type() for v in (3, [1.0], {'a': (1, None)}, True, 'a', [None, 1], 1j)]
[lib._C._jit_try_infer_type(v).reason() for v in ([1, 'a'], [], {}, [1, 2.0], {'a': 1, 'b': 'c'}, object())]
[(a.name, a.type, a.real_type, a.N, type(a.type).__name__, isinstance(a.type, lib.OptionalType)) for a in lib.ops.aten.sum.dim_IntList._schema.arguments]
[a.type for a in lib.ops.aten.convolution.default._schema.arguments], lib.ops.aten.sum.default._schema.returns[0].type
[(a.type.kind(), a.real_type.kind()) for a in lib._C.parse_schema('f(Scalar a, ScalarType b, Layout? c, Device d, SymInt[] e, str f) -> ()').arguments]
"""
CONTAINERS = """
lib.ScriptList([1, 2]), lib.jit.script([1.0, 2.5]), lib.jit.script({'a': 1}), lib.ScriptList([(1, 'a')]), lib.ScriptList([None]), lib.ScriptList([])
(lambda l: (l[0], l[-1], l[1:], len(l), list(l), bool(l), 2 in l, l.count(1), l.pop(), l.append(7), l.insert(0, 5), l.extend([8]), l, l.clear(), l))(lib.ScriptList([1, 2, 3]))
lib.ScriptList([1, 'a'])
lib.ScriptList((1, 2))
lib.ScriptDict({'a': 1, 'b': 2.0})
(lambda d: (d['a'], 'a' in d, len(d), list(d), list(d.items()), list(d.keys()), bool(d), d.__setitem__('b', 2), d, d.__delitem__('a'), d))(lib.ScriptDict({'a': 1}))
[1, 2] == lib.ScriptList([1, 2]), lib.ScriptDict({'a': 1}) == {'a': 1}
type(iter(lib.ScriptList([1]))).__name__, type(iter(lib.ScriptDict({'a': 1}))).__name__, type(lib.ScriptDict({'a': 1}).items()).__name__
lib.jit.script((1, 2))
lib.AggregationType(0), str(lib.AVG), lib.SUM.value, lib.AVG == 1, lib.LockingLogger().get_counter_val('a')
lib.LoggerBase()
lib.ErrorReport.call_stack()
lib.BenchmarkConfig().num_iters, lib.BenchmarkConfig().profiler_output_path
issubclass(lib.AcceleratorError, RuntimeError), lib.FatalError.__bases__, lib.JITException is lib.jit.Error, lib.jit.Error.__bases__
lib.has_lapack, lib.has_spectral, lib.compiled_with_cxx11_abi(), lib.init_num_threads()
lib.StorageBase(3)
isinstance(lib.UntypedStorage(1), lib.StorageBase), lib.serialization.normalize_storage_type(lib.cuda.FloatStorage).__name__
list(lib.utils.dlpack.DLDeviceType)
lib.utils.data.DataChunk([1, 2]).as_str('  '), list(lib.utils.data.DataChunk([1, 2]).raw_iterator()), type(next(iter(lib.utils.data.datapipes.iter.IterableWrapper([1, 2]).batch(2)))).__name__
lib.utils.data.non_deterministic(3)
lib.utils.checkpoint.GraphExecGroup._get_current_group()
lib.cuda.FloatStorage(3)
lib.cuda.cudaStatus.SUCCESS, lib.cuda.cudaStatus.ERROR_NOT_READY, lib.cuda.nccl.is_available([]), lib.cuda.nccl.SUM
lib.cuda.jiterator._create_jit_fn('template <typename T> T f(T x) { return x; }')(lib.ones(1))
lib.mps.profiler.start()
lib.backends.cuda.cufft_plan_cache[0]
lib.backends.cuda.cufft_plan_cache.size
lib.backends.cuda.preferred_blas_library(), lib.backends.cuda.preferred_linalg_library('default')
lib.backends.cuda.preferred_linalg_library('x')
lib.compiler.skip_all_guards_unsafe([1, 2]), lib.compiler.save_cache_artifacts(), lib.compiler.set_enable_guard_collectives(False)
lib.compiler.wrap_numpy(lambda a, b: (np.cumsum(a), b))(lib.arange(3.0), 'x')
lib.fork(lambda x: x + 1, 2).__class__.__name__, lib.wait(lib.fork(lambda x: x + 1, 2)) if lib is not torch else 3
"""


def shown(text, lib):
    names = {"I": "IntType", "F": "FloatType", "S": "StringType", "N": "NoneType", "T": "TensorType"}
    place = torch._C._jit_tree_views.SourceRangeFactory("here", "f", 1, 0).make_range(1, 0, 1)
    space = {"lib": lib, "typing": typing, "Colour": Colour, "place": place, "np": np}
    space.update({short: getattr(lib, name).get() for short, name in names.items()})
    I, F, N = space["I"], space["F"], space["N"]
    space["SOME"] = [
        I, F, N, lib.NumberType.get(), lib.AnyType.get(), lib.OptionalType(I), lib.ListType(I), lib.BoolType.get(), lib.UnionType([I, F]),
        lib.TupleType([I]), lib.TupleType([lib.NumberType.get()]), lib.FutureType(I), lib.FutureType(lib.AnyType.get()),
    ]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return repr(eval(text, space)).replace("flambeau", "torch")
        except Exception as error:
            return type(error).__name__, str(error).split("\n")[0].replace("flambeau", "torch")


@pytest.mark.parametrize("text", [*TYPES.strip().split("\n"), *CONTAINERS.strip().split("\n")])
def test_same_as_pytorch(text):
    theirs, ours = (shown(text, lib) for lib in LIBRARIES)
    if isinstance(theirs, tuple) and isinstance(ours, tuple):  # errors: ours says more
        assert ours[0] == theirs[0] and ours[1].startswith(theirs[1])
    else:
        assert ours == theirs


def test_classes_without_objects_say_so():
    names = "AliasDb Block Code Node ScriptMethod ScriptObject TracingState Value ScriptListIterator".split()
    for name in names:
        for lib in LIBRARIES:
            with pytest.raises(TypeError, match=f"torch._C.{name}: No constructor defined!"):
                getattr(lib, name)()
            assert getattr(lib, name).__module__ == lib.__name__
        assert not isinstance(flambeau.ones(1), getattr(flambeau, name))
    with pytest.raises(NotImplementedError, match="there is no TorchScript"):
        flambeau.Graph()
    with pytest.raises(NotImplementedError, match="there are no quantized tensors here"):
        flambeau.QInt8Storage(3)


def test_what_a_compilation_unit_defines_runs():
    text = "def f(x):\n  return x + g(x, y=2)\n\ndef g(x, y: int = 3) -> torch.Tensor:\n  return torch.relu(x) * y\n\n"
    made = []
    for lib in LIBRARIES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            unit = lib.jit.CompilationUnit("def g(x, y: int = 3):\n  return torch.relu(x) * y\n\n")
            unit.define("def f(x):\n  return x + 1\n\n")
        held = [unit.f(lib.tensor([-1.0, 2.0])).tolist(), unit.g(lib.tensor([2.0])).tolist(), unit.f.name]
        with pytest.raises(AttributeError, match="'CompilationUnit' has no attribute 'h'"):
            print(unit.h)
        made.append([*held, unit.find_function("h"), sorted(f.name for f in unit.get_functions())])
    assert made[0] == made[1]
    unit = flambeau.jit.CompilationUnit(text)
    assert unit.f(flambeau.tensor([1.0])).tolist() == [3.0] and "torch.relu(x)" in unit.g.code
    with pytest.raises(RuntimeError, match="expected ':'"):
        flambeau.jit.CompilationUnit("def f(x) return x\n")


def test_parts_of_a_scripted_module_by_name():
    class Net(flambeau.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = flambeau.nn.Linear(1, 1)
            self.scale = flambeau.nn.Parameter(flambeau.ones(1))
            self.register_buffer("seen", flambeau.zeros(1))

        def forward(self, x):
            return self.layer(x) * self.scale

    module = flambeau.jit.script(Net())
    parameters, buffers, modules = (getattr(flambeau, f"{k}Dict")(module) for k in ("Parameter", "Buffer", "Module"))
    assert (
        [n for n, _ in parameters.items()] == ["scale"] and modules.contains("layer") and not buffers.contains("scale")
    )
    buffers.setattr("seen", flambeau.ones(1))
    assert module.seen.item() == 1 and buffers.getattr("seen") is module.seen
    with pytest.raises(RuntimeError, match="does not have a field with name 'zz'"):
        buffers.getattr("zz")
    with pytest.raises(TypeError, match="incompatible constructor arguments"):
        flambeau.ParameterDict(flambeau.nn.Linear(1, 1))


def test_each_library_reads_the_files_of_the_other():
    made = []
    for lib in LIBRARIES:
        file = io.BytesIO()
        writer = lib.PyTorchFileWriter(file)
        storage = lib.arange(3.0).untyped_storage()
        for name, data, size in (("data.pkl", b"abc", 3), ("x/y", "hello", 5), ("t", storage, 12), ("part", b"abc", 2)):
            writer.write_record(name, data, size)
        assert writer.archive_name() == "archive" and writer.get_all_written_records() == {
            "data.pkl",
            "x/y",
            "t",
            "part",
        }
        writer.write_end_of_file()
        with pytest.raises(RuntimeError):
            writer.write_record("late", b"", 0)
        made.append(file.getvalue())
    for content in made:
        for lib in LIBRARIES:
            reader = lib.PyTorchFileReader(io.BytesIO(content))
            assert [reader.get_record(n) for n in ("data.pkl", "x/y", "part", "version", "byteorder")] == [
                b"abc", b"hello", b"ab", b"3\n", b"little",
            ]  # fmt: skip
            assert np.frombuffer(reader.get_record("t"), np.float32).tolist() == [0.0, 1.0, 2.0]
            assert len(reader.serialization_id()) == 40


def test_backward_hooks_by_hand():
    made = []
    for lib in LIBRARIES:
        seen = []
        layer = lib.nn.Linear(2, 1, bias=False)
        layer.weight.data = lib.tensor([[2.0, 3.0]])
        hook = lib.utils.hooks.BackwardHook(
            layer,
            [lambda m, i, o, seen=seen: seen.append([i[0].tolist(), o[0].tolist()])],
            [lambda m, o: (o[0] * 10,)],
        )
        x = lib.ones(1, 2, requires_grad=True)
        (inside,) = hook.setup_input_hook((x,))
        hook.setup_output_hook(layer(inside)).sum().backward()
        made.append([seen, x.grad.tolist(), layer.weight.grad.tolist()])
    assert made[0] == made[1]


def test_pipes_that_leave_their_order_to_chance():
    for lib in LIBRARIES:
        data = lib.utils.data

        @data.non_deterministic
        class Always(data.IterDataPipe):
            def __iter__(self):
                yield 1

        @data.non_deterministic(lambda n: n > 3)
        class Sometimes(data.IterDataPipe):
            def __init__(self, n):
                self.n = n

            def __iter__(self):
                yield self.n

        assert list(Always()) == [1] and list(Sometimes(5)) == [5]
        with data.guaranteed_datapipes_determinism():
            assert list(Sometimes(2)) == [2]
            with pytest.raises(TypeError, match="Always is non-deterministic, but you set"):
                Always()
            with pytest.raises(TypeError, match="Sometimes is non-deterministic with the inputs"):
                Sometimes(5)


def test_filters_of_guards_say_that_they_are_not_asked():
    class Entry:
        def __init__(self, kind, everywhere, value=None):
            self.guard_type, self.is_global, self.value = kind, everywhere, value
            self.derived_guard_types, self.has_value = [], True

    made = []
    for lib in LIBRARIES:
        parameter = lib.nn.Parameter(lib.ones(1))
        entries = [
            Entry("TENSOR_MATCH", False),
            Entry("TENSOR_MATCH", True, parameter),
            Entry("ID_MATCH", True),
            Entry("SHAPE_ENV", False),
        ]
        filters = "skip_all_guards skip_guard_on_globals keep_tensor_guards keep_portable_guards".split()
        made.append([getattr(lib.compiler, f"{name}_unsafe")(entries) for name in filters])
        made[-1].append(lib.compiler.keep_tensor_guards_unsafe(entries, keep_parameters=True))
    assert made[0] == made[1]
    with pytest.warns(UserWarning, match="the filter is not asked"):
        compiled = flambeau.compile(
            lambda x: x + 1, options={"guard_filter_fn": flambeau.compiler.skip_all_guards_unsafe}
        )
    assert compiled(flambeau.ones(1)).item() == 2


def test_groups_of_checkpoints_are_not_nested():
    for lib in LIBRARIES:
        group = lib.utils.checkpoint.GraphExecGroup()
        with group:
            assert lib.utils.checkpoint.GraphExecGroup._get_current_group() is group
            with pytest.raises(RuntimeError, match="contexts cannot be nested"), lib.utils.checkpoint.GraphExecGroup():
                pass
        assert lib.utils.checkpoint.GraphExecGroup._get_current_group() is None


# --- kernels ----------------------------------------------------------------------------------------------------------


def test_statistics_of_two_batches_are_those_of_both():
    rng = np.random.default_rng(0)
    x, g, b, dy = rng.normal(size=(6, 3, 4, 5)), rng.normal(size=3), rng.normal(size=3), rng.normal(size=(6, 3, 4, 5))
    lib, t = flambeau, flambeau.tensor
    mean, var = lib.zeros(3, dtype=lib.float64), lib.ones(3, dtype=lib.float64)
    parts, gradients = [t(x[:2]), t(x[2:])], [t(dy[:2]), t(dy[2:])]
    means, inverses = zip(*[lib.batch_norm_stats(p, 1e-5) for p in parts], strict=True)
    counts = lib.tensor([40.0, 80.0], dtype=lib.float64)
    m, s = lib.batch_norm_gather_stats_with_counts(
        parts[0], lib.stack(means), lib.stack(inverses), mean, var, 0.1, 1e-5, counts
    )
    weight = t(g, requires_grad=True)
    out = lib.cat([lib.batch_norm_elemt(p, weight, t(b), m, s, 1e-5) for p in parts])
    reduced = [
        lib.batch_norm_backward_reduce(d, p, m, s, t(g), True, True, True)
        for d, p in zip(gradients, parts, strict=True)
    ]
    dy_sum, dy_off, by_weight, by_bias = (sum(r[k] for r in reduced) for k in range(4))
    number = lib.tensor([40, 80], dtype=lib.int32)
    by_input = lib.cat(
        [
            lib.batch_norm_backward_elemt(d, p, m, s, t(g), dy_sum, dy_off, number)
            for d, p in zip(gradients, parts, strict=True)
        ]
    )
    out.backward(t(dy))
    leaves = [torch.tensor(a, requires_grad=True) for a in (x, g, b)]
    running = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    right = torch.nn.functional.batch_norm(leaves[0], *running, *leaves[1:], True, 0.1, 1e-5)
    right.backward(torch.tensor(dy))
    expected = [right, *running, *(leaf.grad for leaf in leaves), leaves[1].grad]
    for made, wanted in zip((out, mean, var, by_input, by_weight, by_bias, weight.grad), expected, strict=True):
        np.testing.assert_allclose(made.detach().numpy(), wanted.detach().numpy(), rtol=1e-9, atol=1e-12)
    equal = lib.batch_norm_gather_stats(parts[0], lib.stack(means), lib.stack(inverses), None, None, 0.1, 1e-5, 3)
    other = lib.batch_norm_gather_stats_with_counts(
        parts[0], lib.stack(means), lib.stack(inverses), None, None, 0.1, 1e-5, lib.tensor([3.0, 3.0])
    )
    assert all(lib.equal(a, b) for a, b in zip(equal, other, strict=True))
    assert lib.batch_norm_backward_reduce(gradients[0], parts[0], m, s, None, False, True, False)[0] is None


def test_kernels_that_pytorch_runs_on_the_cpu():
    rng = np.random.default_rng(1)
    x, w, b = (rng.normal(size=s).astype("f") for s in ((2, 3, 6, 5), (4, 3, 3, 3), (4,)))
    steps = [rng.normal(size=s).astype("f") for s in ((5, 2, 3), (16, 3), (16, 4), (16,), (16,), (1, 2, 4), (1, 2, 4))]
    made = []
    for lib in LIBRARIES:
        results = [lib.mkldnn_convolution(*map(lib.tensor, (x, w, b)), (1, 0), (2, 1), (1, 1), 1)]
        for back in (False, True):
            results += lib.mkldnn_rnn_layer(*map(lib.tensor, steps), back, [], 2, 4, 1, True, False, False, False)[:3]
        made.append(results)
    for ours, theirs in zip(made[1], made[0], strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-5)
    with pytest.raises(NotImplementedError, match="one layer and direction of an LSTM"):
        flambeau.mkldnn_rnn_layer(*map(flambeau.tensor, steps), False, [], 3, 4, 1, True, False, False, False)


def test_products_with_weights_of_few_bits():
    for seed in range(6):
        rng = np.random.default_rng(seed)
        w = (rng.normal(size=(7, 11)) * rng.uniform(0.01, 9) + rng.normal()).astype("f")
        w = (w, abs(w), -abs(w))[seed % 3]
        x, b = (rng.normal(size=(4, 11)) * 3).astype("f"), rng.normal(size=7).astype("f")
        made = []
        for lib in LIBRARIES:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                q, offsets, scale, zero = lib.fbgemm_linear_quantize_weight(lib.tensor(w))
                packed = lib.fbgemm_pack_quantized_matrix(q)
                few = lib.fbgemm_linear_int8_weight_fp32_activation(
                    lib.tensor(x), q, packed, offsets, scale, zero, lib.tensor(b)
                )
                half = lib.fbgemm_linear_fp16_weight(
                    lib.tensor(x), lib.fbgemm_pack_gemm_matrix_fp16(lib.tensor(w)), lib.tensor(b)
                )
            made.append(([q.tolist(), offsets.tolist(), scale, zero], few.numpy(), half.numpy()))
        assert made[0][0] == made[1][0]
        np.testing.assert_allclose(made[1][2], made[0][2], rtol=1e-5, atol=2e-4)
        whole, cut = _products_of_bytes(x, b, *made[0][0])
        np.testing.assert_allclose(made[1][1], whole, rtol=1e-5, atol=2e-4)
        # where the processor has no instruction for it, PyTorch's kernel adds pairs of products in 16 bits
        np.testing.assert_allclose(made[0][1], np.where(abs(made[0][1] - cut) < 2e-4, cut, whole), rtol=1e-5, atol=2e-4)


def _products_of_bytes(x: np.ndarray, b: np.ndarray, q: list, _: list, scale: float, zero: int) -> list[np.ndarray]:
    """x, in 8 bits between its least and largest number, times the weight, plus b; and the same with 16 bits for each pair."""
    step = (max(x.max(), 0) - min(x.min(), 0)) / 255
    shift = np.rint(-min(x.min(), 0) / step)
    bytes_of_x, weight = np.clip(np.rint(x / step) + shift, 0, 255), np.asarray(q, "d")
    products = bytes_of_x[:, None] * weight
    last = products[..., -1:] if products.shape[-1] % 2 else products[..., :0]
    pairs = np.concatenate(
        [products[..., : products.shape[-1] // 2 * 2].reshape(*products.shape[:2], -1, 2).sum(-1), last], -1
    )
    constant = shift * weight.sum(1) + zero * bytes_of_x.sum(1, keepdims=True) - x.shape[1] * shift * zero
    return [(each.sum(-1) - constant) * step * scale + b for each in (pairs, np.clip(pairs, -(2**15), 2**15 - 1))]


def test_kernels_that_pytorch_refuses_on_the_cpu():
    for lib in LIBRARIES:
        x, w, three = lib.ones(1, 1, 4, 4), lib.ones(1, 1, 1, 1), lib.ones(1)
        calls = {
            "cudnn_convolution": (x, w, (0, 0), (1, 1), (1, 1), 1, False, False, False),
            "cudnn_convolution_relu": (x, w, None, (1, 1), (0, 0), (1, 1), 1),
            "cudnn_grid_sampler": (x, lib.zeros(1, 2, 2, 2)),
            "cudnn_batch_norm": (x, three, three, three, three, True, 0.1, 1e-5),
            "miopen_convolution": (x, w, None, (0, 0), (1, 1), (1, 1), 1, False, False),
            "mkldnn_max_pool2d": (x, (2, 2)),
            "native_norm": (x,),
        }
        for name, args in calls.items():
            with pytest.raises(
                NotImplementedError, match=f"Could not run 'aten::{name}' with arguments from the 'CPU' backend"
            ):
                getattr(lib, name)(*args)
        assert lib.cudnn_is_acceptable(x) is False
        assert lib.native_norm(lib.tensor([3.0, 0.0, 4.0]).to_sparse()).item() == 5
