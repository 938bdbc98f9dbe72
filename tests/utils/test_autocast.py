"""autocast against PyTorch's: which dtypes come out, what lands on the tape, and how a training step goes."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import pytest
import torch

import flambeau as fb
from flambeau.core.context.overrides import source
from flambeau.core.dispatch.autocast import kept, rules_of
from flambeau.core.dispatch.publishing import namespaces
from flambeau.core.tensor.tensor import Tensor
from support.op_database import convert, flat, known, op_infos, ours
from support.values import same

# What torch refuses, and a special case.
KNOWN = {
    "nn.functional.max_pool3d": "torch keeps bfloat16 if indices are asked for",
    "matrix_exp": "not there in bfloat16",
    "special.ndtr": "not there in bfloat16",
}


def result_dtypes(result: Any) -> list[str]:
    return [str(x.dtype) for x in flat(result) if isinstance(x, (Tensor, torch.Tensor))]


def with_a_rule() -> set[str]:
    """The names of the public functions whose declarations say what autocast makes of their inputs on the CPU."""
    found = set()
    for names in namespaces.values():
        for name, face in names.items():
            function = source(face) or face
            declared = getattr(function, "operator", function)
            if "cpu" in dict(getattr(declared, "casts", ())):
                found.add(name)
    return found


def check_dtypes(key: str) -> None:
    info, function, lower = op_infos()[key], ours(key), (torch.float32, torch.bfloat16)
    for dtype, sample in itertools.product(lower, itertools.islice(info.sample_inputs("cpu", torch.float32), 2)):
        sample = sample.transform(
            lambda x: x.to(dtype) if isinstance(x, torch.Tensor) and x.is_floating_point() else x  # noqa: B023
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                with torch.autocast("cpu"):
                    theirs = result_dtypes(info.op(sample.input, *sample.args, **sample.kwargs))
            except Exception:
                continue  # not for bfloat16 in torch either
            try:
                args, kwargs = convert((sample.input, *sample.args)), convert(sample.kwargs)
            except NotImplementedError:
                continue
            with fb.autocast("cpu"):
                mine = result_dtypes(function(*args, **kwargs))
        assert mine == theirs, f"{key} of {dtype}"


FLOATING = [k for k in known() if torch.float32 in op_infos()[k].supported_dtypes("cpu") and k not in KNOWN]
_RULED = with_a_rule()
LISTED = [k for k in FLOATING if k.rpartition(".")[2] in _RULED or op_infos()[k].name.rpartition(".")[2] in _RULED]


@pytest.mark.parametrize("key", LISTED)
def test_listed_operators_have_torchs_dtypes(key: str) -> None:
    check_dtypes(key)


@pytest.mark.slow
@pytest.mark.parametrize("key", sorted(set(FLOATING) - set(LISTED)))
def test_operators_have_torchs_dtypes(key: str) -> None:
    check_dtypes(key)


def states(library: Any) -> list[Any]:
    a = library.ones(3, 3)
    b, d = a.bfloat16(), a.double()

    def error(call: Any) -> str:
        try:
            call()
        except RuntimeError as error:
            return type(error).__name__
        return "none"

    seen: list[Any] = [
        library.is_autocast_enabled("cpu"),
        library.get_autocast_dtype("cpu"),
        library.get_autocast_dtype("cuda"),
    ]
    with library.autocast("cpu") as region:
        seen += [
            library.is_autocast_enabled("cpu"),
            library.is_autocast_enabled("cuda"),
            region.fast_dtype,
            region.device,
        ]
        seen += [(a @ a), a @ a[0], library.mv(a, a[0]), library.mm(d, d), library.mm(a.half(), b), library.cat([a, b])]
        seen += [library.stack([b, b]), error(lambda: library.mm(a, d)), error(lambda: a.addmm_(b, b))]
        seen += [library.mm(a, a, out=library.zeros(3, 3)), library.exp(b), library.nn.functional.softmax(b, -1)]
        with library.autocast("cpu", enabled=False):
            seen += [a @ a, library.is_autocast_enabled("cpu")]
        with library.autocast("cpu", dtype=library.float16, cache_enabled=False):
            seen += [a @ a, library.get_autocast_dtype("cpu"), library.is_autocast_cache_enabled()]
        seen += [a @ a, library.is_autocast_cache_enabled()]
        library.set_autocast_dtype("cpu", library.float16)
        seen += [a @ a]
    seen += [a @ a, library.is_autocast_enabled("cpu"), library.get_autocast_dtype("cpu")]
    decorated = library.autocast("cpu")(lambda x: x @ x)
    seen += [decorated(a), a @ a]
    library.set_autocast_enabled("cpu", True)
    seen += [a @ a]
    library.set_autocast_enabled("cpu", False)
    return [str(s) if isinstance(s, (torch.dtype, fb.dtype)) else s for s in [*seen, a @ a]]


def test_states() -> None:
    same(states(fb), states(torch))


def graph(library: Any) -> list[Any]:
    library.manual_seed(0)
    layer, x = library.nn.Linear(3, 4), library.randn(5, 3)
    with library.autocast("cpu"):
        first, second = layer(x), layer(x)
        with library.no_grad():
            third = layer(x)
    (first.sum() + 2 * second.sum()).backward()
    return [first, second, third, third.requires_grad, layer.weight.grad, layer.bias.grad, first.grad_fn.name()]


def test_gradients_come_in_the_parameters_dtype() -> None:
    same(graph(fb), graph(torch))


def test_casts_of_parameters_are_made_once_and_not_kept_beyond_a_change() -> None:
    layer, x = fb.nn.Linear(3, 3, bias=False), fb.eye(3)
    with fb.autocast("cpu"):
        with fb.no_grad():
            layer(x)
        assert layer(x).requires_grad
        layer(x)
        assert len(kept.casts) == 1
        with fb.no_grad():
            layer.weight.zero_()
        assert not layer(x).any()
    assert not kept.casts


def test_what_cannot_be_switched_on() -> None:
    with pytest.warns(UserWarning, match="not supported"):
        region = fb.autocast("cpu", dtype=fb.float64)
    with region:
        assert not fb.is_autocast_enabled("cpu")
    for kind in ("meta", "xyz"):
        with pytest.raises(RuntimeError):
            torch.autocast(kind)
        with pytest.raises(RuntimeError):
            fb.autocast(kind)
    with pytest.raises(ValueError, match="device_type"):
        fb.autocast(None)  # type: ignore[arg-type]
    assert fb.amp.is_autocast_available("cpu")


def functions(library: Any) -> list[Any]:
    seen: list[Any] = []

    class Plain(library.autograd.Function):
        @staticmethod
        @library.amp.custom_fwd(device_type="cpu")
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            made = x @ x
            seen.append(str(made.dtype))
            return made

        @staticmethod
        @library.amp.custom_bwd(device_type="cpu")
        def backward(ctx: Any, gradient: Any) -> Any:
            (x,) = ctx.saved_tensors
            seen.append(str((x @ x).dtype))
            return gradient.float()

    class Cast(library.autograd.Function):
        @staticmethod
        @library.amp.custom_fwd(device_type="cpu", cast_inputs=library.float32)
        def forward(ctx: Any, x: Any) -> Any:
            seen.append(str((x @ x).dtype))
            return x * 2

        @staticmethod
        @library.amp.custom_bwd(device_type="cpu")
        def backward(ctx: Any, gradient: Any) -> Any:
            seen.append(str((gradient @ gradient).dtype))
            return gradient

    x = library.ones(2, 2, requires_grad=True)
    for on in (True, False):
        for function in (Plain, Cast):
            with library.autocast("cpu", enabled=on):
                made = function.apply(x)
            made.sum().backward()
    return seen


def test_functions_of_ones_own() -> None:
    assert functions(fb) == functions(torch)


def train(library: Any, compiled: bool) -> list[Any]:
    library.manual_seed(0)
    nn = library.nn
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 9, 10)
    )
    optimizer = library.optim.SGD(model.parameters(), lr=0.1)
    x, y = library.randn(16, 1, 8, 8), library.arange(16) % 10
    seen = []

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        with library.autocast("cpu"):
            out = model(x)
            loss = nn.functional.cross_entropy(out, y)
        loss.backward()
        optimizer.step()
        return loss, out

    run = library.compile(step) if compiled else step
    for _ in range(5):
        loss, out = run(x, y)
        seen.append(loss.item())
    assert str(out.dtype) == "torch.bfloat16"
    assert str(loss.dtype) == "torch.float32"
    return seen


def test_training() -> None:
    theirs = train(torch, False)
    assert theirs[-1] < theirs[0]
    assert train(fb, False) == pytest.approx(theirs, abs=0.03)
    assert train(fb, True) == pytest.approx(theirs, abs=0.03)


def test_a_compiled_function_is_compiled_again_when_autocast_is_switched() -> None:
    product = fb.compile(lambda x: x @ x)
    x = fb.ones(3, 3)
    assert product(x).dtype is fb.float32
    with fb.autocast("cpu"):
        assert product(x).dtype is fb.bfloat16
        assert product(x).dtype is fb.bfloat16
        with fb.autocast("cpu", dtype=fb.float16):
            assert product(x).dtype is fb.float16
    assert product(x).dtype is fb.float32
    assert len(fb.compile.explain(product)) == 3
    assert "autocast is on now" in str(fb.compile.explain(product))


def test_a_declaration_with_an_unknown_rule_is_refused() -> None:
    for wrong in ("half", {"cpu": "half"}, {"gpu": "lower"}):
        with pytest.raises(ValueError, match="is no rule"):
            rules_of(wrong)
    assert rules_of({"cuda": "lower"}) == (("cuda", "lower"), ("tpu", "lower"))


EQUATIONS = "ij->i ij,k->ik ij,j->i ij,ij->i ij,ij->ij i,j i,i ij,jk,kl->il ij,ij,ij->ij ii"


def products(library: Any) -> list[str]:
    f, a = library.ones(2), library.ones(2, 2)
    linalg, made = library.linalg, []
    with library.autocast("cpu"):
        for equation in EQUATIONS.split():
            operands = [library.ones([2] * len(s)) for s in equation.split("->")[0].split(",")]
            made.append(library.einsum(equation, *operands))
        made.append(library.einsum("ij,jk", a[:, :1], a[:1]))
        made.append(library.einsum("i,i->i", f, f.bfloat16()))
        made += [library.tensordot(x, y, n) for x, y, n in ((a, a, 0), (f, f, 1), (a, f, 1), (a, a, 2), (a, a, 1))]
        made += [library.inner(x, y) for x, y in ((f[0], a), (f, f), (a, f))]
        made += [linalg.pinv(a), linalg.pinv(a, hermitian=True)]
        made += [linalg.matrix_power(a + library.eye(2), n) for n in (0, 1, 2, -1, -2)]
    return [str(t.dtype) for t in made]


def test_functions_that_are_products_of_matrices_in_part() -> None:
    assert products(fb) == products(torch)
