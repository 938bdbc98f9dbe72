"""torch.library and torch.ops: what a program of the tutorials' kind does not show."""

from __future__ import annotations

import copy
import os
import pickle
import warnings
from collections.abc import Sequence
from typing import Any, Optional

import pytest
import torch

import flambeau as fb
import flambeau.library
import flambeau.nn
import flambeau.optim
import flambeau.utils._python_dispatch
from support.programs import agree

ANNOTATED = [
    "(x: Tensor) -> Tensor",
    "(x) -> Tensor",
    "(x: Tensor)",
    "(x: Tensor) -> dict",
    "(x: list) -> Tensor",
    "(x: Tensor, *a: int) -> Tensor",
    "(x: Tensor, **a) -> Tensor",
    "(x: Tensor) -> None",
    "(x: Tensor, n: int = 3, s: float = 0.1, b: bool = True, t: str = 'a') -> Tensor",
    "(x: Optional[Tensor], xs: Sequence[Tensor], n: Optional[int] = None) -> tuple[Tensor, Tensor]",
    "(x: 'Tensor', *, n: list[int]) -> list[Tensor]",
    "(x: Tensor, d: t.dtype = t.float32, p: Optional[t.device] = None) -> int",
    "(x: Tensor, n: Sequence[int] = (1, 2)) -> Tensor",
    "(x: Tensor, n: tuple[int, int]) -> Tensor",
    "(x: Tensor, n: Any) -> Tensor",
    "(x: Tensor) -> tuple[Tensor, ...]",
]


@pytest.mark.parametrize("signature", ANNOTATED)
@pytest.mark.parametrize("written", [(), ("x",), "unknown", ("nothing",), "x"])
def test_schemas_from_annotations(signature: str, written: Any) -> None:
    def infer(t: Any) -> str:
        names = {"Tensor": t.Tensor, "t": t, "Optional": Optional, "Sequence": Sequence, "Any": Any}
        exec(f"def function{signature}: ...", names)
        return t.library.infer_schema(names["function"], mutates_args=written)  # type: ignore[no-any-return]

    agree(infer, words=5)


SCHEMAS = [
    "f(Tensor x) -> Tensor",
    "f.over(Tensor(a!) x, *, int[2] n=[1, 2], float e=1e-05, str s=\"a, b\") -> Tensor(a!)",
    "f(Tensor?[] xs, SymInt[]? n=None, Scalar? a=1.5) -> (Tensor first, Tensor[] others)",
    "f(Tensor! out, Tensor!? x, Tensor ! y) -> (Tensor!, Tensor)",
    "f() -> ()",
    "f(Tensor x",
    "f",
    "f(Nothing x) -> Tensor",
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS)
def test_schemas_are_read_and_printed(schema: str) -> None:
    def told(t: Any) -> Any:
        read = t._C.parse_schema(schema)
        return (
            str(read),
            read.name,
            read.overload_name,
            [(a.name, a.default_value, a.kwarg_only, a.alias_info and a.alias_info.is_write) for a in read.arguments],
        )

    agree(told, words=3)


def test_all_schemas_of_aten_are_torchs() -> None:
    from flambeau.ops.overloads import _schemas

    names = [n for n in _schemas() if hasattr(torch.ops.aten, n)]
    assert len(names) > 1000
    for name in names[::7]:
        theirs, ours = getattr(torch.ops.aten, name), getattr(fb.ops.aten, name)
        if name not in ("_scaled_dot_product_flash_attention", "_flash_attention_forward"):
            assert ours.overloads() == theirs.overloads()
            told = [str(getattr(p, o)._schema) for p in (ours, theirs) for o in p.overloads()]
            assert told[: len(told) // 2] == told[len(told) // 2 :]


@pytest.fixture
def cube() -> Any:
    @fb.library.custom_op("tests::cube", mutates_args=())
    def cube(x: fb.Tensor, by: float = 1.0) -> fb.Tensor:
        return x * x * x * by

    def setup(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.by = inputs[1]

    cube.register_autograd(lambda ctx, g: (3 * g * ctx.saved_tensors[0] ** 2 * ctx.by, None), setup_context=setup)
    return cube


def test_compiled_and_transformed(cube: Any) -> None:
    x = fb.tensor([1.0, 2.0], dtype=fb.float64)
    compiled = fb.compile(lambda x: cube(x, 2.0).sum(), fullgraph=True)
    assert compiled(x).item() == 18
    y = x.clone().requires_grad_()
    compiled(y).backward()
    assert y.grad is not None and y.grad.tolist() == [6, 24]
    grad = fb.func.grad(lambda x: cube(x).sum())
    assert grad(x).tolist() == [3, 12]
    assert fb.vmap(fb.func.grad(cube))(x).tolist() == [3, 12]
    assert fb.func.grad(lambda x: grad(x).sum())(x).tolist() == [6, 12]
    assert cube.register_vmap(lambda info, dims, x, by: (cube(x) + 100, dims[0])) is not None
    assert fb.vmap(cube)(x).tolist() == [101, 108]


def test_autocast_and_kernels(cube: Any) -> None:
    x = fb.ones(2)
    cube.register_autocast("cpu", fb.bfloat16)
    with fb.autocast("cpu", dtype=fb.bfloat16):
        assert cube(x).dtype is fb.bfloat16
    assert cube(x).dtype is fb.float32
    cube.register_kernel("cpu", lambda x, by=1.0: x + 5)
    assert cube(x).tolist() == [6, 6]
    with cube.set_kernel_enabled("cpu", False):
        assert cube(x).tolist() == [1, 1]
    kernel = fb.library.get_kernel("tests::cube", "CPU")
    assert kernel.call_boxed(fb._C.DispatchKeySet(fb.DispatchKey.CPU), x).tolist() == [6, 6]
    with pytest.raises(RuntimeError, match="does not exist"):
        fb.library.get_kernel("tests::nothing", "CPU")


def test_kernel_for_other_devices_only() -> None:
    @fb.library.custom_op("tests::elsewhere", mutates_args=(), device_types="cuda")
    def elsewhere(x: fb.Tensor) -> fb.Tensor:
        return x.clone()

    with pytest.raises(
        NotImplementedError, match="Could not run 'tests::elsewhere' with arguments from the 'CPU' backend"
    ):
        elsewhere(fb.ones(1))


def test_results_share_no_memory() -> None:
    def program(t: Any) -> Any:
        @t.library.custom_op("tests::itself", mutates_args=(), schema="(Tensor x) -> Tensor")
        def itself(x):  # type: ignore[no-untyped-def]
            return x[:1]

        return itself(t.ones(2))

    error = agree(program, words=1)
    assert "may not alias any inputs to this custom operator" in str(error)


def test_a_kernel_without_a_formula_warns() -> None:
    def program(t: Any) -> Any:
        lib = t.library.Library(f"tests_warn_{t.__name__}", "FRAGMENT")
        lib.define("twice(Tensor x) -> Tensor")
        lib.impl("twice", lambda x: x * 2, "CPU")
        x = t.ones(2, requires_grad=True)
        getattr(t.ops, lib.ns).twice(x).sum().backward()
        return x.grad

    agree(program)


def test_libraries_take_their_operators_with_them() -> None:
    lib = fb.library.Library("tests_gone", "DEF")
    lib.define("f(Tensor x) -> Tensor")
    lib.impl("f", lambda x: x, "CPU")
    del lib
    assert not hasattr(fb.ops.tests_gone, "f")
    fb.library.Library("tests_gone", "DEF")


@pytest.mark.parametrize("lib", [fb, torch])
def test_an_operator_for_triton_runs_where_it_has_another_kernel(lib: Any) -> None:
    def twice(x: lib.Tensor) -> lib.Tensor:
        return lib.library.wrap_triton(None)[(1,)](x)

    twice.__annotations__ = {"x": lib.Tensor, "return": lib.Tensor}
    op = lib.library.triton_op("tests_triton::twice", twice, mutates_args=())
    op.register_kernel("cpu")(lambda x: x * 2)
    op.register_autograd(lambda ctx, slope: slope * 2)
    x = lib.ones(2, requires_grad=True)
    (op(x) + lib.ops.tests_triton.twice(x)).sum().backward()
    assert isinstance(op, lib.library.CustomOpDef) and x.grad.tolist() == [4, 4]


def test_what_is_refused() -> None:
    x = fb.ones(1)
    with pytest.raises(NotImplementedError, match="wrap_triton"):
        fb.library.wrap_triton(None)
    with pytest.raises(OSError, match="Could not load this library"):
        fb.ops.load_library("nothing.so")
    with pytest.raises(NotImplementedError, match="aten"):
        fb.library.Library("aten", "IMPL").impl("mm", lambda a, b: a, "CPU")
    with pytest.raises(NotImplementedError, match="Could not run 'aten::_amp_update_scale'"):
        fb.ops.aten._amp_update_scale(x, x.int(), x, 2.0, 0.5, 1)


def test_operators_are_single_objects() -> None:
    op = fb.ops.aten.mm.default
    assert copy.deepcopy(op) is op and pickle.loads(pickle.dumps(op)) is op
    assert copy.deepcopy(fb.ops.aten.mm) is pickle.loads(pickle.dumps(fb.ops.aten.mm))


def test_dispatch_modes_see_overloads() -> None:
    def program(t: Any) -> Any:
        seen: list[str] = []

        class Seeing(t.utils._python_dispatch.TorchDispatchMode):  # type: ignore[misc, name-defined]
            def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                seen.append(f"{func} {type(func).__name__} {func is t.ops.aten.mul.Tensor}")
                return func(*args, **(kwargs or {}))

        x = t.arange(6.0).reshape(2, 3) + 1
        y = t.full((3, 2), 2.0)
        with Seeing():
            z = (x * 2 + 1 - x / 3).sum(1)
            x.add_(1)
            t.cat([x, x])
            (x == 2, x.t(), t.mm(x, y), x.relu(), x.masked_fill(x > 3, 1.0), x.split(1), t.stack([x, x]))
            x.mean()
        return z, seen

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        agree(program)


def test_dispatch_modes_see_what_makes_and_fills_tensors() -> None:
    def program(t: Any) -> Any:
        seen: list[str] = []

        class Seeing(t.utils._python_dispatch.TorchDispatchMode):  # type: ignore[misc, name-defined]
            def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                seen.append(str(func))
                return func(*args, **(kwargs or {}))

        with Seeing():
            x = t.zeros(2, 3)
            (t.randn(3), t.arange(3), t.ones_like(x), t.full((2,), 3.0), t.eye(2), t.rand(2), t.randint(3, (2,)))
            x.fill_(2).zero_().uniform_()
            x.copy_(t.ones(3))
        return seen

    agree(program)


def test_shared_memory_is_shared() -> None:
    def program(t: Any) -> Any:
        x = t.arange(4.0)
        told = [x.is_shared(), x.share_memory_() is x, x.is_shared(), x[1:].is_shared(), x.clone().is_shared()]
        x.add_(1)
        model = t.nn.Linear(2, 2).share_memory()
        model(t.ones(1, 2)).sum().backward()
        t.optim.SGD(model.parameters(), 0.1).step()
        return told, x.is_shared(), x, [p.is_shared() for p in model.parameters()]

    agree(program)
    x = fb.arange(4.0).share_memory_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX warns of every fork
        process = os.fork()
    if process == 0:
        x.numpy()[0] = 100
        os._exit(0)
    os.waitpid(process, 0)
    assert x.tolist() == [100, 1, 2, 3]


def test_symbols_of_sizes() -> None:
    calls = [
        lambda t: (t.sym_int(3.7), t.sym_int(-3.7), t.sym_float(3), t.sym_not(0), t.sym_sqrt(4), t.sym_sum([1.5, 2])),
        lambda t: (t.sym_max(3, 2.0), t.sym_min(3, 2.0), t.sym_max(1, 2), t.sym_ite(True, 1, 2), t._sym_log2(8)),
        lambda t: (isinstance(3, t.SymInt), isinstance(3.0, t.SymFloat), isinstance(True, t.SymBool)),
        lambda t: t.sym_ite(1, 1, 2),
        lambda t: t.sym_ite(True, 1, 2.0),
    ]
    for call in calls:
        agree(call)


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.ops.aten.sin.default(t.ones(1), y=2),
        lambda t: t.ops.aten.sin.default(t.ones(1), 2),
        lambda t: t.ops.aten.add.Tensor(t.ones(1), t.ones(1), 3),
        lambda t: t.ops.aten.sin.default(y=2),
    ],
)
def test_texts_of_calls_with_too_many_arguments(call: Any) -> None:
    texts = []
    for lib in (torch, fb):
        with pytest.raises(RuntimeError) as caught:
            call(lib)
        texts.append(str(caught.value).splitlines()[0])
    assert texts[0] == texts[1]


def test_opcheck_hands_out_the_error_itself() -> None:
    for lib in (torch, fb):
        with lib.library._scoped_library("hands_out", "FRAGMENT") as library:
            library.define("f(Tensor x) -> Tensor")
            library.impl("f", lambda x: x.add_(1).clone(), "CPU")
            found = lib.library.opcheck(
                lib.ops.hands_out.f.default, (lib.ones(1),), test_utils="test_schema", raise_exception=False
            )
        assert str(found["test_schema"]) == "Argument x is not defined as mutable but was mutated"
